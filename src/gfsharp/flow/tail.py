"""Runge-Kutta-Chebyshev steps, and exponential ones where the flow is so nearly linear that they lead further.

A flow begins where the curvature changes from step to step and ends in a long tail where it hardly does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from torch import Tensor

from gfsharp.flow.gradients import Gradients, Point
from gfsharp.flow.krylov import LinearFlow
from gfsharp.flow.rkc import RungeKuttaChebyshev
from gfsharp.flow.step import Step
from gfsharp.lanczos import Product

# With fewer stages a step has nothing to gain.
_FEWEST_STAGES = 20
# A Hessian-vector product takes as long as one gradient (fully connected networks) or two (convolutional ones).
_GRADIENTS_PER_PRODUCT = 1.5
# No linear step is tried while the curvature changes by more in a step.
_NEARLY_LINEAR = 0.05
# ... and, after one that was of no use, until the loss has fallen by this factor.
_RETRY = 3.0
# Whether the loss has a Hessian in effect: how far its product with a direction may be from the difference of two
# gradients. At kinks (hardtanh, ReLU, max pooling) they differ by percents, and the quadratic model knows of none.
_KINKS = 0.01
# In one step the loss falls by no more than this factor, lest a step leap over what lies between its ends.
_LARGEST_FALL = 10.0
# What the quadratic model leaves out, before it is corrected, and what the Krylov space does, over the tolerance.
_REMAINDER = 0.1
_DEFECT = 0.1
_MOST_TRIALS = 8
# Vectors of a Krylov space, and the memory that they may take.
_LARGEST_SPACE = 100
_LARGEST_SPACE_BYTES = 2**30


@dataclass(frozen=True)
class LinearStep(Step):
    """A step along the flow of the quadratic model, and the correction at its end, shape (P,)."""

    flow: LinearFlow
    correction: Tensor

    def weights(self, share: float) -> Tensor:
        """Return the weights at a share of the step's length."""
        # What the model leaves out grows like the square of the time, what that adds up to like the cube.
        moved = self.flow.displacement(share * self.length).add_(self.correction, alpha=share**3)
        return moved.add_(self.before.weights)


@dataclass(frozen=True)
class _Trial:
    """A linear step's time, whether it is within the tolerance, by how much it could be longer, and its correction."""

    time: float
    fits: bool
    factor: float
    correction: Tensor | None


