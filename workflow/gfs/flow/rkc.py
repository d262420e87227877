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

from gfs.flow.chebyshev import coefficients, stages_for
from gfs.flow.gradients import FlowEnded, Gradients, Point
from gfs.flow.rk4 import classical
from gfs.flow.scale import Scale
from gfs.flow.step import Step
from gfs.lanczos import Lanczos, Product, half_random

# Room for a sharpness that grows within a step.
_SAFETY = 1.1
_MAX_REJECTIONS = 25
# Where the curvature seems to have grown by this factor, it may be a kink that two gradients lie on either side of ...
_GROWTH = 1.3
# ... which shows where the Hessian's product with a direction is another, by this share.
_KINKS = 0.05
# What the error of a smooth step, no longer than 1/sharpness, may be over what it is by its cube, and how often a step
# is halved to find out. A jump of the velocity within the step makes it fall more slowly, one left outside faster.
_LAW = 5.0
_JUDGED = 3
_LONGEST_JUDGED = 1.01
# At kinks: the reach after which the sharpness is looked at again, or the growth of the gradient.
_EVERY = 10.0
_FASTER = 1.5
# Steps of RK4 there: so many times 1/sharpness while the error allows, and never beyond what is stable, 2.78.
_LONGEST_PLAIN = 2.0
_MOST_PLAIN = 2.5
_USUAL_TOLERANCE = 1e-3
# Such a step, in units of its usual length, may leave the loss where it is, as rounding does.
_STANDING = 1 / 8
# An error of those that lets Chebyshev steps be tried again, and after how many in a row: twice as many each time.
_SMOOTH = 0.2
_FIRST_WAIT = 2
_LONGEST_WAIT = 32
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

    A product is the difference of two gradients. Where they lie on either side of a kink of ReLU or hardtanh that is
    their jump over their distance, which bounds no step; once kinks have been met it is the Hessian's: two gradients.

    Attributes:
        kinks: whether the velocity has been seen to jump.
        exact: whether the loss has second derivatives, as far as is known.
    """

    def __init__(self, gradients: Gradients, point: Point, scale: Scale) -> None:
        self._gradients = gradients
        self._scale = scale
        self.kinks = False
        self.exact = True
        self.direction = point.velocity / point.velocity.norm()
        self.value = 0.0
        self.rayleigh_quotient = 0.0
        self.largest = 0.0
        self.refine(point)

    def update(self, point: Point) -> None:
        """Take one step of power iteration at a new point."""
        image = self._product(point)(self.direction)
        if float(image.norm()) > _GROWTH * self.value and self._crosses_kinks(point, image):
            image = self._product(point)(self.direction)
        self.rayleigh_quotient = float(image @ self.direction)
        size = float(image.norm())
        if not math.isfinite(size):
            raise FlowEnded("not finite")
        if size > 0:
            self.direction = image.div_(size)
        self._take(size, point)

    def refine(self, point: Point) -> None:
        """Look for it in a Krylov space of the direction known so far and of a random one."""
        before = self.value
        self._look(point)
        if 0 < before * _GROWTH < self.value:
            image = self._product(point)(self.direction)
            if self._crosses_kinks(point, image):
                self.value = before
                self._look(point)
        self.largest = max(self.largest, self.value)

    def _product(self, point: Point) -> Product:
        if self.kinks and self.exact:
            try:
                return self._gradients.hessian_product(point)
            except RuntimeError:
                self.exact = False
        return partial(self._gradients.curvature_along, point, scale=self._scale.at(point.weights))

    def _crosses_kinks(self, point: Point, difference: Tensor) -> bool:
        """Whether a difference of two gradients along the direction, found to be large, is none of the Hessian's."""
        if self.kinks or not self.exact:
            return False
        try:
            exact = self._gradients.hessian_product(point)(self.direction)
        except RuntimeError:  # torch has no second derivative of the loss
            self.exact = False
            return False
        self.kinks = float((difference - exact).norm()) > _KINKS * float(difference.norm())
        return self.kinks

    def _look(self, point: Point) -> None:
        start = half_random(self.direction)
        space = Lanczos(self._product(point), start, min(_PRODUCTS, start.numel()))
        try:
            while not space.full:
                space.extend()
        except FloatingPointError:
            raise FlowEnded("not finite") from None
        self.rayleigh_quotient, self.direction = space.dominant()
        self._take(abs(self.rayleigh_quotient), point)

    def _take(self, size: float, point: Point) -> None:
        # Where the loss is straight, what sets a scale is that it ends at zero.
        self.value = max(size, point.slowest_curvature)
        self.largest = max(self.largest, self.value)


