r"""Squared regression (Section 4.1, Appendix C): ``f(x) = <u_+^2 - u_-^2, x>`` with the mean squared error.

``L(u_+, u_-) = 1/(2N) ||X beta - y||^2`` with ``beta = u_+^2 - u_-^2`` (squares element by element). The factor 1/(2N)
is our choice, as the paper's text has lost its own; sharpness and 2/eta scale with it alike. The weights have shape
``(..., d)``; every function is batched over their leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfs.regression.convex import ConeProgram, minimise_potential
from gfs.regression.newton import Dual
from gfs.spectrum import largest_eigenvalue, largest_eigenvalue_semidefinite

Floats = NDArray[np.float64]
# Starts whose N x N problems are looked at together: their arrays stay in the processor's cache.
_BLOCK = 32

# P, Q and the multiplier nu from p and q of one start.
OneStart = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]

Solver = Literal["newton", "cvxpy", "scipy"]

# A solution must interpolate to this relative accuracy and close its duality gap, or it is not used.
CERTIFICATE_TOLERANCE = 1e-6

# Singular values of X below this, relative to the largest, are taken for rounding.
_RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class GradientFlowSolution:
    """A gradient flow solution with its certificate.

    Attributes:
        u_plus, u_minus: the solution, shape (..., d); the signs of the start are kept.
        residual: ``||X beta - y||`` divided by ``||y|| + ||X beta_0||``, beta_0 being the start's, shape (...).
        duality_gap: primal minus dual value of the convex problem, divided by ``1 + |primal|``, shape (...).
    """

    u_plus: Floats
    u_minus: Floats
    residual: Floats
    duality_gap: Floats

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Whether residual and duality gap are within ``CERTIFICATE_TOLERANCE``, shape (...)."""
        tolerance = CERTIFICATE_TOLERANCE
        return (self.residual <= tolerance) & (np.abs(self.duality_gap) <= tolerance)


