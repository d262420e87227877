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
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gfsharp.derivatives import evaluated
from gfsharp.graph import nodes, operation

# Nodes of the graph of autograd that lead a bound of what they take on to the loss: those that are linear, where one
# factor of a product is a constant, and some that are monotone.
_LED_ON = {
    "Mean", "Sum", "Neg", "Div", "Mul", "Add", "Sub", "Rsub", "Dot", "Mv", "Mm", "Index", "IndexSelect", "Gather",
    "Select", "Slice", "Diagonal", "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Expand",
    "Permute", "T", "Transpose", "ToCopy", "Clone", "Alias", "Cat", "Stack", "NllLoss", "NllLoss2D", "NllLossNd",
    "MaskedFill", "Where", "Clamp", "ClampMin", "ClampMax", "Max", "Amax", "Log", "Log1P", "BinaryCrossEntropy",
    "MseLoss", "Pow", "Sqrt", "SmoothL1Loss", "HuberLoss", "Reciprocal",
}  # fmt: skip
_PRODUCTS = {"Mul", "Div", "Dot", "Mv", "Mm"}

_OF_EXPONENT = "PowBackward2"  # a constant to a power; the other way round it is PowBackward0


def _outside(node: Any) -> Tensor:
    return softplus(-node._saved_self.abs())


def _dimension(node: Any) -> int:
    dimension = int(node._saved_dim)
    return dimension - 2**64 if dimension >= 2**63 else dimension


# How far each value is from its bound, for functions that are at it at infinity only.
_DISTANCES: dict[str, Callable[[Any], Tensor]] = {
    "LogSoftmax": lambda node: -node._saved_result.amax(_dimension(node), keepdim=True),
    "Logsumexp": lambda node: node._saved_result - node._saved_self.amax(node._saved_dim).view_as(node._saved_result),
    "Logaddexp": lambda node: softplus(-(node._saved_self - node._saved_other).abs()),
    "Softplus": lambda node: softplus(node._saved_self, node._saved_beta),
    "LogSigmoid": lambda node: softplus(-node._saved_self),
    "BinaryCrossEntropyWithLogits": _outside,
    "SoftMarginLoss": lambda node: softplus(-node._saved_self * node._saved_target).mean(),
    "Exp": lambda node: node._saved_result,
    "Exp2": lambda node: node._saved_result,
    _OF_EXPONENT: lambda node: node._saved_result,
    "Sigmoid": lambda node: torch.minimum(node._saved_result, 1 - node._saved_result),
    "Tanh": lambda node: 1 - node._saved_result.abs(),
    "Softmax": lambda node: 1 - node._saved_result.amax(_dimension(node), keepdim=True),
}


def distance_from_infinity(loss: Callable[[Tensor], Tensor], weights: Tensor) -> tuple[float | None, float]:
    """Return how far the outermost function of a loss is from a bound that it has at infinity, and the loss.

    The first is None without such a bound. Sums, means, logarithms, squares and the like are looked through. The
    distance of each value is weighed by the derivative of the loss by it, so that it is in the unit of the loss.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        weights: where, shape (P,).

    >>> w = torch.zeros(2)
    >>> distance, _ = distance_from_infinity(lambda w: torch.nn.functional.softplus(-w).mean(), w)
    >>> round(distance, 4)  # log 2
    0.6931
    >>> distance_from_infinity(lambda w: (torch.tanh(w) - 1).square().mean(), w)
    (2.0, 1.0)
    >>> distance_from_infinity(lambda w: (w[0].exp() * w[1] ** 2).sum(), w)
    (None, 0.0)
    """
    at = weights.detach().requires_grad_(True)
    value = evaluated(loss, at)
    bounded = [node for node in nodes(value, beyond=_leads_on) if _name(node) in _DISTANCES]
    distances: list[float] = []

    def add(node: Any, derivatives: tuple[Tensor | None, ...]) -> None:
        if derivatives[0] is not None:
            distance = _DISTANCES[_name(node)](node).detach().clamp(min=0)
            distances.append(float((derivatives[0].detach().abs() * distance).double().sum()))

    handles = [node.register_prehook(partial(add, node)) for node in bounded]
    if handles:
        torch.autograd.grad(value, at, allow_unused=True)
    for handle in handles:
        handle.remove()
    return sum(distances) if bounded else None, float(value.detach())


def _name(node: Any) -> str:
    return _OF_EXPONENT if type(node).__name__ == _OF_EXPONENT else operation(node)


def _leads_on(node: Any) -> bool:
    operands = {following for following, _ in node.next_functions if following is not None}
    name = _name(node)
    return name in _LED_ON and (name not in _PRODUCTS or len(operands) == 1)


def has_no_limit(loss: Callable[[Tensor], Tensor], first: Tensor, last: Tensor) -> bool:
    """Return whether the flow of a loss that vanishes goes on without end.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        first, last: two points of the flow, shape (P,), the loss at the last a fraction of that at the first.
    """
    before, higher = distance_from_infinity(loss, first)
    if before is None:
        return False
    after, lower = distance_from_infinity(loss, last)
    if after is None:
        return False
    if not 0 < lower < higher or before <= 0:
        return True
    # In proportion to the loss; to its root where squares of residuals have labels inside the bounds; or not at all.
    return after / before < (lower / higher) ** 0.75
