r"""Gradient flow of a scalar network in closed form: its end, and any other point of the trajectory.

Gradient flow keeps the balances ``w_i^2 - w_j^2``. So the point on the trajectory class of w with product x (equation
2) is ``s_i sqrt(w_i^2 + c)`` with the one ``c > -min_i w_i^2`` for which ``prod_i (w_i^2 + c) = x^2``. With ``v_i =
w_i^2 - min_j w_j^2`` and ``e^t`` the smallest square at that point, the equation is ``sum_i log(v_i + e^t) = 2 log
|x|``: increasing and convex in t, with slope between 1 and D. Newton's method falls monotonically to the root from ``t
= 2 log |x| / D``, which lies to its right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gfsharp.scalar.columns import (
    Floats,
    as_step_size,
    as_weights,
    fitted,
    per_network,
    scaled_product,
)
from gfsharp.scalar.network import column_step

# The logarithm of the smallest square is sought down to here; beyond, others dwarf it and it follows from them.
_SMALLEST_LOG = -690.0
_NEGLIGIBLE = 1e-280

# Newton's steps are quadratic: after a step this small the error is far below rounding.
_LAST_STEP = 1e-9
_MAX_STEPS = 200

_LARGEST_LOG = np.log(1e300)


def gradient_flow_solution(w: ArrayLike) -> Floats:
    r"""Return GFS(w), the limit of gradient flow from ``w``, shape ``(..., D)``.

    It is ``s_i sqrt(w_i^2 + c)`` with the one ``c > -min_i w_i^2`` for which ``prod_i (w_i^2 + c) = 1``. Where
    ``pi(w) < 0`` the weight of smallest magnitude changes sign on the way, and where one weight is zero it takes the
    sign of the product of the others.

    NaN where the solution does not exist: ``pi(w) <= 0`` with the smallest magnitude shared by several weights (the
    flow ends at a saddle), or a weight that is not finite or whose square is not.

    >>> gradient_flow_solution([[2.0, 2.0], [-2.0, -2.0], [2.0, -2.0]]).round(12).tolist()
    [[1.0, 1.0], [-1.0, -1.0], [nan, nan]]
    """
    return gradient_flow_point(w, 1.0)


def gradient_flow_point(w: ArrayLike, product: ArrayLike) -> Floats:
    """Return the point with the given product on the gradient flow class of ``w`` (equation 2), shape ``(..., D)``.

    The class is that of all points with the same gradient flow solution. A product of zero or below is reached where
    one weight alone is smallest.

    Args:
        product: a number or an array that broadcasts against the leading axes of ``w``.

    NaN where :func:`gradient_flow_solution` is, where the product is not finite, and where it is zero or below but the
    smallest magnitude is shared.

    >>> w = gradient_flow_point([2.0, 0.5], 3.0)
    >>> np.round([w.prod(), w[0] ** 2 - w[1] ** 2], 12).tolist()  # the product asked for, the balance of before
    [3.0, 3.75]
    """
    weights = as_weights(w)

    def point(block: Floats, product: Floats) -> Floats:
        return _point(block, np.sign(product), np.log(np.abs(product)))

    return per_network(point, weights, fitted(product, weights, "products"))


def gfs_sharpness(w: ArrayLike) -> Floats:
    """Return the GFS sharpness ``phi(w) = sum_i 1 / GFS(w)_i^2`` (Definition 1.1, equation 5), shape ``(...)``.

    NaN where the gradient flow solution does not exist (see :func:`gradient_flow_solution`); infinite where the value
    passes the range of float64.

    >>> float(np.round(gfs_sharpness([2.0, 0.5]), 12))
    4.25
    """
    return per_network(lambda block: column_gfs_sharpness(block)[0], as_weights(w))


def gpgd_step(w: ArrayLike, eta: ArrayLike) -> Floats:
    """Return one step of GFS-preserving gradient descent (equation 3), shape ``(..., D)``.

    That is the point on the gradient flow class of ``w`` whose product is ``pi(g_eta(w))``; NaN where there is none
    (see :func:`gradient_flow_point`).

    >>> w = [1.5, 1.0]
    >>> after = gpgd_step(w, 0.2)
    >>> bool(np.isclose(after.prod(), np.prod(w - 0.2 * np.array([0.5, 0.75]))))  # the product of a step
    True
    >>> bool(np.isclose(gfs_sharpness(after), gfs_sharpness(w)))
    True
    """
    weights = as_weights(w)

    def step(block: Floats, eta: Floats) -> Floats:
        after = column_step(block, eta)
        # By its logarithm: the product itself may leave the range of float64.
        return _point(block, np.multiply.reduce(np.sign(after), axis=0), log_product(np.abs(after)))

    return per_network(step, weights, as_step_size(eta, weights))


def column_gfs_sharpness(w: Floats, start: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the GFS sharpness of a block of columns and the logarithms of their smallest squares, each of shape (n,).

    Args:
        start: those logarithms where they are roughly known, such as a step of gradient descent before.
    """
    differences, exists = squares_above_smallest(w)
    log_smallest = log_smallest_square(differences, np.zeros(w.shape[1]), start)
    phi = np.add.reduce(1.0 / (differences + np.exp(log_smallest)), axis=0)
    return np.where(exists, phi, np.nan), log_smallest


