"""GPGD's periodic points and where it is chaotic, beside gradient descent (Sections 3.6 and B.2; figures 4, 10, 11).

On the gradient flow class of w a GPGD step (equation 3) is a map of the product alone, ``x -> F(x) = x prod_i (1 + eta
(1 - x) x / w_i(x)^2)``. Zhu et al. (2023) approximate two steps of gradient descent at once, at depth 4 with ``w_1 =
w_2`` and ``w_3 = w_4``: see :class:`ZhuTwoSteps`.

An orbit is periodic if its last numbers repeat, and chaotic if they do not and its Lyapunov exponent, the mean of
``log |F'|`` along the orbit, is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfsharp.scalar.columns import Floats, as_weights
from gfsharp.scalar.invariant_set import in_invariant_set
from gfsharp.scalar.network import gd_step, product
from gfsharp.scalar.solution import gfs_sharpness, log_smallest_square, squares_above_smallest
from replication.storage.table_schema import WEIGHTS, Column, Columns, of_run

if TYPE_CHECKING:
    import pandas as pd

# Products of an orbit this close count as the same, and an orbit this close to its limit as settled there.
_SAME = 1e-5
_SETTLED = 1e-6

# Least Lyapunov exponent that counts as positive: its error over 1,000 steps is a few hundredths at most.
_POSITIVE = 0.05


_ITERATE: Columns = {
    "iteration": Column("whole number", "steps", "of gradient descent"),
    "gfs_sharpness": Column("number", "L / w²", "at the iterate"),
    **of_run("experiment", "run"),
}

# Of gpgd/iterates.parquet.
ITERATES: Columns = {
    **_ITERATE,
    **WEIGHTS,
    "product": Column("number", "w^D", "of the iterate"),
    **of_run("threshold", "status"),
    "in_set": Column("truth", "", "whether the iterate is in the positive invariant set"),
    "two_steps_on": Column("number", "w^D", "the product after two more steps of gradient descent"),
    "period": Column(
        "whole number",
        "steps",
        "of the orbit in which GPGD ends; 0 if no period is shorter than half of the products kept, or if the orbit "
        "has not settled after the steps that the configuration gives it (near a bifurcation)",
    ),
    "lyapunov": Column("number", "1 / step", "mean of log abs(F') along the orbit"),
    "chaotic": Column("truth", "", "whether it is above 0.05 and the orbit has no period"),
    "distance": Column(
        "number", "w^D", "from the product to the nearest product of its orbit; infinite or empty if that is unbounded"
    ),
    "two_step_error": Column("number", "w^D", "distance from the result of two GPGD steps to `two_steps_on`"),
    "shuffled_distance": Column("number", "w^D", "the distance with the products above 2/eta shuffled: a null control"),
    "zhu_a": Column(
        "number",
        "",
        "the a of Zhu et al., which their approximation conserves: 0 at a GFS sharpness of 2/eta; empty, as all of "
        "theirs, outside their slice",
    ),
    "zhu_period": Column(
        "whole number",
        "steps",
        "of their approximation, in steps of gradient descent; one of its steps is two",
        if_empty="number",
    ),
    "zhu_lyapunov": Column("number", "1 / step", "by steps of gradient descent"),
    "zhu_chaotic": Column("truth", "", "the same for their approximation", if_empty="number"),
    "zhu_distance": Column("number", "w^D", "the same for their approximation"),
    "zhu_two_step_error": Column("number", "w^D", "distance from the result of one of its steps to `two_steps_on`"),
}

# Of gpgd/orbits.parquet.
ORBITS: Columns = {
    **_ITERATE,
    "map": Column("text", "", "`gpgd` or `zhu`"),
    "product": Column("number", "w^D", "one in which the orbit of the iterate ends"),
}


class Map(Protocol):
    """A map of one number, for many networks at once."""

    def step(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the next numbers and the map's derivative at ``x``, each of shape (n,)."""


class GPGD:
    """F, a map of the product, on the gradient flow classes of the rows of ``w``, shape (n, D).

    For one ``eta``, or one for each row.
    """

    def __init__(self, w: Floats, eta: float | Floats) -> None:
        self._differences, exists = squares_above_smallest(as_weights(w).T.copy())
        self._missing = ~exists
        # A class whose smallest weights tie ends at product zero.
        self._tied = np.count_nonzero(self._differences == 0, axis=0) > 1
        self._eta = eta

    def step(self, x: Floats) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            usable = np.isfinite(x) & (x != 0) & ~self._missing & ~(self._tied & (x < 0))
            safe = np.where(usable, x, 1.0)
            squares = self._differences + np.exp(log_smallest_square(self._differences, 2 * np.log(np.abs(safe))))
            inverse = 1.0 / squares
            factors = 1.0 + self._eta * (1.0 - safe) * safe * inverse
            following = safe * np.multiply.reduce(factors, axis=0)
            # d log w_i^2 / d log x = 2 q_i with q_i = w_i^-2 / sum_j w_j^-2, as the sum of these is 2.
            q = inverse / np.add.reduce(inverse, axis=0)
            slopes = self._eta * safe * inverse * ((1.0 - 2.0 * q) * (1.0 - safe) - safe)
            derivative = following / safe * (1.0 + np.add.reduce(slopes / factors, axis=0))
        return np.where(usable, following, np.nan), np.where(usable, derivative, np.nan)


