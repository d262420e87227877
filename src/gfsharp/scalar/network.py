"""The loss of a scalar network, its derivatives and gradient descent (Sections 3.1 and D)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gfsharp.scalar.columns import (
    Floats,
    as_step_size,
    as_weights,
    column_product,
    is_safe,
    others_product,
    per_network,
    scaled_difference,
    scaled_others_product,
    scaled_product,
    unscaled,
)
from gfsharp.spectrum import largest_eigenvalue


def product(w: ArrayLike) -> Floats:
    """Return ``pi(w) = prod_i w_i``, shape ``(...)``.

    >>> float(product([2.0, -0.5, 3.0]))
    -3.0
    """
    return per_network(column_product, as_weights(w))


def loss(w: ArrayLike) -> Floats:
    """Return ``L(w) = (pi(w) - 1)^2 / 2`` (equation 1), shape ``(...)``.

    >>> float(loss([2.0, 1.0, 1.0]))
    0.5
    """
    with np.errstate(over="ignore"):
        return 0.5 * (product(w) - 1.0) ** 2


def gradient(w: ArrayLike) -> Floats:
    """Return ``grad L(w)_i = (pi - 1) prod_{j != i} w_j`` (equation 8), shape ``(..., D)``.

    >>> gradient([2.0, 1.0, 1.0]).tolist()  # (pi - 1) pi / w_i
    [1.0, 2.0, 2.0]
    """
    return per_network(column_gradient, as_weights(w))


def gd_step(w: ArrayLike, eta: ArrayLike) -> Floats:
    """Return one step of gradient descent, ``g_eta(w) = w - eta grad L(w)`` (equation 13), shape ``(..., D)``.

    Weights of equal magnitude keep it up to rounding only, so that a network without a gradient flow solution for a tie
    may seem to have one after a step.

    >>> gd_step([2.0, 1.0, 1.0], 0.25).tolist()
    [1.75, 0.5, 0.5]
    """
    weights = as_weights(w)
    return per_network(column_step, weights, as_step_size(eta, weights))


def hessian(w: ArrayLike) -> Floats:
    """Return the Hessian of ``L``, shape ``(..., D, D)`` (equations 9 and 10).

    With ``P_i`` the product of the other weights and ``P_ij`` that of all but two, the entries are ``P_i^2`` and, off
    the diagonal, ``(2 pi - 1) P_ij``: the paper's form, written so that it holds where a weight is zero.

    >>> hessian([2.0, 0.5]).tolist()  # at an optimum the outer product of 1 / w with itself (equation 4)
    [[0.25, 1.0], [1.0, 4.0]]
    """
    weights = as_weights(w)
    depth = weights.shape[-1]
    flat = per_network(lambda block: _hessian(block).reshape(depth * depth, -1), weights)
    return flat.reshape(*weights.shape, depth)


def sharpness(w: ArrayLike) -> Floats:
    """Return the largest eigenvalue of the Hessian at ``w``, shape ``(...)``; NaN where the Hessian is not finite.

    At an optimum it is ``sum_i 1 / w_i^2`` (equations 5 and 12).

    >>> float(np.round(sharpness([2.0, 0.5]), 12))
    4.25
    """
    return largest_eigenvalue(hessian(w))


def balances(w: ArrayLike) -> Floats:
    """Return ``b_ij = w_i^2 - w_j^2``, constant under gradient flow (Definition D.1), shape ``(..., D, D)``.

    >>> balances([2.0, 1.0]).tolist()
    [[0.0, 3.0], [-3.0, 0.0]]
    """
    weights = as_weights(w)
    left, right = weights[..., :, None], weights[..., None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        return (left - right) * (left + right)


def column_gradient(w: Floats) -> Floats:
    """Return the gradients of a block of columns, shape (D, n)."""
    if is_safe(w):
        others = others_product(w)
        return (w[0] * others[0] - 1.0) * others
    residual, residual_exponent = scaled_difference(*scaled_product(w), factor=1.0)
    others, exponent = scaled_others_product(w)
    return unscaled(residual * others, residual_exponent + exponent)


def column_step(w: Floats, eta: Floats) -> Floats:
    """Return a step of gradient descent from a block of columns, shape (D, n)."""
    return w - eta * column_gradient(w)


def _hessian(w: Floats) -> Floats:
    depth = len(w)
    diagonal = np.arange(depth)
    without_one = np.repeat(w[None], depth, axis=0)
    without_one[diagonal, diagonal] = 1.0
    # The first axis is multiplied over, so that entry (j, i) is the product of all but i and j.
    factors = np.swapaxes(without_one, 0, 1)
    if is_safe(w):
        entries = (2 * np.multiply.reduce(w, axis=0) - 1.0) * others_product(factors)
        entries[diagonal, diagonal] = others_product(w) ** 2
        return entries
    residual, residual_exponent = scaled_difference(*scaled_product(w), factor=2.0)
    others, exponent = scaled_others_product(factors)
    entries = unscaled(residual * others, residual_exponent + exponent)
    others, exponent = scaled_others_product(w)
    entries[diagonal, diagonal] = unscaled(others * others, 2 * exponent)
    return entries
