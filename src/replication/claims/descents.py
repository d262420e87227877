"""Normalised gradient descent and descent on the square root of the loss (Arora et al., 2022) on the paper's models."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from replication.claims import controls
from replication.claims.claim import Claim, Measured
from replication.claims.networks import each, rises_and_power, rises_beyond_error
from replication.measures import farthest_from, largest_gfs_rise, worst_run
from replication.papers import ARORA, Origin

# Fewer estimates of the sharpness than this say nothing of a trend.
_LEAST = 20


def mean_inverse_stableness(table: pd.DataFrame) -> float:
    """Mean of ``2 / (eta_t lambda_1)`` over the second half of a run, the farthest from 1 over the runs.

    At the edge of stability the iterates go to and fro across the minima: of two steps, one from each side, the mean is
    1 up to the curvature of the loss, while each by itself may be far from it. NaN with too few estimates.
    """
    return worst_run(table, _mean_inverse_stableness, farthest_from(1.0))


def trend_of_sharpness(table: pd.DataFrame) -> float:
    """Rank correlation of sharpness and iteration over the second half of a run, largest over the runs."""
    return worst_run(table, _trend_of_sharpness, max)


def largest_share_of_gfs_left(table: pd.DataFrame) -> float:
    """Last GFS sharpness over the first, largest over the runs; NaN if a run has fewer than two."""
    return worst_run(table, _share_of_gfs_left, max)


def _mean_inverse_stableness(run: pd.DataFrame) -> float:
    half = _second_half(run)
    return float((half["threshold"] / half["sharpness"]).mean())


def _trend_of_sharpness(run: pd.DataFrame) -> float:
    half = _second_half(run)
    return float(half["sharpness"].corr(half["iteration"], method="spearman"))


def _share_of_gfs_left(run: pd.DataFrame) -> float:
    found = run["gfs_sharpness"].dropna()
    return float(found.iloc[-1] / found.iloc[0]) if len(found) > 1 else math.nan


def _second_half(run: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates of the sharpness in the second half of a run; none if they are too few."""
    half = run[run["iteration"] >= run["iteration"].max() / 2].dropna(subset="sharpness")
    return half if len(half) >= _LEAST else half.iloc[:0]


def of_networks(measure: Callable[[pd.DataFrame], Measured]) -> Callable[[pd.DataFrame], Measured]:
    """Return the measure of the runs whose GFS sharpness has an error: those of networks."""
    return lambda table: measure(_part(table, networks=True))


def of_others(measure: Callable[[pd.DataFrame], float]) -> Callable[[pd.DataFrame], float]:
    """Return the measure of the runs whose GFS sharpness is exact but for rounding."""
    return lambda table: measure(_part(table, networks=False))


def _part(table: pd.DataFrame, *, networks: bool) -> pd.DataFrame:
    integrated = table.groupby(["experiment", "run"])["gradient_evaluations"].transform("max").fillna(0) > 0
    return table[integrated == networks]


def network_rises(table: pd.DataFrame) -> str:
    return rises_and_power(_part(table, networks=True))


def rises_of_others(table: pd.DataFrame) -> str:
    return each(largest_gfs_rise)(_part(table, networks=False))


def largest_rise_of(descent: str) -> Callable[[pd.DataFrame], float]:
    """Return what measures the largest rise of the GFS sharpness over the runs of a descent, each step looked at."""
    return lambda table: float(table.loc[table["descent"] == descent, "largest_rise"].max(skipna=False))


