"""Gradient descent from many starts in the plane of GFS sharpness and product (figures 2c, 3 and 9).

In that plane a start needs a shape as well. Here minimisers ``z(l)_i = exp(l d_i)``, for a direction d with sum zero,
give each GFS sharpness above D once, at the l > 0 with ``sum_i exp(-2 l d_i) = phi``; the start is the point of the
gradient flow class of z(l) with the product asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfsharp.descent import DIVERGED_LOSS
from gfsharp.errors import UserError
from gfsharp.scalar.columns import Floats, as_weights, others_product
from gfsharp.scalar.invariant_set import in_invariant_set
from gfsharp.scalar.network import gd_step
from gfsharp.scalar.solution import column_gfs_sharpness, gfs_sharpness, gradient_flow_point
from replication.storage.table_schema import WEIGHTS, Column, Columns, of_run

if TYPE_CHECKING:
    import pandas as pd

# Runs that converge but whose GFS sharpness rises on the way are followed into the invariant set for so many steps.
_STEPS_INTO_SET = 1000

# A rise of GFS sharpness by less than this, relative to it, is rounding: its error is below 1e-13.
RISE = 1e-12

# Networks that descend together: their arrays stay in the processor's cache.
_BLOCK = 16_384
# Steps until the networks that are left are put into blocks anew; twice as many from one time to the next.
_FIRST_ROUND = 64

# Of scalar/plane.parquet.
COLUMNS: Columns = {
    **WEIGHTS,
    "product": Column("number", "w^D", "of the weights of the start"),
    "initial_gfs": Column("number", "L / w²", "GFS sharpness of the start"),
    **of_run("threshold"),
    "status": Column("text", "", "`converged`, `diverged` or `out of iterations`"),
    "steps": Column("whole number", "steps", "taken"),
    "final_gfs": Column("number", "L / w²", "GFS sharpness at the last iterate; empty where the run diverged"),
    "rises": Column(
        "whole number",
        "steps",
        "that raised the GFS sharpness by more than a relative 1e-12, or after which it does not exist",
    ),
    "last_rise": Column("whole number", "steps", "the last such step; 0 if there is none"),
    "crossing_loss": Column(
        "number",
        "L",
        "at the first iterate whose GFS sharpness is at most 2/eta after one above it; empty if there is none",
    ),
    "in_set": Column("truth", "", "whether the start is in the positive invariant set"),
    "first_in_set": Column(
        "whole number",
        "steps",
        "for runs that converge but rise on the way, the first iterate in the set; -1 if none of the first 1,000 is, "
        "and for all other runs",
    ),
}


@dataclass(frozen=True)
class Descents:
    """What became of each start; all of shape (n,).

    Attributes:
        status: ``converged``, ``diverged`` or ``out of iterations``.
        steps: taken.
        initial_gfs: GFS sharpness of the start.
        final_gfs: GFS sharpness at the last iterate, NaN where the run diverged; where it converged, its sharpness too.
        rises: steps that raised the GFS sharpness, or after which there was none.
        last_rise: the last such step, counted from one; 0 if there was none.
        crossing_loss: loss at the first iterate whose GFS sharpness is at most 2/eta after one above it; NaN if none.
    """

    status: NDArray[np.str_]
    steps: NDArray[np.int64]
    initial_gfs: Floats
    final_gfs: Floats
    rises: NDArray[np.int64]
    last_rise: NDArray[np.int64]
    crossing_loss: Floats


def table(
    *,
    direction: Sequence[float],
    learning_rate: float,
    gfs_sharpness: tuple[float, float],
    products: tuple[float, float],
    points: tuple[int, int],
    stop: Mapping[str, Any],
    threads: int = 1,
) -> pd.DataFrame:
    """Return a row per start of a grid, as the configuration's ``scalar.plane`` has it.

    Its columns are ``w1``, ``w2``, ..., ``product``, the fields of :class:`Descents`, ``in_set`` (whether the start is
    in the positive invariant set), ``first_in_set`` (:func:`first_in_set` of the runs that converge but rise on the
    way, -1 for all others) and ``threshold`` (2/eta).
    """
    import pandas as pd

    eta = learning_rate
    wanted = np.linspace(*gfs_sharpness, points[0]) * 2 / eta
    phi, product = np.meshgrid(wanted, np.linspace(*products, points[1]))
    w = starts(direction, phi.ravel(), product.ravel())
    found = descend(w, eta, loss_tolerance=stop["loss"], max_iterations=stop["iterations"], threads=threads)
    weights = {f"w{i + 1}": w[:, i] for i in range(w.shape[1])}
    rows = pd.DataFrame({**weights, "product": product.ravel(), **vars(found), "in_set": in_invariant_set(w, eta)})
    rising = (rows["rises"] > 0) & (rows["status"] == "converged")
    rows["first_in_set"] = -1
    rows.loc[rising, "first_in_set"] = first_in_set(w[rising], eta, _STEPS_INTO_SET)
    return rows.assign(threshold=2 / eta)


def starts(direction: Sequence[float], sharpness: Floats, products: Floats) -> Floats:
    """Return starts of the given GFS sharpness and product.

    Args:
        direction: d, one number per weight; its mean is taken off.
        sharpness: GFS sharpness, above the depth D, the least that a minimiser can have; shape (n,).
        products: shape (n,).

    Returns:
        Weights of shape (n, D).

    Raises:
        UserError: a GFS sharpness that no minimiser has, or a direction whose numbers are all the same.

    >>> w = starts([1.0, 0.0, -1.0], np.array([8.0]), np.array([0.5]))
    >>> np.round([w.prod(), *gfs_sharpness(w)], 9).tolist()
    [0.5, 8.0]
    """
    d = np.asarray(direction, dtype=np.float64) - np.mean(direction)
    if not np.ptp(d) > 0:
        raise UserError(f"the direction {list(direction)} has the same number for every weight: it gives no shape")
    if not (sharpness > len(d)).all():
        raise UserError(
            f"a network of depth {len(d)} has no minimiser of sharpness {np.min(sharpness):g}; give more than {len(d)}"
        )
    low, high = np.zeros(len(sharpness)), np.log(sharpness) / (2 * -d.min())
    for _ in range(100):  # to the last place
        middle = 0.5 * (low + high)
        above = np.sum(np.exp(-2 * middle[:, None] * d), axis=-1) > sharpness
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return gradient_flow_point(np.exp(high[:, None] * d), products)


def descend(
    w: Floats, learning_rate: float, *, loss_tolerance: float, max_iterations: int, track: bool = True, threads: int = 1
) -> Descents:
    """Run gradient descent from each row of ``w``, shape (n, D), as :func:`gfsharp.descent.gradient_descent` does from
    one.

    Args:
        track: follow the GFS sharpness; without it ``rises``, ``last_rise`` and ``crossing_loss`` are left at their
            first values, and a step takes a third of the time.
        threads: that share the work; the results do not depend on them.
    """
    weights = as_weights(w)
    phi = gfs_sharpness(weights)
    found = Descents(
        status=np.full(len(weights), "out of iterations"),
        steps=np.zeros(len(weights), dtype=np.int64),
        initial_gfs=phi,
        final_gfs=np.full(len(weights), np.nan),
        rises=np.zeros(len(weights), dtype=np.int64),
        last_rise=np.zeros(len(weights), dtype=np.int64),
        crossing_loss=np.full(len(weights), np.nan),
    )
    active = _Active(np.arange(len(weights)), weights.T.copy(), phi, np.zeros(len(weights)))
    first, length = 0, _FIRST_ROUND
    # NumPy lets other threads run while it computes; each writes to rows of its own.
    with ThreadPoolExecutor(threads) as pool:
        while first <= max_iterations and len(active.row):
            last = min(first + length, max_iterations + 1)
            advance = partial(_advance, found, learning_rate, loss_tolerance, max_iterations, track, range(first, last))
            # What is left of all blocks shares blocks again, so that stragglers do not each have one to themselves.
            active = _joined(list(pool.map(advance, active.blocks())))
            first, length = last, 2 * length
    return found


@dataclass
class _Active:
    """Networks that still descend: rows in the results, weights (D, n), GFS sharpness, a guess at the next solution."""

    row: NDArray[np.int64]
    w: Floats
    phi: Floats
    guess: Floats

    def only(self, wanted: Any) -> _Active:
        return _Active(self.row[wanted], self.w[:, wanted], self.phi[wanted], self.guess[wanted])

    def blocks(self) -> Iterator[_Active]:
        return (self.only(slice(i, i + _BLOCK)) for i in range(0, len(self.row), _BLOCK))


def _joined(parts: Sequence[_Active]) -> _Active:
    return _Active(
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.w for part in parts], axis=1),
        np.concatenate([part.phi for part in parts]),
        np.concatenate([part.guess for part in parts]),
    )


def _advance(
    found: Descents,
    eta: float,
    loss_tolerance: float,
    max_iterations: int,
    track: bool,
    steps: range,
    active: _Active,
) -> _Active:
    """Examine the iterates numbered ``steps`` and step from each, in place; return the networks that have not ended."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in steps:
            others = others_product(active.w)
            residual = active.w[0] * others[0] - 1.0
            loss = 0.5 * residual * residual
            if track and step:
                _follow(found, active, step, loss, 2 / eta)
            ended = ~((loss > loss_tolerance) & (loss <= DIVERGED_LOSS)) | (step == max_iterations)
            if ended.any():
                _record(found, active.only(ended), step, loss[ended], loss_tolerance)
                going = ~ended
                active, residual, others = active.only(going), residual[going], others[:, going]
                if not len(active.row):
                    break
            others *= eta * residual
            active.w -= others
    return active


