"""The length that a flow's tolerance is relative to."""

from __future__ import annotations

import torch
from torch import Tensor

from gfsharp.flow.gradients import Point
from gfsharp.sums import norm

# A weight counts up to this many times the median, or what it has moved, so that those of ordinary networks count in
# full.
_LARGE = 30.0


class Scale:
    """The norm of the weights that move, each counted up to ``_LARGE`` times the median of their sizes.

    In the norm of all weights one that hardly moves, an offset of 1e6 or the rows of a table that the data do not
    touch, would loosen the tolerance of the rest. A weight that has moved further than the median counts up to that
    many times what it has moved. One moves if its gradient is not zero at the start or it is no longer where it was;
    weights that are zero have no say in the median.

    Args:
        start: where the flow starts.
    """

    def __init__(self, start: Point) -> None:
        self._start = start
        self._pulled = start.velocity != 0
        self._moving = 0
        self._typical = 0.0

    def at(self, weights: Tensor) -> float:
        """Return the length at ``weights``, shape (P,)."""
        moved = torch.sub(weights, self._start.weights).abs_()
        moves = self._pulled | (moved > 0)
        self._look_again(weights, moves)
        bound = moved.clamp_(min=self._typical).mul_(_LARGE)
        return norm(torch.minimum(weights.abs().mul_(moves), bound, out=bound))

    def _look_again(self, weights: Tensor, moves: Tensor) -> None:
        # Where layers start at zero most weights move from the second point on only.
        moving = int(moves.sum())
        if moving > 1.5 * self._moving:
            self._moving = moving
            sizes = weights.abs()[moves & (weights != 0)]
            self._typical = float(sizes.median()) if sizes.numel() else 0.0
