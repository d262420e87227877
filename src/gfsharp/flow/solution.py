"""The loop that follows gradient flow to its solution, and the ways in which it ends.

Gradient flow is ``dw/dt = -grad L(w)``; the gradient flow solution GFS(w) is its limit. In practice it is followed
until the loss is a tolerance, as the paper does; the last step is interpolated to that loss, so that flows which were
integrated in different ways end at the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, Protocol, assert_never

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from gfsharp.arguments import require_counts, require_flags, require_positive, require_weights
from gfsharp.curvature import Loss
from gfsharp.derivatives import evaluated
from gfsharp.flow.gradients import Failure, FlowEnded, Gradients, Point
from gfsharp.flow.rk4 import RungeKutta4
from gfsharp.flow.rkc import RungeKuttaChebyshev
from gfsharp.flow.step import Step
from gfsharp.flow.tail import ChebyshevKrylov
from gfsharp.flow_methods import METHODS, Method, Properties
from gfsharp.lanczos import Lanczos, half_random
from gfsharp.precision import exact
from gfsharp.progress import Report

Status = Literal["converged"] | Failure

# Where the loss would not fall by its own size in so many steps of 1/sharpness, it does not get there.
_PATIENCE = 1e9
# ... unless the flow leaves a saddle: negative curvature beyond what rounding and the way that is left to a minimum
# make of a flat direction, relative to the largest, how it is looked for, and how many times the gradient may have to
# grow by a factor of e before its part along it shows.
_NO_ESCAPE = {torch.float32: 1e-3, torch.float64: 1e-6}
_ESCAPE_PRODUCTS = 20
_LOGARITHMS = 20.0
# ... or is on a plateau: to second order it can still lose this share of its loss. At a minimum that share is at most
# the condition number over the patience. How much longer the flow then has before it is looked at again.
_AT_REST = 1e-3
_MORE_PATIENCE = 100.0
# The ratio of the losses by which the end of a flow is judged: at 16, 4 and 1 times the tolerance, and below it.
NEAR = 4.0
# Times in which the loss falls by that factor that grow by less than this share of what they did may lead below zero.
_SLOWER = 0.97
# A flow of which that holds below its end as well is followed to its end's loss over this: a step leads across zero.
_FAR_BELOW = 100.0
# How far a flow is followed on at most to see what is still to come, in such factors; what two of them may cost, in
# units of what led to the end, what more of them may, and what does not matter.
_LEVELS_BEYOND = 7
_WAY_ON = 0.5
_CHEAP_WAY_ON = 0.2
_FEW = 150
# Where the time for one such factor is so many times that for the one before, a plateau begins: with a loss that falls
# like a power of the time it is four times at most. How many of the last times are looked at.
_PLATEAU = 8.0
_LATELY = 3
# Losses below this are not followed: squares of what is left of the gradient have no digits any more.
_LEAST = 1e-290
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
        error_estimate: distance of the weights to those of a coarser flow from the same start at the same loss, which
            is several times their error where the flow is smooth; NaN where it was not asked for or either did not get
            there. The loss is the tolerance; in :func:`gfsharp.flow.gfs_sharpness` it may be 16 times that.
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
    passed: tuple[Tensor, ...] = field(repr=False)

    @property
    def converged(self) -> bool:
        return self.status == "converged"

    def beside(self, other: Flow, level: float, weights: Tensor) -> FlowSolution:
        """Return the solution with what another flow says of its error, and cost, where it was at ``weights``, (P,)."""
        passed = other.passed.get(level)
        return replace(
            self,
            gradient_evaluations=self.gradient_evaluations + other.gradients.count,
            hessian_vector_products=self.hessian_vector_products + other.gradients.products,
            error_estimate=float((passed.weights - weights).norm()) if passed else math.nan,
        )


class Integrator(Protocol):
    """What the loop asks of a method; ``reach`` is as in :class:`FlowSolution`, ``end`` the loss to be followed to."""

    reach: float
    end: float

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
        tolerance: rkc: the local error of a step, relative to the norm of the weights that move
            (:class:`gfsharp.flow.scale.Scale`).
        step_factor: rk4: the step in units of 1/sharpness; stable up to 2.78, accurate to a percent or so up to 1.
        sharpness_every: rk4: steps between sharpness estimates.
        linear_steps: rkc: where the flow is nearly linear, exponential steps in a Krylov space
            (:mod:`gfsharp.flow.krylov`), if they lead further for the same work.
        max_gradients: gradient evaluations and Hessian-vector products after which the flow is given up (status
            ``budget``).
        estimate_error: follow a second flow, with ten times the tolerance and no linear steps, or twice the
            step, to compare with. ``max_gradients`` does not bound what that costs.
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
    require_flags(estimate_error=estimate_error)
    flows = Flows(
        loss, parameters, method=method, loss_tolerance=loss_tolerance, tolerance=tolerance, step_factor=step_factor,
        sharpness_every=sharpness_every, max_gradients=max_gradients, linear_steps=linear_steps, seed=seed,
    )  # fmt: skip
    if any(not level > loss_tolerance for level in passing):
        raise ValueError(f"passing must be above loss_tolerance, {loss_tolerance!r}, found {list(passing)!r}")
    flow = flows.start(report=report)
    flow.follow_to_end(loss_tolerance, passing)
    solution = flow.solution(loss_tolerance, sorted(passing, reverse=True))
    if not (estimate_error and solution.converged):
        return solution
    other = flows.start(flows.coarser[-1], linear_steps=False)  # on a quadratic loss both would be exact
    other.follow([loss_tolerance])
    return solution.beside(other, loss_tolerance, solution.parameters)


class Flows:
    """Flows from one start by one method, finer and coarser; the arguments are :func:`gradient_flow_solution`'s."""

    def __init__(
        self,
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
        seed: int = 0,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"unknown flow method {method!r}; choose one of {', '.join(map(repr, METHODS))}")
        require_weights(parameters=parameters)
        require_positive(loss_tolerance=loss_tolerance, tolerance=tolerance, step_factor=step_factor)
        require_counts(sharpness_every=sharpness_every, max_gradients=max_gradients)
        require_flags(linear_steps=linear_steps)
        stable = METHODS[method].stable or max(other.stable or 0.0 for other in METHODS.values())
        if step_factor > stable:
            raise ValueError(f"step_factor must be at most {stable}: longer steps are unstable, found {step_factor!r}")
        self.end = loss_tolerance
        self._loss = loss
        self._start = parameters.detach().clone()
        self.method = method
        self._tolerance = tolerance
        self._step_factor = step_factor
        self._sharpness_every = sharpness_every
        self._max_gradients = max_gradients
        self._linear_steps = linear_steps
        self._seed = seed

    def start(self, scale: float = 1.0, report: Report | None = None, *, linear_steps: bool = True) -> Flow:
        """Return a flow to be followed, so many times as coarse: in the tolerance of rkc, in the step of rk4."""
        make = self._integrator(scale, linear_steps and self._linear_steps)
        return Flow(Gradients(self._loss, self._max_gradients), self._start, make, report)

    @property
    def coarser(self) -> tuple[float, float]:
        """How many times as coarse the flows are that the error is estimated by; finer where it cannot be coarser."""
        one, two = self.properties.coarser
        longest = self.properties.longest
        coarse = longest is None or self._step_factor * two <= longest
        return (one, two) if coarse else (1 / one, 1 / two)

    @property
    def properties(self) -> Properties:
        """What is known of the method."""
        return METHODS[self.method]

    def _integrator(self, scale: float, linear_steps: bool) -> MakeIntegrator:
        match self.method:
            case "rkc":
                return lambda gradients, point: self._chebyshev(gradients, point, scale, linear_steps)
            case "rk4":
                factor = self._step_factor * scale
                return lambda gradients, point: RungeKutta4(gradients, point, factor, self._sharpness_every, self._seed)
            case _:
                assert_never(self.method)

    def _chebyshev(self, gradients: Gradients, point: Point, scale: float, linear_steps: bool) -> Integrator:
        steps = RungeKuttaChebyshev(gradients, point, self._tolerance, scale)
        return ChebyshevKrylov(gradients, steps, self._tolerance * scale, self.end) if linear_steps else steps


