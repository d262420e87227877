"""Squared regression (Section 4.1)."""

from __future__ import annotations

import math

import pandas as pd

from replication.claims import controls
from replication.claims.claim import Claim
from replication.measures import (
    farthest_final_gfs,
    gfs_change_before_crossing,
    largest_gfs_rise,
    smallest_initial_gfs,
)
from replication.papers import KREISLER, Origin
from replication.studies.regression import eight, normalised_changes


def farthest_final_of_eight(runs: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, the farthest from 1 of the first eight runs' that start above it.

    NaN if there are no eight runs, fewer than half start above, or some flow has no solution.
    """
    shown = eight(runs)
    chosen = [run for run in shown if run["gfs_sharpness"].iloc[0] > run["threshold"].iloc[0]]
    if len(shown) < 8 or len(chosen) < 4 or not _complete(pd.concat(shown)):
        return math.nan
    return farthest_final_gfs(pd.concat(chosen))


def farthest_final_of_all(runs: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, the farthest from 1 of all runs' that start above it; NaN if some flow has no
    solution, or none starts above."""
    chosen = [run for _, run in runs.groupby("run") if run["gfs_sharpness"].iloc[0] > run["threshold"].iloc[0]]
    return farthest_final_gfs(pd.concat(chosen)) if chosen and _complete(runs) else math.nan


def largest_rise_of_eight(runs: pd.DataFrame) -> float:
    """:func:`~replication.measures.largest_gfs_rise` of the first eight runs; NaN if fewer, or not whole."""
    shown = eight(runs)
    return largest_gfs_rise(pd.concat(shown)) if len(shown) == 8 and _complete(pd.concat(shown)) else math.nan


def share_of_negative_changes(runs: pd.DataFrame) -> float:
    """Share of the iterates of all runs after which phi falls; NaN if some flow has no solution."""
    return float((_changes(runs) < 0).mean()) if _complete(runs) else math.nan


def largest_change(runs: pd.DataFrame) -> float:
    """Largest ``phi(t + 1) / phi(t) - 1`` over all runs; NaN if some flow has no solution."""
    return float(_changes(runs).max()) if _complete(runs) else math.nan


def latest_rise(runs: pd.DataFrame) -> float:
    """The last iterate after which phi rises, as a share of its run, the largest over the runs.

    NaN where there is nothing to tell: if phi never rises, or some flow has no solution.
    """
    if not _complete(runs):
        return math.nan
    lengths = runs.groupby("run")["iteration"].max()
    return float((_rises(runs).groupby("run")["iteration"].max() / lengths).max())


def largest_rise_of_scales(scales: pd.DataFrame) -> float:
    """Return the largest rise of phi; NaN if some run diverged, or phi moves by less than a percent."""
    phi = scales.groupby("initial_scale")["gfs_sharpness"]
    moves = bool(((phi.last() / phi.first() - 1).abs() > 0.01).all())
    return largest_gfs_rise(scales) if moves and _complete(scales) else math.nan


def eight_runs(runs: pd.DataFrame) -> str:
    above = sum(run["gfs_sharpness"].iloc[0] > run["threshold"].iloc[0] for run in eight(runs))
    return f"{above} of {len(eight(runs))} start above 2/eta; {ends(runs)}"


def all_runs(runs: pd.DataFrame) -> str:
    return f"{runs['run'].nunique()} runs, {len(runs)} iterates"


def by_scale(scales: pd.DataFrame) -> str:
    groups = scales.groupby("initial_scale")["gfs_sharpness"]
    return "final over initial: " + ", ".join(f"{value:g}: {phi.iloc[-1] / phi.iloc[0]:.3f}" for value, phi in groups)


def rises(runs: pd.DataFrame) -> str:
    return f"{len(_rises(runs))} rises in {_rises(runs)['run'].nunique()} runs"


def ends(runs: pd.DataFrame) -> str:
    first, last = (getattr(runs.groupby("run"), end)() for end in ("first", "last"))
    above = first["gfs_sharpness"] > first["threshold"]
    stayed = above & (last["gfs_sharpness"] > 1.02 * last["threshold"])
    return f"of all {len(first)} runs {above.sum()} start above 2/eta and {stayed.sum()} of these end above 1.02 of it"


def _rises(runs: pd.DataFrame) -> pd.DataFrame:
    changes = normalised_changes(runs)
    return changes[changes["change"] > 0]


def _changes(runs: pd.DataFrame) -> pd.Series:
    return normalised_changes(runs)["change"]


def _complete(runs: pd.DataFrame) -> bool:
    """Whether there are runs, none diverged, and every iterate has a solution."""
    ended = runs.groupby("run")["status"].last()
    return bool(len(runs) and (ended != "diverged").all() and (runs["gfs_status"] == "converged").all())


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="regression-gfs-monotone", origin=Origin("our number", KREISLER), figures={"figure05": "a"},
        statement="GFS sharpness falls along gradient descent in squared regression",
        quantity="largest relative rise above any earlier value",
        measure=largest_gfs_rise, table="figure05", relation="<=", bound=0.0, tolerance=1e-4,
        reason="The paper's own bound on the normalised change is lost; 1e-4, of the whole rise, is ours.",
        fails_if="it rises by more than 1e-4 above an earlier value", control=controls.SHUFFLED,
    ),
    Claim(
        id="regression-gfs-flat-first", origin=Origin("our number", KREISLER), figures={"figure05": "a"},
        statement="GFS sharpness is constant until the sharpness crosses 2/eta",
        quantity="largest relative change",
        measure=gfs_change_before_crossing, table="figure05", relation="<=", bound=0.0, tolerance=0.002,
        reason="'Constant' is no number in the text. With a constant rate of fall it would be down by 0.003 at the "
               "crossing.",
        fails_if="it changes by more than 2 in a thousand before the sharpness is there",
        control=controls.FALLS_AT_ONCE,
    ),
    Claim(
        id="regression-starts-above", origin=Origin("stated", KREISLER), figures={"figure05": "a"},
        statement="GFS sharpness starts above 2/eta",
        quantity="first GFS sharpness, in units of 2/eta",
        measure=smallest_initial_gfs, table="figure05", relation=">=", bound=1.0,
        reason="2/eta is the statement's own threshold.",
        check="eta is chosen so",
        fails_if="it starts below", control=controls.SMALL_STEPS,
    ),
    Claim(
        id="regression-ends-at-threshold", origin=Origin("our number", KREISLER), figures={"figure05": "a"},
        statement="GFS sharpness converges to about 2/eta",
        quantity="last GFS sharpness, in units of 2/eta",
        measure=farthest_final_gfs, table="figure05", relation="within", bound=1.0, tolerance=0.02,
        reason="'Approximately' is no number in the text; 2 percent is a fifth of the fall.",
        fails_if="it ends more than 2 percent from 2/eta", control=controls.ENDS_HIGH,
    ),
    Claim(
        id="regression-eight-runs", origin=Origin("our number", KREISLER), figures={"figure05": "b"},
        statement="The first eight runs behave alike: those that start above 2/eta end at about it",
        quantity="last GFS sharpness, the farthest from 1, in units of 2/eta",
        measure=farthest_final_of_eight, table="regression_runs", remark=eight_runs, relation="within", bound=1.0,
        tolerance=0.02,
        reason="The same 2 percent as for the single run.",
        fails_if="one of them ends more than 2 percent from 2/eta", control=controls.ENDS_HIGH,
    ),
    Claim(
        id="regression-all-end", origin=Origin("own", KREISLER), figures={"figure05": "b"},
        statement="So do all runs, and not eight alone: those that start above 2/eta end at about it",
        quantity="last GFS sharpness, the farthest from 1, in units of 2/eta",
        measure=farthest_final_of_all, table="regression_runs", remark=ends, relation="within", bound=1.0,
        tolerance=0.02,
        reason="The same 2 percent as for the single run. The paper shows eight runs and says nothing of the ends of "
               "all.",
        fails_if="one run of all ends more than 2 percent from 2/eta", control=controls.ENDS_HIGH,
    ),
    Claim(
        id="regression-eight-monotone", origin=Origin("our number", KREISLER), figures={"figure05": "b"},
        statement="GFS sharpness falls along each of the eight runs",
        quantity="largest relative rise above any earlier value",
        measure=largest_rise_of_eight, table="regression_runs", relation="<=", bound=0.0, tolerance=1e-4,
        reason="The same 1e-4 as for one run.",
        fails_if="it rises by more than 1e-4 above an earlier value in one of them", control=controls.BACKWARDS,
    ),
    Claim(
        id="regression-decreases", origin=Origin("our number", KREISLER), figures={"figure05": "c"},
        statement="Over all runs most changes of GFS sharpness from one iterate to the next are negative",
        quantity="share of negative changes",
        measure=share_of_negative_changes, table="regression_runs", remark=all_runs, relation=">=", bound=0.9,
        reason="The paper gives the share of negative changes over all its runs; the number is lost, 'most' is ours "
               "to read.",
        fails_if="more than one change in ten is a rise", control=controls.SPREAD_CHANGES,
    ),
    Claim(
        id="regression-all-runs", origin=Origin("our number", KREISLER), figures={"figure05": "c"},
        statement="Over all runs the normalised change is below a small number",
        quantity="largest normalised change",
        measure=largest_change, table="regression_runs", relation="<=", bound=0.0, tolerance=1e-5,
        reason="The paper's bound is lost; a hundred thousandth a step is ours.",
        fails_if="one change of all is a rise of more than 1e-5", control=controls.SPREAD_CHANGES,
    ),
    Claim(
        id="regression-rises-early", origin=Origin("our number", KREISLER), figures={"figure05": "c"},
        statement="Positive changes come early",
        quantity="last positive change, as a share of its run",
        measure=latest_rise, table="regression_runs", remark=rises, relation="<=", bound=0.25,
        reason="'Early' is no number in the text: the first quarter of a run is our reading.",
        fails_if="one run rises after a quarter of its steps", control=controls.SPREAD_CHANGES,
    ),
    Claim(
        id="regression-scales", origin=Origin("own", KREISLER), figures={"figure05": "d"},
        statement="From lazy to rich initialisation GFS sharpness falls along gradient descent",
        quantity="largest relative rise above any earlier value",
        measure=largest_rise_of_scales, table="regression_scales", remark=by_scale, relation="<=", bound=0.0,
        tolerance=1e-3,
        reason="From small weights phi first rises by 3.1e-4, a share of some 1/150 of its fall: so 1e-3 here.",
        fails_if="it rises by more than 1e-3 above an earlier value", control=controls.BACKWARDS,
    ),
)  # fmt: skip