def rising_runs_of(descent: str) -> Callable[[pd.DataFrame], str]:
    """Return a remark that counts, by problem, the runs along which it rises."""

    def remark(table: pd.DataFrame) -> str:
        runs = table[table["descent"] == descent]
        counted = (
            runs.assign(rises=runs["largest_rise"] > 0).groupby("problem", sort=False)["rises"].agg(["sum", "size"])
        )
        rates = ", ".join(f"{rate:g}" for rate in sorted(runs["learning_rate"].unique(), reverse=True))
        said = ", ".join(f"{name} {row['sum']} of {row['size']} runs" for name, row in counted.iterrows())
        return f"it rises along: {said}; eta = {rates}"

    return remark


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="arora-network-edge", origin=Origin("our number", ARORA), figures={"figure_arora_networks": ""},
        statement="Both descents bring a network to the edge of stability and keep it there",
        quantity="mean of 2 over effective learning rate times sharpness, in the second half",
        measure=mean_inverse_stableness, table="figure_arora_networks", remark=each(mean_inverse_stableness),
        relation="within", bound=1.0, tolerance=0.05,
        reason="The mean is 1 but for the curvature along the way and the other directions' part of the step: a "
               "twentieth for it.",
        fails_if="the mean of a run is more than a twentieth from 1", control=controls.SMALL_STEPS,
    ),
    Claim(
        id="arora-network-sharpness-falls", origin=Origin("our number", ARORA), figures={"figure_arora_networks": ""},
        statement="There the sharpness of the loss falls",
        quantity="rank correlation with the iteration, in the second half",
        measure=trend_of_sharpness, table="figure_arora_networks", remark=each(trend_of_sharpness), relation="<=",
        bound=-0.9,
        reason="The correlation is near -1 where the sharpness falls all the while; what the estimates scatter by "
               "costs some hundredths.",
        fails_if="the sharpness of a run does not fall all the while", control=controls.SHARPNESS_BACKWARDS,
    ),
    Claim(
        id="arora-gfs-monotone", origin=Origin("own", ARORA), figures={"figure_arora_gfs": ""},
        statement="GFS sharpness never rises along the runs shown on a scalar network and in squared regression, both "
                  "descents",
        quantity="largest relative rise above any earlier value",
        measure=of_others(largest_gfs_rise), table="figure_arora_gfs", remark=rises_of_others, relation="<=",
        bound=0.0, tolerance=1e-12,
        reason="As along gradient descent on a scalar network: rounding, and no more.",
        fails_if="an iterate's GFS sharpness is above an earlier one's by more than rounding",
        control=controls.SHUFFLED,
    ),
    Claim(
        id="arora-gfs-normalised", origin=Origin("own", ARORA), figures={"figure_arora_gfs": ""},
        statement="GFS sharpness never rises along normalised descent, in the valley, on scalar networks and in "
                  "squared regression with three samples",
        quantity="largest relative rise",
        measure=largest_rise_of("normalised"), table="arora_rises", remark=rising_runs_of("normalised"), relation="<=",
        bound=0.0, tolerance=1e-12,
        reason="Rounding, and no more: looked at after every step, from all starts of figure_arora_flow.",
        fails_if="it rises at a step of one run by more than rounding",
        control=controls.replaced("a rise of a thousandth in each run", largest_rise=0.001),
    ),
    Claim(
        id="arora-gfs-sqrt", origin=Origin("own", ARORA), figures={"figure_arora_gfs": ""},
        statement="GFS sharpness never rises along descent on sqrt(L), in the valley, on scalar networks and in "
                  "squared regression with three samples",
        quantity="largest relative rise",
        measure=largest_rise_of("sqrt"), table="arora_rises", remark=rising_runs_of("sqrt"), relation="<=", bound=0.0,
        tolerance=1e-12,
        reason="Rounding, and no more: looked at after every step, from all starts of figure_arora_flow.",
        fails_if="it rises at a step of one run by more than rounding",
        control=controls.replaced("a rise of a thousandth in each run", largest_rise=0.001),
    ),
    Claim(
        id="arora-network-gfs-monotone", origin=Origin("own", ARORA), figures={"figure_arora_gfs": ""},
        statement="GFS sharpness falls along both descents on a network",
        quantity="largest relative rise above any earlier value, beyond the errors of both, where a rise of 2 percent "
                 "would show",
        measure=of_networks(rises_beyond_error), table="figure_arora_gfs", remark=network_rises, relation="<=",
        bound=0.0,
        reason="As along gradient descent on networks: beyond the errors nothing may rise, and 2 percent have to show.",
        fails_if="at a checkpoint it is above that of an earlier one by more than both errors",
        control=controls.BACKWARDS,
    ),
    Claim(
        id="arora-gfs-falls", origin=Origin("own", ARORA), figures={"figure_arora_gfs": ""},
        statement="GFS sharpness falls along each of these runs",
        quantity="last GFS sharpness over the first",
        measure=largest_share_of_gfs_left, table="figure_arora_gfs", remark=each(largest_share_of_gfs_left),
        relation="<=", bound=0.95,
        reason="What hardly moves cannot rise either: the GFS sharpness has to fall by more than any tolerance here.",
        fails_if="one run ends above 0.95 of its start", control=controls.BACKWARDS,
    ),
)  # fmt: skip