class ChebyshevKrylov:
    """Takes Chebyshev steps, or linear ones where they lead further for what they cost.

    Args:
        gradients: of the loss.
        chebyshev: the other steps.
        tolerance: the local error of a step, relative to the scale of the weights that move
            (:class:`gfsharp.flow.scale.Scale`).
        end: the loss at which the flow is left.
    """

    def __init__(self, gradients: Gradients, chebyshev: RungeKuttaChebyshev, tolerance: float, end: float) -> None:
        self._gradients = gradients
        self._chebyshev = chebyshev
        self._tolerance = tolerance
        self.end = end
        self._length = 0.0  # of the next linear step
        self._below = math.inf  # no linear step is tried at a higher loss
        self._change = math.inf  # of the curvature in the last step, relative
        self._linear = False  # whether that was a linear one
        self._possible = True  # whether the loss has a Hessian that can be had
        self.reach = 0.0

    @property
    def largest_sharpness(self) -> float:
        return self._chebyshev.largest_sharpness

    @property
    def sharpness(self) -> float:
        return self._chebyshev.sharpness

    def step(self, point: Point) -> Step:
        """Return a step; raises as :meth:`gfsharp.flow.rkc.RungeKuttaChebyshev.step` does."""
        length, stages = self._chebyshev.plan(point)
        nearly_linear = self._linear or (self._change <= _NEARLY_LINEAR and point.loss <= self._below)
        step: Step | None = None
        if self._possible and nearly_linear and stages >= _FEWEST_STAGES:
            step = self._linear_step(point, length, stages)
            if step is None:
                self._below, self._length = point.loss / _RETRY, 0.0
        self._linear = step is not None
        step = step or self._chebyshev.step(point)
        self.reach += step.length * self._chebyshev.radius.value
        return step

    def arrive(self, point: Point) -> None:
        """Look at the curvature where a step has led."""
        before = self._chebyshev.radius.value
        self._chebyshev.arrive(point)
        self._change = abs(self._chebyshev.radius.value / before - 1)

    def _linear_step(self, point: Point, length: float, stages: int) -> Step | None:
        """Return a linear step, if one leads further than Chebyshev steps of that length for the same work."""
        began, products = self._gradients.work, self._gradients.products
        try:
            product = self._gradients.hessian_product(point)
            if not self._smooth(product, point):
                self._possible = False
                return None
            flow = LinearFlow(product, point, _space(point.weights))
            trial = self._longest(flow, point, length)
        except FloatingPointError:
            return None
        except RuntimeError:  # torch has no second derivative of the loss, or no memory for the space
            self._possible = False
            return None
        if trial is None or trial.correction is None:
            return None
        products = self._gradients.products - products
        work = self._gradients.work - began + (_GRADIENTS_PER_PRODUCT - 1) * products
        if trial.time / (work + 1) < length / (stages + 1):
            return None
        after = self._gradients.point(point.weights + flow.displacement(trial.time) + trial.correction)
        if not (after.finite and after.loss <= point.loss):
            return None
        self._length = trial.time * trial.factor
        step = LinearStep(point, after, trial.time, flow, trial.correction)
        self._chebyshev.moved(step, *flow.space.dominant())
        flow.space.close()
        return step

    def _smooth(self, product: Product, point: Point) -> bool:
        direction = self._chebyshev.radius.direction
        exact = product(direction)
        scale = self._chebyshev.scale.at(point.weights)
        difference = self._gradients.curvature_along(point, direction, scale) - exact
        return float(difference.norm()) <= _KINKS * float(exact.norm())

    def _longest(self, flow: LinearFlow, point: Point, shortest: float) -> _Trial | None:
        """Return the longest step within the tolerance that a few trials, of one gradient each, find."""
        allowed = self._tolerance * self._chebyshev.scale.at(point.weights)
        found: _Trial | None = None
        wanted, shortened = max(self._length, 2 * shortest), False
        for _ in range(_MOST_TRIALS):
            if wanted <= shortest:
                break
            flow.extend(wanted, _DEFECT * allowed)
            time = self._within_reach(flow, wanted, allowed)
            trial = self._try(flow, point, time, allowed)
            if trial.fits:
                found = trial
                if shortened or time < wanted or trial.factor < 1.5:
                    break
                wanted = time * trial.factor
            elif found is not None:
                break
            else:
                wanted, shortened = time * min(trial.factor, 0.7), True
        return found

    def _within_reach(self, flow: LinearFlow, time: float, allowed: float) -> float:
        """Return that time, or less: as the space and negative eigenvalues allow, and not beyond the flow's end."""
        smallest = float(flow.space.values[0])
        if time * smallest < -1:
            time = -1 / smallest
        while flow.defect(time) > _DEFECT * allowed:
            time *= 0.8
        least = max(0.7 * self.end, flow.loss(0.0) / _LARGEST_FALL)
        if least <= self.end and flow.loss(time) < 0:
            least = -0.3 * self.end  # a flow that leads below zero is followed there
        if flow.loss(time) < least:
            time *= float(brentq(lambda share: flow.loss(share * time) - least, 0.0, 1.0, xtol=1e-9, rtol=1e-3))
        # Where the model has come to its end, what is left of the time leads nowhere.
        while flow.loss(0.0) - flow.loss(time / 2) > 0.999 * (flow.loss(0.0) - flow.loss(time)):
            time /= 2
        return time

    def _try(self, flow: LinearFlow, point: Point, time: float, allowed: float) -> _Trial:
        end = self._gradients.point(point.weights + flow.displacement(time))
        if not end.finite:
            return _Trial(time, False, 0.1, None)
        correction = flow.correction(time, end.velocity - flow.velocity(time))
        error = max(float(correction.norm()) / (_REMAINDER * allowed), 1e-9)
        factor = min(4.0, max(0.1, 0.8 * error ** (-1 / 3)))
        fits = error <= 1 and end.loss <= point.loss and self._fits_halfway(flow, point, time, allowed)
        return _Trial(time, fits, factor, correction)

    def _fits_halfway(self, flow: LinearFlow, point: Point, time: float, allowed: float) -> bool:
        """Whether the model holds between the ends as well."""
        between = self._gradients.point(point.weights + flow.displacement(time / 2))
        if not between.finite:
            return False
        remainder = between.velocity - flow.velocity(time / 2)
        return float(flow.correction(time / 2, remainder).norm()) <= _REMAINDER * allowed


def _space(weights: Tensor) -> int:
    fitting = max(2, _LARGEST_SPACE_BYTES // (weights.numel() * weights.element_size()))
    return min(_LARGEST_SPACE, weights.numel(), fitting)
