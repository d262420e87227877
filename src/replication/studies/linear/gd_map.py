"""Whether the map of gradient descent is singular, and how many preimages a point has.

A smooth map is *non-singular*, the preimage of each null set being one, if the determinant of its Jacobian
``I - eta H`` is not zero but on a null set. The determinant is a polynomial of the weights, so that its zeros are a
null set unless they are all points. At ``w = 0`` it is 1 from depth 3 on, and at depth 2 a power of
``prod_i (1 - eta^2 s_i^2)``, s_i being the singular values of ``Y X^T / N``: zero at a few step sizes at most. At
depth 1 it is the same everywhere, and zero where ``eta`` is one over an eigenvalue of ``X X^T / N``: there the map is
singular. Here it is sampled: near a hypersurface of zeros the share of points where the smallest ``|1 - eta lambda|``
is at most epsilon is proportional to epsilon.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize.elementwise import find_root

from replication.storage.table_schema import Column, Columns
from replication.studies.linear import cases
from replication.studies.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# Smaller than this, relative to the largest, an eigenvalue of the Jacobian is zero but for rounding.
SINGULAR = 1e-13
# Points whose Hessians are computed at a time.
_BLOCK = 5_000
# In the place of a sum or difference of a target that is zero; and below what that of a preimage is zero then too.
_NOUGHT, _NOTHING = 1e-60, 1e-15
# An extremum of h that is zero to this, of the terms that cancel in it, is looked at in more digits.
_DOUBT = 1e-11
_CLOSEST = {"xatol": 0.0, "xrtol": 4e-16, "fatol": 0.0, "frtol": 0.0}


# Of linear/gd_map.parquet.
COLUMNS: Columns = {
    **cases.COLUMNS,
    "learning_rate": Column("number", "w² / L", "eta"),
    "epsilon": Column("number", "", "a distance from singular"),
    "share": Column("number", "", "of points at most that far from singular"),
    "points": Column("whole number", "", "sampled"),
    "singular": Column("whole number", "", "of them, where the Jacobian is singular but for rounding"),
    "exponent": Column("number", "", "a of the share, about epsilon^a for small epsilon"),
    "exponent_error": Column("number", "", "its standard error"),
    "control": Column("truth", "", "a network of depth one, at the step where its map is singular everywhere"),
}

# Of linear/preimages.parquet.
PREIMAGES: Columns = {
    "a": Column("number", "w", "one weight of the target"),
    "b": Column("number", "w", "the other"),
    "count": Column("whole number", "", "of points that a step leads to it from"),
    "error": Column("number", "", "how far from the target it leads, relative to its size or to 1"),
    "learning_rate": Column("number", "w² / L", "eta, the same in all rows"),
    "area_ratio": Column("number", "", "1 if no preimage is missed or counted twice; the same in all rows"),
}


def distances_from_singular(network: LinearNetwork, eta: float, w: Floats) -> Floats:
    """Return the smallest ``|1 - eta lambda|`` over the Hessian's eigenvalues, relative to the largest or to 1, at
    weights of shape (n, P), shape (n,)."""
    found = []
    for block in np.array_split(w, max(1, len(w) // _BLOCK)):
        values = np.abs(1 - eta * np.linalg.eigvalsh(network.hessian(block)))
        found.append(values.min(axis=-1) / np.maximum(1.0, values.max(axis=-1)))
    return np.concatenate(found)


def exponent(distances: Floats, share: float) -> float:
    """Return the exponent a of the share of distances that are at most epsilon, ``~ epsilon^a`` for small epsilon.

    Maximum likelihood over the n smallest, which are ``share`` of all (Hill, 1975): ``n / sum log(largest / distance)``
    with a standard error of ``a / sqrt(n)``. Zero where one of them is zero up to rounding.

    >>> round(exponent(np.linspace(0, 1, 100_001)[1:], 0.02), 2)
    1.0
    """
    near = np.sort(distances)[: max(2, int(share * len(distances)))]
    return 0.0 if near[0] <= SINGULAR else float(len(near) / np.sum(np.log(near[-1] / near)))


def preimages(target: Floats, eta: float) -> Floats:
    """Return the points that a step of gradient descent on the scalar network of depth 2 takes to ``target``.

    With ``r = eta (w_1 w_2 - 1)`` a step from w leads to ``(a, b) = (w_1 - r w_2, w_2 - r w_1)``. For the sums
    ``S = a + b``, ``s = w_1 + w_2`` and differences ``D = a - b``, ``d = w_1 - w_2`` that is ``S = (1 - r) s`` and
    ``D = (1 + r) d``, so that there is a preimage for each real root r of

        h(r) = 4 (1 + r/eta) - S^2 / (1 - r)^2 + D^2 / (1 + r)^2.

    It has one root or three on each side of 1 and -1 and between them, five at most in all (``_roots``). Where
    S or D is zero, roots lie at r = 1 or -1 in the limit, and s or d is what is found there.

    Where two roots are nearer to each other than float64 can tell, all are found in 200 digits; a double one is given
    once.

    Args:
        target: shape (n, 2).

    Returns:
        Three or five points each (or one less, where two fall together), then NaN, of shape (n, 5, 2).

    >>> found = preimages(np.array([[0.0, 0.0]]), 0.5)[0]
    >>> np.sort(found[:, 0]).round(6).tolist()  # the origin, on each diagonal two
    [-1.732051, -1.0, 0.0, 1.0, 1.732051]
    """
    targets = np.asarray(target, dtype=np.float64)
    total, difference = targets.sum(axis=-1), targets[:, 0] - targets[:, 1]
    S, D = np.where(total == 0, _NOUGHT, total), np.where(difference == 0, _NOUGHT, difference)
    roots, doubtful = _roots(S, D, eta)
    s, d = S[:, None] / roots[..., 0], D[:, None] / roots[..., 1]
    s = np.where((total == 0)[:, None] & (np.abs(s) < _NOTHING), 0.0, s)
    d = np.where((difference == 0)[:, None] & (np.abs(d) < _NOTHING), 0.0, d)
    points = np.stack([(s + d) / 2, (s - d) / 2], axis=-1)
    for i in np.flatnonzero(doubtful):
        points[i] = _in_many_digits(float(targets[i, 0]), float(targets[i, 1]), eta)
    order = np.argsort(np.isnan(points[..., 0]), axis=-1, kind="stable")
    return np.take_along_axis(points, order[..., None], axis=1)


def _roots(total: Floats, difference: Floats, eta: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return ``1 - r`` and ``1 + r`` of the roots r of h, shape (n, 5, 2), and where their number is in doubt, (n,).

    Each of the two is known to rounding, also where it is tiny. Beyond -1 the roots are those beyond 1 of minus h at
    minus r, in which S and D have changed places and the constant 4 its sign.
    """
    S, D = np.abs(total), np.abs(difference)
    middle, doubtful = _found(_Middle(S, D, eta))
    above, doubtful_above = _found(_Above(S, D, eta, 1.0))
    below, doubtful_below = _found(_Above(D, S, eta, -1.0))
    with np.errstate(over="ignore", invalid="ignore"):
        pairs = [
            # r = tanh(x/2)
            np.stack([2 / (1 + np.exp(middle)), 2 / (1 + np.exp(-middle))], axis=-1),
            np.stack([-np.exp(above), 2 + np.exp(above)], axis=-1),
            np.stack([2 + np.exp(below), -np.exp(below)], axis=-1),
        ]
    every = np.concatenate(pairs, axis=1)
    order = np.argsort(np.isnan(every[..., 0]), axis=-1, kind="stable")[:, :5]
    return np.take_along_axis(every, order[..., None], axis=1), doubtful | doubtful_above | doubtful_below


