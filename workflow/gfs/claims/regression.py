"""Squared regression (Section 4.1)."""

from __future__ import annotations

import math

import pandas as pd

from gfs.claims.claim import Claim
from gfs.claims.measures import (
    farthest_final_gfs,
    gfs_change_before_crossing,
    largest_gfs_rise,
    smallest_initial_gfs,
)
from gfs.regression.runs import eight, normalised_changes


def farthest_final_of_eight(runs: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, the farthest from 1 of the first eight runs' that start above it; NaN if none."""
    chosen = [run for run in eight(runs) if run["gfs_sharpness"].iloc[0] > run["threshold"].iloc[0]]
    return farthest_final_gfs(pd.concat(chosen)) if chosen else math.nan


def share_of_negative_changes(runs: pd.DataFrame) -> float:
    """Share of the iterates of all runs after which phi falls; NaN if some flow has no solution."""
    return float((_changes(runs) < 0).mean()) if _complete(runs) else math.nan


def largest_change(runs: pd.DataFrame) -> float:
    """Largest ``phi(t + 1) / phi(t) - 1`` over all runs; NaN if some flow has no solution."""
    return float(_changes(runs).max()) if _complete(runs) else math.nan


def latest_rise(runs: pd.DataFrame) -> float:
    """The last iterate after which phi rises, as a share of its run, the largest over the runs; 0 if none rises."""
    if not _complete(runs):
        return math.nan
    lengths = runs.groupby("run")["iteration"].max()
    rising = normalised_changes(runs)
    last = rising[rising["change"] > 0].groupby("run")["iteration"].max()
    return float((last / lengths).max()) if len(last) else 0.0


def eight_runs(runs: pd.DataFrame) -> str:
    above = sum(run["gfs_sharpness"].iloc[0] > run["threshold"].iloc[0] for run in eight(runs))
    return f"{above} of {len(eight(runs))} start above 2/eta"


def all_runs(runs: pd.DataFrame) -> str:
    return f"{runs['run'].nunique()} runs, {len(runs)} iterates"


def by_scale(scales: pd.DataFrame) -> str:
    groups = scales.groupby("initial_scale")["gfs_sharpness"]
    return "final over initial: " + ", ".join(f"{value:g}: {phi.iloc[-1] / phi.iloc[0]:.3f}" for value, phi in groups)


def _changes(runs: pd.DataFrame) -> pd.Series:
    return normalised_changes(runs)["change"]


def _complete(runs: pd.DataFrame) -> bool:
    """Whether every run converged and every iterate has a solution."""
    ended = runs.groupby("run")["status"].last()
    return bool((ended != "diverged").all() and (runs["gfs_status"] == "converged").all())


CLAIMS: tuple[Claim, ...] = (
    # Squared regression. The paper's own bound on the normalised change is lost; 1e-4, of the whole rise, is ours.
    Claim("regression-gfs-monotone", "5a", "GFS sharpness falls along gradient descent in squared regression (largest "
          "relative rise above any earlier value)", "<=", 0.0, 1e-4, largest_gfs_rise, "figure05"),
    # 'Constant' to the eye: a tenth of the fall that follows.
    Claim("regression-gfs-flat-first", "5a", "GFS sharpness is constant until the sharpness crosses 2/eta (largest "
          "relative change)", "<=", 0.0, 0.01, gfs_change_before_crossing, "figure05"),
    Claim("regression-starts-above", "5a", "GFS sharpness starts above 2/eta (in units of 2/eta)", ">=", 1.0, 0.0,
          smallest_initial_gfs, "figure05"),
    # 'Approximately' is no number in the text; 2 percent is a fifth of the fall.
    Claim("regression-ends-at-threshold", "5a", "GFS sharpness converges to about 2/eta (in units of 2/eta)", "=", 1.0,
          0.02, farthest_final_gfs, "figure05"),
    # The same 2 percent.
    Claim("regression-eight-runs", "5b", "Eight runs behave alike: those that start above 2/eta end at about it "
          "(farthest, in units of 2/eta)", "=", 1.0, 0.02, farthest_final_of_eight, "regression_runs", eight_runs),
    # The paper gives the share of negative changes over all its runs; the number is lost, 'most' is ours to read.
    Claim("regression-decreases", "5c", "Over all runs most changes of GFS sharpness from one iterate to the next are "
          "negative (share)", ">=", 0.9, 0.0, share_of_negative_changes, "regression_runs", all_runs),
    # The paper's bound is lost as well; a hundred thousandth a step is ours.
    Claim("regression-all-runs", "5c", "... and the normalised change is always below a small number (largest)", "<=",
          0.0, 1e-5, largest_change, "regression_runs"),
    Claim("regression-rises-early", "5c", "... the positive ones coming early (last of them, as a share of its run)",
          "<=", 0.25, 0.0, latest_rise, "regression_runs"),
    # Beyond the paper. As for 5a.
    Claim("regression-scales", "5d (beyond the paper)", "From lazy to rich initialisation GFS sharpness falls along "
          "gradient descent (largest relative rise above any earlier value)", "<=", 0.0, 1e-3, largest_gfs_rise,
          "regression_scales", by_scale),
)  # fmt: skip
