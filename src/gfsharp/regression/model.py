r"""Squared regression (Section 4.1, Appendix C): ``f(x) = <u_+^2 - u_-^2, x>`` with the mean squared error.

``L(u_+, u_-) = 1/(2N) ||X beta - y||^2`` with ``beta = u_+^2 - u_-^2`` (squares element by element). The factor 1/(2N)
is our choice, as the paper's text has lost its own; sharpness and 2/eta scale with it alike. The weights have shape
``(..., d)``; every function is batched over their leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.regression.convex import ConeProgram, minimise_potential
from gfsharp.regression.interpolation import Interpolation, interpolation
from gfsharp.regression.newton import Dual
from gfsharp.spectrum import largest_eigenvalue, largest_eigenvalue_semidefinite

Floats = NDArray[np.float64]
# Starts whose N x N problems are looked at together: their arrays stay in the processor's cache.
_BLOCK = 32

Solver = Literal["newton", "cvxpy", "scipy"]

# What a solution must keep to, or it is not used: see GradientFlowSolution.
RESIDUAL_TOLERANCE = 1e-9
CERTIFICATE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class GradientFlowSolution:
    """A gradient flow solution with its certificate.

    There is one point that interpolates and has the form ``P = p e^z``, ``Q = q e^-z`` with z in the row space of X;
    residual and deviation say how far the solution is from either, whatever the solver. They are relative to
    ``|b| + |(P + Q)|``, where ``A beta = b`` is the interpolation with orthonormal rows, so that scales drop out.

    Attributes:
        u_plus, u_minus: the solution, shape (..., d); the signs of the start are kept.
        residual: ``|A (P - Q) - b|``, shape (...).
        deviation: ``|P - p e^z| + |Q - q e^-z|`` with ``z = A^T nu``, nu being the solver's multiplier, shape (...).
        duality_gap: primal minus dual value of the convex problem, relative to the terms of both, shape (...).
    """

    u_plus: Floats
    u_minus: Floats
    residual: Floats
    deviation: Floats
    duality_gap: Floats

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Whether the residual is at most ``RESIDUAL_TOLERANCE``, the others ``CERTIFICATE_TOLERANCE``, shape (...)."""
        tolerance = CERTIFICATE_TOLERANCE
        return (
            (self.residual <= RESIDUAL_TOLERANCE)
            & (self.deviation <= tolerance)
            & (np.abs(self.duality_gap) <= tolerance)
        )