@dataclass(frozen=True)
class Passed:
    """Where a flow passed a loss: the weights, shape (P,), the loss and the flow's time there."""

    weights: Tensor
    loss: float
    time: float


class Flow:
    """A flow that can be followed from one loss to the next.

    Attributes:
        gradients: of the loss, counted.
        status: of the flow as far as it was followed.
        passed: where it passed each loss that was asked for.
        began: the loss at the start.
        last: where it is; below the last loss that it passed.
    """

    def __init__(self, gradients: Gradients, start: Tensor, make: MakeIntegrator, report: Report | None) -> None:
        self.gradients = gradients
        self.status: Status = "converged"
        self.passed: dict[float, Passed] = {}
        self.last = Passed(start, math.nan, 0.0)
        self.steps = 0
        self._make = make
        self._report = report
        self._integrator: Integrator | None = None
        self._point: Point | None = None
        self._step: Step | None = None  # the last one
        self.began = math.nan
        self._leave_by: float | None = None  # the time by which a saddle has to be left
        self._patience = _PATIENCE

    def follow(self, levels: Sequence[float], further: Sequence[float] = ()) -> bool:
        """Follow the flow past the losses ``levels``, which fall, and return whether it got to the last.

        Those of ``further``, below them, are noted if the last step passes them: later it is gone.
        """
        try:
            self._advance(levels, further)
            self.status = "converged"
        except FlowEnded as stopped:
            self.status = stopped.status
        return self.status == "converged"

    def follow_to_end(self, tolerance: float, passing: Sequence[float] = ()) -> None:
        """Follow the flow to the loss ``tolerance`` and, where that may fall below zero, until it is seen whether.

        The loss of a flow that ends at zero falls by the same factor in times that grow steadily: it is a sum of
        exponentials, or a power. Where they grow less than before, or are not known, the flow is followed further.
        """
        near = [NEAR**power * tolerance for power in (3, 2, 1, 0)]
        beyond = _beyond(tolerance)
        if not self.follow(sorted({*passing, *near}, reverse=True), beyond) or not self.steps:
            return
        if self.began > near[0] and not self._falls_faster(near):
            return
        first = [tolerance, *beyond[:2]]
        if self.follow(first, beyond[2:]) and len(first) == 3 and self._falls_faster(first):
            self.follow([first[-1] / _FAR_BELOW], beyond[2:])
        self._forget_what_is_beyond()

    def follow_on(self, loss: float, needed: int) -> tuple[list[float], Status]:
        """Follow the flow from its end, at ``loss``, past a quarter of that, a sixteenth and so on.

        So many as are ``needed`` may cost what the budget allows. Two may cost half of what led to the end, and more
        of them no more than a few per cent. Of the flow itself no status changes but to ``negative loss``.

        Returns:
            the losses that it passed, and the status of the flow there.
        """
        beyond = _beyond(loss)
        work, budget = self.gradients.work, self.gradients.budget
        try:
            for count, level in enumerate(beyond):
                if count >= needed:
                    share = _WAY_ON if count < 2 else _CHEAP_WAY_ON
                    self.gradients.budget = min(budget, work + max(int(share * work), _FEW))
                if not self.follow([level], beyond[count + 1 :]):
                    break
        finally:
            self.gradients.budget = budget
        status = self._forget_what_is_beyond()
        return [level for level in beyond if level in self.passed], status

    def plateau_ends(self, *, kinks: bool) -> list[Tensor]:
        """Return where a plateau may lead that the flow is on, or has lately come to; none where there is none.

        On a plateau the loss falls many times as slowly as before: what is left of it lies in directions in which it is
        nearly flat, and the way there is long. With velocity v and fall of the loss F the flow is headed for
        ``w + 2 L v / F``, the end of a quadratic valley; of ``y^p`` it is a share of 2/p of the way. They are taken at
        the end of the last step, where it has left the stiff directions, and on average over it, as it may have left
        some of them.
        """
        last = self._step
        if last is None or not last.after.finite or last.after.loss <= 0:
            return []
        after = last.after
        on_average = (after.weights - last.before.weights) / last.length
        headed = [(on_average, last.fall)]
        # Where a flow slides along kinks most of the gradient leads nowhere.
        if not (kinks and last.fall < after.speed**2 / 2):
            headed.append((after.velocity, after.speed**2))
        return [
            after.weights + velocity * (2 * after.loss / fall)
            for velocity, fall in headed
            if fall > 0 and self._slows_down(after.loss / fall)
        ]

    def _slows_down(self, time: float) -> bool:
        """Whether the loss has lately come to a plateau; ``time`` is that in which it now falls by a factor of e."""
        times = [passed.time for _, passed in sorted(self.passed.items(), reverse=True)]
        # Levels above the start are passed at time zero.
        taken = [later - earlier for earlier, later in pairwise(times) if later > earlier > 0][-_LATELY:]
        return any(later > _PLATEAU * earlier for earlier, later in pairwise([*taken, math.log(NEAR) * time]))

    def _forget_what_is_beyond(self) -> Status:
        beyond = self.status
        if beyond != "negative loss":
            self.status = "converged"
        return beyond

    def _falls_faster(self, levels: Sequence[float]) -> bool:
        """Whether the times between four losses grow less than they did, or those between three do not grow."""
        times = [later - earlier for earlier, later in pairwise(self.passed[level].time for level in levels)]
        before = 1.0 if len(times) == 2 else max(times[1] / times[0], 1.0) if times[0] > 0 else math.inf
        return times[-1] < _SLOWER * before * times[-2]

    def solution(self, tolerance: float, passing: Sequence[float] = ()) -> FlowSolution:
        """Return what is known of the flow's end at the loss ``tolerance``."""
        end = self.passed[tolerance] if self.status == "converged" else self.last
        integrator = self._integrator
        return FlowSolution(
            parameters=end.weights,
            loss=end.loss,
            time=end.time,
            gradient_evaluations=self.gradients.count,
            hessian_vector_products=self.gradients.products,
            steps=self.steps,
            status=self.status,
            sharpness=integrator.largest_sharpness if integrator else math.nan,
            reach=integrator.reach if integrator else 0.0,
            error_estimate=math.nan,
            passed=tuple(self.passed[level].weights for level in passing if level in self.passed),
        )

    def _advance(self, levels: Sequence[float], further: Sequence[float] = ()) -> None:
        point = self._point or self._begin()
        if not self.steps:
            self.passed |= {level: self.last for level in levels if point.loss <= level}
        left = sorted({level for level in (*levels, *further) if level < point.loss}, reverse=True)
        while point.loss > levels[-1]:
            if point.speed == 0:
                raise FlowEnded("stationary")
            if self._integrator is None:
                self._integrator = self._make(self.gradients, point)
            self._integrator.end = levels[-1]
            if self.steps and not self._moves(point, self._integrator):
                raise FlowEnded("stationary")
            step = self._integrator.step(point)
            self._point = point = step.after
            self._step = Step(step.before, step.after, step.length)
            began = self.last.time
            self.last = Passed(point.weights, point.loss, began + step.length)
            self.steps += 1
            _require_positive(point)
            while left and point.loss <= left[0]:
                share, weights, loss = _where(self.gradients.loss, step, left[0])
                self.passed[left.pop(0)] = Passed(weights, loss, began + share * step.length)
            del step  # a linear one holds much memory, and the next is made beside it
            if point.speed > 0:
                self._integrator.arrive(point)
            self._tell(point, levels[-1])
        if self._integrator and self._integrator.sharpness <= 0:
            raise FlowEnded("negative curvature")

    def _begin(self) -> Point:
        self._point = point = self.gradients.point(self.last.weights)
        self.last = Passed(point.weights, point.loss, 0.0)
        self.began = point.loss
        if not point.finite:
            raise FlowEnded("not finite")
        _require_positive(point)
        return point

    def _tell(self, point: Point, end: float) -> None:
        if self._report:
            left = math.log(max(point.loss, end) / end) / math.log(self.began / end)
            self._report(self.gradients.count, point.loss, max(1 - left, 0.0))

    def _moves(self, point: Point, integrator: Integrator) -> bool:
        """Whether the flow can still get to a loss of zero: it does not rest, or leaves a saddle.

        To leave a saddle takes the time in which its negative curvature makes the gradient grow.
        """
        size = abs(integrator.sharpness)
        if point.loss * size <= self._patience * point.speed**2:
            self._leave_by = None
            return True
        if self._leave_by is None:
            growth = -float(self._curvatures(point, half_random(point.velocity)).values[0])
            if growth <= _NO_ESCAPE[point.weights.dtype] * size:
                rests = self._share_to_fall(point) <= _AT_REST
                self._patience *= _MORE_PATIENCE
                return not rests
            short = math.log(point.loss * size / point.speed**2) / 2
            self._leave_by = self.last.time + (short + _LOGARITHMS) / growth
        return self.last.time <= self._leave_by

    def _share_to_fall(self, point: Point) -> float:
        """Return the share of L that can fall, to second order: ``g . |H|^-1 g / 2L`` in a Krylov space."""
        space = self._curvatures(point, point.velocity)
        with np.errstate(divide="ignore"):
            shares = space.vectors[0] ** 2 / np.abs(space.values)
        return float(shares.sum()) * point.speed**2 / (2 * point.loss)

    def _curvatures(self, point: Point, start: Tensor) -> Lanczos:
        """Return a Krylov space of the Hessian of a few products."""
        space = Lanczos(self.gradients.hessian_product(point), start, min(_ESCAPE_PRODUCTS, point.weights.numel()))
        try:
            while not space.full:
                space.extend()
        except FloatingPointError:
            raise FlowEnded("not finite") from None
        return space