def squares_above_smallest(w: Floats) -> tuple[Floats, np.ndarray]:
    """Return ``v_i = w_i^2 - min_j w_j^2``, exact up to rounding, and where a gradient flow solution exists.

    Columns without one are filled with zeros.
    """
    magnitudes = np.abs(w)
    smallest = magnitudes.min(axis=0)
    differences = magnitudes - smallest
    differences *= np.add(magnitudes, smallest, out=magnitudes)
    exists = np.isfinite(np.add.reduce(differences, axis=0))
    if not w.min(initial=1.0) > 0:
        crosses_zero = (np.count_nonzero(w < 0, axis=0) % 2 == 1) | (smallest == 0)
        exists &= ~(crosses_zero & (np.count_nonzero(np.abs(w) == smallest, axis=0) > 1))
    if not exists.all():
        differences[:, ~exists] = 0.0
    return differences, exists


def log_smallest_square(differences: Floats, log_square: Floats, start: Floats | None = None) -> Floats:
    """Return ``t`` with ``sum_i log(v_i + e^t) = log_square``, for differences v of shape (D, n), shape (n,).

    From a ``start`` to the left of the root the first step passes it, but not the bound to its right. NaN where the
    smallest square is below the range of float64 and some other is hardly above it.
    """
    bound = log_square / len(differences)
    t = np.maximum(bound, _SMALLEST_LOG) if start is None else np.minimum(np.maximum(start, _SMALLEST_LOG), bound)
    if _in_range(differences + np.exp(bound), log_square):
        return _newton(differences, log_square, t, bound)
    t = _newton_in_logarithms(differences, log_square, t, np.maximum(bound, _SMALLEST_LOG))
    tiny = t <= _SMALLEST_LOG + 1
    if tiny.any():
        t[tiny] = _log_of_tiny(differences[:, tiny], log_square[tiny])
    return t


def _log_of_tiny(differences: Floats, log_square: Floats) -> Floats:
    """Return ``t`` where ``e^t`` adds nothing to any other square: ``k t = log_square - sum_{v_i > 0} log v_i``."""
    zero = differences == 0
    others = np.where(zero, 1.0, differences)
    t = (log_square - log_product(others)) / np.count_nonzero(zero, axis=0)
    return np.where(others.min(axis=0) > _NEGLIGIBLE, t, np.nan)


def _in_range(squares: Floats, log_square: Floats) -> bool:
    """Return whether no product on the way to the root leaves the range of float64.

    ``squares`` are those at the right bound. To its left the factors above one have a smaller product, and those below
    one, as all together have at least that of the root, at least that over the former.
    """
    large = np.multiply.reduce(np.maximum(squares, 1.0), axis=0)
    return bool((np.log(large.max(initial=1.0)) - min(0.0, log_square.min(initial=0.0))) < _LARGEST_LOG)


def _newton(differences: Floats, log_square: Floats, t: Floats, bound: Floats) -> Floats:
    squares = np.empty_like(differences)
    for _ in range(_MAX_STEPS):
        smallest = np.exp(t)
        np.add(differences, smallest, out=squares)
        step = np.log(np.multiply.reduce(squares, axis=0))
        step -= log_square
        np.divide(1.0, squares, out=squares)
        smallest *= np.add.reduce(squares, axis=0)
        step /= smallest
        t = np.minimum(t - step, bound)
        if not (np.abs(step, out=step) > _LAST_STEP).any():
            break
    return t


def _newton_in_logarithms(differences: Floats, log_square: Floats, t: Floats, bound: Floats) -> Floats:
    for _ in range(_MAX_STEPS):
        smallest = np.exp(t)
        squares = differences + smallest
        excess = log_product(squares) - log_square
        slope = smallest * np.add.reduce(1.0 / squares, axis=0)
        step = np.where(excess == 0, 0.0, excess / slope)
        new_t = np.clip(t - step, _SMALLEST_LOG, bound)
        moved = np.abs(new_t - t)
        t = new_t
        if not (moved > _LAST_STEP).any():
            break
    return t


def log_product(squares: Floats) -> Floats:
    """Return the logarithm of the product over the first axis of positive numbers, without overflow."""
    depth = len(squares)
    largest, smallest = squares.max(initial=1.0), squares.min(initial=1.0)
    if depth * max(np.log(largest), -np.log(smallest)) < _LARGEST_LOG:
        return np.log(np.multiply.reduce(squares, axis=0))
    mantissa, exponent = scaled_product(squares)
    # Near one the logarithm of the product itself loses nothing to a large exponent.
    near_one = np.abs(exponent) <= 1
    rest = np.log(np.ldexp(mantissa, np.where(near_one, exponent, 0).astype(np.int32)))
    return np.where(near_one, rest, rest + exponent * np.log(2.0))


def _point(w: Floats, sign: Floats, log_size: Floats) -> Floats:
    """Return the points of the classes whose products have this sign (or are zero) and logarithm of magnitude."""
    differences, exists = squares_above_smallest(w)
    lowest = np.argmin(np.abs(w), axis=0)
    tied = np.count_nonzero(differences == 0, axis=0) > 1
    exists &= ~(tied & (sign <= 0)) & (np.isfinite(log_size) | (sign == 0))
    signs = np.where(w < 0, -1.0, 1.0)
    # The smallest weight takes the sign that makes the product's.
    signs[lowest, np.arange(w.shape[1])] *= np.where(sign < 0, -1.0, 1.0) * np.multiply.reduce(signs, axis=0)
    log_smallest = log_smallest_square(differences, np.where(exists & (sign != 0), 2 * log_size, 0.0))
    log_smallest = np.where(sign == 0, -np.inf, log_smallest)
    # The smallest weight itself may be in range where its square is not.
    magnitudes = np.where(differences == 0, np.exp(log_smallest / 2), np.sqrt(differences + np.exp(log_smallest)))
    magnitudes[:, ~exists] = np.nan
    return signs * magnitudes
