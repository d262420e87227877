"""Runge-Kutta-Chebyshev steps along gradient flow, their length chosen by the error, their stages by the sharpness.

The flow's Jacobian is minus the Hessian: symmetric, so its spectrum is real, and stiff, as the sharpness times the
flow's length runs to thousands. That is what stabilised explicit methods are for: a step of length h takes some
``sqrt(h sharpness / 0.65)`` gradients, RK4 ``4 h sharpness`` at its usual step.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from gfsharp.flow.chebyshev import coefficients, stages_for
from gfsharp.flow.gradients import FlowEnded, Gradients, Point
from gfsharp.flow.scale import Scale
from gfsharp.flow.step import Step
from gfsharp.graph import has_kinks
from gfsharp.lanczos import Lanczos, Product, half_random

# Room for a sharpness that grows within a step.
_SAFETY = 1.1
_MAX_REJECTIONS = 25
# Where the loss has kinks, to take a step again that is hardly longer than the shortest would gain nothing.
_NEARLY = 1.3
# What the speed of a flow that slides along kinks may grow by in a step.
_FASTER = 1.5
# A curvature that seems to have grown by this factor in a step is held against the Hessian's own product. One that is
# larger than that by the other factor is a jump of the velocity at a kink over the distance of two gradients.
_GROWTH = 1.5
_JUMP = 2.0
# At kinks: steps between estimates of the curvature; and, once such jumps were met, what an unstable step multiplies it
# by, and what a stable one.
_STEPS_BETWEEN = 4
_AFTER_UNSTABLE = 2.0
_AFTER_STABLE = 0.93
# Products by which the curvature is looked for where nothing is known of it: on networks they found 95 percent or more.
_PRODUCTS = 6
# A direction of so much of the curvature known so far may take the place of the one known so far.
_AS_GOOD = 0.9
# The longest step in units of the time in which the residual falls by a factor of e as it falls now: R does not fall
# below about 1/3, so that a longer step brings no more.
_LONGEST = 2.0
# Rounding grows like the square of the stages, and the displacements that it enters are small; see the tests.
_MAX_STAGES = {torch.float32: 200, torch.float64: 1000}


class SpectralRadius:
    """The largest size of a Hessian eigenvalue: by Lanczos iteration at first, then by power iteration along the steps.

    The first direction is half the gradient's, which at the edge of stability lies close to the top of the spectrum,
    and half random, as late in a flow it hardly has a part there. A product takes one gradient; so does a step, then.
    What the value falls short by is covered by a margin, and, where that is not enough, found out at once: an unstable
    step raises the loss.

    A product is the difference of two gradients, which averages over the kinks of ReLU or hardtanh that lie between.
    Where a point lies next to many (a network whose units are exactly zero), that is their jump over the distance of
    the two, which may be thousands of times what bounds a step. From then on the Hessian's own product is taken, which
    knows of no kink, times a factor that unstable steps double and stable ones bring back to 1.
    """

    def __init__(self, gradients: Gradients, point: Point, scale: Scale) -> None:
        self._gradients = gradients
        self._scale = scale
        self.direction = point.velocity / point.velocity.norm()
        self.value = 0.0
        self.rayleigh_quotient = 0.0
        self.largest = 0.0
        self._jumps = False  # whether such a point has been met
        self._factor = 1.0
        self._arrivals = 0
        self._twice_differentiable = True  # as far as is known
        self._look_first(point)

    def update(self, point: Point, *, at_kinks: bool) -> None:
        """Take one step of power iteration at a new point; at kinks, whose steps are many, now and then."""
        self._arrivals += 1
        if (self._jumps or at_kinks) and self._arrivals % _STEPS_BETWEEN:
            return
        image = self._difference(point)(self.direction)
        if self._jumps or float(image.norm()) > _GROWTH * self.value:
            image = self._without_jump(point, image)
        self.rayleigh_quotient = float(image @ self.direction)
        size = float(image.norm())
        if not math.isfinite(size):
            raise FlowEnded("not finite")
        if size > 0:
            self.direction = image.div_(size)
        self._take(size, point)

    def was_stable(self) -> None:
        """Take note of a step that did not raise the loss."""
        self._factor = max(1.0, self._factor * _AFTER_STABLE)

    def was_unstable(self, point: Point) -> None:
        """Take note of a step from ``point`` that raised the loss: the curvature is larger than it was thought."""
        if self._jumps:
            self._factor *= _AFTER_UNSTABLE
            self.value *= _AFTER_UNSTABLE
        else:
            self._look(self._difference(point), self.direction)
            self._take(abs(self.rayleigh_quotient), point)

    def _look_first(self, point: Point) -> None:
        direction = self.direction
        self._look(self._difference(point), direction)
        found = self.direction * self.rayleigh_quotient
        if self._without_jump(point, found) is not found:
            self._look(self._gradients.hessian_product(point), direction)
        self._take(abs(self.rayleigh_quotient), point)

    def _look(self, product: Product, direction: Tensor) -> None:
        """Look for it in a Krylov space of the direction known so far and of a random one."""
        start = half_random(direction)
        space = Lanczos(product, start, min(_PRODUCTS, start.numel()))
        try:
            while not space.full:
                space.extend()
        except FloatingPointError:
            raise FlowEnded("not finite") from None
        self.rayleigh_quotient, self.direction = space.dominant()

    def _difference(self, point: Point) -> Product:
        return partial(self._gradients.curvature_along, point, scale=self._scale.at(point.weights))

    def _without_jump(self, point: Point, difference: Tensor) -> Tensor:
        """Return the Hessian's product with the direction where a difference of gradients is far larger, else that."""
        size = float(difference.norm())
        if not (self._twice_differentiable and math.isfinite(size)):
            return difference
        try:
            exact = self._gradients.hessian_product(point)(self.direction)
            known = float(exact.norm())
        except RuntimeError:  # torch has no second derivative of the loss
            known = 0.0
        if known == 0:
            self._twice_differentiable = False
            return difference
        if not size > _JUMP * known:
            return difference
        self._jumps = True
        return exact

    def _take(self, size: float, point: Point) -> None:
        # Where the loss is straight, what sets a scale is that it ends at zero.
        size = max(size, point.slowest_curvature)
        self.value = size * self._factor
        self.largest = max(self.largest, size)