class ZhuTwoSteps:
    r"""Two steps of gradient descent as Zhu et al. (2023) approximate them (their equation 13 at a fixed a).

    With ``kappa = sqrt(eta)`` and their coordinates a and b (:func:`zhu_coordinates`) it is the map of b

    ``b -> b (1 + 8 a kappa - 16 b^2)``.

    It keeps the terms of lowest order in b and ``a kappa``: with b of order e and ``a kappa`` of order e^2 it moves b
    by order e^3 and is wrong by order e^4, beside a part that vanishes with eta. Its fixed points are ``b = 0``, stable
    for ``-2 < 8 a kappa < 0``, and ``b = +-sqrt(a kappa / 2)``, stable for ``0 < 8 a kappa < 1``. The latter are of
    period 2 for gradient descent, which goes to and fro between them. From ``8 a kappa = 1`` on periods double, up to
    chaos at 1.30; above 2 nearly every orbit leaves all bounds, and below that those that start from ``16 b^2 > 2 + 8 a
    kappa`` do.

    Args:
        a: shape (n,).
        eta: the step size.

    >>> approximation = ZhuTwoSteps(np.array([0.5]), 0.01)  # kappa = 0.1
    >>> round(approximation.step(np.array([0.25]))[0].item(), 12)  # towards sqrt(0.5 * 0.1 / 2) = 0.158
    0.1
    """

    def __init__(self, a: Floats, eta: float) -> None:
        self._drive = zhu_drive(a, eta)

    def step(self, b: Floats) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            square = 16.0 * b * b
            return b * (1.0 + self._drive - square), 1.0 + self._drive - 3.0 * square


def zhu_coordinates(w: Floats, eta: float) -> tuple[Floats, Floats]:
    r"""Return a and b of Zhu et al. (2023; their equations 5 and 7), each of shape (n,).

    With ``x = w_1 = w_2`` and ``y = w_3 = w_4`` they are ``a = |x^2 - y^2|^(1/2) - (eta^-2 - 4)^(1/4)`` and ``b = x y -
    1``. The product is ``pi = (1 + b)^2``. The GFS sharpness is ``phi = 2 ((x^2 - y^2)^2 + 4)^(1/2)``, so that a rises
    with it, from ``-(eta^-2 - 4)^(1/4)`` at the least sharp minimum to 0 at ``2/eta`` and on without bound.

    Args:
        w: shape (n, 4), on their slice (:func:`on_zhu_slice`).
        eta: the step size. From 1/2 on no minimum is stable; above it there is no a, which is then NaN.

    >>> a, b = zhu_coordinates(np.array([[12.5, 12.5, 0.05, 0.05]]), 0.01)  # their start
    >>> round(a.item(), 4), round(b.item(), 4)
    (2.5009, -0.375)
    """
    x, y = w[:, 0], w[:, 2]
    with np.errstate(over="ignore", invalid="ignore"):
        at_threshold = np.sqrt(np.sqrt((1.0 - 2.0 * eta) * (1.0 + 2.0 * eta)) / np.float64(eta))
        return np.sqrt(np.abs((x - y) * (x + y))) - at_threshold, x * y - 1.0


def zhu_drive(a: Floats, eta: float) -> Floats:
    """Return ``8 a kappa``, on which alone depends how the approximation of Zhu et al. behaves, shape of ``a``."""
    return 8.0 * math.sqrt(eta) * a


def zhu_period_at_most_two(a: Floats, eta: float) -> NDArray[np.bool_]:
    """Return where the approximation of Zhu et al. settles at one product or goes to and fro between two, shape (n,).

    That is where a fixed point of theirs is stable, ``-2 <= 8 a kappa <= 1``: see :class:`ZhuTwoSteps`.
    """
    drive = zhu_drive(a, eta)
    return (drive >= -2.0) & (drive <= 1.0)


