r"""The positive invariant set of gradient descent (Definition 3.1), decided as Appendix I says.

Along the gradient flow class of w let ``F(x)`` be the product after one step from the point with product x:

    F(x) = x prod_i (1 + a_i(x)),   a_i = eta (1 - x) x / w_i(x)^2.

With ``pi_max = max_{0<x<1} F(x)`` and ``pi_min`` the first product above one that a step sends to zero, a bound B as in
the definition exists if and only if ``max(1, pi_max, pi(w)) < pi_min``.

``pi_min`` is the root of an increasing function. ``pi_max`` is found by branch and bound over the smallest square s of
the class, which needs no further root. Two bounds hold on an interval [a, b] of it:

- ``x (1 + a_1)`` for the smallest weight, and ``x / w_j^2`` for every other, grow with s but for the factor ``1 - x``;
  with that taken at a and the rest at b, F stays below their product. This holds down to s = 0.
- In ``tau = log x`` the second derivative of log F is at least ``-sum_i (3 beta_i + beta_i^2)``, ``beta_i`` being a
  bound on ``(eta x / w_i^2) / (1 + a_i)``; so log F stays below the larger end plus an eighth of that sum times the
  width squared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.scalar.columns import Floats, as_step_size, as_weights, per_network
from gfsharp.scalar.solution import log_product, log_smallest_square, squares_above_smallest

# Condition 3: phi(w) <= 2 sqrt(2) / eta.
GFS_SHARPNESS_BOUND = 2 * math.sqrt(2)

# An interval of log F is not split further once its bound is this close to a value that is reached. A decision leaves
# what rounding does; a margin is wanted to a few digits.
_DECISION_GAP = 1e-13
_MARGIN_GAP = 1e-6
_MAX_ROUNDS = 400

_LARGEST_LOG = 700.0


def in_invariant_set(w: ArrayLike, eta: ArrayLike) -> NDArray[np.bool_]:
    """Return whether ``w`` is in the positive invariant set of step size ``eta`` (Definition 3.1), shape ``(...)``.

    The three conditions, for some ``B > 1``: the product lies in (0, B); a step from any point of the gradient flow
    class of w with product in (0, B) leads to a product in (0, B); ``phi(w) <= 2 sqrt(2) / eta``. The decision is exact
    but for rounding: the maximum over the class is bounded from both sides (see :mod:`gfsharp.scalar.invariant_set`).

    False where a weight is not finite or the product is not positive.

    >>> in_invariant_set([[1.1, 0.9], [3.0, 0.3]], 0.5).tolist()
    [True, False]
    """
    return _decided(w, eta, GFS_SHARPNESS_BOUND)


def keeps_products(w: ArrayLike, eta: ArrayLike) -> NDArray[np.bool_]:
    """Return whether ``w`` satisfies conditions 1 and 2 of Definition 3.1, condition 3 or not, shape ``(...)``."""
    return _decided(w, eta, math.inf)


def invariant_set_margin(w: ArrayLike, eta: ArrayLike) -> Floats:
    """Return how far inside the positive invariant set ``w`` is, to within 1e-6, shape ``(...)``; negative outside.

    The smaller of ``log(pi_min / max(1, pi_max, pi(w)))`` and ``log(2 sqrt(2) / (eta phi(w)))``; minus infinity where
    the product is not positive or a weight not finite.

    >>> invariant_set_margin([[1.1, 0.9], [3.0, 0.3]], 0.5).round(3).tolist()
    [1.02, -1.246]
    """
    weights = as_weights(w)
    return per_network(_margin, weights, as_step_size(eta, weights))


def _decided(w: ArrayLike, eta: ArrayLike, sharpness_bound: float) -> NDArray[np.bool_]:
    def decide(block: Floats, eta: Floats) -> Floats:
        return _is_inside(block, eta, sharpness_bound)

    weights = as_weights(w)
    return per_network(decide, weights, as_step_size(eta, weights)).astype(bool)


def _is_inside(w: Floats, eta: Floats, sharpness_bound: float) -> Floats:
    log_pi, differences, at_one, phi, candidates = _prepared(w)
    candidates &= phi <= sharpness_bound / eta
    inside = np.zeros(w.shape[1])
    rows = np.flatnonzero(candidates)
    zero = _log_first_zero(differences[:, rows], at_one[rows], eta[rows])
    within = log_pi[rows] < zero
    rows, zero = rows[within], zero[within]
    # Only whether the maximum passes the zero is asked: intervals below it need no closer look.
    inside[rows] = _log_largest_product(differences[:, rows], at_one[rows], eta[rows], zero, _DECISION_GAP) < zero
    return inside


def _margin(w: Floats, eta: Floats) -> Floats:
    log_pi, differences, at_one, phi, candidates = _prepared(w)
    margin = np.full(w.shape[1], -np.inf)
    rows = np.flatnonzero(candidates)
    zero = _log_first_zero(differences[:, rows], at_one[rows], eta[rows])
    largest = _log_largest_product(differences[:, rows], at_one[rows], eta[rows], np.zeros(len(rows)), _MARGIN_GAP)
    room = zero - np.maximum(largest, log_pi[rows])
    margin[rows] = np.minimum(room, np.log(GFS_SHARPNESS_BOUND / eta[rows] / phi[rows]))
    return margin


def _prepared(w: Floats) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return what describes the gradient flow classes of a block.

    That is log |pi|; the squares above the smallest, which comes first; the logarithm of the smallest square at product
    one; the GFS sharpness; who can be in a set at all.
    """
    log_pi = log_product(np.abs(w))
    positive = np.multiply.reduce(np.sign(w), axis=0) > 0
    differences, exists = squares_above_smallest(w)
    order = np.argsort(differences, axis=0, kind="stable")
    differences = np.take_along_axis(differences, order, axis=0)
    at_one = log_smallest_square(differences, np.zeros(w.shape[1]))
    phi = np.add.reduce(1.0 / (differences + np.exp(at_one)), axis=0)
    return log_pi, differences, at_one, phi, exists & positive & np.isfinite(log_pi)


