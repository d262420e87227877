"""Equation 7 as a convex problem for general solvers: cvxpy, and scipy.optimize as the paper had it.

Both return ``P = GFS(u_+)^2``, ``Q = GFS(u_-)^2`` and the multiplier nu of the interpolation, with ``P = p e^z``,
``Q = q e^-z``, ``z = X^T nu``; NaN where the solver found no optimum. An entry of p or q that is zero stays zero.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Of Clarabel: the gap, absolute and relative, and the feasibility. Whether it reaches the first depends on how a
# processor's library rounds; of two that it does not reach the better is taken.
_TOLERANCES = (1e-12, 1e-11)


class ConeProgram:
    """``minimise KL(P || p) + KL(Q || q)`` subject to ``X (P - Q) = y`` in cvxpy, compiled once for all p and q.

    Args:
        X, y: the data, of shapes (N, d) and (N,).
        has_plus, has_minus: where p and q are not zero, shape (d,) each.
    """

    def __init__(self, X: Floats, y: Floats, has_plus: Bools, has_minus: Bools) -> None:
        import cvxpy as cp

        self.X, self.y, self.samples = X, y, len(y)
        self.has_plus, self.has_minus = has_plus, has_minus
        self.grown = cp.Variable(int(has_plus.sum()), nonneg=True)
        self.shrunk = cp.Variable(int(has_minus.sum()), nonneg=True)
        self.log_p = cp.Parameter(int(has_plus.sum()))
        self.log_q = cp.Parameter(int(has_minus.sum()))
        self.constraint = X[:, has_plus] @ self.grown - X[:, has_minus] @ self.shrunk == y
        # KL(P || p) = sum_i P_i log(P_i / p_i) - P_i + p_i; the constant p_i is left out.
        objective = (
            -cp.sum(cp.entr(self.grown)) - self.log_p @ self.grown - cp.sum(self.grown)
            - cp.sum(cp.entr(self.shrunk)) - self.log_q @ self.shrunk - cp.sum(self.shrunk)
        )  # fmt: skip
        self.problem = cp.Problem(cp.Minimize(objective), [self.constraint])

    def solve(self, p: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
        """Return P, Q and nu for one start."""
        import cvxpy as cp

        self.log_p.value, self.log_q.value = np.log(p[self.has_plus]), np.log(q[self.has_minus])
        best, least = _nothing(p, self.samples), np.inf
        for tolerance in _TOLERANCES:
            found = self._solve(p, q, tolerance)
            defect = self._defect(p, q, *found)
            if defect < least:
                best, least = found, defect
            if self.problem.status == cp.OPTIMAL:
                break
        return best

    def _solve(self, p: Floats, q: Floats, tolerance: float) -> tuple[Floats, Floats, Floats]:
        import cvxpy as cp

        tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), tolerance)
        with warnings.catch_warnings():
            # Clarabel says when these tolerances are out of its reach; the certificate decides whether that matters.
            warnings.filterwarnings("ignore", "Solution may be inaccurate")
            try:
                self.problem.solve(solver=cp.CLARABEL, max_iter=500, **tolerances)
            except cp.SolverError:
                return _nothing(p, self.samples)
        if self.problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return _nothing(p, self.samples)
        grown, shrunk = np.zeros_like(p), np.zeros_like(q)
        grown[self.has_plus], shrunk[self.has_minus] = self.grown.value, self.shrunk.value
        return grown, shrunk, -np.asarray(self.constraint.dual_value, dtype=np.float64)

    def _defect(self, p: Floats, q: Floats, grown: Floats, shrunk: Floats, nu: Floats) -> float:
        """How far a solution is from the optimality conditions and the constraint, relative."""
        with np.errstate(over="ignore", invalid="ignore"):
            growth = np.exp(self.X.T @ nu)
            apart = np.abs(grown - p * growth).sum() + np.abs(shrunk - q / growth).sum()
            missed = np.linalg.norm(self.X @ (grown - shrunk) - self.y) / np.linalg.norm(self.y)
            defect = float(apart / (grown.sum() + shrunk.sum()) + missed)
        return defect if np.isfinite(defect) else np.inf


def minimise_potential(
    X: Floats, y: Floats, p: Floats, q: Floats, method: str = "SLSQP"
) -> tuple[Floats, Floats, Floats]:
    """Minimise ``sum_i Q_i(beta_i)`` subject to ``X beta = y`` (equation 7) by ``scipy.optimize.minimize``.

    With ``k = sqrt(p q)``, ``r = sqrt(beta^2 + 4 k^2)`` and ``P = (r + beta) / 2`` the potential is ``Q_i = beta z -
    r`` and its derivative ``z = log(P / p)``: the paper's ``arcsinh(beta / 2k) - log(p / q) / 2``.

    Args:
        p, q: of one start, shape (d,).
        method: ``"SLSQP"`` or ``"trust-constr"``.
    """
    from scipy.optimize import Bounds, LinearConstraint, minimize

    used = (p > 0) | (q > 0)
    A, potential = X[:, used], _Potential(p[used], q[used])
    # Without an entry of u_- beta cannot be negative, without one of u_+ not positive.
    tiny = 1e-300
    bounds = Bounds(np.where(q[used] > 0, -np.inf, tiny), np.where(p[used] > 0, np.inf, -tiny))
    start = np.clip(np.linalg.lstsq(A, y, rcond=None)[0], bounds.lb, bounds.ub)
    options: dict[str, Any] = {"maxiter": 2000}
    if method == "SLSQP":
        options |= {"ftol": 1e-15}
        constraints: Any = [{"type": "eq", "fun": lambda b: A @ b - y, "jac": lambda b: A}]
    else:
        options |= {"gtol": 1e-12, "xtol": 1e-15}
        constraints = [LinearConstraint(A, y, y)]
    settings: dict[str, Any] = {"hess": potential.curvature} if method == "trust-constr" else {}
    bounded = np.isfinite(bounds.lb).any() or np.isfinite(bounds.ub).any()
    with warnings.catch_warnings():
        # The certificate judges the result, whatever made the solver stop.
        warnings.simplefilter("ignore")
        found = minimize(
            potential.value,
            start,
            jac=potential.slope,
            method=method,
            bounds=bounds if bounded else None,
            constraints=constraints,
            options=options,
            **settings,
        )
    if not np.isfinite(found.x).all():
        return _nothing(p, len(y))
    grown, shrunk = np.zeros_like(p), np.zeros_like(q)
    grown[used], shrunk[used] = potential.squares(found.x)
    # By their weight in P and Q: of an entry that is next to nothing the logarithm is known badly, and matters little.
    weights = np.sqrt(grown[used] + shrunk[used])
    multipliers = np.linalg.lstsq(A.T * weights[:, None], potential.slope(found.x) * weights, rcond=1e-15)[0]
    nu = np.asarray(multipliers, dtype=np.float64)
    return grown, shrunk, nu


class _Potential:
    """``Q_i`` and its derivatives."""

    def __init__(self, p: Floats, q: Floats) -> None:
        self.p, self.q = p, q
        self.k2 = 4 * p * q

    def squares(self, beta: Floats) -> tuple[Floats, Floats]:
        r = np.sqrt(beta**2 + self.k2)
        larger = (r + np.abs(beta)) / 2
        # The smaller of the two from their product, lest their difference cancel.
        smaller = self.k2 / 4 / np.maximum(larger, 1e-300)
        return np.where(beta > 0, larger, smaller), np.where(beta > 0, smaller, larger)

    def slope(self, beta: Floats) -> Floats:
        P, Q = self.squares(beta)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.p > 0, np.log(P / self.p), -np.log(Q / self.q))

    def value(self, beta: Floats) -> float:
        return float(np.sum(beta * self.slope(beta) - np.sqrt(beta**2 + self.k2)))

    def curvature(self, beta: Floats) -> Floats:
        return np.diag(1 / np.sqrt(beta**2 + self.k2))


def _nothing(p: Floats, samples: int) -> tuple[Floats, Floats, Floats]:
    return np.full_like(p, np.nan), np.full_like(p, np.nan), np.full(samples, np.nan)