def on_zhu_slice(w: Floats) -> bool:
    """Return whether all networks, shape (n, D), have depth 4 with ``w_1 = w_2`` and ``w_3 = w_4``."""
    return w.shape[1] == 4 and bool((w[:, 0] == w[:, 1]).all() and (w[:, 2] == w[:, 3]).all())


@dataclass(frozen=True)
class Orbits:
    """The ends of orbits.

    Attributes:
        products: the last numbers, of GPGD products, shape (n, kept); not finite where the orbit has left the range of
            float64.
        period: the smallest one with which they repeat, below half of ``kept``; 0 where there is none, or where the
            orbit is still on its way to it.
        lyapunov: exponent per step over the later half of the orbit.
    """

    products: Floats
    period: NDArray[np.int64]
    lyapunov: Floats

    @property
    def chaotic(self) -> NDArray[np.bool_]:
        """Where the orbit stays bounded, has no period and a positive Lyapunov exponent."""
        return np.isfinite(self.products).all(axis=-1) & (self.period == 0) & (self.lyapunov > _POSITIVE)


def orbits(along: Map, x: Floats, *, steps: int, kept: int) -> Orbits:
    """Follow a map from ``x``, shape (n,), for ``steps`` steps and keep the last ``kept``.

    >>> settling, doubled = (np.full(1, drive / 0.8) for drive in (0.9, 1.1))  # 8 a kappa below and above 1
    >>> [orbits(ZhuTwoSteps(a, 0.01), np.full(1, 0.1), steps=2000, kept=16).period.item() for a in (settling, doubled)]
    [1, 2]
    """
    if not 0 < kept <= steps:
        raise ValueError(f"an orbit of {steps} steps cannot keep its last {kept}")
    products = np.empty((len(x), kept))
    exponent = np.zeros(len(x))
    with np.errstate(divide="ignore", invalid="ignore"):
        for step in range(steps):
            x, derivative = along.step(x)
            if step >= steps - kept:
                products[:, step - (steps - kept)] = x
            if step >= steps // 2:
                exponent += np.log(np.abs(derivative))
    exponent /= steps - steps // 2
    return Orbits(products, _periods(products, exponent), exponent)


def distance_to_orbits(x: Floats, products: Floats) -> Floats:
    """Return how far each product ``x``, shape (n,), is from the nearest of its orbit's, shape (n, kept)."""
    return np.min(np.abs(products - x[:, None]), axis=-1)