def _log_first_zero(differences: Floats, at_one: Floats, eta: Floats) -> Floats:
    """Return ``log pi_min``: the first product above one that a step sends to zero; infinite if none does.

    There ``eta (x - 1) x = s``, s being the smallest square. The logarithm of the left side less that of the right
    grows with ``t = log s`` from minus infinity at x = 1.
    """
    log_eta = np.log(eta)

    def excess(t: Floats) -> Floats:
        log_x = 0.5 * log_product(differences + np.exp(t))
        return log_eta + 2 * log_x + np.log(-np.expm1(-log_x)) - t

    low = at_one
    width = np.ones(len(eta))
    high = low + width
    while ((below := excess(high) < 0) & (high < _LARGEST_LOG)).any():
        low = np.where(below, high, low)
        width = np.where(below, 2 * width, width)
        high = np.where(below, np.minimum(high + width, _LARGEST_LOG), high)
    none = excess(high) < 0
    # Bisection, down to the last place of t: the left side has no slope to rely on near x = 1.
    for _ in range(64):
        middle = 0.5 * (low + high)
        below = excess(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    log_x = 0.5 * log_product(differences + np.exp(high))
    return np.where(none, np.inf, log_x)


def _log_largest_product(differences: Floats, at_one: Floats, eta: Floats, floor: Floats, gap: float) -> Floats:
    """Return the logarithm of ``max_{0<x<1} F(x)``, or of some value below ``floor`` if the maximum lies below it.

    Args:
        differences, at_one: of the classes, as :func:`_prepared` returns them.
        eta: step sizes, shape (n,).
        floor: maxima below this logarithm are not told apart, shape (n,).
        gap: what the logarithm may fall short of the maximum's.
    """
    count = len(eta)
    best = np.zeros(count)  # F(1) = 1
    row = np.arange(count)
    upper = np.exp(at_one)
    lower = np.zeros(count)
    for _ in range(_MAX_ROUNDS):
        if not len(row):
            break
        ends = _Ends(differences[:, row], eta[row], lower, upper)
        np.maximum.at(best, row, ends.reached)
        known = np.maximum(best, floor)[row]
        # A value above the floor decides where the floor is all that is asked for.
        open_ = (ends.bound() > known + gap) & (lower < upper * (1 - 1e-15)) & (upper > 1e-320)
        open_ &= ~((floor[row] > 0) & (best[row] >= floor[row]))
        row, lower, upper = row[open_], lower[open_], upper[open_]
        middle = np.where(lower > 0, np.sqrt(lower) * np.sqrt(upper), upper / 8)
        row = np.concatenate([row, row])
        lower, upper = np.concatenate([lower, middle]), np.concatenate([middle, upper])
    return best


class _Ends:
    """Log F and what bounds it, at the two ends of intervals [a, b] of the smallest square; a may be zero."""

    def __init__(self, differences: Floats, eta: Floats, a: Floats, b: Floats) -> None:
        self.eta = eta
        self.a, self.b = a, b
        self.squares_b = differences + b
        self.log_x_a, self.x_a, log_f_a = _log_step_product(differences + a, eta)
        self.log_x_b, self.x_b, log_f_b = _log_step_product(self.squares_b, eta)
        self.reached = np.maximum(np.where(a > 0, log_f_a, -np.inf), log_f_b)

    def bound(self) -> Floats:
        return np.minimum(self._by_growth(), np.where(self.a > 0, self._by_curvature(), np.inf))

    def _by_growth(self) -> Floats:
        step = self.eta * (1 - self.x_a)
        others = np.add.reduce(np.log1p(step * self.x_b / self.squares_b[1:]), axis=0)
        return np.log(self.x_b + step * np.exp(2 * self.log_x_b - np.log(self.b))) + others

    def _by_curvature(self) -> Floats:
        # x / w_j^2 grows with s for all but the smallest weight, for which x_b / a is a bound.
        reach = self.eta * self.x_b / self.squares_b
        reach[0] = self.eta * self.x_b / self.a
        beta = np.minimum(reach, 1 / np.maximum(1 - self.x_b, 1e-300))
        curvature = np.add.reduce(beta * (3 + beta), axis=0)
        return self.reached + curvature * (self.log_x_b - self.log_x_a) ** 2 / 8


def _log_step_product(squares: Floats, eta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return log x, x and log F(x) at points with these squares; x is at most one."""
    log_x = np.minimum(0.5 * log_product(squares), 0.0)
    x = np.exp(log_x)
    step = eta * -np.expm1(log_x) * x
    return log_x, x, log_x + np.add.reduce(np.log1p(step / squares), axis=0)