def _beyond(loss: float) -> list[float]:
    """Return the losses past which a flow that ended at ``loss`` may be followed."""
    return [level for level in (loss / NEAR**power for power in range(1, _LEVELS_BEYOND + 1)) if level > _LEAST]


def _require_positive(point: Point) -> None:
    if point.loss < 0:
        raise FlowEnded("negative loss")


@torch.no_grad()
def _where(loss: Loss, step: Step, level: float) -> tuple[float, Tensor, float]:
    """Return the share of a step at which the loss is ``level``, the weights there and the loss."""
    after = step.after

    def excess(share: float) -> float:
        value = step.before.loss if share == 0 else after.loss if share == 1 else _value(loss, step.weights(share))
        return math.log(max(value, min(1e-300, level / 2)) / level)

    share = 1.0 if after.loss == level else brentq(excess, 0.0, 1.0, xtol=1e-9, rtol=1e-9)
    found = step.weights(share)
    reached = _value(loss, found)
    # Rounding can make the loss jump from one side to the other.
    return (share, found, reached) if abs(reached / level - 1) <= _SAME_LOSS else (1.0, after.weights, after.loss)


def _value(loss: Loss, weights: Tensor) -> float:
    return float(evaluated(loss, weights.detach().requires_grad_(True)).detach())