def beside_descent(
    iterations: NDArray[np.int64], w: Floats, eta: float, *, steps: int, kept: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare a run of gradient descent with GPGD and, on their slice, with the approximation of Zhu et al.

    Args:
        iterations: shape (n,), rising.
        w: the iterates, shape (n, D).
        eta: the step size.
        steps, kept: of each orbit (see :func:`orbits`); the approximation's are two of gradient descent each.

    Returns:
        A table with a row per iterate, and one with a row per product that its orbits end in. ``two_steps_on`` is the
        product two steps of gradient descent on. ``distance`` is that from the iterate's product to the nearest in
        which its orbit ends, ``two_step_error`` that from ``two_steps_on`` to what two steps of GPGD give, or one of
        the approximation; neither is finite where there is no such product. The columns that begin with ``zhu`` are NaN
        off the slice ``w_1 = w_2, w_3 = w_4``; ``zhu_period`` and ``zhu_lyapunov`` count steps of gradient descent.
        ``shuffled_distance`` is the distance if the products above 2/eta came in another order: a null control.
    """
    import pandas as pd

    x, phi = product(w), gfs_sharpness(w)
    with np.errstate(over="ignore", invalid="ignore"):
        on = product(gd_step(gd_step(w, eta), eta))
    table: dict[str, NDArray[Any]] = {"iteration": iterations, **{f"w{i + 1}": w[:, i] for i in range(w.shape[1])}}
    table |= {"product": x, "gfs_sharpness": phi, "threshold": np.full(len(x), 2 / eta)}
    table |= {"in_set": in_invariant_set(w, eta), "two_steps_on": on}
    gpgd = GPGD(w, eta)
    ends = orbits(gpgd, x, steps=steps, kept=kept)
    table |= _compared(x, on, ends, gpgd.step(gpgd.step(x)[0])[0])
    # A null control: the distance if the products above 2/eta came in another order.
    above = np.flatnonzero(phi > 2 / eta)
    shuffled = np.random.default_rng(0).permutation(x[above])
    table["shuffled_distance"] = np.full(len(x), np.nan)
    table["shuffled_distance"][above] = distance_to_orbits(shuffled, ends.products[above])
    found = [_long(iterations, phi, "gpgd", ends.period, ends.products)]
    if on_zhu_slice(w):
        columns, products = _beside_zhu(w, eta, x, on, steps, kept)
        found.append(_long(iterations, phi, "zhu", columns["zhu_period"], products))
        table |= columns
    else:
        table |= dict.fromkeys(_ZHU_COLUMNS, np.full(len(x), np.nan))
    return pd.DataFrame(table), pd.concat(found, ignore_index=True)


def with_ending(iterates: pd.DataFrame, trajectory: pd.DataFrame) -> pd.DataFrame:
    """Return the iterates with a column ``status``, and with a last one, of no numbers, if the run diverged there."""
    import pandas as pd

    status = trajectory.set_index("iteration")["status"]
    known = iterates.assign(status=status.reindex(iterates["iteration"]).to_numpy(dtype=object))
    last = trajectory.iloc[-1]
    if last["status"] != "diverged":
        return known
    row: dict[Any, Any] = {name: 0 if dtype.kind in "bi" else math.nan for name, dtype in known.dtypes.items()}
    row |= {"iteration": last["iteration"], "threshold": last["threshold"], "status": "diverged"}
    return pd.concat([known, pd.DataFrame([row]).astype(known.dtypes.to_dict())], ignore_index=True)


def above_threshold(iterates: pd.DataFrame) -> pd.DataFrame:
    """Return the iterates whose GFS sharpness is above 2/eta."""
    return iterates[iterates["gfs_sharpness"] > iterates["threshold"]]


def root_mean_square(values: pd.Series) -> float:
    """Return the root of the mean of the squares, of those that are there."""
    return float(np.sqrt((values**2).mean()))


_COMPARED = ("period", "lyapunov", "chaotic", "distance", "two_step_error")
_ZHU_COLUMNS = ("zhu_a", *(f"zhu_{name}" for name in _COMPARED))


def _compared(x: Floats, on: Floats, ends: Orbits, predicted: Floats) -> dict[str, NDArray[Any]]:
    """The columns that say how a map does beside products ``x`` and those two steps on."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(predicted - on)
    columns = (ends.period, ends.lyapunov, ends.chaotic, distance_to_orbits(x, ends.products), error)
    return dict(zip(_COMPARED, columns, strict=True))


def _beside_zhu(
    w: Floats, eta: float, x: Floats, on: Floats, steps: int, kept: int
) -> tuple[dict[str, NDArray[Any]], Floats]:
    """The columns of the approximation of Zhu et al., and the products that its orbits end in."""
    a, b = zhu_coordinates(w, eta)
    two_steps = ZhuTwoSteps(a, eta)
    ends = orbits(two_steps, b, steps=steps, kept=kept)
    with np.errstate(over="ignore", invalid="ignore"):
        products = (1.0 + ends.products) ** 2
        predicted = (1.0 + two_steps.step(b)[0]) ** 2
    at_minimum = (ends.period == 1) & (2 * np.abs(products[:, -1] - 1.0) < _SAME)
    of_descent = replace(
        ends,
        products=products,
        period=np.where(at_minimum, 1, 2 * ends.period),
        lyapunov=ends.lyapunov / 2,
    )
    columns = _compared(x, on, of_descent, predicted) | {"chaotic": ends.chaotic}
    return {"zhu_a": a, **{f"zhu_{name}": values for name, values in columns.items()}}, products


def _long(
    iterations: NDArray[np.int64], phi: Floats, name: str, period: NDArray[np.int64], products: Floats
) -> pd.DataFrame:
    """A row per product that an orbit ends in: those of one period, or all that were kept; none of an unbounded one."""
    import pandas as pd

    kept = products.shape[1]
    counts = np.where(period > 0, period, kept)
    wanted = (np.arange(kept) >= kept - counts[:, None]) & np.isfinite(products)
    counts = np.count_nonzero(wanted, axis=1)
    return pd.DataFrame(
        {
            "iteration": np.repeat(iterations, counts),
            "gfs_sharpness": np.repeat(phi, counts),
            "map": name,
            "product": products[wanted],
        }
    )


def _periods(products: Floats, lyapunov: Floats) -> NDArray[np.int64]:
    periods = np.zeros(len(products), dtype=np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        for period in range((products.shape[1] - 1) // 2, 0, -1):
            repeats = (np.abs(products[:, period:] - products[:, :-period]) < _SAME).all(axis=-1)
            # An orbit that still approaches its limit moves by so much of the distance that is left; over two periods,
            # as it may do so from alternate sides.
            moved = np.abs(products[:, 2 * period :] - products[:, : -2 * period]).max(axis=-1)
            share = -np.expm1(2 * period * np.minimum(lyapunov, 0.0))
            periods[repeats & (moved <= _SETTLED * share)] = period
    return periods
