"""What autograd's graph says of a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

# Nodes of autograd's graph where the gradient jumps; the digit at the end of their names differs between versions.
_KINKS = (
    "Relu", "LeakyRelu", "Rrelu", "PreluKernel", "Hardtanh", "Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink",
    "Threshold", "Clamp", "Abs", "Maximum", "Minimum", "Max", "Min", "Amax", "Amin", "Aminmax", "Fmax", "Fmin",
    "MaxPool", "AdaptiveMaxPool", "FractionalMaxPool", "MkldnnMaxPool", "Where", "Sort", "Topk", "Kthvalue", "Median",
    "Sign", "LinalgVectorNorm", "Norm", "L1Loss", "HingeEmbeddingLoss", "MarginRankingLoss", "Elu", "Celu", "Selu",
)  # fmt: skip


def made_of(value: Tensor) -> tuple[bool, tuple[str, ...]]:
    """Return whether the graph of ``value`` has kinks, and its autograd functions that are not torch's own."""
    kinks, functions = False, set()
    for node in nodes(value):
        name = type(node).__name__
        if isinstance(node, torch.autograd.function.BackwardCFunction) or name == "CppFunction":
            functions.add(node.name().removesuffix("Backward"))
        kinks = kinks or any(name.startswith(kink) and "Backward" in name for kink in _KINKS)
    return kinks, tuple(sorted(functions))


def leaves(value: Tensor) -> list[Tensor]:
    """Return the tensors by which autograd can differentiate ``value``: those that are given, and computed from none.

    >>> w = torch.ones(2, requires_grad=True)
    >>> [leaf is w for leaf in leaves((2 * w).sum())]
    [True]
    """
    return [node.variable for node in nodes(value) if type(node).__name__ == "AccumulateGrad"]


def has_kinks(loss: Callable[[Tensor], Tensor], weights: Tensor) -> bool:
    """Return whether the gradient of a loss of weights, shape (P,), jumps somewhere, as its graph says."""
    return made_of(loss(weights.detach().requires_grad_(True)))[0]


def operation(node: Any) -> str:
    """Return which of torch's operations a node is of: ``Addmm``, without the digit that differs between versions."""
    return type(node).__name__.split("Backward")[0]


def nodes(value: Tensor, beyond: Callable[[Any], bool] = lambda node: True) -> Iterator[Any]:
    """Yield the nodes of the graph, each once.

    Args:
        value: whose graph.
        beyond: whether the nodes that one takes its operands from are wanted as well.
    """
    left, seen = [value.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        if beyond(node):
            left += [following for following, _ in node.next_functions]