class SquaredRegression:
    """The squared regression model on the data ``X`` (N, d) and ``y`` (N,).

    Where no ``beta`` interpolates the data no gradient flow solution with zero loss exists; that is said when one is
    asked for.

    Raises:
        ValueError: shapes that do not fit, no samples or dimensions, values that are complex or not finite.

    >>> model = SquaredRegression([[1.0, 2.0]], [1.0])  # one sample, two dimensions
    >>> solution = model.gradient_flow_solution([0.5, 0.5], [0.5, 0.5])
    >>> bool(solution.certified), float(np.round(model.loss(solution.u_plus, solution.u_minus), 12))
    (True, 0.0)
    >>> np.round(solution.u_plus * solution.u_minus, 9).tolist()  # what gradient flow keeps
    [0.25, 0.25]
    """

    def __init__(self, X: ArrayLike, y: ArrayLike) -> None:
        self.X, self.y = _real(X, "X"), _real(y, "y")
        if self.X.ndim != 2 or self.y.shape != self.X.shape[:1]:
            hint = "; give y.ravel()" if self.y.shape == (*self.X.shape[:1], 1) else ""
            raise ValueError(f"X must have shape (N, d) and y (N,), found {self.X.shape} and {self.y.shape}{hint}")
        if not self.X.size:
            raise ValueError(f"X must have samples and dimensions, found shape {self.X.shape}")
        for name, array in [("X", self.X), ("y", self.y)]:
            if not np.isfinite(array).all():
                place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
                raise ValueError(f"{name} must be finite, found {array[place]} at {place}")
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
        rows_plus, rows_minus = plus.reshape(-1, self.dimension), minus.reshape(-1, self.dimension)
        values = np.empty(len(rows_plus))
        for i in range(0, len(values), _BLOCK):
            values[i : i + _BLOCK] = largest_eigenvalue(
                self._hessian(rows_plus[i : i + _BLOCK], rows_minus[i : i + _BLOCK])
            )
        return values.reshape(plus.shape[:-1])[()]

    def _hessian(self, plus: Floats, minus: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            slope = self._residuals(plus, minus) @ self.X / self.samples
            jacobian = 2 * np.concatenate([self.X * plus[..., None, :], -self.X * minus[..., None, :]], axis=-1)
            hessian = np.swapaxes(jacobian, -1, -2) @ jacobian / self.samples
            index = np.arange(2 * self.dimension)
            hessian[..., index, index] += 2 * np.concatenate([slope, -slope], axis=-1)
        return hessian

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
                of the cost; shape (n, d). The other solvers do not look at it.

        A start that is not finite, and one from which a solver finds no optimum, has a certificate that fails. Weights
        whose square underflows, below 1e-154, count as zero: they stay there.

        Raises:
            ValueError: an unknown solver, or no interpolator exists.
        """
        plus, minus = self._weights(u_plus, u_minus)
        self.require_interpolator()
        if solver not in ("newton", "cvxpy", "scipy"):
            raise ValueError(f"unknown solver {solver!r}; choose 'newton', 'cvxpy' or 'scipy'")
        shape = plus.shape
        found = _solve_all(
            self, plus.reshape(-1, self.dimension), minus.reshape(-1, self.dimension), solver, trajectory
        )
        return GradientFlowSolution(
            *(array.reshape(shape) for array in found[:2]), *(array.reshape(shape[:-1])[()] for array in found[2:])
        )

    def gfs_sharpness(
        self, u_plus: ArrayLike, u_minus: ArrayLike, solver: Solver = "newton", *, trajectory: bool = False
    ) -> Floats:
        """Return the GFS sharpness, shape (...); NaN where the certificate of :meth:`gradient_flow_solution` fails.

        >>> model = SquaredRegression([[1.0, 2.0]], [1.0])
        >>> float(np.round(model.gfs_sharpness([0.5, 0.5], [0.5, 0.5]), 4))
        12.4366
        """
        solution = self.gradient_flow_solution(u_plus, u_minus, solver, trajectory=trajectory)
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
        try:
            broadcast = np.broadcast_arrays(plus, minus)
        except ValueError:
            raise ValueError(f"u_plus and u_minus do not fit together: {plus.shape} and {minus.shape}") from None
        return broadcast[0], broadcast[1]

    def _residuals(self, plus: Floats, minus: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return (plus**2 - minus**2) @ self.X.T - self.y

    def require_interpolator(self) -> None:
        """Raise a ValueError where no beta interpolates the data."""
        obstacle = self.interpolation().obstacle
        if obstacle:
            raise ValueError(f"no beta interpolates the data, so there is no flow to zero loss: {obstacle}")

    def interpolation(self, used: NDArray[np.bool_] | None = None) -> Interpolation:
        """Return ``X beta = y`` with orthonormal rows, for beta that is zero outside ``used``, shape (d,)."""
        used = np.ones(self.dimension, dtype=bool) if used is None else used
        key = used.tobytes()
        if key not in self._interpolations:
            found = interpolation(self.X * used, self.y)
            self._interpolations[key] = found
        return self._interpolations[key]

    @cached_property
    def _interpolations(self) -> dict[bytes, Interpolation]:
        return {}

    @cached_property
    def cone_programs(self) -> dict[bytes, ConeProgram]:
        """Compiled cone programs by the pattern of entries that are not zero."""
        return {}


def _solve_all(
    model: SquaredRegression, plus: Floats, minus: Floats, solver: Solver, trajectory: bool
) -> tuple[Floats, ...]:
    """Return u_+, u_- (n, d), residual, deviation and duality gap (n,), for starts of shape (n, d).

    Entries that are zero in both stay zero: starts are solved together with those that have the same ones.
    """
    results = [np.full(plus.shape, np.nan) for _ in range(2)] + [np.full(len(plus), np.nan) for _ in range(3)]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p, q = plus**2, minus**2
        used = (p > 0) | (q > 0)
        finite = np.isfinite(p).all(axis=-1) & np.isfinite(q).all(axis=-1)
        for pattern in np.unique(used[finite], axis=0):
            rows = np.flatnonzero(finite & (used == pattern).all(axis=-1))
            system = model.interpolation(pattern)
            if system.obstacle:
                continue
            P, Q, nu = _solve(model, system, p[rows], q[rows], solver, trajectory)
            certificate = _certificate(system, p[rows], q[rows], P, Q, nu)
            solution = (_signs(plus[rows]) * np.sqrt(P), _signs(minus[rows]) * np.sqrt(Q), *certificate)
            for result, values in zip(results, solution, strict=True):
                result[rows] = values
    return tuple(results)


def _solve(
    model: SquaredRegression, system: Interpolation, p: Floats, q: Floats, solver: Solver, trajectory: bool
) -> tuple[Floats, Floats, Floats]:
    """Return P, Q and nu by a solver."""
    if not len(system.rows):
        return p, q, np.zeros((len(p), 0))
    if solver == "newton":
        dual = Dual(system.rows, system.targets)
        nu = (dual.solve_along if trajectory else dual.solve)(p, q)
        z = nu @ system.rows
        return p * np.exp(z), q * np.exp(-z), nu
    # General solvers have absolute tolerances: their problem is brought to a scale of one.
    unit = float(np.abs(system.targets).max(initial=0.0)) or 1.0
    rows, targets = system.rows, system.targets / unit
    solutions = []
    for start in zip(p / unit, q / unit, strict=True):
        if solver == "cvxpy":
            patterns = start[0] > 0, start[1] > 0
            key = patterns[0].tobytes() + patterns[1].tobytes()
            if key not in model.cone_programs:
                model.cone_programs[key] = ConeProgram(rows, targets, *patterns)
            solutions.append(model.cone_programs[key].solve(*start))
        else:
            solutions.append(minimise_potential(rows, targets, *start))
    P, Q, nu = (np.stack(arrays) for arrays in zip(*solutions, strict=True))
    return unit * P, unit * Q, nu


def _certificate(
    system: Interpolation, p: Floats, q: Floats, P: Floats, Q: Floats, nu: Floats
) -> tuple[Floats, Floats, Floats]:
    size = np.linalg.norm(system.targets) + np.linalg.norm(P + Q, axis=-1)
    size = np.where(size > 0, size, 1.0)
    residual = np.linalg.norm((P - Q) @ system.rows.T - system.targets, axis=-1)
    z = nu @ system.rows
    flowed = p * np.exp(z), q * np.exp(-z)
    deviation = np.linalg.norm(P - flowed[0], axis=-1) + np.linalg.norm(Q - flowed[1], axis=-1)
    primal = _divergence(P, p) + _divergence(Q, q)
    start = np.sum(p + q, axis=-1)
    dual = nu @ system.targets - np.sum(flowed[0] + flowed[1], axis=-1) + start
    terms = np.abs(primal) + np.abs(dual) + start + np.sum(P + Q, axis=-1)
    return residual / size, deviation / size, (primal - dual) / np.where(terms > 0, terms, 1.0)


def _signs(weights: Floats) -> Floats:
    return np.where(weights < 0, -1.0, 1.0)


def _real(values: ArrayLike, name: str) -> Floats:
    """Return a copy that cannot be written to: what is derived from it is kept."""
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real, found {np.asarray(values).dtype} values")
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def _divergence(P: Floats, p: Floats) -> Floats:
    """Generalised Kullback-Leibler divergence ``sum_i P_i log(P_i / p_i) - P_i + p_i`` with ``0 log 0 = 0``."""
    terms = np.where(P > 0, P * np.log(P / p), 0.0)
    return np.sum(terms - P + p, axis=-1)
