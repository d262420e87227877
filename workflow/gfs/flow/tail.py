"""Runge-Kutta-Chebyshev steps, and exponential ones where the flow is so nearly linear that they lead further.

A flow begins where the curvature changes from step to step and ends in a long tail where it hardly does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from torch import Tensor

from gfs.flow.gradients import Gradients, Point
from gfs.flow.krylov import LinearFlow
from gfs.flow.rkc import RungeKuttaChebyshev
from gfs.flow.step import Step

# With fewer stages a step has nothing to gain.
_FEWEST_STAGES = 20
# A Hessian-vector product takes as long as one gradient (fully connected networks) or two (convolutional ones).
_GRADIENTS_PER_PRODUCT = 1.5
# No linear step is tried while the curvature changes by more in a step.
_NEARLY_LINEAR = 0.05
# ... and, after one that was of no use, until the loss has fallen by this factor.
_RETRY = 3.0
# What the quadratic model leaves out, before it is corrected, and what the Krylov space does, over the tolerance.
_REMAINDER = 0.1
_DEFECT = 0.1
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
    """The end of a linear step: its time, whether it is within the tolerance, and by how much it could be longer."""

    time: float
    fits: bool
    factor: float
    correction: Tensor | None


class ChebyshevKrylov:
    """Takes Chebyshev steps, or linear ones where they lead further for what they cost.

    Args:
        gradients: of the loss.
        chebyshev: the other steps.
        tolerance: the local error of a step, relative to the norm of the weights.
        end: the loss at which the flow is left.
    """

    def __init__(self, gradients: Gradients, chebyshev: RungeKuttaChebyshev, tolerance: float, end: float) -> None:
        self._gradients = gradients
        self._chebyshev = chebyshev
        self._tolerance = tolerance
        self._end = end
        self._length = 0.0  # of the next linear step
        self._below = math.inf  # no linear step is tried at a higher loss
        self._change = math.inf  # of the curvature in the last step, relative
        self._linear = False  # whether that was a linear one
        self.reach = 0.0

    @property
    def largest_sharpness(self) -> float:
        return self._chebyshev.largest_sharpness

    @property
    def sharpness(self) -> float:
        return self._chebyshev.sharpness

    def step(self, point: Point) -> Step:
        """Return a step; raises as :meth:`RungeKuttaChebyshev.step` does."""
        length, stages = self._chebyshev.plan(point)
        nearly_linear = self._linear or (self._change <= _NEARLY_LINEAR and point.loss <= self._below)
        step: Step | None = None
        if nearly_linear and stages >= _FEWEST_STAGES:
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
        flow = LinearFlow(self._gradients, point, _space(point.weights))
        try:
            trial = self._longest(flow, point, length)
        except FloatingPointError:
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
        self._chebyshev.moved(step, flow.space.combine(flow.space.vectors[:, -1]))
        return step

    def _longest(self, flow: LinearFlow, point: Point, shortest: float) -> _Trial | None:
        """Return the longest step within the tolerance that a few trials, of one gradient each, find."""
        allowed = self._tolerance * float(point.weights.norm())
        found: _Trial | None = None
        wanted, shortened = max(self._length, 2 * shortest), False
        while wanted > shortest:
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
        end = 0.7 * self._end
        if flow.loss(time) < end:
            time = float(brentq(lambda t: flow.loss(t) - end, 0.0, time, rtol=1e-3))
        return time

    def _try(self, flow: LinearFlow, point: Point, time: float, allowed: float) -> _Trial:
        end = self._gradients.point(point.weights + flow.displacement(time))
        if not end.finite:
            return _Trial(time, False, 0.1, None)
        correction = flow.correction(time, end.velocity - flow.velocity(time))
        error = max(float(correction.norm()) / (_REMAINDER * allowed), 1e-9)
        factor = min(4.0, max(0.1, 0.8 * error ** (-1 / 3)))
        return _Trial(time, error <= 1 and end.loss <= point.loss, factor, correction)


def _space(weights: Tensor) -> int:
    fitting = max(2, _LARGEST_SPACE_BYTES // (weights.numel() * weights.element_size()))
    return min(_LARGEST_SPACE, weights.numel(), fitting)
