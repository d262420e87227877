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

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfs.linear import cases
from gfs.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# Smaller than this, relative to the largest, an eigenvalue of the Jacobian is zero but for rounding.
SINGULAR = 1e-13
# Points whose Hessians are computed at a time.
_BLOCK = 5_000
# Targets whose coordinates are equal up to sign to this are taken for degenerate.
_TIE = 1e-12
# A root of the quintic whose imaginary part is at most this, relative to its size, is real but for rounding.
_REAL = 1e-7
_NEWTON_STEPS = 4


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

    With ``r = eta (w_1 w_2 - 1)`` a step from w leads to ``(a, b) = (w_1 - r w_2, w_2 - r w_1)``, so that

        w_1 = (a + r b) / (1 - r^2),   w_2 = (b + r a) / (1 - r^2),   (1 + r/eta) (1 - r^2)^2 = (a + r b) (b + r a):

    one preimage for each real root r of a quintic. Where ``a = -b`` a factor ``(1 - r)^2`` is common to both sides; in
    its place come two points with ``w_1 - w_2 = a`` and ``w_1 w_2 = 1 + 1/eta``. Where ``a = b`` the factor is
    ``(1 + r)^2`` and the points have ``w_1 + w_2 = a`` and ``w_1 w_2 = 1 - 1/eta``, if there are such.

    Args:
        target: shape (n, 2).

    Returns:
        One to five points each, then NaN, of shape (n, 5, 2).

    >>> found = preimages(np.array([[0.0, 0.0]]), 0.5)[0]
    >>> np.sort(found[:, 0]).round(6).tolist()  # the origin, on each diagonal two
    [-1.732051, -1.0, 0.0, 1.0, 1.732051]
    """
    targets = np.asarray(target, dtype=np.float64)
    roots = _quintic_roots(targets, eta)
    a, b = targets[:, :1], targets[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        points = np.stack([a + roots * b, b + roots * a], axis=-1) / (1 - roots**2)[..., None]
    size = np.maximum(1.0, np.abs(targets).max(axis=-1))
    for i in np.flatnonzero(np.abs(np.abs(targets[:, 0]) - np.abs(targets[:, 1])) <= _TIE * size):
        points[i] = _degenerate(float(targets[i, 0]), float(targets[i, 1]), eta)
    points = _polished(points, targets, eta)
    order = np.argsort(np.isnan(points[..., 0]), axis=-1, kind="stable")
    return np.take_along_axis(points, order[..., None], axis=1)


def _quintic_roots(targets: Floats, eta: float) -> Floats:
    """The real roots r, shape (n, 5), NaN in the place of others."""
    a, b = targets.T
    # (1 + r/eta) (1 - r^2)^2 - (a + r b) (b + r a), from r^5 down, times eta.
    coefficients = np.stack(
        [
            np.full_like(a, eta),
            np.full_like(a, -2.0),
            -2 * eta - eta * a * b,
            1 - eta * (a**2 + b**2),
            eta - eta * a * b,
        ],
        axis=-1,
    )
    companion = np.zeros((len(targets), 5, 5))
    companion[:, np.arange(1, 5), np.arange(4)] = 1.0
    companion[:, 0] = -coefficients
    roots = np.linalg.eigvals(companion)
    return np.where(np.abs(roots.imag) <= _REAL * np.maximum(1.0, np.abs(roots)), roots.real, np.nan)


def _degenerate(a: float, b: float, eta: float) -> Floats:
    """The preimages of (a, b) where the two are equal up to their sign, shape (5, 2)."""
    # Of the points with r = -+1: their sum a and product 1 - 1/eta, their difference a and product 1 + 1/eta.
    with np.errstate(invalid="ignore"):
        same = np.sqrt(a**2 - 4 * (1 - 1 / eta))
        opposite = np.sqrt(a**2 + 4 * (1 + 1 / eta))
    on_sums = [((a + sign * same) / 2, (a - sign * same) / 2) for sign in (1, -1)]
    on_differences = [((a + sign * opposite) / 2, (-a + sign * opposite) / 2) for sign in (1, -1)]
    if abs(a) <= _TIE:
        return np.array([(0.0, 0.0), *on_sums, *on_differences])
    sign = 1.0 if a * b > 0 else -1.0
    # (1 + r/eta) (1 - sign r)^2 = sign a^2
    found = np.roots([1.0, eta - 2 * sign, 1 - 2 * sign * eta, eta - sign * eta * a**2])
    real = np.where(np.abs(found.imag) <= _REAL * np.maximum(1.0, np.abs(found)), found.real, np.nan)
    first = a / (1 - sign * real)
    return np.concatenate([np.stack([first, sign * first], axis=-1), on_sums if sign > 0 else on_differences])


def step(points: Floats, eta: float) -> Floats:
    """Return a step of gradient descent on the scalar network of depth 2 from points of shape (..., 2)."""
    first, second = points[..., 0], points[..., 1]
    r = eta * (first * second - 1)
    return np.stack([first - r * second, second - r * first], axis=-1)


def determinant(points: Floats, eta: float) -> Floats:
    """Return the determinant of the step's Jacobian at points of shape (..., 2)."""
    first, second = points[..., 0], points[..., 1]
    return (1 - eta * second**2) * (1 - eta * first**2) - (eta * (2 * first * second - 1)) ** 2