class RungeKuttaChebyshev:
    """Takes steps of the second-order method.

    Args:
        gradients: of the loss.
        start: where the flow starts.
        tolerance: the local error of a step, relative to the scale of the weights that move
            (:class:`gfsharp.flow.scale.Scale`).
        coarseness: how much coarser this flow is than the one that it is compared with.
    """

    def __init__(self, gradients: Gradients, start: Point, tolerance: float, coarseness: float = 1.0) -> None:
        self._gradients = gradients
        self._tolerance = tolerance * coarseness
        self._longest = _LONGEST * coarseness ** (1 / 3)
        self.scale = Scale(start)
        self.radius = SpectralRadius(gradients, start, self.scale)
        self._length = 1 / self.radius.value
        self._before: tuple[float, float] | None = None  # length and error of the last step
        self._fall = math.inf  # of the loss per time over the last step
        self._kinks = has_kinks(gradients.loss, start.weights)
        self._at_kinks = False  # whether the last step was so short that its error was not asked for
        self.reach = 0.0
        self.end = 0.0  # is not looked at

    @property
    def largest_sharpness(self) -> float:
        return self.radius.largest

    @property
    def sharpness(self) -> float:
        return math.copysign(self.radius.value, self.radius.rayleigh_quotient)

    def step(self, point: Point) -> Step:
        """Return a step that is accepted.

        Raises:
            FlowEnded: the budget is used up, a number is not finite, or no step is short enough.
        """
        for _ in range(_MAX_REJECTIONS):
            length, stages = self.plan(point)
            self._gradients.require(stages)
            after = self._gradients.point(point.weights + self._displacement(point, length, stages))
            # Rounding may raise a loss that stands still; a step that is not stable raises it by far more.
            if not (after.finite and after.loss <= point.loss * (1 + 1e-6) + self._rise_at_kinks(point, after, length)):
                self.radius.was_unstable(point)
                self._length /= 2
                self._before = None
                continue
            error = self._error(point, after, length)
            if error <= 1 or length <= (_NEARLY if self._kinks else 1) * self._shortest:
                self._at_kinks = self._kinks and error > 1
                self._grow(length, error)
                self.radius.was_stable()
                self.reach += length * self.radius.value
                return self._taken(Step(point, after, length))
            self._length = max(length * max(0.1, 0.8 * error ** (-1 / 3)), self._shortest)
        raise FlowEnded("unstable" if math.isfinite(after.loss) else "not finite")

    def arrive(self, point: Point) -> None:
        """Look at the curvature where a step has led."""
        self.radius.update(point, at_kinks=self._at_kinks)

    def moved(self, step: Step, curvature: float, direction: Tensor) -> None:
        """Take note of a step that was taken otherwise, and of the curvature that was met along a direction, (P,)."""
        self._before = None
        if abs(curvature) >= _AS_GOOD * self.radius.value:
            self.radius.direction = direction / direction.norm()
        self._taken(step)

    def _taken(self, step: Step) -> Step:
        self._fall = step.fall
        return step

    @property
    def _shortest(self) -> float:
        """A step that needs be no shorter: ``(15 tolerance)^(1/3) / sharpness``.

        The local error of a motion of size a at rate lambda is ``(h lambda)^3 a / 15``, at this length within the
        tolerance even if a is the scale of the weights. Where the estimate is larger the velocity jumps: flows slide
        along kinks, across which it changes sign, and no step is short enough for an estimate that falls with h alone.
        """
        return (15 * self._tolerance) ** (1 / 3) / self.radius.value

    def _rise_at_kinks(self, point: Point, after: Point, length: float) -> float:
        """By how much a step may raise the loss: where the flow slides along kinks, by what it may let it fall.

        A step across a kink like that of ``a |x|`` raises the loss by up to ``h a^2``, however short it is, and ends at
        the same speed; the next one comes back. An unstable step raises the loss by more, and the speed.
        """
        slides = self._kinks and after.speed <= _FASTER * point.speed
        return length * point.speed**2 if slides else 0.0

    def plan(self, point: Point) -> tuple[float, int]:
        """Return the length and the stages of the next step, if nothing comes between."""
        sharpness = _SAFETY * self.radius.value
        most = coefficients(_MAX_STAGES.get(point.weights.dtype, 50)).interval / sharpness
        # Near its limit the flow moves too little for the error to bound the step. The loss falls by |grad L|^2, but
        # where flows slide along kinks most of the gradient leads nowhere.
        fall = min(point.speed**2, max(self._fall, 0.0))
        if fall > 0:
            most = min(most, self._longest * 2 * point.loss / fall)
        self._length = min(self._length, most)
        return self._length, stages_for(self._length * sharpness)

    def _displacement(self, point: Point, length: float, stages: int) -> Tensor:
        rule = coefficients(stages)
        slope = point.velocity * length
        before, current = torch.zeros_like(slope), rule.first * slope
        for mu, nu, mu_prime, gamma_prime in rule.later:
            velocity = self._gradients.velocity(point.weights + current)
            following = before.mul_(nu).add_(current, alpha=mu)
            following.add_(velocity, alpha=mu_prime * length).add_(slope, alpha=gamma_prime)
            before, current = current, following
        return current

    def _error(self, point: Point, after: Point, length: float) -> float:
        """The estimated local error, ``4/5 (y - y') + 2/5 h (f + f')``, over what the tolerance allows."""
        estimate = (point.velocity + after.velocity).mul_(0.4 * length).add_(point.weights - after.weights, alpha=0.8)
        return float(estimate.norm()) / (self._tolerance * max(self.scale.at(after.weights), 1e-30))

    def _grow(self, length: float, error: float) -> None:
        """Set the next step's length from the errors of the last two, as the method's authors do."""
        error = max(error, 1e-8)
        factor = 0.8 * error ** (-1 / 3)
        if self._before is not None:
            length_before, error_before = self._before
            factor = min(factor, factor * length / length_before * (error_before / error) ** (1 / 3))
        self._before = length, error
        self._length = max(length * min(5.0, max(0.1, factor)), self._shortest)
