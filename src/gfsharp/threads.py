"""As many threads as a loss has work for: torch starts one a core for matrices of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gfsharp.derivatives import evaluated

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
    """Return the multiplications and additions of the matrix products and convolutions of one gradient."""
    with FlopCounterMode(display=False) as counter:
        evaluated(loss, parameters.detach().requires_grad_(True))
    return 3.0 * counter.get_total_flops()  # a gradient takes as much as two more of the loss