def _follow(found: Descents, active: _Active, step: int, loss: Floats, threshold: float) -> None:
    """Compare the GFS sharpness with that of the iterate before."""
    before = active.phi
    active.phi, active.guess = column_gfs_sharpness(active.w, active.guess)
    rose = ~(active.phi <= before * (1 + RISE)) & (loss <= DIVERGED_LOSS)
    found.rises[active.row] += rose
    found.last_rise[active.row[rose]] = step
    crossed = (before > threshold) & (active.phi <= threshold) & np.isnan(found.crossing_loss[active.row])
    found.crossing_loss[active.row[crossed]] = loss[crossed]


def _record(found: Descents, ended: _Active, step: int, loss: Floats, tolerance: float) -> None:
    found.steps[ended.row] = step
    diverged = ~(loss <= DIVERGED_LOSS)
    found.status[ended.row[diverged]] = "diverged"
    found.status[ended.row[loss <= tolerance]] = "converged"
    found.final_gfs[ended.row] = np.where(diverged, np.nan, column_gfs_sharpness(ended.w)[0])


def first_in_set(w: Floats, learning_rate: float, steps: int) -> NDArray[np.int64]:
    """Return the first iterate, up to ``steps``, that is in the positive invariant set; -1 where there is none."""
    first = np.full(len(w), -1)
    current, row = as_weights(w), np.arange(len(w))
    for step in range(steps + 1):
        inside = in_invariant_set(current, learning_rate)
        first[row[inside]] = step
        current, row = gd_step(current[~inside], learning_rate), row[~inside]
        if not len(row):
            break
    return first


def choose_start(
    table: Mapping[str, NDArray[Any]], threshold: float, crossing_loss: float, largest_final: float
) -> int:
    """Return the row of the start for figure 9: GFS sharpness above 2/eta, loss near a given one when it crosses.

    Among the starts that converge, whose GFS sharpness never rises and ends at most at ``largest_final`` times 2/eta,
    it is the one whose loss at the crossing is nearest to ``crossing_loss``.

    Args:
        table: columns named as the fields of :class:`Descents`.
        threshold: 2/eta.

    Raises:
        UserError: there is no such start.
    """
    fits = (
        (table["status"] == "converged")
        & (table["initial_gfs"] > threshold)
        & (table["rises"] == 0)
        & (table["final_gfs"] <= largest_final * threshold)
        & np.isfinite(table["crossing_loss"])
    )
    if not fits.any():
        raise UserError(
            f"no start of the plane converges to at most {largest_final} of 2/eta from above it without a rise; "
            "let scalar.plane.gfs_sharpness reach beyond 1, widen scalar.plane.products or raise "
            "scalar.start.largest_final"
        )
    distance = np.where(fits, np.abs(table["crossing_loss"] - crossing_loss), math.inf)
    return int(np.argmin(distance))