class RungeKuttaChebyshev:
    """Takes steps of the second-order method; where the velocity jumps, at kinks of ReLU or hardtanh, of RK4.

    At a kink the error falls like a step's length, not like its cube, so that no short step pays, and with few stages
    the method extrapolates a jump. RK4 with steps of 1/sharpness, up to twice as long while the error allows, does not;
    they shrink with the tolerance's cube root, and Chebyshev steps are tried again after smooth stretches.

    Args:
        gradients: of the loss.
        start: where the flow starts.
        tolerance: the local error of a step, relative to the scale of the weights that move
            (:class:`gfs.flow.scale.Scale`).
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
        self.reach = 0.0
        self._looked = 0.0
        self._plain = 0
        self._waiting = _FIRST_WAIT
        self._judged = 0
        self._stretch = 1.0
        self._speed = start.speed
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
        longer: tuple[float, float] | None = None
        for _ in range(_MAX_REJECTIONS):
            length, stages = self.plan(point)
            if self.radius.kinks and (self._plain or length < self._plain_length):
                return self._plain_step(point)
            after = self._end(point, length, stages)
            # Rounding may raise a loss that stands still; a step that is not stable raises it by far more.
            if not (after.finite and after.loss <= point.loss * (1 + 1e-6)):
                self._refine(point)
                self._length /= 2
                self._before = None
                self._rejected()
                continue
            error = self._error(point, after, length)
            if longer is not None:
                self._judge(longer, (length, error))
            if error <= 1:
                self._grow(length, error)
                return self._taken(Step(point, after, length))
            if length <= self._shortest:
                if self._judged < _JUDGED:
                    half = self._end(point, length / 2, stages)
                    self._judge((length, error), (length / 2, self._error(point, half, length / 2)))
                if not self.radius.kinks:
                    self._grow(length, error)
                    return self._taken(Step(point, after, length))
            if longer is None or longer[0] * self.radius.value > _LONGEST_JUDGED:
                longer = length, error
            self._length = max(length * max(0.1, 0.8 * error ** (-1 / 3)), self._shortest)
            self._rejected()
        raise FlowEnded("unstable" if math.isfinite(after.loss) else "not finite")

    def _end(self, point: Point, length: float, stages: int) -> Point:
        self._gradients.require(stages)
        return self._gradients.point(point.weights + self._displacement(point, length, stages))

    def _judge(self, longer: tuple[float, float], shorter: tuple[float, float]) -> None:
        """Take note of kinks where the error of a step, shorter than a time constant, does not fall like its cube."""
        if longer[0] * self.radius.value > _LONGEST_JUDGED:
            return
        self._judged += 1
        ratio = shorter[1] / longer[1] * (longer[0] / shorter[0]) ** 3
        self.radius.kinks |= not 1 / _LAW <= ratio <= _LAW

    def _refine(self, point: Point) -> None:
        if not (self.radius.kinks and self.reach == self._looked):
            self.radius.refine(point)
            self._looked = self.reach

    def _rejected(self) -> None:
        if self.radius.kinks and self._length < 2 * self._plain_length:
            self._plain, self._waiting = self._waiting, min(2 * self._waiting, _LONGEST_WAIT)

    @property
    def _plain_length(self) -> float:
        return min((self._tolerance / _USUAL_TOLERANCE) ** (1 / 3), _MOST_PLAIN / _LONGEST_PLAIN) / self.radius.value

    def _plain_step(self, point: Point) -> Step:
        length = self._plain_length * self._stretch
        for _ in range(_MAX_REJECTIONS):
            self._gradients.require(4)
            after = self._gradients.point(classical(self._gradients, point, length))
            # A step whose stages lie on both sides of a kink may lead nowhere at all, and then would for ever.
            most = point.loss * (1 + 1e-6 if length <= _STANDING * self._plain_length else 1 - 1e-12)
            if after.finite and after.loss <= most:
                error = max(self._error(point, after, length), 1e-8)
                self._plain = max(self._plain - 1, 0) if error <= _SMOOTH else self._waiting
                self._before = None
                self._length = length * min(2.0, max(0.1, 0.8 * error ** (-1 / 3)))
                self._stretch = min(max(self._length / self._plain_length, 1.0), _LONGEST_PLAIN)
                self._length = max(self._length, self._plain_length)
                return self._taken(Step(point, after, length))
            self._stretch = 1.0
            if length <= self._plain_length:
                self._refine(point)
            length = min(length / 2, self._plain_length)
        raise FlowEnded("unstable" if math.isfinite(after.loss) else "not finite")

    def arrive(self, point: Point) -> None:
        """Look at the curvature where a step has led."""
        if not self.radius.kinks or self.reach >= self._looked + _EVERY or point.speed > _FASTER * self._speed:
            self.radius.update(point)
            self._looked = self.reach
            self._speed = point.speed

    def moved(self, step: Step, curvature: float, direction: Tensor) -> None:
        """Take note of a step that was taken otherwise, and of the curvature that was met along a direction, (P,)."""
        self._before = None
        if abs(curvature) >= _AS_GOOD * self.radius.value:
            self.radius.direction = direction / direction.norm()
        self._taken(step)

    def _taken(self, step: Step) -> Step:
        self.reach += step.length * self.radius.value
        self._fall = (step.before.loss - step.after.loss) / step.length
        return step

    @property
    def _shortest(self) -> float:
        """A step that needs be no shorter: ``(15 tolerance)^(1/3) / sharpness``.

        The local error of a motion of size a at rate lambda is ``(h lambda)^3 a / 15``, at this length within the
        tolerance even if a is the scale of the weights. Where the estimate is larger the velocity jumps: flows slide
        along kinks, across which it changes sign, and no step is short enough for an estimate that falls with h alone.
        """
        return (15 * self._tolerance) ** (1 / 3) / self.radius.value

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
