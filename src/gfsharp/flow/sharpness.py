"""The GFS sharpness of any torch loss, with what is known of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from inspect import Parameter, signature
from itertools import pairwise
from typing import Any

from torch import Tensor

from gfsharp.arguments import require_flags
from gfsharp.curvature import Loss, Sharpness, hessian_vector_product, sharpness
from gfsharp.flow.limit import has_no_limit
from gfsharp.flow.solution import NEAR, Flow, Flows, FlowSolution, gradient_flow_solution
from gfsharp.graph import has_kinks
from gfsharp.lanczos import Lanczos, random_direction
from gfsharp.precision import exact
from gfsharp.threads import fitting_threads

# Eigenvalues that others are only compared with: their residual, the products, the share of random in their start.
_ROUGH = 1e-3
_ROUGH_PRODUCTS = (4, 30)
_RANDOM = 0.1
# What the sharpness changes by from a loss to a quarter of it falls by this factor at an ordinary minimum. Where it
# falls faster nothing is gained by believing it, and where it hardly falls it says little of what is to come.
_ORDINARY = 0.5
_SLOWEST = 0.9
# What is taken for that factor where the changes differ in sign, and show no law.
_TURNING = 0.75
# That law never holds exactly, and coarser flows tell the error to a factor.
_MARGIN = 2.0
_SEEN_MARGIN = 1.05
# Of a plateau of y^8 what is seen is a quarter of the way.
_PLATEAU_MARGIN = 4.0
# Where the gradient jumps errors follow no power of the tolerance: so many times what coarser flows differ by.
_MARGIN_AT_KINKS = 1.5
# The least share of a method's order that is believed, and the steps in which it is sought.
_LEAST_SHARE = 0.5
_LESS = 0.97


_OPTIONS = tuple(
    name
    for name, parameter in signature(gradient_flow_solution).parameters.items()
    if parameter.kind is Parameter.KEYWORD_ONLY and name != "passing"
)


@dataclass(frozen=True)
class GFSSharpness:
    """The sharpness of a gradient flow solution and three estimates of its error, all in units of the sharpness.

    Attributes:
        value: the largest Hessian eigenvalue at the solution; NaN unless ``status`` is ``converged``.
        integration_error: from what it changes by in two flows that are integrated more coarsely, with three and ten
            times the tolerance, at 16 times the loss tolerance or, if the flow starts below 256 times it, at the loss
            tolerance: 4.5 times the error that this is a sign of (rk4: twelve times, with steps 1.5 and 2 times as
            long). Where the loss has kinks (ReLU, hardtanh, pooling by maximum) the errors follow no power of the
            tolerance; there it is 1.5 times the larger change, at the loss tolerance.
        stopping_error: what is still to come. The flow is followed on to a quarter of its loss, a sixteenth and
            further, as far as that costs little. What the sharpness changes by on this way counts as it is, and twice
            ``r / (1 - r)`` times the last change for the rest, if changes from a loss to a quarter of it fall by the
            factor r. Where one slow direction is left r is 1/2, as the distance to the end is proportional to the root
            of the loss; at degenerate minima, and where many slow directions are left, r is nearer to one, and from
            0.9 on no limit is in sight: the rest is then taken for eighteen times the last change. Where the way on
            comes to a plateau, on which the loss falls many times as slowly, it is at least four times what the
            sharpness changes by to the end of a quadratic valley along the way that it takes.
        eigenvalue_error: the residual of the eigenvalue; some eigenvalue lies within it.
        status: ``converged``, or why there is no value: that of the flow, ``eigenvalue not converged``, ``negative
            curvature`` where the largest eigenvalue is not positive, or ``no limit`` where the loss comes to its
            tolerance and the weights grow without end, as with cross-entropy (:mod:`gfsharp.flow.limit`).
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

    Torch uses as many threads meanwhile as the loss has work for (:func:`gfsharp.threads.fitting_threads`).

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the weights w.
        seed: of the Lanczos start vectors, of rk4's steps and of the sharpness.
        **flow: options of :func:`gfsharp.flow.gradient_flow_solution` but ``passing``, such as ``loss_tolerance``.

    Raises:
        TypeError, ValueError: as there.

    >>> import torch
    >>> w = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> found = gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, loss_tolerance=1e-10)
    >>> found.status, f"{found.value:.2f} +- {found.error:.2f}"
    ('converged', '3.61 +- 0.01')
    >>> abs(found.value - 13**0.5) < found.error  # exact, by the closed form in gfsharp.scalar
    True
    >>> gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, max_gradients=3).status
    'budget'
    """
    unknown = [name for name in flow if name not in _OPTIONS]
    if unknown:
        raise TypeError(f"gfs_sharpness has no option {unknown[0]!r}; it takes {', '.join(_OPTIONS)}")
    options = {**flow, "seed": seed}
    estimate_error = options.pop("estimate_error", True)
    report = options.pop("report", None)
    require_flags(estimate_error=estimate_error)
    flows = Flows(loss, parameters, **options)
    with fitting_threads(loss, parameters):
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
        self._kinks = has_kinks(loss, self._end.weights)

    def result(self, estimate_error: bool) -> GFSSharpness:
        top, fine, end = self._top, self._fine, self._flows.end
        if not top.converged:
            return _without_value("eigenvalue not converged", fine.solution(end), top)
        if not top.value > 0:
            return _without_value("negative curvature", fine.solution(end), top)
        levels, beyond = self._followed_on()
        if fine.status != "converged":  # further on the loss falls below zero
            return _without_value(fine.status, fine.solution(end), top)
        if self._has_no_limit(levels, beyond):
            return _without_value("no limit", fine.solution(end), top)
        stopping = self._stopping(levels, beyond)
        integration, others = self._integration() if estimate_error else (math.nan, [])
        solution = fine.solution(end)
        for other, level in others:
            solution = solution.beside(other, level, fine.passed[level].weights)
        return GFSSharpness(top.value, integration, stopping, top.residual, "converged", solution, top)

    def _followed_on(self) -> tuple[list[float], str]:
        """Follow the flow below its end; return losses that fall by factors of four, and how it ended there.

        It passed the losses, the end's among them; none where the loss is zero there.
        """
        fine, flows = self._fine, self._flows
        if self._end.loss == 0:
            return [], "converged"
        end = flows.end if fine.steps else self._end.loss
        passed = [level for level in (NEAR**2 * end, NEAR * end) if level < fine.began]
        further, beyond = fine.follow_on(end, needed=2 - len(passed))
        return [*passed, end, *further], beyond

    def _has_no_limit(self, levels: list[float], beyond: str) -> bool:
        """Whether the weights grow without end, from :meth:`_followed_on`."""
        end, last = self._end, self._fine.last
        if not levels:
            return False
        if beyond == "stationary":
            # It rests at a minimum above zero, or where rounding lets the loss fall no further.
            return last.loss <= end.loss / NEAR**2 and has_no_limit(self._loss, end.weights, last.weights)
        if levels[-1] > 0.9 * end.loss:
            return False  # it was not followed below its end: a minimum may lie there
        first, lowest = (self._fine.passed.get(level, end).weights for level in (levels[0], levels[-1]))
        return has_no_limit(self._loss, first, lowest)

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

    def _integration(self) -> tuple[float, list[tuple[Flow, float]]]:
        """Return the integration error from two coarser flows, and these with the loss at which they were left."""
        # On a short way there errors have not come up yet; at kinks they come up on the whole way.
        earlier = NEAR**2 * self._flows.end
        long = self._fine.began > NEAR**2 * earlier
        level = earlier if long and not self._kinks else self._flows.end
        value = self._at(level)
        found, flows = [], []
        for scale in self._flows.coarser:
            other = self._flows.start(scale)
            if other.follow([level]):
                error = abs(self._value(other.passed[level].weights) - value)
                found.append((scale, error))
            flows.append((other, level))
        flows.reverse()  # the error in the weights is that of the first, as it is nearer
        if self._kinks:
            return _MARGIN_AT_KINKS * max((error for _, error in found), default=math.nan), flows
        method = self._flows.properties
        return method.margin * _extrapolated(found, method.order), flows

    def _stopping(self, levels: list[float], beyond: str) -> float:
        """Return the stopping error, from :meth:`_followed_on`."""
        fine = self._fine
        if not levels:
            return 0.0
        if beyond == "stationary":  # the loss falls no further: the flow has come to its end
            return _MARGIN * abs(self._value(fine.last.weights) - self._top.value)
        if len(levels) < 3:
            return math.nan
        values = [self._at(level) for level in levels[-5:]]
        error = _SEEN_MARGIN * abs(values[-1] - self._top.value) + _left(values, self._kinks)
        ends = fine.plateau_ends(kinks=self._kinks)
        reached = self._value(fine.last.weights) if ends else math.nan
        for ahead in ends:
            further_on = _PLATEAU_MARGIN * abs(self._value(ahead) - reached)
            error = max(error, abs(reached - self._top.value) + further_on)
        return error

    def _at(self, level: float) -> float:
        """Return the sharpness where the flow passed a loss; its end may be another one, where it starts there."""
        passed = self._fine.passed.get(level, self._end)
        return self._top.value if passed is self._end else self._value(passed.weights)


def _extrapolated(found: list[tuple[float, float]], order: float) -> float:
    """Return the error of a flow from what coarser ones differ by, each a pair of its scale and that.

    A method whose error is proportional to ``scale^p`` differs by ``scale^p - 1`` times that; p is its order, or less
    where the coarser of two flows differs by less than that says.
    """
    if len(found) == 2:
        (near, small), (far, large) = found
        least = _LEAST_SHARE * order
        while order > least and large * abs(near**order - 1) < small * abs(far**order - 1):
            order *= _LESS
    return max((difference / abs(scale**order - 1) for scale, difference in found), default=math.nan)


def _left(values: list[float], kinks: bool) -> float:
    """Return how far the limit may be from the last of three to five values, at losses that fall by factors of four."""
    changes = [after - before for before, after in pairwise(values)]
    largest = max(map(abs, changes[-2:]))
    factor = 1
    if kinks and len(changes) == 4:  # of two factors each, as at kinks single ones are small by chance
        changes, factor = [changes[0] + changes[1], changes[2] + changes[3]], 2
    left = _to_come(changes[-2], changes[-1], factor)
    if left is None:
        return _MARGIN * largest * _SLOWEST / (1 - _SLOWEST)
    # One small change by chance says little.
    before = _to_come(changes[-3], changes[-2], factor) if len(changes) > 2 else None
    return max(_MARGIN * left, (before or 0.0) - abs(changes[-1]))


def _to_come(first: float, second: float, factor: int) -> float | None:
    """Return what is to come after two changes, each by so many factors of four in the loss; None if nothing says."""
    if first == second == 0:
        return 0.0
    ratio = second / first if first else math.inf
    if ratio >= _SLOWEST**factor:
        return None
    if ratio < 0:
        return max(abs(first), abs(second)) / (_TURNING**-factor - 1)
    return abs(second) / (max(ratio, _ORDINARY**factor) ** -1 - 1)


def _without_value(status: str, solution: FlowSolution, top: Sharpness | None = None) -> GFSSharpness:
    return GFSSharpness(math.nan, math.nan, math.nan, math.nan, status, solution, top)
