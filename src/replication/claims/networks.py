"""Networks (Section 4.2): the same statements for each of the figures that shows some."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gfsharp.monotonicity import above_least
from replication.agreement import NETWORK_END
from replication.claims import controls
from replication.claims.claim import Claim, Estimate, percent
from replication.measures import (
    LEAST_SHARE_OF_RISES,
    Floats,
    largest_gfs_rise,
    loss_reduction,
    median_sharpness_at_edge,
    share_of_loss_increases,
    smallest_initial_gfs,
)
from replication.papers import KREISLER, Origin
from replication.storage import files

# A run along which smaller rises than this would not show says little of a quantity that never rises.
LARGEST_UNSEEN_RISE = 0.02

_RUN = ["experiment", "run"]


def smallest_visible_rises(run: pd.DataFrame) -> Floats:
    """Return for each checkpoint but the first by how much phi would have to be above all before it to be seen so.

    The errors of both count, but for those of stopping (``_points_at_one_loss``):
    ``min_{s<t} (phi(s) + error(s)) / ((1 - error(t)/phi(t)) min_{s<t} phi(s)) - 1``. The error of a larger phi(t) is
    taken in proportion. Infinite where the error is as large as phi(t); NaN from the first phi or error on that is
    none. Shape (n - 1,).

    >>> rows = {"iteration": [0, 1], "gfs_sharpness": [2.0, 1.0], "gfs_error": [0.02, 0.01], "gfs_status": "converged"}
    >>> smallest_visible_rises(pd.DataFrame(rows)).round(4).tolist()
    [0.0202]
    """
    phi, error = _points_at_one_loss(run)
    kept = 1 - error / phi
    kept = np.where(kept > 0, kept, np.where(np.isnan(kept), np.nan, 0.0))
    with np.errstate(divide="ignore"):
        upper = np.minimum.accumulate(phi + error)[:-1] / kept[1:]
    return np.asarray(upper / np.minimum.accumulate(phi)[:-1] - 1)


def power(run: pd.DataFrame) -> float:
    """Return the median of :func:`smallest_visible_rises`: the rise that half of the checkpoints would show."""
    found = smallest_visible_rises(run)
    return float(np.median(found)) if len(found) else math.nan


def visible_rise(rise: float) -> str:
    """Return the smallest rise that would show as a text that tells it from ``LARGEST_UNSEEN_RISE``.

    >>> visible_rise(0.0203), visible_rise(0.1054)
    ('2.03%', '10.5%')
    """
    return percent(rise, apart_from=LARGEST_UNSEEN_RISE)


def rises_beyond_error(table: pd.DataFrame) -> list[Estimate]:
    """Largest ``(phi(t) - error(t)) / (phi(s) + error(s)) - 1``, s < t, over the checkpoints of each run.

    The errors are those of values at one loss (``_points_at_one_loss``).

    There is nothing to judge by where a flow has no solution, nor, if phi does not rise, where a rise of
    ``LARGEST_UNSEEN_RISE`` would not have shown (:func:`power`).
    """
    return [_rise_beyond_error(run, name) for name, run in _named_runs(table)]


def _rise_beyond_error(run: pd.DataFrame, name: str) -> Estimate:
    phi, error = _points_at_one_loss(run)
    if len(phi) < 2 or not np.isfinite(phi + error).all():
        return Estimate(math.nan, of=name, why="GFS sharpness or its error is missing")
    largest, visible = float(np.max(above_least(phi, error))), power(run)
    if largest <= 0 and not visible <= LARGEST_UNSEEN_RISE:
        why = f"a rise below {visible_rise(visible)} would not show at half of the checkpoints"
        return Estimate(math.nan, of=name, why=why, visible=visible)
    return Estimate(largest, of=name, visible=visible)


def final_gfs(table: pd.DataFrame) -> list[Estimate]:
    """Last phi with its error in units of 2/eta, of each run; infinite if it diverged, NaN if it was left before."""
    return [_final_gfs(run, name) for name, run in _named_runs(table)]


def _final_gfs(run: pd.DataFrame, name: str) -> Estimate:
    if run["status"].iloc[-1] == "diverged":
        return Estimate(math.inf, of=name)
    if not _ended(run):
        return Estimate(math.nan, of=name, why="training or flows were left before its end")
    phi, error = _points(run)
    unit = float(run["threshold"].iloc[0])
    if len(phi) < 2 or not math.isfinite(phi[-1] + error[-1]):
        return Estimate(math.nan, of=name, why="no GFS sharpness at the end, or none of its error")
    return Estimate(float(phi[-1]) / unit, float(error[-1]) / unit, name)


def _ended(run: pd.DataFrame) -> bool:
    """Whether training came to its end, and the last iterate's flow was followed."""
    last = run.sort_values("iteration").iloc[-1]
    return last["status"] != "running" and bool(pd.notna(last["gfs_status"]))


