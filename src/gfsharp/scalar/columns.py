"""Batches as columns: how the functions of this package take their arguments and work through large batches.

Inside, a batch of n networks is an array of shape (D, n), so that an operation on one weight of all networks runs over
contiguous memory, in blocks that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Exponents = NDArray[np.int64]

# Weights per block: 0.5 MB an array. Measured fastest from half to twice as many.
_BLOCK = 65_536

# Products of numbers in this many powers of two neither overflow nor underflow.
_SAFE_EXPONENT = 1000


def as_weights(w: ArrayLike) -> Floats:
    """Return ``w`` in float64.

    Raises:
        TypeError: not floats or integers of at most 64 bits.
        ValueError: a shape other than ``(..., D)`` with ``D >= 1``.
    """
    array = _real(w, "weights")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"weights must have shape (..., D) with depth D >= 1, found shape {array.shape}")
    return array.astype(np.float64, copy=False)


def as_step_size(eta: ArrayLike, weights: Floats) -> Floats:
    """Return ``eta`` in float64, broadcast to the leading axes of ``weights``.

    Raises:
        TypeError: not real numbers.
        ValueError: a value that is not positive and finite, or a shape that does not fit.
    """
    array = _real(eta, "step sizes").astype(np.float64, copy=False)
    bad = array[~((array > 0) & np.isfinite(array))]
    if bad.size:
        raise ValueError(f"step sizes must be positive and finite, found {bad.flat[0]}")
    return fitted(array, weights, "step sizes")


def fitted(values: ArrayLike, weights: Floats, name: str) -> Floats:
    """Return ``values`` broadcast to the leading axes of ``weights``.

    Raises:
        TypeError: not real numbers.
        ValueError: a shape that does not fit.
    """
    array = _real(values, name).astype(np.float64, copy=False)
    try:
        return np.broadcast_to(array, weights.shape[:-1])
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} do not broadcast to the leading axes {weights.shape[:-1]} of the weights"
        ) from None


def per_network(function: Callable[..., Floats], weights: Floats, *others: Floats) -> Floats:
    """Apply ``function`` to blocks of columns and return its values, shape ``(...)`` or ``(..., k)``.

    ``function`` takes weights of shape (D, b) and, for each of ``others`` (shape ``(...)``), an array of shape (b,); it
    returns shape (b,) or (k, b).
    """
    leading = weights.shape[:-1]
    rows = weights.reshape(-1, weights.shape[-1])
    flat = [np.broadcast_to(other, leading).reshape(-1) for other in others]
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        blocks = [
            function(np.ascontiguousarray(rows[block].T), *(other[block] for other in flat)).T
            for block in _blocks(len(rows), rows.shape[-1])
        ]
    joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    result: Floats = np.ascontiguousarray(joined).reshape((*leading, *joined.shape[1:]))[()]
    return result


def is_safe(values: Floats) -> bool:
    """Return whether no product of entries of a column leaves the range of float64."""
    magnitudes = np.abs(values)
    largest = magnitudes.max(initial=1.0)
    smallest = magnitudes.min(initial=1.0, where=magnitudes > 0)
    return bool(len(values) * np.log2(max(largest, 1 / smallest)) < _SAFE_EXPONENT)


def column_product(values: Floats) -> Floats:
    """Return the product over the first axis, correct wherever it lies within the range of float64."""
    if is_safe(values):
        return np.multiply.reduce(values, axis=0)
    return unscaled(*scaled_product(values))


def scaled_product(values: Floats) -> tuple[Floats, Exponents]:
    """Return mantissas and exponents of the product over the first axis, of whatever size."""
    mantissa, exponent = _scaled(values[0])
    for factor in values[1:]:
        mantissa, exponent = _times((mantissa, exponent), _scaled(factor))
    return mantissa, exponent


def others_product(values: Floats) -> Floats:
    """Return, for each entry along the first axis, the product of the others, for values that :func:`is_safe`."""
    result = np.ones_like(values)
    np.multiply.accumulate(values[:-1], axis=0, out=result[1:])
    after = values[-1].copy()
    for i in range(len(values) - 2, -1, -1):
        result[i] *= after
        after *= values[i]
    return result


def scaled_others_product(values: Floats) -> tuple[Floats, Exponents]:
    """Return :func:`others_product` as mantissas and exponents, of whatever size."""
    indices = range(len(values))
    found = [
        scaled_product(values[[j for j in indices if j != i]]) if len(values) > 1 else _one(values) for i in indices
    ]
    return np.stack([mantissa for mantissa, _ in found]), np.stack([exponent for _, exponent in found])


def scaled_difference(mantissa: Floats, exponent: Exponents, factor: float) -> tuple[Floats, Exponents]:
    """Return ``factor x - 1`` for ``x = mantissa 2^exponent``, as mantissas and exponents."""
    # Beyond 2^64 the 1 is below the last place.
    small = exponent <= 64
    difference, shift = np.frexp(factor * unscaled(mantissa, np.where(small, exponent, 0)) - 1.0)
    return np.where(small, difference, factor * mantissa), np.where(small, shift, exponent)


def _scaled(values: Floats) -> tuple[Floats, Exponents]:
    mantissa, exponent = np.frexp(values)
    return mantissa, exponent.astype(np.int64)


def _one(values: Floats) -> tuple[Floats, Exponents]:
    return np.ones(values.shape[1:]), np.zeros(values.shape[1:], dtype=np.int64)


def _times(left: tuple[Floats, Exponents], right: tuple[Floats, Exponents]) -> tuple[Floats, Exponents]:
    mantissa, shift = np.frexp(left[0] * right[0])
    # Zero has no exponent to speak of, and must not look large.
    return mantissa, np.where(mantissa == 0, 0, left[1] + right[1] + shift)


def unscaled(mantissa: Floats, exponent: Exponents) -> Floats:
    """Return ``mantissa 2^exponent``; infinite or zero beyond the range of float64."""
    return np.ldexp(mantissa, np.clip(exponent, -5000, 5000).astype(np.int32))


def _blocks(count: int, depth: int) -> Iterator[slice]:
    size = max(1, _BLOCK // depth)
    # One block even where there is nothing, so that the result has its shape.
    return (slice(i, i + size) for i in range(0, max(count, 1), size))


def _real(values: ArrayLike, name: str) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be floats or integers of at most 64 bits, found dtype {array.dtype}")
    return array
