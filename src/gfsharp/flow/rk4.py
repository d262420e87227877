"""Classical fourth-order Runge-Kutta with steps of about 1/sharpness (Appendix B.4; Cohen et al., 2021)."""

from __future__ import annotations

import math

from torch import Tensor

from gfsharp.curvature import sharpness
from gfsharp.flow.gradients import FlowEnded, Gradients, Point
from gfsharp.flow.step import Step

# The sharpness is estimated again where the gradient has grown by this factor: the flow leaves a saddle.
_FASTER = 1.5
_MAX_REJECTIONS = 8
_MAX_PRODUCTS = 400


class RungeKutta4:
    """Takes steps of ``step_factor / sharpness``, the size of the most negative eigenvalue taken for it where larger.

    The sharpness is estimated again every ``sharpness_every`` steps, and at once if the gradient grows, or if the loss,
    which cannot rise along gradient flow, does: then the step is taken again, shorter by half or as the new sharpness
    says.
    """

    def __init__(self, gradients: Gradients, start: Point, step_factor: float, sharpness_every: int, seed: int) -> None:
        self._gradients = gradients
        self._step_factor = step_factor
        self._sharpness_every = sharpness_every
        self._seed = seed
        self._steps = 0
        self._top_vector: Tensor | None = None
        self._speed = math.inf  # where the sharpness was estimated last
        self.sharpness = math.nan
        self.largest_sharpness = -math.inf
        self.reach = 0.0
        self.end = 0.0  # is not looked at
        self._estimate_sharpness(start)

    def step(self, point: Point) -> Step:
        """Return a step that does not raise the loss.

        Raises:
            FlowEnded: the budget is used up, a number is not finite, or no step is short enough.
        """
        length = math.inf
        for attempt in range(_MAX_REJECTIONS):
            self._gradients.require(4)
            length = min(length / 2, self._step_factor / abs(self.sharpness))
            after = self._gradients.point(self._end(point, length))
            # Rounding may raise a loss that stands still; a step that is too long raises it by far more.
            falls = after.finite and after.loss <= point.loss * (1 + 1e-6)
            faster = attempt == 0 and not after.speed <= _FASTER * self._speed
            if falls and not faster:
                self.reach += length * abs(self.sharpness)
                self._steps += 1
                return Step(point, after, length)
            if attempt == 0:
                self._estimate_sharpness(point)
        raise FlowEnded("unstable" if after.finite else "not finite")

    def arrive(self, point: Point) -> None:
        """Estimate the sharpness where a step has led, if it is time."""
        if self._steps % self._sharpness_every == 0 or point.speed > _FASTER * self._speed:
            self._estimate_sharpness(point)

    def _estimate_sharpness(self, point: Point) -> None:
        self._gradients.require(1)
        try:
            estimate = sharpness(
                self._gradients.loss,
                point.weights,
                tolerance=1e-2,
                max_products=min(_MAX_PRODUCTS, self._gradients.left),
                start=self._top_vector,
                seed=self._seed,
            )
        except FloatingPointError:
            raise FlowEnded("not finite") from None
        self._gradients.products += estimate.products
        self._top_vector = estimate.vector
        self._speed = point.speed
        largest = estimate.value + (0.0 if estimate.converged else estimate.residual)
        size = max(abs(largest), -estimate.smallest, point.slowest_curvature)
        self.sharpness = -size if -estimate.smallest > largest else size
        self.largest_sharpness = max(self.largest_sharpness, estimate.value)

    def _end(self, point: Point, h: float) -> Tensor:
        velocity = self._gradients.velocity
        w, k1 = point.weights, point.velocity
        k2 = velocity(w + h / 2 * k1)
        k3 = velocity(w + h / 2 * k2)
        k4 = velocity(w + h * k3)
        return w + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
