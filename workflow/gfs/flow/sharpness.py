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
from gfs.precision import exact

# Eigenvalues that others are only compared with: their residual, the products, the share of random in their start.
_ROUGH = 1e-3
_ROUGH_PRODUCTS = (4, 30)
_RANDOM = 0.1
# What the sharpness changes by from a loss to a quarter of it falls by this factor at an ordinary minimum. Where it
# falls faster nothing is gained by believing it, and where it hardly falls it says little of what is to come.
_ORDINARY = 0.5
_SLOWEST = 0.95
# What is taken for that factor where the changes differ in sign, and show no law.
_TURNING = 0.75
# That law never holds exactly, and coarser flows tell the error to a factor.
_MARGIN = 2.0
_INTEGRATION_MARGIN = 3.0


@dataclass(frozen=True)
class GFSSharpness:
    """The sharpness of a gradient flow solution and three estimates of its error, all in units of the sharpness.

    Attributes:
        value: the largest Hessian eigenvalue at the solution; NaN unless ``status`` is ``converged``.
        integration_error: from what it changes by in two flows that are integrated more coarsely, at 16 times the loss
            tolerance, or at the tolerance if the flow starts below that: three times the error that this is a sign of.
        stopping_error: what is still to come. The flow is followed on to a quarter and to a sixteenth of its loss; of
            these two changes, which fall by the factor r, it is the sum and twice ``r / (1 - r)`` times the last. Where
            one slow direction is left r is 1/2, as the distance to the end is proportional to the root of the loss; at
            degenerate minima, and where many slow directions are left, r is nearer to one.
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


@exact()
def gfs_sharpness(loss: Loss, parameters: Tensor, *, seed: int = 0, **flow: Any) -> GFSSharpness:
    """Return ``phi(w) = lambda_max(Hessian L(GFS(w)))`` (Section 1) of ``parameters``, shape (P,).

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the weights w.
        seed: of the Lanczos start vectors, of rk4's steps and of the sharpness.
        **flow: options of :func:`gfs.flow.gradient_flow_solution` but ``passing``, such as ``loss_tolerance``.

    Raises:
        TypeError, ValueError: as there.

    >>> import torch
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
        level = NEAR**2 * self._flows.end
        value = top.value
        if fine.began > level:
            value = self._value(fine.passed[level].weights)
        else:
            level = self._flows.end
        stopping = self._stopping(value)
        integration = math.nan
        others: list[tuple[Flow, float]] = []
        if estimate_error and fine.status == "converged":
            integration, others = self._integration(level, value)
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

    def _stopping(self, before: float) -> float:
        """Return the stopping error; ``before`` is the sharpness at 16 times the loss tolerance, if it was passed."""
        fine, top = self._fine, self._top.value
        if self._end.loss == 0:
            return 0.0
        loss = self._flows.end if fine.steps else self._end.loss
        levels = [loss / NEAR, loss / NEAR**2]
        status = fine.look_beyond([loss, *levels])
        if all(level in fine.passed for level in levels):
            middle, last = (self._value(fine.passed[level].weights) for level in levels)
            return abs(last - top) + _to_come(middle - top, last - middle)
        if status == "stationary":  # the loss falls no further: the flow has come to its end
            return _MARGIN * abs(self._value(fine.last.weights) - top)
        if fine.began <= NEAR**2 * self._flows.end:
            return math.nan
        middle = self._value(fine.passed[NEAR * self._flows.end].weights)
        return _to_come(middle - before, top - middle)


def _to_come(first: float, second: float) -> float:
    """Return what is to come after two changes, each from a loss to a quarter of it."""
    if first == second == 0:
        return 0.0
    ratio = second / first if first else math.inf
    largest = max(abs(first), abs(second))
    if ratio < 0:
        ratio = _TURNING
    elif ratio < _SLOWEST:
        ratio, largest = max(ratio, _ORDINARY), abs(second)
    else:
        ratio = _SLOWEST
    return _MARGIN * largest * ratio / (1 - ratio)


def _without_value(status: str, solution: FlowSolution, top: Sharpness | None = None) -> GFSSharpness:
    return GFSSharpness(math.nan, math.nan, math.nan, math.nan, status, solution, top)
