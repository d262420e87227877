"""The GFS sharpness of any torch loss, with what is known of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gfs.arguments import require_flags
from gfs.curvature import Loss, Sharpness, hessian_vector_product, sharpness
from gfs.flow.solution import NEAR, Flow, Flows, FlowSolution
from gfs.lanczos import Lanczos, random_direction

# Eigenvalues that others are only compared with: their residual, the products, the share of random in their start.
_ROUGH = 1e-3
_ROUGH_PRODUCTS = (4, 30)
_RANDOM = 0.1
# What the sharpness changes by from a loss to a quarter of it falls by this factor at an ordinary minimum. Where it
# falls faster nothing is gained by believing it, and where it hardly falls it says little of what is to come.
_ORDINARY = 0.5
_SLOWEST = 0.95
# What is taken for that factor where the changes differ in sign.
_TURNING = 0.75
# That law never holds exactly, and the two coarser flows tell the error to a factor.
_STOPPING_MARGIN = 1.4
_INTEGRATION_MARGIN = 2.0
# A flow that starts at a loss of fewer tolerances is followed past its end: what is fast at its start hides the rest.
_NEAR_START = 100.0


@dataclass(frozen=True)
class GFSSharpness:
    """The sharpness of a gradient flow solution and three estimates of its error, all in units of the sharpness.

    Attributes:
        value: the largest Hessian eigenvalue at the solution; NaN unless ``status`` is ``converged``.
        integration_error: from what it changes by in two flows that are integrated more coarsely, at 16 times the loss
            tolerance, or at the tolerance if the flow starts below that: twice the error of which this is the sign.
        stopping_error: what is still to come, from the sharpness at 16, 4 and 1 times the loss tolerance: where its
            changes fall by the factor r each time it is r / (1 - r) times the last one, and a margin. Where one slow
            direction is left r is 1/2, as the distance to the end is proportional to the root of the loss; at
            degenerate minima, and where many slow directions are left, r is nearer to one. Where the changes show no
            such law, or the flow starts near its end, it is first followed to a sixteenth of its loss.
        eigenvalue_error: the residual of the eigenvalue; some eigenvalue lies within it.
        status: ``converged``, or why there is no value: that of the flow, ``eigenvalue not converged``, or ``negative
            curvature`` where the largest eigenvalue is not positive.
        solution: the flow's end.
        top: the eigenvalue and its vector, if the flow converged.
    """

    value: float
    integration_error: float
    stopping_error: float
    eigenvalue_error: float
    status: str
    solution: FlowSolution
    top: Sharpness | None = field(repr=False)

    @property
    def error(self) -> float:
        """The sum of the three."""
        return self.integration_error + self.stopping_error + self.eigenvalue_error


def gfs_sharpness(loss: Loss, parameters: Tensor, *, seed: int = 0, **flow: Any) -> GFSSharpness:
    """Return ``phi(w) = lambda_max(Hessian L(GFS(w)))`` (Section 1) of ``parameters``, shape (P,).

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the weights w.
        seed: of the Lanczos start vectors, of rk4's steps and of the sharpness.
        **flow: options of :func:`gfs.flow.gradient_flow_solution` but ``passing``, such as ``loss_tolerance``.

    Raises:
        TypeError, ValueError: as there.

    >>> w = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> found = gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, loss_tolerance=1e-10)
    >>> found.status, f"{found.value:.2f} +- {found.error:.2f}"
    ('converged', '3.61 +- 0.01')
    >>> abs(found.value - 13**0.5) < found.error  # exact, by the closed form in gfs.scalar
    True
    >>> gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, max_gradients=3).status
    'budget'
    """
    options = {**flow, "seed": seed}
    estimate_error = options.pop("estimate_error", True)
    report = options.pop("report", None)
    require_flags(estimate_error=estimate_error)
    flows = Flows(loss, parameters, **options)
    fine = flows.start(report=report)
    fine.follow_to_end(flows.end)
    if fine.status != "converged":
        return _without_value(fine.status, fine.solution(flows.end))
    try:
        return _Estimate(loss, flows, fine, seed).result(estimate_error)
    except FloatingPointError:
        return _without_value("not finite", fine.solution(flows.end))


class _Estimate:
    """The sharpness at the end of a flow, and those that it is compared with."""

    def __init__(self, loss: Loss, flows: Flows, fine: Flow, seed: int) -> None:
        self._loss = loss
        self._flows = flows
        self._fine = fine
        self._seed = seed
        self._end = fine.passed[flows.end]
        self._top = sharpness(loss, self._end.weights, seed=seed)

    def result(self, estimate_error: bool) -> GFSSharpness:
        top, fine = self._top, self._fine
        solution = fine.solution(self._flows.end)
        if not top.converged:
            return _without_value("eigenvalue not converged", solution, top)
        if not top.value > 0:
            return _without_value("negative curvature", solution, top)
        levels = [NEAR**2 * self._flows.end, NEAR * self._flows.end, self._flows.end]
        before = [] if fine.began <= levels[0] else [self._value(fine.passed[level].weights) for level in levels[:2]]
        integration = math.nan
        others: list[tuple[Flow, float]] = []
        if estimate_error:
            integration, others = self._integration(*((levels[0], before[0]) if before else (levels[2], top.value)))
        stopping = self._stopping(before, integration)
        if fine.status != "converged":  # further on the loss falls below zero
            return _without_value(fine.status, fine.solution(self._flows.end), top)
        solution = fine.solution(self._flows.end)
        for other, level in others:
            solution = solution.beside(other, level, fine.passed[level].weights)
        return GFSSharpness(top.value, integration, stopping, top.residual, "converged", solution, top)

    def _value(self, weights: Tensor) -> float:
        """Return the largest eigenvalue at a point near the end, from the eigenvector there."""
        product = hessian_vector_product(self._loss, weights)
        start = random_direction(weights, self._seed).mul_(_RANDOM).add_(self._top.vector)
        least, most = _ROUGH_PRODUCTS
        space = Lanczos(product, start, min(most, weights.numel()))
        value, residual = 0.0, math.inf
        while not space.full and (space.products < least or residual > _ROUGH * abs(value)):
            space.extend()
            value = float(space.values[-1])
            residual = space.beta * abs(float(space.vectors[-1, -1]))
        return value

    def _integration(self, level: float, value: float) -> tuple[float, list[tuple[Flow, float]]]:
        """Return the integration error from two coarser flows, at a loss where the sharpness is ``value``."""
        found, flows = [], []
        for scale in self._flows.coarser:
            other = self._flows.start(scale)
            if other.follow([level]):
                error = abs(self._value(other.passed[level].weights) - value)
                found.append(_INTEGRATION_MARGIN * error / self._flows.change(scale))
            flows.append((other, level))
        flows.reverse()  # the error in the weights is that of the first, as it is nearer
        return max(found, default=math.nan), flows

    def _stopping(self, before: list[float], integration: float) -> float:
        end, fine = self._end, self._fine
        if end.loss == 0:
            return 0.0
        changes = _changes([*before, self._top.value]) if before else []
        if before:
            ratio = _ratio(*changes)
            most = _to_come(_SLOWEST, changes)
            if fine.began > _NEAR_START * end.loss and 0 <= ratio <= _SLOWEST:
                return _to_come(ratio, changes)
            if most <= integration / 4:  # it is not worth the while
                return most
        levels = [end.loss / NEAR, end.loss / NEAR**2]
        status = fine.look_beyond(levels)
        if status == "stationary":
            return _STOPPING_MARGIN * abs(self._value(fine.last.weights) - self._top.value)
        if status != "converged":
            return _to_come(_SLOWEST, changes) if before else math.nan
        after = [self._top.value, *(self._value(fine.passed[level].weights) for level in levels)]
        changes = _changes(after)
        return abs(after[-1] - after[0]) + _to_come(_ratio(*changes), changes)


def _changes(values: list[float]) -> list[float]:
    return [values[1] - values[0], values[2] - values[1]]


def _ratio(first: float, second: float) -> float:
    return second / first if first else (0.0 if second == 0 else math.inf)


def _to_come(ratio: float, changes: list[float]) -> float:
    """Return what is to come after two changes of that ratio; of one below zero or near one no law is known."""
    if 0 <= ratio < _SLOWEST:
        return _STOPPING_MARGIN * abs(changes[1]) * max(ratio, _ORDINARY) / (1 - max(ratio, _ORDINARY))
    ratio = _TURNING if ratio < 0 else _SLOWEST
    return _STOPPING_MARGIN * max(map(abs, changes)) * ratio / (1 - ratio)


def _without_value(status: str, solution: FlowSolution, top: Sharpness | None = None) -> GFSSharpness:
    return GFSSharpness(math.nan, math.nan, math.nan, math.nan, status, solution, top)