class _Middle:
    """h between -1 and 1, as a function of ``x = log((1 + r)/(1 - r))``: it falls but for two extrema, if at all.

    ``h'`` is ``4/eta`` less ``2 S^2/(1 - r)^3 + 2 D^2/(1 + r)^3``, which has one minimum: ``(1 + r)/(1 - r)`` is
    ``sqrt(D/S)`` there.
    """

    rises = False

    def __init__(self, S: Floats, D: Floats, eta: float) -> None:
        self.of, self.eta = (S, D), eta
        self.turn = np.log(D / S) / 2
        # At 1 + r so small, or 1 - r, one of the squares is all that counts.
        bound = 4 + 4 / eta
        self.low = np.minimum(np.log(D / np.sqrt(bound + S**2)) - np.log(2), np.minimum(self.turn, 0.0)) - 1
        self.high = np.maximum(np.log(np.sqrt(bound + D**2) / S) + np.log(2), np.maximum(self.turn, 0.0)) + 1
        # Nearer than so to the ends h' is negative.
        cubes = np.cbrt(eta * D**2 / 16), np.cbrt(eta * S**2 / 16)
        self.first = np.minimum(np.log(np.minimum(cubes[0], 1.0)), self.turn) - 3
        self.last = np.maximum(-np.log(np.minimum(cubes[1], 1.0)), self.turn) + 3

    def terms(self, x: Floats, S: Floats, D: Floats) -> tuple[Floats, ...]:
        r, less, more = np.tanh(x / 2), 2 / (1 + np.exp(x)), 2 / (1 + np.exp(-x))
        return np.full_like(r, 4.0), 4 * r / self.eta, -((S / less) ** 2), (D / more) ** 2

    def slope(self, x: Floats, S: Floats, D: Floats) -> Floats:
        less, more = 2 / (1 + np.exp(x)), 2 / (1 + np.exp(-x))
        return 4 / self.eta - 2 * (S / less) ** 2 / less - 2 * (D / more) ** 2 / more


