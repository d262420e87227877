"""Whether a flow has a limit: not where the loss takes its infimum at infinity.

Cross-entropy of classes that can be told apart, the logistic and the exponential loss, and squared errors of outputs
that pass a sigmoid, tanh or softmax on to labels at its bounds are never zero: the weights grow like the logarithm of
the time, without end (Section 5; Soudry et al., 2018, and Lyu and Li, 2020, for homogeneous networks). A loss tolerance
is reached all the same, and what is found there is a point on the way.

The course of the flow does not tell: at an ordinary minimum with many slow directions the loss may fall like one over
the time as well. The outermost function of the loss does, by how far it is from its bound: ``1 - p`` of the likeliest
class, ``exp(-margin)`` and so on. Where that distance vanishes with the loss, only infinite weights have loss zero. It
does not where labels are soft, or inside the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

# Nodes of autograd's graph that are linear in what they take, where one factor of a product is a constant.
_LINEAR = (
    "Mean", "Sum", "Neg", "Div", "Mul", "Add", "Sub", "Dot", "Mv", "Index", "IndexSelect", "Gather", "Select", "Slice",
    "Diagonal", "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Expand", "Permute", "T",
    "Transpose", "ToCopy", "Clone", "Alias", "Cat", "Stack", "NllLoss", "NllLoss2D", "NllLossNd",
)  # fmt: skip
_PRODUCTS = ("Mul", "Div", "Dot", "Mv")
# ... those that are zero where what they take is at its bound, and squares of the distance to it.
_LOGARITHMS = ("Log", "Log1P", "BinaryCrossEntropy")
_SQUARES = ("MseLoss", "Pow", "SmoothL1Loss", "HuberLoss")


def _outside(node: Any) -> Tensor:
    return softplus(-node._saved_self.abs())


# How far each value is from its bound, for functions that are at it at infinity only.
_DISTANCES: dict[str, Callable[[Any], Tensor]] = {
    "LogSoftmax": lambda node: -node._saved_result.amax(_dimension(node)),
    "Logsumexp": lambda node: node._saved_result.flatten() - node._saved_self.amax(node._saved_dim).flatten(),
    "Logaddexp": lambda node: softplus(-(node._saved_self - node._saved_other).abs()),
    "Softplus": lambda node: softplus(node._saved_self, node._saved_beta),
    "LogSigmoid": lambda node: softplus(-node._saved_self),
    "BinaryCrossEntropyWithLogits": _outside,
    "SoftMarginLoss": lambda node: softplus(-node._saved_self * node._saved_target),
    "Exp": lambda node: node._saved_result,
    "Sigmoid": lambda node: torch.minimum(node._saved_result, 1 - node._saved_result),
    "Tanh": lambda node: 1 - node._saved_result.abs(),
    "Softmax": lambda node: 1 - node._saved_result.amax(_dimension(node)),
}


def _dimension(node: Any) -> int:
    dimension = int(node._saved_dim)
    return dimension - 2**64 if dimension >= 2**63 else dimension


def distance_from_infinity(loss: Callable[[Tensor], Tensor], weights: Tensor) -> float | None:
    """Return how far the outermost function of a loss is from a bound that it has at infinity; None without such.

    Sums, means, logarithms, squares and the like are looked through. The distance is in the unit of the loss, but for a
    factor.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        weights: where, shape (P,).

    >>> w = torch.zeros(2)
    >>> round(distance_from_infinity(lambda w: torch.nn.functional.softplus(-w).mean(), w), 4)  # 2 log 2
    1.3863
    >>> distance_from_infinity(lambda w: (torch.tanh(w) - 1).square().mean(), w)
    2.0
    >>> distance_from_infinity(lambda w: (w[0].exp() * w[1] ** 2).sum(), w) is None
    True
    """
    root = loss(weights.detach().requires_grad_(True)).grad_fn
    total, found = 0.0, False
    left: list[tuple[Any, int, bool]] = [(root, 1, False)]
    seen: set[Any] = set()
    while left:
        node, power, inside = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = type(node).__name__.split("Backward")[0]
        if name in _DISTANCES:
            # Of functions that are bounded on both sides a sum is at its infimum at infinity only through these.
            if name in ("Sigmoid", "Tanh", "Softmax") and not inside:
                continue
            total += float(_DISTANCES[name](node).detach().double().clamp(min=0).pow(power).sum())
            found = True
            continue
        operands = [following for following, _ in node.next_functions if following is not None]
        square = name in _SQUARES or (name == "Mul" and len(operands) == 2 and operands[0] is operands[1])
        if square and power == 1:
            left += [(following, 2, True) for following in operands]
        elif name in _LOGARITHMS:
            left += [(following, power, True) for following in operands]
        elif name in _LINEAR and (name not in _PRODUCTS or len(operands) == 1):
            left += [(following, power, inside) for following in operands]
    return total if found else None


def has_no_limit(loss: Callable[[Tensor], Tensor], first: Tensor, last: Tensor) -> bool:
    """Return whether the flow of a loss that vanishes goes on without end.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        first, last: two points of the flow, shape (P,), the loss at the last a fraction of that at the first; one point
            twice if no other is known.
    """
    distances = [distance_from_infinity(loss, weights) for weights in (first, last)]
    if distances[0] is None or distances[1] is None:
        return False
    with torch.no_grad():
        losses = [float(loss(weights)) for weights in (first, last)]
    if not 0 < losses[1] < losses[0] or distances[0] <= 0:
        return True
    # In proportion to the loss, or not at all: between the two lies the root.
    return distances[1] / distances[0] < (losses[1] / losses[0]) ** 0.5