def hovering(table: pd.DataFrame) -> list[Estimate]:
    """:func:`replication.measures.median_sharpness_at_edge` of each run."""
    return [
        Estimate(median_sharpness_at_edge(run), of=name, why="fewer than ten values at the edge")
        for name, run in _named_runs(table)
    ]


def _points(run: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return GFS sharpness and its error at the checkpoints."""
    points = run[run["gfs_status"].notna()].sort_values("iteration")
    return points["gfs_sharpness"].to_numpy(dtype=np.float64), points["gfs_error"].to_numpy(dtype=np.float64)


def _points_at_one_loss(run: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return GFS sharpness at the checkpoints, and the error with which its values are told apart.

    The flows of a run are left at the same loss, as the paper's are. What they miss for that they miss alike, so the
    stopping error, which is what the limit may differ by, does not count between them.
    """
    phi, error = _points(run)
    if {"residual", "integration_error"} <= set(run):
        points = run[run["gfs_status"].notna()].sort_values("iteration")
        error = (points["residual"] + points["integration_error"]).to_numpy(dtype=np.float64)
    return phi, error


def _named_runs(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the runs in order of their iterations; their names have the run's only where an experiment has several."""
    for experiment, runs in table.groupby("experiment", sort=False):
        for name, run in runs.groupby("run", sort=False):
            several = len(run) < len(runs)
            yield f"{experiment} {name}" if several else str(experiment), run.sort_values("iteration")


def each(measure: Callable[[pd.DataFrame], float]) -> Callable[[pd.DataFrame], str]:
    """Return a remark that gives the measure for each experiment of the table."""

    def remark(table: pd.DataFrame) -> str:
        return "; ".join(f"{name}: {measure(part):.4g}" for name, part in table.groupby("experiment", sort=False))

    return remark


def each_final_gfs(table: pd.DataFrame) -> str:
    return "; ".join(f"{found.of}: {found.value:.4g} ± {found.error:.2g}" for found in final_gfs(table))


def rises_and_power(table: pd.DataFrame) -> str:
    parts = []
    for name, run in _named_runs(table):
        visible = smallest_visible_rises(run)
        seen = "none"
        if len(visible):
            seen = f"{visible_rise(np.median(visible))} in the median, {visible_rise(visible.max())} at worst"
        rise = max(largest_gfs_rise(run), 0.0)
        parts.append(f"{name}: rises by {rise:.2g} whatever the errors, smallest rise that would show {seen}")
    return "; ".join(parts)


# The table of the networks.


def described(paths: Sequence[str], table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a mapping per run with what a table of the networks shows, None where it is not known.

    The keys are ``network``, ``architecture``, ``activation``, ``channels``, ``images``, ``data`` (these from the
    record beside the table, where it has the run's settings), ``threshold``, ``iterations``, ``start``,
    ``start_error``, ``end``, ``end_error`` (GFS sharpness; no end of a run that was left before), ``visible`` and
    ``visible_worst`` (see :func:`smallest_visible_rises`).
    """
    settings = _settings(paths)
    rows = []
    for (experiment, run_name), run in table.groupby(_RUN, sort=False):
        phi, error = _points(run)
        visible = smallest_visible_rises(run) if len(phi) else np.array([])
        known = settings.get((str(experiment), str(run_name)), {})
        data = known.get("data_set") or {}
        rows.append(
            {
                "network": experiment,
                "architecture": known.get("architecture"),
                "activation": known.get("activation"),
                "channels": known.get("channels"),
                "images": data.get("images"),
                "data": data.get("source"),
                "threshold": float(run["threshold"].iloc[0]),
                "iterations": int(run["iteration"].max()),
                "start": _number(phi[:1]),
                "start_error": _number(error[:1]),
                "end": _number(phi[-1:]) if _ended(run) else None,
                "end_error": _number(error[-1:]) if _ended(run) else None,
                "visible": _number(np.median(visible, keepdims=True)) if len(visible) else None,
                "visible_worst": _number(np.max(visible, keepdims=True)) if len(visible) else None,
            }
        )
    return rows


def _number(values: Floats) -> float | None:
    return float(values[0]) if len(values) and math.isfinite(values[0]) else None


def _settings(paths: Sequence[str]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the settings of the runs by experiment and run, of the records that have them."""
    found = {}
    for path in paths:
        if not Path(files.sidecar(path)).is_file():
            continue
        runs = files.read_provenance(path)["parameters"].get("runs")
        for settings in runs.values() if isinstance(runs, Mapping) else ():
            found[settings.get("experiment"), settings.get("run")] = settings
    return found


def _claims(figure: str, prefix: str, networks: str) -> tuple[Claim, ...]:
    stated, our_number, shown = Origin("stated", KREISLER), Origin("our number", KREISLER), {figure: ""}
    return (
        Claim(
            id=f"{prefix}-gfs-monotone", origin=our_number, figures=shown,
            statement=f"GFS sharpness falls along gradient descent on {networks}",
            quantity="largest relative rise above any earlier value at the same loss of the flow, beyond the errors of "
                     "both, where a rise of 2 percent would show",
            measure=rises_beyond_error, table=figure, remark=rises_and_power, relation="<=", bound=0.0,
            reason="Eigenvalue and integration have an error each, estimated per point; beyond it nothing may rise. "
                   "Two percent, which half of the checkpoints have to show, is ours: small beside the fall, of tens.",
            fails_if="at some checkpoint of a network it is above that of an earlier one by more than both errors",
            control=controls.BACKWARDS, runs=described,
        ),
        Claim(
            id=f"{prefix}-starts-above", origin=stated, figures=shown,
            statement="GFS sharpness starts above 2/eta",
            quantity="first GFS sharpness, in units of 2/eta",
            measure=smallest_initial_gfs, table=figure, remark=each(smallest_initial_gfs), relation=">=", bound=1.0,
            reason="2/eta is the statement's own threshold.",
            check="eta is chosen so",
            fails_if="the first value of a network is below 2/eta", control=controls.FLATTER,
        ),
        Claim(
            id=f"{prefix}-ends-at-threshold", origin=our_number, figures=shown,
            statement="GFS sharpness ends at about 2/eta",
            quantity="last GFS sharpness with its error, in units of 2/eta",
            measure=final_gfs, table=figure, remark=each_final_gfs,
            relation="within", bound=1.0, tolerance=NETWORK_END,
            reason="'About' is no number in the text; 10 percent is our reading, and what machines may differ by.",
            fails_if="the last value of a network is off by more than a tenth and its error together",
            control=controls.FLATTER,
        ),
        Claim(
            id=f"{prefix}-sharpness-hovers", origin=our_number, figures=shown,
            statement="The sharpness hovers at 2/eta once there: from when it first rises above 2/eta until GFS "
                      "sharpness is at most that",
            quantity="median, in units of 2/eta",
            measure=hovering, table=figure, remark=each(median_sharpness_at_edge),
            relation="within", bound=1.0, tolerance=0.1,
            reason="'Hovers' is no number in the text; 10 percent is our reading.",
            fails_if="a network's sharpness is more than a tenth off in the median", control=controls.EDGE_HIGH,
        ),
        Claim(
            id=f"{prefix}-loss-oscillates", origin=our_number, figures=shown,
            statement="Once the sharpness has come to 2/eta the training loss is not monotone",
            quantity="share of steps that raise it, of a hundred at least",
            measure=share_of_loss_increases, table=figure, remark=each(share_of_loss_increases),
            relation=">=", bound=LEAST_SHARE_OF_RISES,
            reason="No number in the text. Chance would give none; one step in twenty is not to be overlooked in a "
                   "plot.",
            fails_if="a network's loss rises in fewer than one step of twenty, or in fewer than five",
            control=controls.GRADIENT_FLOW,
        ),
        Claim(
            id=f"{prefix}-loss-falls", origin=our_number, figures=shown,
            statement="Over long times the training loss decreases",
            quantity="last loss over the largest",
            measure=loss_reduction, table=figure, remark=each(loss_reduction),
            relation="<=", bound=0.0, tolerance=0.01,
            reason="A run ends at some ten-thousandth of its first loss; a hundredth is our reading of 'decreasing'.",
            check="a run ends at the loss that it is told to",
            fails_if="a run diverges or does not come to its end", control=controls.STUCK,
        ),
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    *_claims("figure06", "network", "a fully connected network with hardtanh, VGG-11 and ResNet-20"),
    *_claims("figure12", "activation", "fully connected networks with tanh and ReLU"),
    *_claims("figure13", "svhn", "the networks of figure 6 on other data (the paper: SVHN)"),
)