class _Above:
    """h beyond 1, as a function of ``x = log(r - 1)``: it rises but for two extrema, if at all.

    ``h'`` is ``4/eta`` less ``2 D^2/(r + 1)^3 - 2 S^2/(r - 1)^3``, whose maximum is where ``(r + 1)/(r - 1)`` is
    ``sqrt(D/S)``, if that is above 1.
    """

    rises = True

    def __init__(self, S: Floats, D: Floats, eta: float, sign: float) -> None:
        self.of, self.eta, self.sign = (S, D), eta, sign
        ratio = np.sqrt(D / S)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.turn = np.where(ratio > 1, np.log(2) - np.log(ratio - 1), np.nan)
        turned = np.where(ratio > 1, self.turn, 0.0)
        low = np.minimum(np.log(S / np.sqrt(4 + 8 / eta + D**2 / 4)), 0.0) - 1
        high = np.maximum(np.log(2 * eta), np.log(eta * S**2 / 2) / 3) + 1
        self.low, self.high = np.minimum(low, turned - 1), np.maximum(np.maximum(high, low + 1), turned + 1)
        self.first = np.minimum(np.log(S / D) * 2 / 3, turned) - 3
        self.last = np.maximum(np.log(eta * D**2 / 2) / 3, turned) + 3
        self.low, self.high = np.minimum(self.low, self.first), np.maximum(self.high, self.last)

    def terms(self, x: Floats, S: Floats, D: Floats) -> tuple[Floats, ...]:
        beyond = np.exp(x)
        constant = np.full_like(x, 4 * self.sign)
        return constant, 4 * (1 + beyond) / self.eta, -((S / beyond) ** 2), (D / (2 + beyond)) ** 2

    def slope(self, x: Floats, S: Floats, D: Floats) -> Floats:
        beyond = np.exp(x)
        return 4 / self.eta + 2 * (S / beyond) ** 2 / beyond - 2 * (D / (2 + beyond)) ** 2 / (2 + beyond)


