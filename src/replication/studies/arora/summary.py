"""What is read off :func:`replication.studies.arora.phases.table`: errors against the step size, rates, phase one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.monotonicity import above_least

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

RUN = ["problem", "descent", "start", "learning_rate"]


def at_smallest_step(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each problem's and method's smallest learning rate."""
    smallest = table.groupby(["problem", "descent"])["learning_rate"].transform("min")
    return table[table["learning_rate"] == smallest]


def by_run(table: pd.DataFrame, column: str, of_run: str = "max") -> pd.DataFrame:
    """Return a column in phase two, a row per run; ``of_run`` as for :func:`over_starts`."""
    return table[table["phase"] == 2].groupby(RUN, as_index=False, sort=False)[[column]].agg(of_run)


def over_starts(table: pd.DataFrame, column: str, of_run: str = "max", of_starts: str = "max") -> pd.DataFrame:
    """Return a column in phase two, a row per ``problem``, ``descent`` and ``learning_rate``.

    Args:
        of_run: what is made of a run's iterates (a name that pandas has, such as ``max``, ``mean`` or ``median``).
        of_starts: what is made of the runs from several starts.
    """
    runs = by_run(table, column, of_run)
    return runs.groupby(["problem", "descent", "learning_rate"], as_index=False, sort=False)[[column]].agg(of_starts)


def order(learning_rates: ArrayLike, errors: ArrayLike) -> tuple[float, float]:
    """Return p of the fit ``error = C eta^p`` and the standard error of p, both NaN for fewer than three step sizes.

    By least squares in the logarithms.

    >>> order([0.1, 0.01, 0.001], [0.5, 0.05, 0.005])
    (1.0, 0.0)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (np.log(np.asarray(values, dtype=np.float64)) for values in (learning_rates, errors))
    if len(x) < 3 or not np.isfinite(y).all():
        return math.nan, math.nan
    across = x - x.mean()
    slope = float(across @ y / (across @ across))
    left = y - y.mean() - slope * across
    return round(slope, 12), round(float(np.sqrt(left @ left / (len(x) - 2) / (across @ across))), 12)


def orders(table: pd.DataFrame, column: str, of_run: str = "max", of_starts: str = "max") -> pd.DataFrame:
    """Return :func:`order` of :func:`over_starts`: ``problem``, ``descent``, ``order`` and ``deviation``."""
    import pandas as pd

    rows = []
    for (problem, descent), group in over_starts(table, column, of_run, of_starts).groupby(
        ["problem", "descent"], sort=False
    ):
        slope, deviation = order(group["learning_rate"], group[column])
        rows.append({"problem": problem, "descent": descent, "order": slope, "deviation": deviation})
    return pd.DataFrame(rows, columns=["problem", "descent", "order", "deviation"])


def of_runs(table: pd.DataFrame, value: Callable[[pd.DataFrame], float]) -> Iterator[tuple[Any, float]]:
    """Yield each run's ``(problem, descent, start, learning_rate)`` and a value of its table."""
    for key, run in table.groupby(RUN, sort=False):
        yield key, float(value(run))


def drift_rate(run: pd.DataFrame) -> float:
    """Return the rate of the drift in phase two in units of that of the limiting flow; NaN without a phase two.

    The tau at which the flow has the GFS sharpness of an iterate is found by interpolation; its slope against the tau
    of the iterate is the rate, by least squares with an intercept, which takes up what phase one left. Weighted by how
    fast the sharpness of the flow falls there.
    """
    flow = run.sort_values("tau")
    falling = np.minimum.accumulate(flow["flow_sharpness"].to_numpy())
    times = flow["tau"].to_numpy()
    two = flow[flow["phase"] == 2]
    two = two[np.isfinite(two["gfs_sharpness"])]
    value = two["gfs_sharpness"].to_numpy()
    tau = two["tau"].to_numpy()
    # Where the flow has no such sharpness there is no such time: but for the start, where rounding would decide.
    within = value >= falling[-1]
    value, tau = value[within], tau[within]
    if len(value) < 3 or np.ptp(tau) == 0:
        return math.nan
    found = np.interp(value, falling[::-1], times[::-1])
    speeds = np.abs(np.gradient(falling, times)) if len(np.unique(times)) == len(times) else np.ones(len(times))
    weights = np.interp(found, times, speeds) ** 2
    mean_tau, mean_found = np.average(tau, weights=weights), np.average(found, weights=weights)
    spread = np.average((tau - mean_tau) ** 2, weights=weights)
    return float(np.average((tau - mean_tau) * (found - mean_found), weights=weights) / spread)


def largest_rise(run: pd.DataFrame) -> float:
    """Return the largest ``phi(t) / min_{s<t} phi(s) - 1`` in phase two, phi the GFS sharpness; NaN without one."""
    values = run.loc[run["phase"] == 2, "gfs_sharpness"].to_numpy()
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan
    return float(np.max(above_least(values)))


def phase_one(run: pd.DataFrame) -> float:
    """Return ``eta`` times the steps of phase one over what gradient flow takes; NaN if it did not end."""
    first = run.iloc[0]
    return float(first["learning_rate"] * first["turn"] / first["approach"]) if first["turn"] >= 0 else math.nan
