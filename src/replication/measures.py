"""What is measured on training runs: each takes an experiment's table; over several runs the worst one counts.

NaN: the table has nothing to judge by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gfsharp.monotonicity import above_least

Floats = NDArray[np.float64]

# Fewer measured points than this at the edge of stability say nothing of a median.
_LEAST_AT_EDGE = 10

# Of the loss's steps at the edge of stability; and of so many at least, for one rise in ten steps is no oscillation.
LEAST_SHARE_OF_RISES = 0.05
_FEWEST_STEPS = 100


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
    """Share of steps since the sharpness first exceeded 2/eta that raise the loss, smallest over the runs.

    Of fewer than a hundred steps, the rises per hundred: five rises at least are a twentieth.
    """
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
    """Median sharpness in units of 2/eta at the edge of stability, the farthest from 1 over the runs.

    The edge is from where the measured sharpness first passes 2/eta from below until phi is at most 2/eta: before, a
    run comes to it (one that starts above 2/eta has to fall below it first), and after it the minimum is stable. NaN
    with fewer than ten values there.
    """
    return worst_run(table, _median_sharpness_at_edge, farthest_from(1.0))


def sharpness_over_two_steps(table: pd.DataFrame) -> float:
    """Median over the edge of the mean sharpness of two consecutive iterates in units of 2/eta, the farthest from 1.

    Where the sharpness is above and below 2/eta by turns, no single value need be near what they lie around.
    """
    return worst_run(table, _sharpness_over_two_steps, farthest_from(1.0))


def share_of_alternations(table: pd.DataFrame) -> float:
    """Share of consecutive iterates at the edge whose sharpness is on different sides of 2/eta, smallest over runs."""
    return worst_run(table, _share_of_alternations, min)


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
    # Where the time did not suffice for all flows (replication.alone), the last that was followed says nothing of the
    # end.
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


def _since_crossing(run: pd.DataFrame) -> pd.DataFrame:
    crossing = _crossing(run)
    return run.iloc[:0] if crossing is None else run[run["iteration"] >= crossing]


def _share_of_loss_increases(run: pd.DataFrame) -> float:
    losses = _since_crossing(run)["loss"].to_numpy()
    if len(losses) <= _LEAST_AT_EDGE or run["status"].iloc[-1] == "diverged":
        return math.nan
    return float(np.sum(np.diff(losses) > 0) / max(len(losses) - 1, _FEWEST_STEPS))


def at_edge(run: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a sharpness at the edge of stability (:func:`median_sharpness_at_edge`)."""
    measured = run[run["sharpness"].notna()]
    above = (measured["sharpness"] > measured["threshold"]).to_numpy()
    passed = 1 + np.flatnonzero(above[1:] & ~above[:-1])
    below = run.loc[run["gfs_sharpness"] <= run["threshold"], "iteration"]
    stretch = measured.iloc[passed[0] :] if len(passed) else measured.iloc[:0]
    return stretch[stretch["iteration"] < below.iloc[0]] if len(below) else stretch


def _edge_in_units(run: pd.DataFrame) -> Floats:
    stretch = at_edge(run)
    values = (stretch["sharpness"] / stretch["threshold"]).to_numpy()
    return values if len(values) >= _LEAST_AT_EDGE else np.full(2, math.nan)


def _median_sharpness_at_edge(run: pd.DataFrame) -> float:
    return float(np.median(_edge_in_units(run)))


def _sharpness_over_two_steps(run: pd.DataFrame) -> float:
    values = _edge_in_units(run)
    return float(np.median((values[1:] + values[:-1]) / 2))


def _share_of_alternations(run: pd.DataFrame) -> float:
    above = _edge_in_units(run)
    return math.nan if np.isnan(above).any() else float(np.mean((above[1:] > 1) != (above[:-1] > 1)))
