"""Whether a flow has a limit, from the points at which its loss had fallen by one factor after another.

Cross-entropy of classes that can be told apart, the logistic and the exponential loss, and squared errors of outputs
that pass a sigmoid or softmax have their infimum at infinity: the loss falls like one over the time and the weights
grow like its logarithm, without end (Section 5; Soudry et al., 2018, and Lyu and Li, 2020, for homogeneous networks).
A loss tolerance is reached all the same, and what is found there is a point on the way. With times ``t_k`` and weights
``w_k`` at the losses ``L / 4^k``, the ratios ``(t_2 - t_1) / (t_1 - t_0)`` and ``|w_2 - w_1| / |w_1 - w_0|`` are:

================================  ===========================  ==================================
the loss near its infimum         ratio of times               ratio of distances
================================  ===========================  ==================================
a quadratic minimum               1                            1/2
a degenerate one, y^p             4^(1 - 2/p): 2.8 for p = 8   4^(-1/p): 0.84 for p = 8
at infinity                       tends to 4, from below       tends to 1; 0.9 after a while
================================  ===========================  ==================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from torch import Tensor

# What two ratios in a row have to be where nothing is known of the loss. A degenerate minimum of power 14 or more is no
# limit by that: its sharpness could not be told from that of a point on the way either.
_LEAST_DISTANCES, _LEAST_TIMES, _MOST_TIMES = 0.9, 3.0, 5.0
# ... and the last one, of a loss whose outermost function takes its infimum at infinity. Soft labels give it a minimum,
# at which the ratio is 1.
_LEAST_TIMES_OF_SUCH = 2.0

# Nodes of autograd's graph that take the infimum of their values at infinity ...
_AT_INFINITY = (
    "NllLoss", "BinaryCrossEntropy", "SoftMarginLoss", "LogSoftmax", "LogSigmoid", "Softplus", "Logsumexp", "Logaddexp",
    "Log1P", "Exp", "Sigmoid", "Softmax",
)  # fmt: skip
# ... and those between them and the loss that are linear in what they take.
_LINEAR = (
    "Mean", "Sum", "Neg", "Div", "Mul", "Add", "Sub", "Dot", "Mv", "Index", "IndexSelect", "Gather", "Select", "Slice",
    "Diagonal", "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Expand", "Permute", "T",
    "Transpose", "ToCopy", "Clone", "Alias", "Cat", "Stack",
)  # fmt: skip


class Passing(Protocol):
    """Where a flow passed a loss: the weights, shape (P,), and the flow's time there."""

    @property
    def weights(self) -> Tensor: ...

    @property
    def time(self) -> float: ...


def goes_on_without_end(passed: Sequence[Passing], *, infimum_at_infinity: bool) -> bool:
    """Return whether a flow goes on without end.

    Args:
        passed: where its loss was four times as small as before, in this order.
        infimum_at_infinity: what :func:`has_infimum_at_infinity` says of the loss; then too few points to tell count as
            no end.
    """
    steps = [(b.time - a.time, float((b.weights - a.weights).norm())) for a, b in pairwise(passed)]
    ratios = [(later[0] / sooner[0], later[1] / sooner[1]) for sooner, later in pairwise(steps) if min(sooner) > 0]
    if infimum_at_infinity:
        return not ratios or ratios[-1][0] > _LEAST_TIMES_OF_SUCH
    return len(ratios) > 1 and all(
        distances > _LEAST_DISTANCES and _LEAST_TIMES < times < _MOST_TIMES for times, distances in ratios[-2:]
    )


def has_infimum_at_infinity(loss: Callable[[Tensor], Tensor], weights: Tensor) -> bool:
    """Return whether the outermost function of a loss of weights, shape (P,), takes its infimum at infinity only.

    Sums, means and the like are looked through. Labels are not seen: soft ones give cross-entropy a minimum.

    >>> import torch
    >>> w = torch.ones(2)
    >>> has_infimum_at_infinity(lambda w: torch.nn.functional.softplus(-w).mean(), w)
    True
    >>> has_infimum_at_infinity(lambda w: torch.nn.functional.softplus(-w).square().mean(), w)
    False
    >>> has_infimum_at_infinity(lambda w: (w[0].exp() * w[1] ** 2 + w[1] ** 8).sum(), w)
    False
    """
    left: list[Any] = [loss(weights.detach().requires_grad_(True)).grad_fn]
    seen: set[Any] = set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = type(node).__name__.split("Backward")[0]
        if name.startswith(_AT_INFINITY):
            return True
        operands = [following for following, _ in node.next_functions if following is not None]
        # A product is linear where one factor is a constant.
        if name in _LINEAR and (name not in ("Mul", "Div", "Dot", "Mv") or len(operands) == 1):
            left += operands
    return False
