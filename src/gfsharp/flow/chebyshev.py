"""Coefficients of the second-order Runge-Kutta-Chebyshev method.

Sommeijer, Shampine and Verwer, J. Comput. Appl. Math. 88 (1997); van der Houwen and Sommeijer (1980). With s stages the
stability polynomial is ``R(z) = a_s + b_s T_s(w_0 + w_1 z)``, T_s the Chebyshev polynomial of the first kind, of second
order at 0 and below 1 in size for ``-interval(s) <= z < 0``: an interval that grows like ``0.65 s^2``, where s steps of
an ordinary method of a gradient each have one that grows like s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

# How far R stays below 1 inside the interval: the damping that the authors chose.
_DAMPING = 2 / 13


@dataclass(frozen=True)
class Coefficients:
    """Those of s stages, in terms of displacements ``d_j = Y_j - y`` and ``f_j``, the velocity at ``y + d_j``.

    ``d_0 = 0``, ``d_1 = first h f_0``, and for j = 2 ... s, with the row (mu, nu, mu', gamma') of ``later`` for it,
    ``d_j = mu d_{j-1} + nu d_{j-2} + mu' h f_{j-1} + gamma' h f_0``.
    """

    first: float
    later: tuple[tuple[float, float, float, float], ...]
    interval: float


@cache
def coefficients(stages: int) -> Coefficients:
    """Return the coefficients of ``stages`` stages.

    Raises:
        ValueError: fewer than two stages.
    """
    if stages < 2:
        raise ValueError(f"the method has two stages or more, found {stages}")
    w0 = 1 + _DAMPING / stages**2
    value, first, second = _chebyshev(stages, w0)
    w1 = first[stages] / second[stages]
    b = np.empty(stages + 1)
    b[2:] = second[2:] / first[2:] ** 2
    b[:2] = b[2]
    a = 1 - b * value
    mu = 2 * b[2:] * w0 / b[1:-1]
    nu = -b[2:] / b[:-2]
    mu_prime = 2 * b[2:] * w1 / b[1:-1]
    gamma_prime = -a[1:-1] * mu_prime
    rows = zip(*(column.tolist() for column in (mu, nu, mu_prime, gamma_prime)), strict=True)
    return Coefficients(float(b[1] * w1), tuple(rows), _interval(first, second, w0))


def stages_for(reach: float) -> int:
    """Return the least number of stages whose interval of stability holds ``-reach``, reach = step times sharpness."""
    # 2/3 (s^2 - 1) (1 - 2/15 damping) is the interval's length up to O(s^-2), and from below.
    stages = max(2, math.ceil(math.sqrt(1 + reach * 1.5 / (1 - 2 / 15 * _DAMPING))))
    while stages > 2 and coefficients(stages - 1).interval >= reach:
        stages -= 1
    while coefficients(stages).interval < reach:
        stages += 1
    return stages


def _interval(first: np.ndarray, second: np.ndarray, w0: float) -> float:
    return float((w0 + 1) * second[-1] / first[-1])


def _chebyshev(degree: int, x: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``T_j(x)`` and its first two derivatives for j = 0 ... degree, by the recurrence."""
    value, first, second = np.zeros((3, degree + 1))
    value[:2] = 1, x
    first[1] = 1
    for j in range(2, degree + 1):
        value[j] = 2 * x * value[j - 1] - value[j - 2]
        first[j] = 2 * value[j - 1] + 2 * x * first[j - 1] - first[j - 2]
        second[j] = 4 * first[j - 1] + 2 * x * second[j - 1] - second[j - 2]
    return value, first, second
