"""Sums over all weights, in float64.

A network has up to 1e7 weights, and a float32 sum of as many terms is right to three digits only. Each block of a
vector is turned into float64 and summed there, so that no copy of a whole vector or basis is made. The sums of a seed
are the same at every call, on a GPU too: blocks are added in their order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Numbers that are in float64 at one time: what a processor's cache holds, or 128 MB, as each block starts kernels.
_BLOCK, _BLOCK_ELSEWHERE = 2**18, 2**24
# The squares of smaller numbers lose digits in float64, or vanish.
_TINY = 1e-140
_SMALL = 1e-30


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Return ``x . y`` of vectors of shape (P,), as a float64 tensor without a dimension; nothing is read back.

    >>> x = torch.full((3_000_000,), 0.1)
    >>> abs(float(dot(x, x)) / (3_000_000 * float(x[0]) ** 2) - 1) < 1e-12
    True
    """
    return projections(x.unsqueeze(0), y)[0]


def projections(basis: Tensor, vector: Tensor) -> Tensor:
    """Return ``B x`` of a basis of shape (k, P) and a vector of shape (P,): float64, of shape (k,)."""
    if basis.dtype == torch.float64:
        return basis @ vector
    result = torch.zeros(len(basis), dtype=torch.float64, device=basis.device)
    block_size = _BLOCK if basis.device.type == "cpu" else _BLOCK_ELSEWHERE
    width = max(block_size // max(len(basis), 1), 1)
    for low in range(0, vector.numel(), width):
        block = slice(low, low + width)
        result += basis[:, block].double() @ vector[block].double()
    return result


def take_out(basis: Tensor, vector: Tensor) -> Tensor:
    """Take out of ``vector``, (P,), what lies along orthonormal rows B, (k, P), in place; return ``B x``, float64."""
    overlaps = projections(basis, vector)
    vector.addmv_(basis.T, overlaps.to(vector), alpha=-1)
    return overlaps


def norm(x: Tensor) -> float:
    """Return ``||x||`` of a vector of shape (P,), read back from its device; tiny numbers do not underflow.

    >>> norm(torch.tensor([3e-30, 4e-30])), norm(torch.tensor([3e-200, 4e-200], dtype=torch.float64))
    (5.000000...e-30, 5e-200)
    """
    size = math.sqrt(float(dot(x, x)))
    if _TINY < size < math.inf or not x.numel():
        return size
    largest = float(x.abs().max())
    if not 0 < largest < math.inf:
        return largest
    scaled = x.double() / largest
    return largest * math.sqrt(float(scaled @ scaled))


def unit(x: Tensor, size: float | None = None) -> Tensor:
    """Return ``x / ||x||`` of a vector of shape (P,), in its precision.

    Args:
        x: not zero.
        size: its norm, where that is known.

    Raises:
        ValueError: x is zero, or has a number that is not finite.

    >>> round(norm(unit(torch.tensor([3e-42, 4e-42]))), 7)
    1.0
    """
    size = norm(x) if size is None else size
    if not 0 < size < math.inf:
        raise ValueError("a direction must be finite and not zero")
    if size < _SMALL:  # its reciprocal overflows
        return unit(x.double() * 2.0**300).to(x.dtype)
    return x / size