def _polished(points: Floats, targets: Floats, eta: float) -> Floats:
    """Take Newton steps: near r = +-1 the formulas divide by little."""
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            first, second = points[..., 0], points[..., 1]
            missing = step(points, eta) - targets[:, None]
            own, other = (1 - eta * second**2, 1 - eta * first**2), -eta * (2 * first * second - 1)
            scale = determinant(points, eta)
            change = np.stack(
                [
                    (own[1] * missing[..., 0] - other * missing[..., 1]) / scale,
                    (own[0] * missing[..., 1] - other * missing[..., 0]) / scale,
                ],
                axis=-1,
            )
            moved = points - change
            better = np.abs(step(moved, eta) - targets[:, None]).max(axis=-1) < np.abs(missing).max(axis=-1)
            points = np.where(better[..., None], moved, points)
    return points


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


def table(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the shares of near-singular points, as the configuration's ``linear.gd_map`` has it.

    A row per network, learning rate and epsilon: ``network``, ``depth``, ``learning_rate``, ``epsilon``, ``share`` (of
    points at most that far from singular), ``points``, ``singular`` (points at which the Jacobian is singular but for
    rounding), ``exponent`` (:func:`exponent`) and ``exponent_error``, its standard error. The
    networks of depth one, at the step where their map is singular everywhere, are marked by ``control``.
    """
    import pandas as pd

    low, high = settings["epsilon"]
    levels = np.geomspace(low, high, settings["levels"])
    rows: list[dict[str, Any]] = []
    for widths in settings["networks"]:
        network = cases.gaussian_network(widths, settings["samples"], settings["seed"])
        generator = np.random.default_rng([settings["seed"], network.size])
        w = settings["deviation"] * generator.normal(size=(settings["points"], network.size))
        for rate in settings["learning_rates"]:
            rows += _rows(network, rate, w, levels, settings["nearest"], control=False)
    widths = (settings["networks"][0][0], settings["networks"][0][-1])
    single = cases.gaussian_network(widths, settings["samples"], settings["seed"])
    rate = 1 / float(np.linalg.eigvalsh(single.covariance)[0])
    w = np.random.default_rng(settings["seed"]).normal(size=(settings["points"], single.size))
    return pd.DataFrame([*rows, *_rows(single, rate, w, levels, settings["nearest"], control=True)])


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


def preimage_table(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the preimages counted for the scalar network of depth 2, as ``linear.gd_map.preimages`` has it.

    A row per target of the grid: ``a``, ``b``, ``count``, ``error`` (how far the preimages are mapped from the target,
    relative to its size or to 1); and ``learning_rate`` and ``area_ratio`` (:func:`area_ratio`), the same in all.
    """
    import pandas as pd

    eta, reach, side = settings["learning_rate"], settings["reach"], settings["targets"]
    grid = midpoints(reach, side)
    found = preimages(grid, eta)
    missed = np.abs(step(found, eta) - grid[:, None]).max(axis=-1)
    return pd.DataFrame(
        {
            "a": grid[:, 0],
            "b": grid[:, 1],
            "count": counts(found),
            "error": np.nanmax(missed, axis=-1) / np.maximum(1.0, np.abs(grid).max(axis=-1)),
            "learning_rate": eta,
            "area_ratio": area_ratio(eta, reach, side, settings["points"]),
        }
    )
