"""A step of gradient flow, with the way between its ends."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gfsharp.flow.gradients import Point


@dataclass(frozen=True)
class Step:
    """A step from one point of the flow to another."""

    before: Point
    after: Point
    length: float

    @property
    def fall(self) -> float:
        """How much the loss falls per time."""
        return (self.before.loss - self.after.loss) / self.length

    def weights(self, share: float) -> Tensor:
        """Return the weights at a share of the step's length, from 0 to 1: cubic Hermite interpolation."""
        left = 1 - share
        result = self.before.weights * ((1 + 2 * share) * left**2)
        result.add_(self.after.weights, alpha=share**2 * (1 + 2 * left))
        result.add_(self.before.velocity, alpha=self.length * share * left**2)
        return result.add_(self.after.velocity, alpha=-self.length * share**2 * left)
