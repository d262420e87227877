"""As many threads as a loss has work for: torch starts one a core for matrices of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gfsharp.derivatives import evaluated
from gfsharp.graph import nodes, operation

# What a thread is worth its start for: multiplications and additions of one gradient. On two cores the threads of a
# perceptron of 1e7 lose time when both are free, and most of it when others use them too.
_WORTH_A_THREAD = 2e8


@contextmanager
def fitting_threads(loss: Callable[[Tensor], Tensor], parameters: Tensor) -> Iterator[int]:
    """Let torch use as many threads as a gradient has work for, never more than it used before; put them back.

    The number depends on the loss alone and not on a clock, so that the same computation has the same bytes again.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: a point, shape (P,).

    >>> before = torch.get_num_threads()
    >>> with fitting_threads(lambda w: w.square().sum(), torch.ones(3)) as threads:
    ...     threads, torch.get_num_threads()
    (1, 1)
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    if before == 1 or parameters.device.type != "cpu":
        yield before
        return
    threads = max(1, min(before, int(_work(loss, parameters) / _WORTH_A_THREAD)))
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def _work(loss: Callable[[Tensor], Tensor], parameters: Tensor) -> float:
    """Return about how many multiplications and additions a gradient takes, from the graph of the loss.

    Torch's own counter would import the compiler, which takes seconds.
    """
    total = 0.0
    for node in nodes(evaluated(loss, parameters.detach().requires_grad_(True))):
        if type(node).__name__ != "AccumulateGrad":
            total += math.prod(node._input_metadata[0].shape) * _terms(node)
    return 6 * total  # two for each term; a gradient takes as much as two more of the loss


def _terms(node: Any) -> int:
    """Return how many products are summed for each number that an operation gives."""
    match operation(node):
        case "Addmm":
            return int(node._saved_mat1_sym_sizes[-1])
        case "Mm":
            return int(node._saved_self_sym_sizes[-1])
        case "Bmm" | "Baddbmm":
            factor = next((getattr(node, name, None) for name in ("_saved_self", "_saved_batch1")), None)
            return int(factor.shape[-1]) if factor is not None else 1
        case "Convolution":
            return int(node._saved_weight[0].numel())
        case _:
            return 1
