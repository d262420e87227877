"""What is measured on training runs: each takes an experiment's table; over several runs the worst one counts.

NaN: the table has nothing to judge by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gfs.rises import above_least

Floats = NDArray[np.float64]

# Fewer measured points than this at the edge of stability say nothing of a median.
_LEAST_AT_EDGE = 10


def largest_gfs_rise(table: pd.DataFrame) -> float:
    """Largest ``phi(t) / min_{s<t} phi(s) - 1`` over the checkpoints of all runs: a creeping rise adds up."""
    return worst_run(table, _largest_gfs_rise, max)


def share_of_gfs_decreases(table: pd.DataFrame) -> float:
    """Share of consecutive checkpoints between which phi falls, smallest over the runs."""
    return worst_run(table, _share_of_gfs_decreases, min)


def largest_final_gfs(table: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, largest over the runs; infinite if a run diverged."""
    return worst_run(table, _final_gfs, max)


def farthest_final_gfs(table: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, the farthest from 1 over the runs; infinite if a run diverged."""
    return worst_run(table, _final_gfs, farthest_from(1.0))


def smallest_initial_gfs(table: pd.DataFrame) -> float:
    """First phi in units of 2/eta, smallest over the runs."""
    return worst_run(table, lambda run: _gfs(run)[0] / _threshold(run), min)


def gfs_change_before_crossing(table: pd.DataFrame) -> float:
    """Relative change of phi until the sharpness first exceeds 2/eta, largest over the runs; NaN if it never does or
    does so at the start."""
    return worst_run(table, _change_before_crossing, max)


def share_of_loss_increases(table: pd.DataFrame) -> float:
    """Share of steps since the sharpness first exceeded 2/eta that raise the loss, smallest over the runs."""
    return worst_run(table, _share_of_loss_increases, min)


def loss_reduction(table: pd.DataFrame) -> float:
    """Last loss over the largest on the way, largest over the runs; infinite if a run diverged."""
    return worst_run(table, lambda run: _unless_diverged(run, run["loss"].iloc[-1] / run["loss"].max()), max)


def final_gap_of_sharpnesses(table: pd.DataFrame) -> float:
    """``|sharpness - phi| / phi`` at the last iterate, largest over the runs."""
    return worst_run(table, lambda run: abs(run["sharpness"].iloc[-1] / run["gfs_sharpness"].iloc[-1] - 1), max)


def largest_final_sharpness(table: pd.DataFrame) -> float:
    """Last sharpness in units of 2/eta, largest over the runs; infinite if a run diverged."""
    return worst_run(table, _final_sharpness, max)


def farthest_final_sharpness(table: pd.DataFrame) -> float:
    """Last sharpness in units of 2/eta, the farthest from 1 over the runs; infinite if a run diverged."""
    return worst_run(table, _final_sharpness, farthest_from(1.0))


def correlation_of_decay(table: pd.DataFrame) -> float:
    """Correlation of ``log L(t)`` with t from the first phi of at most 2/eta on, largest over the runs.

    It is -1 where the loss decays exponentially; NaN where phi never is there, or for too few iterates.
    """
    return worst_run(table, _correlation_of_decay, max)


def median_sharpness_at_edge(table: pd.DataFrame) -> float:
    """Median sharpness in units of 2/eta after it first exceeded 2/eta, the farthest from 1 over the runs."""
    return worst_run(table, _median_sharpness_at_edge, farthest_from(1.0))


def worst_run(table: pd.DataFrame, of_run: Callable[[pd.DataFrame], float], worst: Callable[..., float]) -> float:
    """Return the worst of a number of each run, which ``of_run`` takes from its rows in order; NaN if any is."""
    runs = [run.sort_values("iteration") for _, run in table.groupby(["experiment", "run"])]
    values = [float(of_run(run)) for run in runs]
    return math.nan if not values or any(math.isnan(value) for value in values) else worst(values)


def farthest_from(expected: float) -> Callable[[Iterable[float]], float]:
    """Return what picks the value that is farthest from the expected one."""
    return lambda values: max(values, key=lambda value: abs(value - expected))


def _gfs(run: pd.DataFrame) -> Floats:
    """GFS sharpness at the checkpoints of a run, NaN where it was not found; at least two values."""
    values = run.loc[run["gfs_status"].notna(), "gfs_sharpness"].to_numpy()
    return values if len(values) > 1 else np.full(2, math.nan)


def _largest_gfs_rise(run: pd.DataFrame) -> float:
    values = _gfs(run)
    return float(np.max(above_least(values)))


def _share_of_gfs_decreases(run: pd.DataFrame) -> float:
    changes = np.diff(_gfs(run))
    return float(np.mean(changes < 0)) if np.isfinite(changes).all() else math.nan


def _threshold(run: pd.DataFrame) -> float:
    return float(run["threshold"].iloc[0])


def _unless_diverged(run: pd.DataFrame, value: float) -> float:
    """``value``; infinite of a run that diverged, NaN of one whose training was left before its end."""
    return {"diverged": math.inf, "running": math.nan}.get(run["status"].iloc[-1], value)


def _final_gfs(run: pd.DataFrame) -> float:
    # Where the time did not suffice for all flows (gfs.alone), the last that was followed says nothing of the end.
    followed = pd.notna(run["gfs_status"].iloc[-1])
    return _unless_diverged(run, _gfs(run)[-1] / _threshold(run) if followed else math.nan)


def _final_sharpness(run: pd.DataFrame) -> float:
    return _unless_diverged(run, run["sharpness"].iloc[-1] / _threshold(run))


def _correlation_of_decay(run: pd.DataFrame) -> float:
    below = run.index[run["gfs_sharpness"] <= run["threshold"]]
    rest = run.loc[below[0] :] if len(below) else run.iloc[:0]
    if len(rest) <= _LEAST_AT_EDGE or not np.isfinite(np.log(rest["loss"])).all():
        return math.nan
    if rest["loss"].nunique() == 1:
        return 0.0  # a constant does not decay
    return float(np.corrcoef(rest["iteration"], np.log(rest["loss"]))[0, 1])


def _crossing(run: pd.DataFrame) -> int | None:
    above = run.loc[run["sharpness"] > run["threshold"], "iteration"]
    return int(above.iloc[0]) if len(above) else None


def _change_before_crossing(run: pd.DataFrame) -> float:
    crossing = _crossing(run)
    if crossing is None:
        return math.nan
    values = run.loc[(run["iteration"] <= crossing) & run["gfs_status"].notna(), "gfs_sharpness"].to_numpy()
    return float(np.max(np.abs(values / values[0] - 1))) if len(values) > 1 else math.nan


def _at_edge(run: pd.DataFrame) -> pd.DataFrame:
    crossing = _crossing(run)
    return run.iloc[:0] if crossing is None else run[run["iteration"] >= crossing]


def _share_of_loss_increases(run: pd.DataFrame) -> float:
    losses = _at_edge(run)["loss"].to_numpy()
    if len(losses) <= _LEAST_AT_EDGE or run["status"].iloc[-1] == "diverged":
        return math.nan
    return float(np.mean(np.diff(losses) > 0))


def _median_sharpness_at_edge(run: pd.DataFrame) -> float:
    measured = _at_edge(run)["sharpness"].dropna()
    return float(measured.median()) / _threshold(run) if len(measured) >= _LEAST_AT_EDGE else math.nan
