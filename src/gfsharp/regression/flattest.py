r"""The flattest interpolator of squared regression (Appendix B.3).

    S_flat = min lambda_max(M(p + q)),  M(s) = (4/N) X diag(s) X^T,  over p, q >= 0 with X (p - q) = y:

a convex problem, solved as a semidefinite program or, as in the paper, by projected gradient descent with Dykstra's
projections.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.regression.model import SquaredRegression

Floats = NDArray[np.float64]

# An optimum of the semidefinite program counts if a feasible point is this close above it.
_SDP_GAP = 1e-5

# Projected gradient descent ends when the sharpness is this close, relative to it, to a lower bound.
_GAP = 1e-5
_ROUNDS_PER_LEVEL = 1000
_SETTLED = 1e-10
# Without a certificate it is given up when smoothing is this small.
_LEAST_SMOOTHING = 1e-10


def flattest_sharpness(
    X: ArrayLike, y: ArrayLike, method: Literal["sdp", "dykstra"] = "sdp", *, max_rounds: int | None = None
) -> float:
    """Return ``S_flat``, the sharpness of the flattest interpolator of the data.

    Args:
        X, y: the data, of shapes (N, d) and (N,).
        method: ``"sdp"``, the semidefinite program in cvxpy (Clarabel); or ``"dykstra"``, projected gradient descent
            with Dykstra's projections, ended by a lower bound within 1e-5. At N = 50, d = 100 it mostly takes a tenth
            of the time, but ten times as long on every tenth data set, where the projections creep along a corner.
        max_rounds: dykstra: projections after which it is given up; some 40,000 a second at N = 50, d = 100.

    Raises:
        ValueError: an unknown method, no interpolator exists, or the solver did not reach an optimum.

    >>> round(flattest_sharpness([[1.0, 2.0]], [1.0]), 4)  # of one sample: 4 |y| min_i |x_i|
    4.0
    """
    if method not in ("sdp", "dykstra"):
        raise ValueError(f"unknown method {method!r}; choose 'sdp' or 'dykstra'")
    model = SquaredRegression(X, y)
    model.require_interpolator()
    if not model.y.any():
        return 0.0
    # S_flat is proportional to the scales of X and of y; solvers have absolute tolerances.
    sizes = float(np.abs(model.X).max()), float(np.abs(model.y).max())
    scaled = SquaredRegression(model.X / sizes[0], model.y / sizes[1])
    value = _by_semidefinite_program(scaled) if method == "sdp" else _by_projected_gradient(scaled, max_rounds)
    return sizes[0] * sizes[1] * value


def _by_semidefinite_program(model: SquaredRegression) -> float:
    import cvxpy as cp

    p = cp.Variable(model.dimension, nonneg=True)
    q = cp.Variable(model.dimension, nonneg=True)
    gram = 4 / model.samples * model.X @ cp.diag(p + q) @ model.X.T
    problem = cp.Problem(cp.Minimize(cp.lambda_max((gram + gram.T) / 2)), [model.X @ (p - q) == model.y])
    with warnings.catch_warnings():
        # Whether an inaccurate solution is good enough is decided below.
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        try:
            value: Any = problem.solve(solver=cp.CLARABEL)
        except cp.SolverError as error:
            raise ValueError(f"the flattest interpolator was not found: {error}") from error
    if problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        feasible = _Projection(model)(np.maximum(np.concatenate([p.value, q.value]), 0.0))
        if feasible is not None and abs(_smoothed(model, feasible, 0.0)[0] - value) <= _SDP_GAP * value:
            return float(value)
    raise ValueError(f"the flattest interpolator was not found: the solver's status is {problem.status!r}")


def _by_projected_gradient(model: SquaredRegression, max_rounds: int | None) -> float:
    """Accelerated projected gradient descent on ``mu log tr exp(M / mu)``, mu lowered step by step.

    The smoothed sharpness lies between the sharpness and ``mu log N`` above it; at equal top eigenvalues, which are the
    rule at the optimum for data without a mean, the sharpness itself has no gradient.
    """
    project = _Projection(model, max_rounds)
    z = project(np.zeros(2 * model.dimension))
    if z is None:
        raise ValueError("the flattest interpolator was not found: Dykstra's projections reached no interpolator")
    best, slope = _smoothed(model, z, 0.0)
    mu = 0.05 * best
    bounds = _Bounds(0.0, best)
    step = 0.1 * float(np.linalg.norm(z) / np.linalg.norm(slope))
    while mu > _LEAST_SMOOTHING * best:
        z, step = _descend(model, project, z, mu, step, bounds)
        if bounds.closed:
            return bounds.upper
        mu /= 5
    raise ValueError(
        f"the flattest interpolator was not found: its sharpness is between {bounds.lower:.9g} and {bounds.upper:.9g}"
    )


@dataclass
class _Bounds:
    """What the sharpness of the flattest interpolator is known to lie between."""

    lower: float
    upper: float

    @property
    def closed(self) -> bool:
        return self.upper - self.lower <= _GAP * self.upper


def _descend(
    model: SquaredRegression, project: _Projection, start: Floats, mu: float, step: float, bounds: _Bounds
) -> tuple[Floats, float]:
    """Minimise the smoothed sharpness from ``start`` until the bounds meet; return the point and the step size."""
    x, ahead, momentum = start, start, 1.0
    for _ in range(_ROUNDS_PER_LEVEL):
        value, slope = _smoothed(model, ahead, mu)
        following, step = _proximal_step(model, project, ahead, value, slope, mu, step)
        bounds.upper = min(bounds.upper, _smoothed(model, following, 0.0)[0])
        bounds.lower = max(bounds.lower, _lower_bound(model, slope, project.multipliers))
        if bounds.closed or np.linalg.norm(following - x) <= _SETTLED * np.linalg.norm(following):
            return following, step
        # Restarted where the momentum points uphill.
        if (ahead - following) @ (following - x) > 0:
            momentum = 1.0
        new_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / new_momentum * (following - x)
        x, momentum, step = following, new_momentum, 1.2 * step
    return x, step


def _lower_bound(model: SquaredRegression, slope: Floats, multipliers: Floats) -> float:
    """Return the value of the dual, ``max <y, nu>`` with ``|<x_i, nu>| <= (4/N) x_i^T Z x_i``, at a feasible point.

    Z is positive semidefinite with trace one, and the right sides are the slope of the smoothed sharpness; nu is the
    projection's multiplier, scaled to be feasible.
    """
    ratio = np.max(np.abs(model.X.T @ multipliers) / np.maximum(slope[: model.dimension], 1e-300))
    return float(model.y @ multipliers / ratio) if ratio > 0 else 0.0


def _proximal_step(
    model: SquaredRegression, project: _Projection, at: Floats, value: float, slope: Floats, mu: float, step: float
) -> tuple[Floats, float]:
    """Take a projected gradient step, shortened until it lowers the value as the gradient promises."""
    for _ in range(100):
        following = project(at - step * slope)
        if following is not None:
            change = following - at
            bound = value + slope @ change + change @ change / (2 * step)
            if _smoothed(model, following, mu)[0] <= bound + 1e-12 * abs(value):
                return following, step
        step /= 2
    raise ValueError("the flattest interpolator was not found: no step of projected gradient descent lowers the value")


def _smoothed(model: SquaredRegression, z: Floats, mu: float) -> tuple[float, Floats]:
    """Return ``mu log tr exp(M / mu)`` and its gradient at ``z = (p, q)``; with mu = 0 the sharpness, a subgradient."""
    dimension = model.dimension
    scaled = model.X * (z[:dimension] + z[dimension:])
    values, vectors = np.linalg.eigh(4 / model.samples * scaled @ model.X.T)
    if mu > 0:
        weights = np.exp((values - values[-1]) / mu)
        value = values[-1] + mu * np.log(weights.sum())
    else:
        weights = (np.arange(len(values)) == len(values) - 1).astype(np.float64)
        value = values[-1]
    slope = 4 / model.samples * (model.X.T @ vectors) ** 2 @ (weights / weights.sum())
    return float(value), np.concatenate([slope, slope])


class _Projection:
    """The nearest point of ``{z >= 0, A z = y}``, ``A = [X, -X]``, by Dykstra's alternating projections.

    Near a vertex these converge slowly, but soon have its active set: the point is then solved for on it and taken if
    it fulfils the conditions of optimality. Each call starts at the correction (a multiplier) that the last one ended
    with, which changes where the projections pass, not where they end.
    """

    def __init__(self, model: SquaredRegression, max_rounds: int | None = None) -> None:
        self.rounds_left = math.inf if max_rounds is None else max_rounds
        self.A = np.hstack([model.X, -model.X])
        self.y = model.y
        self.inverse = np.linalg.pinv(self.A)
        self.correction = np.zeros(self.A.shape[1])
        self.multipliers: Floats = np.zeros(len(self.y))

    def __call__(self, z: Floats, rounds: int = 20_000) -> Floats | None:
        correction = self.correction
        x = z - correction
        for k in range(rounds):
            self.rounds_left -= 1
            if self.rounds_left < 0:
                raise ValueError("the flattest interpolator was not found within max_rounds projections")
            on_plane = x - self.inverse @ (self.A @ x - self.y)
            x = np.maximum(on_plane + correction, 0.0)
            correction = on_plane + correction - x
            if k % 20 == 0 and (found := self._on_active_set(z, x > 0)) is not None:
                return found
        return None

    def _on_active_set(self, z: Floats, free: NDArray[np.bool_]) -> Floats | None:
        A = self.A[:, free]
        found = np.linalg.lstsq(A @ A.T, self.y - A @ z[free], rcond=1e-14)[0]
        multipliers = np.asarray(found, dtype=np.float64)
        moved = z + self.A.T @ multipliers
        x = np.where(free, np.maximum(moved, 0.0), 0.0)
        scale = np.abs(x).max(initial=0.0)
        optimal = (
            (moved[free] >= -1e-12 * scale).all()
            and (moved[~free] <= 1e-10 * scale).all()
            and np.abs(self.A @ x - self.y).max() <= 1e-9 * np.abs(self.y).max()
        )
        if not optimal:
            return None
        self.correction = np.minimum(moved, 0.0)
        self.multipliers = multipliers
        return x
