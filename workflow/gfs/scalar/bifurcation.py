"""GPGD's periodic points and where it is chaotic, beside gradient descent (Sections 3.6 and B.2; figures 4, 10, 11).

On the gradient flow class of w a GPGD step (equation 3) is a map of the product alone, ``x -> F(x) = x prod_i (1 + eta
(1 - x) x / w_i(x)^2)``. Zhu et al. (2023) fix the GFS sharpness as well; to leading order in eta, for depth 4 with
``w_1 = w_2`` and ``w_3 = w_4``, their map is ``x -> x (1 - (eta phi / 2) (x - 1))^2``.

An orbit is periodic if its last products repeat, and chaotic if they do not and its Lyapunov exponent, the mean of
``log |F'|`` along the orbit, is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfs.scalar.columns import Floats, as_weights
from gfs.scalar.invariant_set import in_invariant_set
from gfs.scalar.network import product
from gfs.scalar.solution import gfs_sharpness, log_smallest_square, squares_above_smallest

if TYPE_CHECKING:
    import pandas as pd

# Products of an orbit this close count as the same, and an orbit this close to its limit as settled there.
_SAME = 1e-5
_SETTLED = 1e-6

# Least Lyapunov exponent that counts as positive: its error over 1,000 steps is a few hundredths at most.
_POSITIVE = 0.05


class ProductMap(Protocol):
    """A map of the product, for many networks at once."""

    def step(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the next products and the map's derivative at ``x``, each of shape (n,)."""


class GPGD:
    """F on the gradient flow classes of the rows of ``w``, shape (n, D), for one ``eta`` or one for each row."""

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


class Zhu:
    """The approximation of Zhu et al. (2023) at GFS sharpness ``phi``, shape (n,)."""

    def __init__(self, phi: Floats, eta: float) -> None:
        self._rate = eta * phi / 2

    def step(self, x: Floats) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            factor = 1.0 - self._rate * (x - 1.0)
            return x * factor**2, factor**2 - 2.0 * self._rate * x * factor


@dataclass(frozen=True)
class Orbits:
    """The ends of orbits.

    Attributes:
        products: the last ones, shape (n, kept); not finite where the orbit has left the range of float64.
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


def orbits(product_map: ProductMap, x: Floats, *, steps: int, kept: int) -> Orbits:
    """Follow the map from products ``x``, shape (n,), for ``steps`` steps and keep the last ``kept``.

    >>> phi = np.array([1.9, 2.1]) / 0.1  # below and above 2/eta
    >>> orbits(Zhu(phi, 0.1), np.array([1.2, 1.2]), steps=2000, kept=16).period.tolist()
    [1, 2]
    """
    if not 0 < kept <= steps:
        raise ValueError(f"an orbit of {steps} steps cannot keep its last {kept}")
    products = np.empty((len(x), kept))
    exponent = np.zeros(len(x))
    with np.errstate(divide="ignore", invalid="ignore"):
        for step in range(steps):
            x, derivative = product_map.step(x)
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
    """Compare a run of gradient descent with GPGD and, on its slice, with Zhu et al.

    Args:
        iterations: shape (n,), rising.
        w: the iterates, shape (n, D).
        steps, kept: of each orbit (see :func:`orbits`).

    Returns:
        A table with a row per iterate, and one with a row per product that its orbits end in. ``distance`` is that from
        the iterate's product to the nearest of them, ``two_step_error`` that from the product two steps on to what two
        steps of the map give; NaN where that iterate is not in ``w``. The columns that begin with ``zhu`` are NaN off
        the slice ``w_1 = w_2, w_3 = w_4``. ``shuffled_distance`` is the distance if the products above 2/eta came in
        another order: a null control.
    """
    import pandas as pd

    x, phi = product(w), gfs_sharpness(w)
    consecutive = iterations[2:] - iterations[:-2] == 2
    table: dict[str, NDArray[Any]] = {"iteration": iterations, **{f"w{i + 1}": w[:, i] for i in range(w.shape[1])}}
    table |= {"product": x, "gfs_sharpness": phi, "threshold": np.full(len(x), 2 / eta)}
    table["in_set"] = in_invariant_set(w, eta)
    columns, ends = _against(GPGD(w, eta), x, consecutive, steps, kept)
    table |= columns
    # A null control: the distance if the products above 2/eta came in another order.
    above = np.flatnonzero(phi > 2 / eta)
    shuffled = np.random.default_rng(0).permutation(x[above])
    table["shuffled_distance"] = np.full(len(x), np.nan)
    table["shuffled_distance"][above] = distance_to_orbits(shuffled, ends.products[above])
    found = [_long(iterations, phi, "gpgd", ends)]
    if w.shape[1] == 4 and (w[:, 0] == w[:, 1]).all() and (w[:, 2] == w[:, 3]).all():
        columns, ends = _against(Zhu(phi, eta), x, consecutive, steps, kept)
        found.append(_long(iterations, phi, "zhu", ends))
    else:
        columns = dict.fromkeys(columns, np.full(len(x), np.nan))
    table |= {f"zhu_{name}": values for name, values in columns.items()}
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


def _against(
    product_map: ProductMap, x: Floats, consecutive: NDArray[np.bool_], steps: int, kept: int
) -> tuple[dict[str, NDArray[Any]], Orbits]:
    ends = orbits(product_map, x, steps=steps, kept=kept)
    twice, _ = product_map.step(product_map.step(x)[0])
    error = np.full(len(x), np.nan)
    error[:-2] = np.where(consecutive, np.abs(twice[:-2] - x[2:]), np.nan)
    return {
        "period": ends.period,
        "lyapunov": ends.lyapunov,
        "chaotic": ends.chaotic,
        "distance": distance_to_orbits(x, ends.products),
        "two_step_error": error,
    }, ends


def _long(iterations: NDArray[np.int64], phi: Floats, name: str, ends: Orbits) -> pd.DataFrame:
    """A row per product that an orbit ends in: those of one period, or all that were kept."""
    import pandas as pd

    kept = ends.products.shape[1]
    counts = np.where(ends.period > 0, ends.period, kept)
    wanted = np.arange(kept) >= kept - counts[:, None]
    return pd.DataFrame(
        {
            "iteration": np.repeat(iterations, counts),
            "gfs_sharpness": np.repeat(phi, counts),
            "map": name,
            "product": ends.products[wanted],
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
