"""Arora, Li, Panigrahi (2022): normalised gradient descent and descent on sqrt(L) beside their limiting flows.

Of the paper's text only the abstract is at hand: both methods enter the edge of stability and follow a deterministic
flow on the manifold of minima that lowers the largest eigenvalue. Numbers are from our own derivation
(:mod:`replication.studies.arora.limiting_flow`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy import stats

from replication.claims import controls
from replication.claims.claim import Claim, Estimate, Measured
from replication.measures import farthest_from
from replication.papers import ARORA, Origin
from replication.studies.arora import summary

# Radians from the top eigenvector; within it a direction of three dimensions drawn at random has a chance of 0.5 %.
ALIGNED = 0.1


def largest_error(table: pd.DataFrame) -> float:
    """Largest ``|GFS(w_t) - X(tau)| / |X(tau_end) - X(0)|`` in phase two at the smallest step size."""
    return _worst(table, lambda run: (_two(run, "error") / run["travelled"].iloc[0]).max(), max)


def orders_of_error(table: pd.DataFrame) -> list[Estimate]:
    """Order in eta of the largest error over the starts, of each problem, with its 95 percent interval."""
    return _orders(table, "error")


def drift_factor(table: pd.DataFrame, factor: float) -> float:
    """``factor`` times the rate of the drift in units of that of the flow with this factor; farthest from it."""
    return _worst(table, lambda run: factor * summary.drift_rate(run), farthest_from(factor))


def largest_rise(table: pd.DataFrame) -> float:
    """Largest rise of the GFS sharpness above an earlier value in phase two, relative, at the smallest step size."""
    return _worst(table, summary.largest_rise, max)


def least_share_aligned(table: pd.DataFrame) -> float:
    """Least share of the iterates of phase two whose gradient is along the top eigenvector, at the smallest step."""
    return _worst(_several_normals(table), lambda run: (_two(run, "angle") < ALIGNED).mean(), min)


def orders_of_angle(table: pd.DataFrame) -> list[Estimate]:
    """Order in eta of the median angle in phase two, largest over the starts, of each method, with its interval."""
    return _orders(_several_normals(table), "angle", of_run="median")


def _orders(table: pd.DataFrame, column: str, of_run: str = "max") -> list[Estimate]:
    """Return the orders of :func:`replication.studies.arora.summary.orders`, each plus and minus Student's t times its
    standard error.

    The interval has the order in 95 of 100 cases if the logarithms scatter about a line, independently and normally.
    """
    found = summary.orders(table, column, of_run=of_run)
    rates = summary.over_starts(table, column, of_run).groupby(["problem", "descent"])["learning_rate"].nunique()
    estimates = []
    for problem, descent, order, deviation in found.itertuples(index=False):
        freedom = rates[problem, descent] - 2
        factor = float(stats.t.ppf(0.975, freedom)) if freedom > 0 else math.nan
        estimates.append(Estimate(order, factor * deviation, f"{problem}, {descent}"))
    return estimates


def sharpness_at_edge(table: pd.DataFrame) -> float:
    """Harmonic mean of ``eta_t lambda_1`` over phase two, the farthest from 2, at the smallest step size."""
    return _worst(table, lambda run: 1 / _two(run, "edge").mean(), farthest_from(2.0))


def phase_one(table: pd.DataFrame) -> float:
    """Length of phase one over that of gradient flow, the farthest from 1, at the smallest step size."""
    return _worst(table, summary.phase_one, farthest_from(1.0))


def _two(run: pd.DataFrame, column: str) -> pd.Series:
    return run.loc[run["phase"] == 2, column]


def _worst(
    table: pd.DataFrame, of_run: Callable[[pd.DataFrame], float], worst: Callable[[Iterable[float]], float]
) -> float:
    found = [value for _, value in summary.of_runs(summary.at_smallest_step(table), of_run)]
    return worst(found) if found and not np.isnan(found).any() else math.nan


def _several_normals(table: pd.DataFrame) -> pd.DataFrame:
    """With one normal direction the gradient has no other to be along."""
    return table[table["problem"] == "regression"]


def _of(descent: str, measure: Callable[[pd.DataFrame], Measured]) -> Callable[[pd.DataFrame], Measured]:
    return lambda table: measure(table[table["descent"] == descent])


# Remarks.


def smallest_step(table: pd.DataFrame) -> str:
    smallest = summary.at_smallest_step(table)
    runs = len(smallest.groupby(summary.RUN))
    return f"{runs} runs at eta = {', '.join(f'{rate:g}' for rate in sorted(smallest['learning_rate'].unique()))}"


def orders_of(descent: str, column: str, of_run: str = "max") -> Callable[[pd.DataFrame], str]:
    """Name the order of each problem with its standard error, and that between the two smallest step sizes."""

    def remark(table: pd.DataFrame) -> str:
        chosen = table[table["descent"] == descent]
        worst = summary.over_starts(chosen, column, of_run=of_run).set_index("problem")
        parts = []
        found = summary.orders(chosen, column, of_run=of_run)
        for problem, order, deviation in zip(found["problem"], found["order"], found["deviation"], strict=True):
            said = f"{problem} {order:.2f} ± {deviation:.2f}"
            if math.isfinite(order):
                last = worst.loc[[problem]].sort_values("learning_rate").iloc[:2]
                (rate, other), (error, larger) = last["learning_rate"], last[column]
                said += f", of the smallest two {math.log(larger / error) / math.log(other / rate):.2f}"
            parts.append(said)
        return "; ".join(parts)

    return remark


def angle_orders(table: pd.DataFrame) -> str:
    return "; ".join(f"{found.of} {found.value:.2f} ± {found.error:.2f}" for found in orders_of_angle(table))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="arora-follows-flow", origin=Origin("our number", ARORA), figures={"figure_arora_flow": ""},
        statement="Normalised descent and descent on sqrt(L) follow the limiting flow on the manifold of minima",
        quantity="largest error of the gradient flow solution, as a share of the way",
        measure=largest_error, table="arora", remark=smallest_step, relation="<=", bound=0.0, tolerance=0.01,
        reason="'Follow' is no number in the abstract: a hundredth of the way is ours, at a step size of a thousandth.",
        fails_if="one run is off by more than a hundredth of its way", control=controls.ARORA_ERRORS,
    ),
    Claim(
        id="arora-drift-normalised", origin=Origin("derived", ARORA), figures={"figure_arora_flow": ""},
        statement="The limiting flow of normalised descent is -1/4 P grad log lambda_1",
        quantity="the factor, from the rate of the drift; the farthest from 1/4",
        measure=_of("normalised", lambda table: drift_factor(table, 0.25)), table="arora", remark=smallest_step,
        relation="within", bound=0.25, tolerance=0.005,
        reason="1/4 is derived. 2 percent: with factors that differ by two no other is near.",
        fails_if="the factor of one run is more than 2 percent from 1/4", control=controls.ARORA_BACKWARDS,
    ),
    Claim(
        id="arora-drift-sqrt", origin=Origin("derived", ARORA), figures={"figure_arora_flow": ""},
        statement="The limiting flow of descent on sqrt(L) is -1/8 P grad lambda_1",
        quantity="the factor, from the rate of the drift; the farthest from 1/8",
        measure=_of("sqrt", lambda table: drift_factor(table, 0.125)), table="arora", remark=smallest_step,
        relation="within", bound=0.125, tolerance=0.0025,
        reason="1/8 is derived. 2 percent: with factors that differ by two no other is near.",
        fails_if="the factor of one run is more than 2 percent from 1/8", control=controls.ARORA_BACKWARDS,
    ),
    Claim(
        id="arora-sharpness-falls", origin=Origin("stated", ARORA), figures={"figure_arora_flow": ""},
        statement="The GFS sharpness falls through phase two of both methods, at the iterates looked at and the "
                  "smallest step size",
        quantity="largest relative rise above any earlier value",
        measure=largest_rise, table="arora", remark=smallest_step, relation="<=", bound=0.0,
        reason="No rise at all, at the iterates looked at.",
        fails_if="it rises at one of the iterates", control=controls.ARORA_BACKWARDS,
    ),
    Claim(
        id="arora-error-normalised", origin=Origin("derived", ARORA), figures={"figure_arora_error": ""},
        statement="The largest error of normalised descent against its limiting flow falls at least in proportion to "
                  "eta",
        quantity="observed order of a problem, with its 95 percent interval",
        measure=_of("normalised", orders_of_error), table="arora", remark=orders_of("normalised", "error"),
        relation=">=", bound=1.0, tolerance=0.05,
        reason="Proportional to eta to leading order, derived; of the next order a fit over two decades has some "
               "hundredths. What the oscillation happens to land on scatters the errors: the order's 95 percent "
               "interval decides.",
        fails_if="the whole interval of a problem is below 0.95", control=controls.ARORA_SLOWER,
    ),
    Claim(
        id="arora-error-sqrt", origin=Origin("derived", ARORA), figures={"figure_arora_error": ""},
        statement="The largest error of descent on sqrt(L) against its limiting flow falls at least in proportion to "
                  "eta",
        quantity="observed order of a problem, with its 95 percent interval",
        measure=_of("sqrt", orders_of_error), table="arora", remark=orders_of("sqrt", "error"), relation=">=",
        bound=1.0, tolerance=0.05,
        reason="As for normalised descent. On squared regression the error in units of eta still grows from 0.03 to "
               "0.003.",
        fails_if="the whole interval of a problem is below 0.95", control=controls.ARORA_SLOWER,
    ),
    Claim(
        id="arora-phase-one", origin=Origin("derived", ARORA), figures={"figure_arora_error": ""},
        statement="Phase one takes 1/eta times what gradient flow takes to the minima",
        quantity="ratio, the farthest from 1",
        measure=phase_one, table="arora", remark=smallest_step, relation="within", bound=1.0, tolerance=0.05,
        reason="Phase one ends at a whole step, seen one step late, of some 40 or more.",
        fails_if="one run takes 5 percent more or less",
        control=controls.scaled("turn", 2.0, "phase one twice as long"),
    ),
    Claim(
        id="arora-edge-of-stability", origin=Origin("derived", ARORA), figures={"figure_arora_error": ""},
        statement="Both methods are at the edge of stability in phase two: the harmonic mean of effective step size "
                  "times sharpness is 2",
        quantity="harmonic mean, the farthest from 2",
        measure=sharpness_at_edge, table="arora", remark=smallest_step, relation="within", bound=2.0, tolerance=0.04,
        reason="2 is derived, to leading order in eta. 2 percent as for the factors of the flows.",
        fails_if="the mean of one run is off by 2 percent",
        control=controls.scaled("edge", 1.1, "a sharpness a tenth smaller"),
    ),
    Claim(
        id="arora-alignment", origin=Origin("our number", ARORA), figures={"figure_arora_error": ""},
        statement="In phase two the gradient is along the top eigenvector, where there are several normal directions",
        quantity=f"least share of iterates within {ALIGNED} rad",
        measure=least_share_aligned, table="arora", remark=smallest_step, relation=">=", bound=0.95,
        reason="'Nearly all' is ours: 19 iterates in 20.",
        fails_if="more than one iterate in twenty of a run is not along it",
        control=controls.replaced("gradients at an angle of 1 rad", angle=1.0),
    ),
    Claim(
        id="arora-alignment-order", origin=Origin("derived", ARORA), figures={"figure_arora_error": ""},
        statement="The angle between gradient and top eigenvector falls in proportion to eta",
        quantity="observed order of the median of a method, with its 95 percent interval",
        measure=orders_of_angle, table="arora", remark=angle_orders, relation="within", bound=1.0, tolerance=0.15,
        reason="As for the errors: proportional to eta to leading order, derived; the order's 95 percent interval "
               "decides.",
        fails_if="the whole interval of a method is more than 0.15 from 1",
        control=controls.replaced("angles of 1 rad at any step size", angle=1.0),
    ),
)  # fmt: skip
