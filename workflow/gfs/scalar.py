r"""Scalar networks (Section 3): ``L(w) = (pi(w) - 1)^2 / 2`` with ``pi(w) = prod_i w_i``.

Everything is vectorised over leading axes: weights have shape ``(..., D)``, depth D last, and are taken in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def product(w: ArrayLike) -> Floats:
    """Return ``pi(w) = prod_i w_i``, shape ``(...)``."""
    return np.prod(_weights(w), axis=-1)


def loss(w: ArrayLike) -> Floats:
    """Return ``L(w) = (pi(w) - 1)^2 / 2`` (equation 1), shape ``(...)``.

    >>> float(loss([2.0, 1.0, 1.0]))
    0.5
    """
    with np.errstate(over="ignore"):
        return 0.5 * (product(w) - 1.0) ** 2


def gradient(w: ArrayLike) -> Floats:
    """Return ``grad L(w)_i = (pi - 1) prod_{j != i} w_j`` (equation 8), shape ``(..., D)``."""
    weights = _weights(w)
    with np.errstate(over="ignore", invalid="ignore"):
        return (np.prod(weights, axis=-1, keepdims=True) - 1.0) * _product_of_others(weights)


def hessian(w: ArrayLike) -> Floats:
    """Return the Hessian of ``L``, shape ``(..., D, D)`` (equations 9 and 10).

    With ``P_i`` the product of the other weights and ``P_ij`` that of all but two, the entries are ``P_i^2`` and, off
    the diagonal, ``P_i P_j + (pi - 1) P_ij``: equal to the paper's form, and defined where a weight is zero.
    """
    weights = _weights(w)
    depth = weights.shape[-1]
    others = _product_of_others(weights)
    diagonal = np.arange(depth)
    without_one = np.broadcast_to(weights[..., None, :], (*weights.shape, depth)).copy()
    without_one[..., diagonal, diagonal] = 1.0
    without_two = _product_of_others(without_one)
    without_two[..., diagonal, diagonal] = 0.0
    residual = np.prod(weights, axis=-1)[..., None, None] - 1.0
    return others[..., :, None] * others[..., None, :] + residual * without_two


def sharpness(w: ArrayLike) -> Floats:
    """Return the largest eigenvalue of the Hessian at ``w``, shape ``(...)``; NaN where the Hessian is not finite.

    At an optimum it is ``sum_i 1 / w_i^2`` (equations 5 and 12).

    >>> float(np.round(sharpness([2.0, 0.5]), 12))
    4.25
    """
    with np.errstate(over="ignore", invalid="ignore"):
        matrices = hessian(w)
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    top = np.linalg.eigvalsh(np.where(np.expand_dims(finite, (-2, -1)), matrices, 0.0))[..., -1]
    return np.where(finite, top, np.nan)


def balances(w: ArrayLike) -> Floats:
    """Return ``b_ij = w_i^2 - w_j^2``, constant under gradient flow (Definition D.1), shape ``(..., D, D)``."""
    weights = _weights(w)
    left, right = weights[..., :, None], weights[..., None, :]
    return (left - right) * (left + right)


def gd_step(w: ArrayLike, eta: float) -> Floats:
    """Return one step of gradient descent, ``g_eta(w) = w - eta grad L(w)`` (equation 13), shape ``(..., D)``."""
    return _weights(w) - eta * gradient(w)


def gradient_flow_solution(w: ArrayLike) -> Floats:
    r"""Return GFS(w), the limit of gradient flow from ``w``, shape ``(..., D)``.

    Gradient flow keeps the balances, so ``GFS(w)_i = s_i sqrt(w_i^2 + c)`` with the one ``c > -min_i w_i^2`` for which
    ``prod_i (w_i^2 + c) = 1``. Where ``pi(w) < 0`` the weight of smallest magnitude changes sign on the way, and where
    one weight is zero it takes the sign of the product of the others.

    NaN where the solution does not exist: ``pi(w) <= 0`` with the smallest magnitude shared by several weights (the
    flow ends at a saddle), or a weight that is not finite or whose square is not.
    """
    weights = _weights(w)
    signs = np.where(weights < 0, -1.0, 1.0)
    smallest = np.argmin(np.abs(weights), axis=-1)[..., None]
    # After the flow the product is one, so the smallest weight has the sign of the product of the others.
    sign_of_others = np.prod(signs, axis=-1, keepdims=True) * np.take_along_axis(signs, smallest, axis=-1)
    np.put_along_axis(signs, smallest, sign_of_others, axis=-1)
    return signs * np.sqrt(_squares_at_solution(weights))


def gfs_sharpness(w: ArrayLike) -> Floats:
    """Return the GFS sharpness ``phi(w) = sum_i 1 / GFS(w)_i^2`` (Definition 1.1, equation 5), shape ``(...)``.

    NaN where the gradient flow solution does not exist (see :func:`gradient_flow_solution`); infinite where the value
    passes the range of float64.

    >>> float(np.round(gfs_sharpness([2.0, 0.5]), 12))
    4.25
    """
    with np.errstate(divide="ignore", over="ignore"):
        return np.sum(1.0 / _squares_at_solution(_weights(w)), axis=-1)


def _weights(w: ArrayLike) -> Floats:
    array = np.asarray(w)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"weights must be real numbers within the range of float64, found dtype {array.dtype}")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"weights must have shape (..., D) with depth D >= 1, found shape {array.shape}")
    return array.astype(np.float64)


def _product_of_others(values: Floats) -> Floats:
    """Products over the last axis with one factor left out, exact where factors are zero."""
    before = np.ones_like(values)
    after = np.ones_like(values)
    np.cumprod(values[..., :-1], axis=-1, out=before[..., 1:])
    after[..., :-1] = np.cumprod(values[..., :0:-1], axis=-1)[..., ::-1]
    return before * after


def _squares_at_solution(weights: Floats) -> Floats:
    """Return ``w_i^2 + c`` at the solution, NaN rows where it does not exist.

    With ``v_i = w_i^2 - min_j w_j^2``, exact up to rounding, and ``x = e^t`` the smallest square at the solution, the
    equation is ``sum_i log(v_i + e^t) = 0``: increasing and convex in t with slope between 1 and D, so Newton's method
    falls monotonically to the root from t = 0, which lies to its right since ``x^D <= 1``.
    """
    magnitudes = np.abs(weights)
    smallest = magnitudes.min(axis=-1, keepdims=True)
    negative_count = np.count_nonzero(weights < 0, axis=-1)
    crosses_zero = (negative_count % 2 == 1) | (smallest[..., 0] == 0)
    tied = np.count_nonzero(magnitudes == smallest, axis=-1) > 1
    exists = np.isfinite(weights).all(axis=-1) & ~(crosses_zero & tied)

    safe = np.where(exists[..., None], magnitudes, 1.0)
    smallest = safe.min(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        differences = (safe - smallest) * (safe + smallest)
    exists &= np.isfinite(differences).all(axis=-1)
    differences = np.where(exists[..., None], differences, 0.0)
    squares = differences + np.exp(_log_smallest_square(differences))
    return np.where(exists[..., None], squares, np.nan)


# Below this the smallest square leaves the range of float64, and with it the sharpness.
_SMALLEST_LOG = -740.0


def _log_smallest_square(differences: Floats) -> Floats:
    t = np.zeros((*differences.shape[:-1], 1))
    for _ in range(200):
        smallest = np.exp(t)
        squares = differences + smallest
        slope = np.sum(smallest / squares, axis=-1, keepdims=True)
        new_t = np.maximum(t - _log_product(squares) / slope, _SMALLEST_LOG)
        # Rounding of the logarithm leaves steps of a few ulp of t.
        settled = np.abs(new_t - t) <= 4e-16 * (1 + np.abs(t))
        t = new_t
        if settled.all():
            break
    return t


def _log_product(squares: Floats) -> Floats:
    """Logarithm of the product over the last axis, through mantissas and exponents so that nothing overflows."""
    mantissas, exponents = np.frexp(squares)
    mantissa, exponent = np.frexp(np.prod(mantissas, axis=-1, keepdims=True))
    total = exponent + np.sum(exponents, axis=-1, keepdims=True, dtype=np.int64)
    # Near the solution the product is near one: log1p of the small rest loses nothing to a large exponent.
    near_one = np.abs(total) <= 1
    rest = np.log1p(np.ldexp(mantissa, np.where(near_one, total, 0).astype(np.int32)) - 1.0)
    return np.where(near_one, rest, np.log(mantissa) + total * np.log(2.0))