def _found(part: _Middle | _Above) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the places x of the roots of h on one part of the line, shape (n, 3), NaN where there are fewer."""
    S, D = part.of
    roots = np.full((len(S), 3), np.nan)
    doubtful = np.zeros(len(S), dtype=bool)

    def value(x: Floats, S: Floats, D: Floats) -> Floats:
        return np.asarray(sum(part.terms(x, S, D)))

    def zeros(function: Callable[..., Floats], low: Floats, high: Floats, rows: NDArray[Any]) -> Floats:
        if not len(rows):
            return np.empty(0)
        ends = find_root(function, (low[rows], high[rows]), args=(S[rows], D[rows]), tolerances=_CLOSEST)
        return np.asarray(ends.x)

    # h' has the sign that it has at the ends everywhere, or changes it twice, on both sides of its own extremum.
    outward = 1.0 if part.rises else -1.0
    with np.errstate(all="ignore"):
        turns = np.flatnonzero(outward * part.slope(part.turn, S, D) < 0)
        first, last = part.low.copy(), part.low.copy()
        first[turns] = zeros(part.slope, part.first, part.turn, turns)
        last[turns] = zeros(part.slope, part.turn, part.last, turns)
        heights = outward * value(first, S, D), outward * value(last, S, D)
        sizes = [np.sum(np.abs(part.terms(x, S, D)), axis=0) for x in (first, last)]
        turned = np.zeros(len(S), dtype=bool)
        turned[turns] = True
        for height, size in zip(heights, sizes, strict=True):
            doubtful |= turned & ~(np.abs(height) > _DOUBT * size)
        # Outwards h rises to the first extremum, falls to the last and rises again.
        before, after = turned & (heights[0] > 0), turned & (heights[1] < 0)
        roots[before, 0] = zeros(value, part.low, first, np.flatnonzero(before))
        both = before & after
        roots[both, 1] = zeros(value, first, last, np.flatnonzero(both))
        roots[after, 2] = zeros(value, last, part.high, np.flatnonzero(after))
        roots[~turned, 0] = zeros(value, part.low, part.high, np.flatnonzero(~turned))
    return roots, doubtful


def _in_many_digits(a: float, b: float, eta: float) -> Floats:
    """The preimages of one target, shape (5, 2), from the roots of ``(1 - r^2)^2 h``; of a double root one."""
    import mpmath

    with mpmath.workdps(200), warnings.catch_warnings():
        # The order of the coefficients will have a name; version 1.3 has none for it yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        nought, step_size = mpmath.mpf(10) ** -60, mpmath.mpf(eta)
        total, difference = mpmath.mpf(a) + mpmath.mpf(b), mpmath.mpf(a) - mpmath.mpf(b)
        S, D = total or nought, difference or nought
        # 4 (1 + r/eta)(1 - r^2)^2 - S^2 (1 + r)^2 + D^2 (1 - r)^2, from r^5 down.
        plus, minus = S**2 + D**2, S**2 - D**2
        lead = 4 / step_size
        coefficients = [lead, 4, -2 * lead, -8 - minus, lead - 2 * plus, 4 - minus]
        found: list[Any] = []
        for root in mpmath.polyroots(coefficients, maxsteps=2000, extraprec=2000):
            near = min(abs(1 - root), abs(1 + root))
            real = abs(mpmath.im(root)) <= mpmath.mpf(10) ** -30 * near
            root = mpmath.re(root)
            if real and all(abs(root - other) > mpmath.mpf(10) ** -30 * near for other in found):
                found.append(root)
        points = np.full((5, 2), np.nan)
        for i, root in enumerate(found):
            s, d = S / (1 - root), D / (1 + root)
            s, d = 0 if not total and abs(s) < _NOTHING else s, 0 if not difference and abs(d) < _NOTHING else d
            points[i] = float((s + d) / 2), float((s - d) / 2)
    return points


def step(points: Floats, eta: float) -> Floats:
    """Return a step of gradient descent on the scalar network of depth 2 from points of shape (..., 2)."""
    first, second = points[..., 0], points[..., 1]
    r = eta * (first * second - 1)
    return np.stack([first - r * second, second - r * first], axis=-1)


def determinant(points: Floats, eta: float) -> Floats:
    """Return the determinant of the step's Jacobian at points of shape (..., 2)."""
    first, second = points[..., 0], points[..., 1]
    return (1 - eta * second**2) * (1 - eta * first**2) - (eta * (2 * first * second - 1)) ** 2


def counts(found: Floats) -> NDArray[np.int64]:
    """Return how many preimages there are, of what :func:`preimages` returned, shape (n,)."""
    return np.isfinite(found[..., 0]).sum(axis=-1)


