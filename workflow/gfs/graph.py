"""What autograd's graph says of a loss."""

from __future__ import annotations

from collections.abc import Callable

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
    left, seen = [value.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = type(node).__name__
        if isinstance(node, torch.autograd.function.BackwardCFunction) or name == "CppFunction":
            functions.add(node.name().removesuffix("Backward"))
        kinks = kinks or any(name.startswith(kink) and "Backward" in name for kink in _KINKS)
        left += [following for following, _ in node.next_functions]
    return kinks, tuple(sorted(functions))


def has_kinks(loss: Callable[[Tensor], Tensor], weights: Tensor) -> bool:
    """Return whether the gradient of a loss of weights, shape (P,), jumps somewhere, as its graph says."""
    return made_of(loss(weights.detach().requires_grad_(True)))[0]
