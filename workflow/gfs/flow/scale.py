"""The length that a flow's tolerance is relative to."""

from __future__ import annotations

import torch
from torch import Tensor

from gfs.flow.gradients import Point

# A weight counts up to this many times what it has moved, so that those of ordinary networks count in full.
_MOVES = 30.0


class Scale:
    """The norm of the weights, each counted only up to ``_MOVES`` times what the flow has moved it.

    In the norm of all weights one that does not move, an offset of 1e6 or the rows of a table that the data do not
    touch, would loosen the tolerance of the rest. What has hardly moved yet counts as if it had moved the way to a loss
    of zero along the first gradient, ``2 L / |g|^2`` times the gradient, as long as the loss is quadratic.

    Args:
        start: where the flow starts; its gradient must not vanish.
    """

    def __init__(self, start: Point) -> None:
        self._start = start
        self._time = 2 * start.loss / start.speed**2

    def at(self, weights: Tensor) -> float:
        """Return the length at ``weights``, shape (P,)."""
        moved = torch.sub(weights, self._start.weights).abs_()
        moved = torch.maximum(moved, (self._start.velocity * self._time).abs_(), out=moved).mul_(_MOVES)
        return float(torch.minimum(moved, weights.abs(), out=moved).norm())