class SquaredRegression:
    """The squared regression model on the data ``X`` (N, d) and ``y`` (N,).

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or data that no ``beta`` interpolates (then no
            gradient flow solution with zero loss exists).
    """

    def __init__(self, X: ArrayLike, y: ArrayLike) -> None:
        self.X = np.asarray(X, dtype=np.float64)
        self.y = np.asarray(y, dtype=np.float64)
        if self.X.ndim != 2 or self.y.shape != self.X.shape[:1]:
            raise ValueError(f"X must have shape (N, d) and y (N,), found {self.X.shape} and {self.y.shape}")
        if not (np.isfinite(self.X).all() and np.isfinite(self.y).all()):
            raise ValueError("X and y must be finite")
        self.samples, self.dimension = self.X.shape

    def loss(self, u_plus: ArrayLike, u_minus: ArrayLike) -> Floats:
        """Return ``1/(2N) ||X (u_+^2 - u_-^2) - y||^2``, shape (...)."""
        plus, minus = self._weights(u_plus, u_minus)
        return 0.5 / self.samples * np.sum(self._residuals(plus, minus) ** 2, axis=-1)

    def gradient(self, u_plus: ArrayLike, u_minus: ArrayLike) -> tuple[Floats, Floats]:
        """Return the gradient in ``u_+`` and in ``u_-``, each of shape (..., d)."""
        plus, minus = self._weights(u_plus, u_minus)
        slope = self._residuals(plus, minus) @ self.X / self.samples
        return 2 * plus * slope, -2 * minus * slope

    def sharpness(self, u_plus: ArrayLike, u_minus: ArrayLike) -> Floats:
        """Return the largest eigenvalue of the 2d x 2d Hessian, shape (...); NaN where it is not finite.

        The Hessian is ``J^T J / N + diag(2 s, -2 s)`` with ``J = [2 X diag(u_+), -2 X diag(u_-)]`` and
        ``s = X^T (X beta - y) / N`` (Appendix C).
        """
        plus, minus = self._weights(u_plus, u_minus)
        slope = self._residuals(plus, minus) @ self.X / self.samples
        jacobian = 2 * np.concatenate([self.X * plus[..., None, :], -self.X * minus[..., None, :]], axis=-1)
        hessian = np.swapaxes(jacobian, -1, -2) @ jacobian / self.samples
        index = np.arange(2 * self.dimension)
        hessian[..., index, index] += 2 * np.concatenate([slope, -slope], axis=-1)
        return largest_eigenvalue(hessian)

    def gradient_flow_solution(
        self, u_plus: ArrayLike, u_minus: ArrayLike, solver: Solver = "newton", *, trajectory: bool = False
    ) -> GradientFlowSolution:
        """Return the limit of gradient flow from ``(u_+, u_-)`` as the solution of a convex problem (equation 7).

        Gradient flow keeps ``u_+ u_-`` and moves ``p = u_+^2``, ``q = u_-^2`` to ``p e^z``, ``q e^-z`` with z in the
        row space of X; its limit minimises ``KL(P || p) + KL(Q || q)`` subject to ``X (P - Q) = y``.

        Args:
            u_plus, u_minus: the start, shape (..., d).
            solver: ``"newton"``, the dual with one variable per sample, batched; ``"cvxpy"``, the primal as written
                above, by Clarabel; or ``"scipy"``, equation 7 by ``scipy.optimize`` (SLSQP), as the paper did. The
                last two take one start after the other.
            trajectory: the starts are consecutive iterates of one run, which Newton's method then follows at a fraction
                of the cost; shape (n, d).

        A start that is not finite, and one from which a solver finds no optimum, has a certificate that fails.

        Raises:
            ValueError: an unknown solver, or no interpolator exists.
        """
        plus, minus = self._weights(u_plus, u_minus)
        self.require_interpolator()
        if solver == "newton":
            squares = self._newton(plus**2, minus**2, trajectory)
        elif solver == "cvxpy":
            squares = self._one_by_one(self._by_cvxpy, plus**2, minus**2)
        elif solver == "scipy":
            squares = self._one_by_one(self._by_scipy, plus**2, minus**2)
        else:
            raise ValueError(f"unknown solver {solver!r}; choose 'newton', 'cvxpy' or 'scipy'")
        return self._with_certificate(plus, minus, *squares)

    def gfs_sharpness(self, u_plus: ArrayLike, u_minus: ArrayLike, solver: Solver = "newton") -> Floats:
        """Return the GFS sharpness, shape (...); NaN where the solution's certificate fails."""
        solution = self.gradient_flow_solution(u_plus, u_minus, solver)
        return np.where(solution.certified, self.sharpness_at_interpolator(solution.u_plus, solution.u_minus), np.nan)

    def sharpness_at_interpolator(self, u_plus: ArrayLike, u_minus: ArrayLike) -> Floats:
        """Return the sharpness where the loss is zero: ``lambda_max((4/N) X diag(u_+^2 + u_-^2) X^T)``, shape (...).

        An N x N problem with the non-zero spectrum of the Hessian there.
        """
        plus, minus = self._weights(u_plus, u_minus)
        sums = (plus**2 + minus**2).reshape(-1, self.dimension)
        values = np.empty(len(sums))
        for i in range(0, len(sums), _BLOCK):
            matrices = 4 / self.samples * (self.X * sums[i : i + _BLOCK, None, :]) @ self.X.T
            values[i : i + _BLOCK] = largest_eigenvalue_semidefinite(matrices)
        return values.reshape(plus.shape[:-1])[()]

    def _weights(self, u_plus: ArrayLike, u_minus: ArrayLike) -> tuple[Floats, Floats]:
        plus = np.asarray(u_plus, dtype=np.float64)
        minus = np.asarray(u_minus, dtype=np.float64)
        for name, array in [("u_plus", plus), ("u_minus", minus)]:
            if array.ndim == 0 or array.shape[-1] != self.dimension:
                raise ValueError(f"{name} must have shape (..., {self.dimension}), found {array.shape}")
        broadcast = np.broadcast_arrays(plus, minus)
        return broadcast[0], broadcast[1]

    def _residuals(self, plus: Floats, minus: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return (plus**2 - minus**2) @ self.X.T - self.y

    @property
    def rows(self) -> Floats:
        """An orthonormal basis A of the rows of X, shape (r, d): ``A beta = b`` says what ``X beta = y`` does.

        The solvers take it, so that neither the condition of X nor repeated samples slow them down.
        """
        return self._reduced[0]

    @property
    def targets(self) -> Floats:
        """The right side b, shape (r,)."""
        return self._reduced[1]

    @property
    def rank(self) -> int:
        """The rank r of X."""
        return len(self.targets)

    @cached_property
    def _reduced(self) -> tuple[Floats, Floats]:
        left, values, right = np.linalg.svd(self.X, full_matrices=False)
        kept = values > _RANK_TOLERANCE * values.max(initial=0.0)
        return right[kept], (left[:, kept].T @ self.y) / values[kept]

    def require_interpolator(self) -> None:
        if not self._interpolates:
            raise ValueError(
                f"no beta interpolates the data: y is not in the range of X ({self.samples} samples in "
                f"{self.dimension} dimensions), so no gradient flow solution with zero loss exists"
            )

    @cached_property
    def _interpolates(self) -> bool:
        beta = np.linalg.lstsq(self.X, self.y, rcond=None)[0]
        return bool(np.linalg.norm(self.X @ beta - self.y) <= 1e-8 * max(float(np.linalg.norm(self.y)), 1e-300))

    def _newton(self, p: Floats, q: Floats, trajectory: bool) -> tuple[Floats, Floats, Floats]:
        flat_p, flat_q = p.reshape(-1, self.dimension), q.reshape(-1, self.dimension)
        nu = (self._dual.solve_along if trajectory else self._dual.solve)(flat_p, flat_q)
        nu = nu.reshape(*p.shape[:-1], self.rank)
        with np.errstate(over="ignore", invalid="ignore"):
            z = nu @ self.rows
            return p * np.exp(z), q * np.exp(-z), nu

    @cached_property
    def _dual(self) -> Dual:
        return Dual(self.rows, self.targets)

    def _one_by_one(self, solve: OneStart, p: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
        batch = p.shape[:-1]
        rows_p, rows_q = p.reshape(-1, self.dimension), q.reshape(-1, self.dimension)
        grown, shrunk = np.full_like(rows_p, np.nan), np.full_like(rows_q, np.nan)
        nu = np.full((len(rows_p), self.rank), np.nan)
        for i in np.flatnonzero(np.isfinite(rows_p).all(axis=-1) & np.isfinite(rows_q).all(axis=-1)):
            grown[i], shrunk[i], nu[i] = solve(rows_p[i], rows_q[i])
        return grown.reshape(p.shape), shrunk.reshape(q.shape), nu.reshape(*batch, self.rank)

    def _by_cvxpy(self, p: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
        pattern = (p > 0).tobytes() + (q > 0).tobytes()
        if pattern not in self._cone_programs:
            self._cone_programs[pattern] = ConeProgram(self.rows, self.targets, p > 0, q > 0)
        return self._cone_programs[pattern].solve(p, q)

    def _by_scipy(self, p: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
        return minimise_potential(self.rows, self.targets, p, q)

    @cached_property
    def _cone_programs(self) -> dict[bytes, ConeProgram]:
        return {}

    def _with_certificate(
        self, plus: Floats, minus: Floats, grown: Floats, shrunk: Floats, nu: Floats
    ) -> GradientFlowSolution:
        with np.errstate(over="ignore", invalid="ignore"):
            constraint = (grown - shrunk) @ self.X.T - self.y
            scale = np.linalg.norm(self.y) + np.linalg.norm((plus**2 - minus**2) @ self.X.T, axis=-1)
            primal = _divergence(grown, plus**2) + _divergence(shrunk, minus**2)
            dual = -self._dual.value(plus**2, minus**2, nu) + np.sum(plus**2 + minus**2, axis=-1)
            return GradientFlowSolution(
                u_plus=np.where(plus < 0, -1, 1) * np.sqrt(grown),
                u_minus=np.where(minus < 0, -1, 1) * np.sqrt(shrunk),
                residual=np.linalg.norm(constraint, axis=-1) / np.maximum(scale, 1e-300),
                duality_gap=(primal - dual) / (1 + np.abs(primal)),
            )


def _divergence(P: Floats, p: Floats) -> Floats:
    """Generalised Kullback-Leibler divergence ``sum_i P_i log(P_i / p_i) - P_i + p_i`` with ``0 log 0 = 0``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(P > 0, P * np.log(P / p), 0.0)
    return np.sum(terms - P + p, axis=-1)