def area_ratio(eta: float, reach: float, targets: int, points: int) -> float:
    """Return the integral of the number of preimages over ``[-reach, reach]^2`` divided by that of ``|det|`` over all
    points that a step takes there: one, by the area formula, if no preimage is missed and none is counted twice.

    Args:
        targets, points: the sides of the square grids that the two are integrated on, by midpoints.
    """
    grid = midpoints(reach, targets)
    found = preimages(grid, eta)
    far = 1.05 * float(np.nanmax(np.abs(found)))
    covered, side = 0.0, 2 * far / points
    axis = (np.arange(points) + 0.5) * side - far
    for rows in np.array_split(axis, max(1, points // 100)):
        block = np.stack(np.meshgrid(rows, axis, indexing="ij"), axis=-1)
        inside = (np.abs(step(block, eta)) <= reach).all(axis=-1)
        covered += float(np.abs(determinant(block[inside], eta)).sum()) * side**2
    return float(counts(found).sum()) * (2 * reach / targets) ** 2 / covered


def midpoints(reach: float, side: int) -> Floats:
    """Return the midpoints of a square grid of ``[-reach, reach]^2``, shape (side^2, 2)."""
    axis = (np.arange(side) + 0.5) * 2 * reach / side - reach
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def table(
    *,
    networks: Sequence[Sequence[int]],
    samples: int,
    seed: int,
    deviation: float,
    points: int,
    learning_rates: Sequence[float],
    nearest: float,
    epsilon: tuple[float, float],
    levels: int,
) -> pd.DataFrame:
    """Return the shares of near-singular points, as the configuration's ``linear.gd_map`` has it.

    A row per network, learning rate and epsilon, with ``COLUMNS``.
    """
    import pandas as pd

    distances = np.geomspace(*epsilon, levels)
    rows: list[dict[str, Any]] = []
    for widths in networks:
        network = cases.gaussian_network(widths, samples, seed)
        w = deviation * np.random.default_rng([seed, network.size]).normal(size=(points, network.size))
        for rate in learning_rates:
            rows += _rows(network, rate, w, distances, nearest, control=False)
    single = cases.gaussian_network((networks[0][0], networks[0][-1]), samples, seed)
    rate = 1 / float(np.linalg.eigvalsh(single.covariance)[0])
    w = np.random.default_rng(seed).normal(size=(points, single.size))
    return pd.DataFrame([*rows, *_rows(single, rate, w, distances, nearest, control=True)])


def _rows(
    network: LinearNetwork, rate: float, w: Floats, levels: Floats, nearest: float, *, control: bool
) -> list[dict[str, Any]]:
    distances = distances_from_singular(network, rate, w)
    found = exponent(distances, nearest)
    return [
        {
            "network": cases.name(network.widths),
            "depth": network.depth,
            "learning_rate": rate,
            "epsilon": level,
            "share": float(np.mean(distances <= level)),
            "points": len(w),
            "singular": int(np.sum(distances <= SINGULAR)),
            "exponent": found,
            "exponent_error": found / np.sqrt(max(2, int(nearest * len(w)))),
            "control": control,
        }
        for level in levels
    ]


def preimage_table(*, learning_rate: float, reach: float, targets: int, points: int) -> pd.DataFrame:
    """Return the preimages counted for the scalar network of depth 2, as ``linear.gd_map.preimages`` has it.

    A row per target of the grid, with the columns ``PREIMAGES``.
    """
    import pandas as pd

    eta = learning_rate
    grid = midpoints(reach, targets)
    found = preimages(grid, eta)
    missed = np.abs(step(found, eta) - grid[:, None]).max(axis=-1)
    return pd.DataFrame(
        {
            "a": grid[:, 0],
            "b": grid[:, 1],
            "count": counts(found),
            "error": np.nanmax(missed, axis=-1) / np.maximum(1.0, np.abs(grid).max(axis=-1)),
            "learning_rate": eta,
            "area_ratio": area_ratio(eta, reach, targets, points),
        }
    )
