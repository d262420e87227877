"""The loop that follows gradient flow to its solution, and the ways in which it ends.

Gradient flow is ``dw/dt = -grad L(w)``; the gradient flow solution GFS(w) is its limit. In practice it is followed
until the loss is a tolerance, as the paper does; the last step is interpolated to that loss, so that flows which were
integrated in different ways end at the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from scipy.optimize import brentq
from torch import Tensor

from gfs.arguments import require_counts, require_flags, require_positive, require_weights
from gfs.curvature import Loss
from gfs.flow.gradients import Failure, FlowEnded, Gradients, Point
from gfs.flow.rk4 import RungeKutta4
from gfs.flow.rkc import RungeKuttaChebyshev
from gfs.flow.step import Step
from gfs.flow.tail import ChebyshevKrylov
from gfs.precision import exact
from gfs.progress import Report

Method = Literal["rkc", "rk4"]
Status = Literal["converged"] | Failure

# Where the loss would not fall by its own size in so many steps of 1/sharpness, it does not get there.
_PATIENCE = 1e9
# How much coarser the flow is that the error is estimated by, in the tolerance of rkc and the step of rk4.
_COARSER = {"rkc": 10.0, "rk4": 1.5}
# The step, in units of 1/sharpness, up to which RK4 is stable, and the largest of a coarser flow.
_STABLE = 2.78
_LARGEST_STEP_FACTOR = 2.5
# An end whose loss is not the tolerance up to this is not interpolated.
_SAME_LOSS = 1e-2


@dataclass(frozen=True)
class FlowSolution:
    """Where the flow was left, and why.

    Attributes:
        parameters: the last point, shape (P,).
        loss: the loss there.
        time: the length of the flow.
        gradient_evaluations: gradients computed, for the error estimate too.
        hessian_vector_products: products computed, likewise: rkc's for linear steps, rk4's for the sharpness. One takes
            as long as one to two gradients.
        steps: accepted steps.
        status: ``converged`` (the loss is the tolerance) or why not: ``budget`` (gradient evaluations used up),
            ``not finite`` (loss or gradient overflowed), ``negative loss`` (it falls below zero), ``negative
            curvature`` (a negative eigenvalue dominates where the loss is reached: the flow does not end there),
            ``stationary`` (the gradient vanishes above the loss tolerance), ``unstable`` (the loss rose, or the error
            was too large, however short the step).
        sharpness: the largest curvature met on the way.
        reach: the integral of that curvature over the flow's length; ``sqrt(reach / 2)`` gradients are the least that
            an explicit method needs which knows nothing of the spectrum but its end.
        error_estimate: distance of ``parameters`` to those of a coarser flow from the same start, which is several
            times their error where the flow is smooth; NaN where it was not asked for or either did not converge.
        coarser: the parameters of that flow.
        passed: where the flow passed each loss of ``passing``; of a flow that starts below one, its start.
    """

    parameters: Tensor = field(repr=False)
    loss: float
    time: float
    gradient_evaluations: int
    hessian_vector_products: int
    steps: int
    status: Status
    sharpness: float
    reach: float
    error_estimate: float
    coarser: Tensor | None = field(repr=False)
    passed: tuple[Tensor, ...] = field(repr=False)

    @property
    def converged(self) -> bool:
        return self.status == "converged"


class Integrator(Protocol):
    """What the loop asks of a method; ``reach`` is as in :class:`FlowSolution`."""

    reach: float

    @property
    def sharpness(self) -> float:
        """The curvature of largest size, with its sign, as last estimated."""

    @property
    def largest_sharpness(self) -> float:
        """The largest curvature met so far."""

    def step(self, point: Point) -> Step:
        """Return an accepted step."""

    def arrive(self, point: Point) -> None:
        """Take note of the point that a step has led to."""


MakeIntegrator = Callable[[Gradients, Point], Integrator]


@exact()
def gradient_flow_solution(
    loss: Loss,
    parameters: Tensor,
    *,
    method: Method = "rkc",
    loss_tolerance: float = 1e-5,
    tolerance: float = 1e-3,
    step_factor: float = 1.0,
    sharpness_every: int = 50,
    max_gradients: int = 1_000_000,
    linear_steps: bool = True,
    estimate_error: bool = True,
    passing: Sequence[float] = (),
    seed: int = 0,
    report: Report | None = None,
) -> FlowSolution:
    """Follow gradient flow from ``parameters`` until the loss is ``loss_tolerance``.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: where the flow starts, shape (P,).
        method: ``"rkc"``, second-order Runge-Kutta-Chebyshev with steps chosen by their error, in the flow's tail
            exponential steps, or ``"rk4"``, the paper's, with steps proportional to 1/sharpness.
        loss_tolerance: the loss at which the flow is left. A flow that starts below it ends where it starts.
        tolerance: rkc: the local error of a step, relative to the norm of the weights.
        step_factor: rk4: the step in units of 1/sharpness; stable up to 2.78, accurate to a percent or so up to 1.
        sharpness_every: rk4: steps between sharpness estimates.
        linear_steps: rkc: where the flow is nearly linear, exponential steps in a Krylov space
            (:mod:`gfs.flow.krylov`), if they lead further for the same work.
        max_gradients: gradient evaluations and Hessian-vector products after which the flow is given up (status
            ``budget``).
        estimate_error: follow a second flow, ten times the tolerance and no linear steps, or 1.5 times the step, to
            compare with. It costs some two thirds more, where linear steps pay some twice as much, which
            ``max_gradients`` does not bound.
        passing: losses above ``loss_tolerance`` at which the flow's point is wanted as well.
        seed: rk4: of the Lanczos start vector.
        report: called after each step with the gradient evaluations, the loss, and the share of the way that is done,
            from 0 to 1 on the logarithmic scale of the loss.

    Raises:
        TypeError, ValueError: an unknown method, a tolerance, step factor, interval or budget that is no positive
            number, a step factor above 2.78, a switch that is neither true nor false, weights that are not flat.

    A scalar network of depth 2, whose solution is known:

    >>> w = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> found = gradient_flow_solution(lambda w: (w.prod() - 1) ** 2 / 2, w, loss_tolerance=1e-10)
    >>> found.status, f"{found.parameters.prod():.4f}"
    ('converged', '1.0000')
    >>> f"{found.parameters[0] ** 2 - found.parameters[1] ** 2:.2f}"  # the balance of the start
    '3.00'
    >>> gradient_flow_solution(lambda w: w.square().sum() + 1, w).status  # a loss that stays above the tolerance
    'stationary'
    """
    if method not in _COARSER:
        raise ValueError(f"unknown flow method {method!r}; choose one of {', '.join(map(repr, _COARSER))}")
    require_weights(parameters=parameters)
    require_positive(loss_tolerance=loss_tolerance, tolerance=tolerance, step_factor=step_factor)
    require_counts(sharpness_every=sharpness_every, max_gradients=max_gradients)
    require_flags(linear_steps=linear_steps, estimate_error=estimate_error)
    if step_factor > _STABLE:
        raise ValueError(f"step_factor must be at most {_STABLE}, where RK4 is stable, found {step_factor!r}")
    if any(not level > loss_tolerance for level in passing):
        raise ValueError(f"passing must be above loss_tolerance, {loss_tolerance!r}, found {list(passing)!r}")

    def integrator(scale: float) -> MakeIntegrator:
        if method == "rkc":
            return lambda gradients, point: chebyshev(gradients, point, scale)
        factor = step_factor * (scale if step_factor * scale <= _LARGEST_STEP_FACTOR else 1 / scale)
        return lambda gradients, point: RungeKutta4(gradients, point, factor, sharpness_every, seed)

    def chebyshev(gradients: Gradients, point: Point, scale: float) -> Integrator:
        steps = RungeKuttaChebyshev(gradients, point, tolerance, scale)
        # Where both flows took linear steps they could err alike.
        return ChebyshevKrylov(gradients, steps, tolerance, loss_tolerance) if linear_steps and scale == 1 else steps

    start = parameters.detach().clone()
    levels = [*sorted(passing, reverse=True), loss_tolerance]
    solution = _follow(Gradients(loss, max_gradients), start, integrator(1.0), levels, report)
    if not (estimate_error and solution.converged):
        return solution
    other = _follow(Gradients(loss, max_gradients), start, integrator(_COARSER[method]), [loss_tolerance], None)
    return replace(
        solution,
        gradient_evaluations=solution.gradient_evaluations + other.gradient_evaluations,
        hessian_vector_products=solution.hessian_vector_products + other.hessian_vector_products,
        error_estimate=float((other.parameters - solution.parameters).norm()) if other.converged else math.nan,
        coarser=other.parameters if other.converged else None,
    )


@dataclass
class _Way:
    """How far a flow has come."""

    weights: Tensor
    loss: float = math.nan
    time: float = 0.0
    steps: int = 0
    passed: list[Tensor] = field(default_factory=list)
    integrator: Integrator | None = None


def _follow(
    gradients: Gradients, start: Tensor, make: MakeIntegrator, levels: Sequence[float], report: Report | None
) -> FlowSolution:
    """Follow one flow past the losses ``levels``, which fall, to the last of them."""
    way = _Way(start)
    status: Status = "converged"
    try:
        _advance(way, gradients, make, levels, report)
    except FlowEnded as stopped:
        status = stopped.status
    integrator = way.integrator
    return FlowSolution(
        parameters=way.weights,
        loss=way.loss,
        time=way.time,
        gradient_evaluations=gradients.count,
        hessian_vector_products=gradients.products,
        steps=way.steps,
        status=status,
        sharpness=integrator.largest_sharpness if integrator else math.nan,
        reach=integrator.reach if integrator else 0.0,
        error_estimate=math.nan,
        coarser=None,
        passed=tuple(way.passed[:-1]),
    )


def _advance(
    way: _Way, gradients: Gradients, make: MakeIntegrator, levels: Sequence[float], report: Report | None
) -> None:
    point = gradients.point(way.weights)
    way.loss = point.loss
    if not point.finite:
        raise FlowEnded("not finite")
    _require_positive(point)
    way.passed += [point.weights for level in levels if point.loss <= level]
    if len(way.passed) == len(levels):
        return
    if point.speed == 0:
        raise FlowEnded("stationary")
    way.integrator = integrator = make(gradients, point)
    logarithm = math.log(point.loss / levels[-1])
    while len(way.passed) < len(levels):
        step = integrator.step(point)
        point, way.time, way.steps = step.after, way.time + step.length, way.steps + 1
        way.weights, way.loss = point.weights, point.loss
        _require_positive(point)
        for level in levels[len(way.passed) :]:
            if point.loss > level:
                break
            share, weights, loss = _where(gradients.loss, step, level)
            way.passed.append(weights)
        arrived = len(way.passed) == len(levels)
        if arrived:
            end = weights, loss, way.time - (1 - share) * step.length
        del step  # a linear one holds much memory, and the next is made beside it
        if point.speed > 0:
            integrator.arrive(point)
        if report:
            left = math.log(max(point.loss, levels[-1]) / levels[-1]) / logarithm
            report(gradients.count, point.loss, max(1 - left, 0.0))
        if not arrived:
            _require_motion(point, integrator.sharpness)
    if integrator.sharpness <= 0:
        raise FlowEnded("negative curvature")
    way.weights, way.loss, way.time = end


def _require_positive(point: Point) -> None:
    if point.loss < 0:
        raise FlowEnded("negative loss")


def _require_motion(point: Point, sharpness: float) -> None:
    if point.speed == 0 or point.loss * sharpness > _PATIENCE * point.speed**2:
        raise FlowEnded("stationary")


@torch.no_grad()
def _where(loss: Loss, step: Step, level: float) -> tuple[float, Tensor, float]:
    """Return the share of a step at which the loss is ``level``, the weights there and the loss."""
    after = step.after

    def excess(share: float) -> float:
        value = step.before.loss if share == 0 else after.loss if share == 1 else _value(loss, step.weights(share))
        return math.log(max(value, min(1e-300, level / 2)) / level)

    share = 1.0 if after.loss == level else brentq(excess, 0.0, 1.0, xtol=1e-12)
    found = step.weights(share)
    reached = _value(loss, found)
    # Rounding can make the loss jump from one side to the other.
    return (share, found, reached) if abs(reached / level - 1) <= _SAME_LOSS else (1.0, after.weights, after.loss)


def _value(loss: Loss, weights: Tensor) -> float:
    # With a graph, though no gradient of the whole is wanted: a loss may differentiate inside.
    with torch.enable_grad():
        return float(loss(weights.detach().requires_grad_(True)).detach())
