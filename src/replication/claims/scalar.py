"""Scalar networks (Section 3, Appendices A, B.1, B.2 and I)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from replication.claims import controls
from replication.claims.claim import Claim
from replication.measures import (
    LEAST_SHARE_OF_RISES,
    at_edge,
    correlation_of_decay,
    farthest_final_gfs,
    farthest_final_sharpness,
    farthest_from,
    final_gap_of_sharpnesses,
    largest_final_gfs,
    largest_final_sharpness,
    largest_gfs_rise,
    loss_reduction,
    share_of_alternations,
    share_of_loss_increases,
    sharpness_over_two_steps,
    smallest_initial_gfs,
    worst_run,
)
from replication.papers import KREISLER, Origin
from replication.studies.scalar import theorems
from replication.studies.scalar.bifurcation import above_threshold, root_mean_square, zhu_drive, zhu_period_at_most_two


def rising_starts_in_set(plane: pd.DataFrame) -> float:
    """Starts in the invariant set from which GFS sharpness rises at some step; NaN if none is in it."""
    inside = plane[plane["in_set"]]
    return float((inside["rises"] > 0).sum()) if len(inside) else math.nan


def share_of_monotone_starts_in_set(plane: pd.DataFrame) -> float:
    """Share of the starts with a monotone, converging run that are in the invariant set."""
    monotone = plane[(plane["status"] == "converged") & (plane["rises"] == 0)]
    return float(monotone["in_set"].mean()) if len(monotone) else math.nan


def share_of_early_rises(plane: pd.DataFrame) -> float:
    """Share of the converging runs with a rise that have none after the tenth step; NaN if there are no such runs."""
    rising = _rising(plane)
    return float((rising["last_rise"] <= 10).mean()) if len(rising) else math.nan


def share_that_enters_set(plane: pd.DataFrame) -> float:
    """Share of the runs with a rise that enter the invariant set and rise no more."""
    rising = _rising(plane)
    entered = (rising["first_in_set"] > 0) & (rising["last_rise"] <= rising["first_in_set"])
    return float(entered.mean()) if len(rising) else math.nan


def least_final_from_small_loss(plane: pd.DataFrame) -> float:
    """Least final sharpness, in units of 2/eta, from GFS sharpness above it and product within 0.3 of 1."""
    started = _from_above(plane)
    near = started[(started["product"] - 1).abs() <= 0.3]
    if not len(near) or (near["status"] != "converged").any():
        return -math.inf if len(near) else math.nan
    return float((near["final_gfs"] / near["threshold"]).min())


def median_final_from_large_loss(plane: pd.DataFrame) -> float:
    """Median final sharpness, in units of 2/eta, of converging runs from above it with a loss above 2."""
    started = _from_above(plane)
    far = started[((started["product"] - 1) ** 2 / 2 > 2) & (started["status"] == "converged")]
    return float((far["final_gfs"] / far["threshold"]).median()) if len(far) else math.nan


def share_converged_below(plane: pd.DataFrame) -> float:
    """Share of the converging runs, of those that take a step at all, that end with a sharpness of at most 2/eta."""
    ended = plane[(plane["status"] == "converged") & (plane["steps"] > 0)]
    return float((ended["final_gfs"] <= ended["threshold"]).mean()) if len(ended) else math.nan


def distance_from_minimum_at_crossing(iterates: pd.DataFrame) -> float:
    """``|pi - 1|`` at the first iterate whose GFS sharpness is at most 2/eta; NaN if it starts there or never is."""
    below = (iterates["gfs_sharpness"] <= iterates["threshold"]).to_numpy()
    first = int(below.argmax()) if below.any() else 0
    return float(abs(iterates["product"].iloc[first] - 1)) if first > 0 else math.nan


def distance_to_gpgd(iterates: pd.DataFrame) -> float:
    """The 95 percent quantile of the distance to GPGD's periodic points while GFS sharpness is above 2/eta."""
    above = above_threshold(iterates)
    return float(above["distance"].fillna(math.inf).quantile(0.95, interpolation="higher")) if len(above) else math.nan


def largest_stable_product(products: pd.DataFrame) -> float:
    """Largest product at which the scan found points of the stable set; NaN if there is none."""
    return float(products.loc[products["points"] > 0, "product"].max())


def least_cosine_beyond(products: pd.DataFrame) -> float:
    """Least cosine of gradient and top eigenvector at products above 0.6."""
    return float(products.loc[products["product"] > 0.6, "least_cosine"].min())


def crossing_loss(table: pd.DataFrame) -> float:
    """Loss of the first run when GFS sharpness first is at most 2/eta; NaN if it starts there or never is."""
    run = table[table["run"] == table["run"].iloc[0]].sort_values("iteration")
    below = run[run["gfs_sharpness"] <= run["threshold"]]
    return float(below["loss"].iloc[0]) if len(below) and below["iteration"].iloc[0] > 0 else math.nan


def ratio_of_two_step_errors(iterates: pd.DataFrame) -> float:
    """Root mean square error of two GPGD steps over that of two steps of Zhu et al.'s approximation, above 2/eta.

    Of several runs the largest.
    """
    return worst_run(iterates, _ratio_of_two_step_errors, max)


def _ratio_of_two_step_errors(run: pd.DataFrame) -> float:
    ours, theirs = (
        root_mean_square(_judged(run, "two_step_error")),
        root_mean_square(_judged(run, "zhu_two_step_error")),
    )
    return ours / theirs if math.isfinite(theirs) else math.nan


def ratio_of_distances(iterates: pd.DataFrame) -> float:
    """Median distance to GPGD's periodic points over that to those of Zhu et al.'s approximation, above 2/eta.

    Of several runs the largest.
    """
    return worst_run(iterates, _ratio_of_distances, max)


def _ratio_of_distances(run: pd.DataFrame) -> float:
    ours, theirs = _judged(run, "distance").median(), _judged(run, "zhu_distance").median()
    return float(ours / theirs) if math.isfinite(theirs) else math.nan


def largest_distance_to_gpgd(iterates: pd.DataFrame) -> float:
    """As :func:`distance_to_gpgd`, of several runs the largest."""
    return worst_run(iterates, distance_to_gpgd, max)


def least_distance_to_approximation(iterates: pd.DataFrame) -> float:
    """The 95 percent quantile of the distance to the products that orbits of Zhu et al.'s approximation end in.

    While GFS sharpness is above 2/eta; infinite where an orbit leaves all bounds. Of several runs the least; NaN off
    their slice.
    """
    return worst_run(iterates, _distance_to_approximation, min)


def _distance_to_approximation(run: pd.DataFrame) -> float:
    above = above_threshold(run)
    if not above["zhu_a"].notna().any():
        return math.nan
    return float(above["zhu_distance"].fillna(math.inf).quantile(0.95, interpolation="higher"))


def least_of_periodic_and_chaotic(iterates: pd.DataFrame) -> float:
    """Iterates above 2/eta from which the approximation becomes periodic, or those from which it is chaotic: the fewer.

    Of several runs the fewest; NaN off their slice.
    """

    def of_run(run: pd.DataFrame) -> float:
        above = above_threshold(run[run["zhu_a"].notna()])
        return float(min((above["zhu_period"] > 0).sum(), above["zhu_chaotic"].sum())) if len(above) else math.nan

    return worst_run(iterates, of_run, min)


def end_of_validity(iterates: pd.DataFrame) -> float:
    """The ``8 a kappa`` from which on Zhu et al.'s approximation predicts no better than a constant would.

    Above 2/eta, of twenty iterates after each other in a: the mean of the first for which the root mean square error of
    the product two steps on is at least that product's standard deviation; infinite if none are. Of several runs the
    farthest from 1, where period 2 ends; NaN with less than twenty iterates.
    """
    return worst_run(iterates, _end_of_validity, farthest_from(1.0))


def _end_of_validity(run: pd.DataFrame) -> float:
    above = above_threshold(run[run["zhu_a"].notna()]).sort_values("zhu_a")
    if len(above) < _WINDOW:
        return math.nan
    errors = np.sqrt((above["zhu_two_step_error"].fillna(math.inf) ** 2).rolling(_WINDOW).mean())
    useless = errors >= above["two_steps_on"].rolling(_WINDOW).std(ddof=0)
    centres = zhu_drive(above["zhu_a"].rolling(_WINDOW).mean().to_numpy(), 2 / above["threshold"].iloc[0])
    return float(centres[useless].min()) if useless.any() else math.inf


def error_beyond_period_two(iterates: pd.DataFrame) -> float:
    """Error of Zhu et al.'s approximation over the spread of what it predicts, where its period is not 1 or 2.

    Above 2/eta, the root mean square of the error of the product two steps on over that product's standard deviation:
    1 is the error of a constant, the mean. Of several runs the least; NaN with less than twenty such iterates.
    """
    return worst_run(iterates, lambda run: _error_over_spread(run, within=False), min)


def chaotic_in_set(iterates: pd.DataFrame) -> float:
    """Iterates in the invariant set from which GPGD is chaotic."""
    return float((iterates["chaotic"] & iterates["in_set"]).sum())


def violations(name: str, examined: pd.DataFrame) -> float:
    """Violations of a statement over all depths."""
    rows = examined[examined["statement"] == name]
    return float(rows["violations"].sum()) if len(rows) else math.nan


# Remarks.


def single_sharpnesses(table: pd.DataFrame) -> str:
    runs = [run.sort_values("iteration") for _, run in table.groupby(["experiment", "run"])]
    stretch = pd.concat([table.iloc[:0], *(at_edge(run) for run in runs)])
    units = stretch["sharpness"] / stretch["threshold"]
    return (
        f"{len(stretch)} iterates; by itself a value is {units.median():.4g} in the median, from {units.min():.3g} to "
        f"{units.max():.3g}, and {((units - 1).abs() <= 0.1).sum()} are within a tenth of 2/eta"
    )


def starts_in_set(plane: pd.DataFrame) -> str:
    return f"{plane['in_set'].sum()} of {len(plane)} starts are in the set"


def rising_starts(plane: pd.DataFrame) -> str:
    rising = _rising(plane)
    return (
        f"{len(rising)} of {(plane['status'] == 'converged').sum()} converging runs rise at some step, the last "
        f"of them at step {rising['last_rise'].max()}"
    )


def distance_of_shuffled(iterates: pd.DataFrame) -> str:
    above = above_threshold(iterates)
    shuffled = above["shuffled_distance"].quantile(0.95)
    return f"median {above['distance'].median():.2g}; with its products shuffled the quantile is {shuffled:.2g}"


def stable_products(products: pd.DataFrame) -> str:
    there = products.loc[products["points"] > 0, "product"]
    return f"products from {there.min():.2g} to {there.max():.2g}; the minima have 1"


def two_step_errors(iterates: pd.DataFrame) -> str:
    def said(run: pd.DataFrame) -> str:
        ours, theirs = (root_mean_square(_judged(run, f"{of}two_step_error")) for of in ("", "zhu_"))
        return f"GPGD {ours:.2g}, Zhu et al. {theirs:.2g}"

    return _of_each_run(iterates, said)


def distances(iterates: pd.DataFrame) -> str:
    def said(run: pd.DataFrame) -> str:
        ours, theirs = (_judged(run, f"{of}distance").median() for of in ("", "zhu_"))
        return f"GPGD {ours:.2g}, Zhu et al. {theirs:.2g}"

    return _of_each_run(iterates, said)


def far_distances(iterates: pd.DataFrame) -> str:
    def said(run: pd.DataFrame) -> str:
        return f"GPGD {distance_to_gpgd(run):.2g}, Zhu et al. {_distance_to_approximation(run):.2g}"

    return _of_each_run(iterates, said)


def kinds_of_orbits(iterates: pd.DataFrame) -> str:
    def said(run: pd.DataFrame) -> str:
        above = above_threshold(run)
        unbounded = (above["zhu_distance"].fillna(math.inf) == math.inf).sum()
        periods = ", ".join(f"{period:g}" for period in sorted(set(above["zhu_period"].dropna()) - {0}))
        return (
            f"periods {periods or 'none'}; of {len(above)} iterates {above['zhu_chaotic'].sum():g} chaotic, from "
            f"{unbounded} the orbit leaves all bounds"
        )

    return _of_each_run(iterates, said)


def ends_of_validity(iterates: pd.DataFrame) -> str:
    return _of_each_run(iterates, lambda run: f"{_end_of_validity(run):.3g}")


def errors_by_period(iterates: pd.DataFrame) -> str:
    def said(run: pd.DataFrame) -> str:
        ranges = (("period up to 2", True), ("beyond", False))
        errors = "; ".join(
            f"{name} {_error_over_spread(run, within=within):.2g}, GPGD "
            f"{_error_over_spread(run, within=within, error='two_step_error'):.2g}"
            for name, within in ranges
        )
        # The other reading: a period of two in steps of their map, each of which is two of gradient descent.
        theirs = (_error_over_spread(run, within=within, border=_DOUBLED_AGAIN) for within in (True, False))
        return errors + "; with periods up to 4 counted in, {:.2g} and {:.2g}".format(*theirs)

    return _of_each_run(iterates, said)


def chaotic_iterates(iterates: pd.DataFrame) -> str:
    chaotic = iterates[iterates["chaotic"]]
    if not len(chaotic):
        return "no iterate is chaotic"
    units = chaotic["gfs_sharpness"] / chaotic["threshold"]
    return (
        f"{len(chaotic)} of {len(iterates)} iterates, GFS sharpness {units.min():.3f} to {units.max():.3f} of 2/eta, "
        f"largest Lyapunov exponent {chaotic['lyapunov'].max():.2f}"
    )


def examination(statement: theorems.Statement, examined: pd.DataFrame) -> str:
    rows = examined[examined["statement"] == statement.id]
    if not len(rows):
        return "the tables are older than this statement: snakemake --forcerun theorems -- claims"
    failing = rows[rows["outside_violations"] > 0]
    found = (
        f"{rows['outside_violations'].sum()} of {rows['outside_points'].sum()} points violate it, such as "
        f"{failing['counterexample'].iloc[0]}"
        if len(failing)
        else f"none of {rows['outside_points'].sum()} points violates it"
    )
    return (
        f"{rows['points'].sum()} points, depths {rows['depth'].min()} to {rows['depth'].max()}; tightest margin "
        f"{rows['margin'].min():.2g}. With {statement.otherwise} {found}"
    )


def _examined(statement: theorems.Statement) -> Claim:
    within = f" by more than {statement.tolerance:g}" if statement.tolerance else ""
    return Claim(
        id=statement.id,
        origin=statement.origin,
        statement=statement.text,
        quantity="violations",
        measure=lambda table: violations(statement.id, table),
        table="theorems",
        remark=lambda table: examination(statement, table),
        relation="is",
        bound=0.0,
        reason=f"A statement has to hold at every point{' but for rounding' if within else ''}.",
        fails_if=f"one sampled point violates it{within}",
        control=controls.replaced(statement.otherwise, violations=lambda examined: examined["outside_violations"]),
    )


def _rising(plane: pd.DataFrame) -> pd.DataFrame:
    return plane[(plane["status"] == "converged") & (plane["rises"] > 0)]


def _from_above(plane: pd.DataFrame) -> pd.DataFrame:
    """Starts above 2/eta that take a step at all: a start at an unstable minimum stays there."""
    return plane[(plane["initial_gfs"] > plane["threshold"]) & (plane["steps"] > 0)]


def _judged(iterates: pd.DataFrame, column: str) -> pd.Series:
    """A column above 2/eta, what is not a number as infinite."""
    return above_threshold(iterates[iterates["product"].notna()])[column].fillna(math.inf)


# So many iterates have a spread to hold an error against.
_WINDOW = 20

# The value of 8 a kappa up to which the map of Zhu et al. has a stable orbit of its own period two, sqrt(5) - 1: of
# b -> r b - b^3 with r = 1 + 8 a kappa, to which theirs is equal up to a factor of b, it is stable up to r = sqrt(5).
_DOUBLED_AGAIN = math.sqrt(5) - 1


def _error_over_spread(
    run: pd.DataFrame, *, within: bool, error: str = "zhu_two_step_error", border: float | None = None
) -> float:
    there = above_threshold(run[run["zhu_a"].notna()])
    eta = 2 / run["threshold"].iloc[0]
    a = there["zhu_a"].to_numpy()
    inside = zhu_period_at_most_two(a, eta)
    if border is not None:
        inside |= (zhu_drive(a, eta) > 0) & (zhu_drive(a, eta) <= border)
    judged = there[inside == within]
    if len(judged) < _WINDOW:
        return math.nan
    return float(root_mean_square(judged[error].fillna(math.inf)) / judged["two_steps_on"].std(ddof=0))


def _of_each_run(iterates: pd.DataFrame, said: Callable[[pd.DataFrame], str]) -> str:
    runs = [(run, rows) for (_, run), rows in iterates.groupby(["experiment", "run"], sort=False)]
    return "; ".join(f"eta = {2 / rows['threshold'].iloc[0]:.3g}: {said(rows)}" for _, rows in runs)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="scalar-gfs-monotone", origin=Origin("stated", KREISLER), figures={"figure02": "b"},
        statement="GFS sharpness never rises along gradient descent on a scalar network",
        quantity="largest relative rise above any earlier value",
        measure=largest_gfs_rise, table="figure02", relation="<=", bound=0.0, tolerance=1e-12,
        reason="Rounding of phi is some 1e-15; 1e-12 leaves room and no more.",
        fails_if="an iterate's GFS sharpness is above an earlier one's by more than rounding",
        control=controls.SHUFFLED,
    ),
    Claim(
        id="scalar-starts-above", origin=Origin("stated", KREISLER), figures={"figure02": "b"},
        statement="GFS sharpness starts above 2/eta",
        quantity="first GFS sharpness, in units of 2/eta",
        measure=smallest_initial_gfs, table="figure02", relation=">=", bound=1.0,
        reason="2/eta is the statement's own threshold.",
        check="eta is chosen so",
        fails_if="it starts below", control=controls.SMALL_STEPS,
    ),
    Claim(
        id="scalar-ends-below", origin=Origin("stated", KREISLER), figures={"figure02": "b"},
        statement="The GFS sharpness ends below 2/eta",
        quantity="last GFS sharpness, in units of 2/eta",
        measure=largest_final_gfs, table="figure02", relation="<=", bound=1.0,
        reason="2/eta is the statement's own threshold.",
        fails_if="it ends above 2/eta", control=controls.SHARPER,
    ),
    Claim(
        id="scalar-ends-close", origin=Origin("our number", KREISLER), figures={"figure02": "b", "figure08": ""},
        statement="The GFS sharpness ends close to 2/eta",
        quantity="last GFS sharpness, in units of 2/eta",
        measure=farthest_final_gfs, table="figure02", relation="within", bound=1.0, tolerance=0.05,
        reason="'Just below' is no number in the paper's text; 5 percent is our reading of it.",
        fails_if="it ends more than 5 percent from 2/eta", control=controls.SMALL_STEPS,
    ),
    Claim(
        id="scalar-loss-oscillates", origin=Origin("our number", KREISLER), figures={"figure02": "a"},
        statement="Once the sharpness has come to 2/eta the loss is not monotone",
        quantity="share of steps that raise it",
        measure=share_of_loss_increases, table="figure02", relation=">=", bound=LEAST_SHARE_OF_RISES,
        reason="No number in the text. Chance would give none; one step in twenty is not to be overlooked in a plot.",
        fails_if="the loss rises in fewer than one step of twenty", control=controls.GRADIENT_FLOW,
    ),
    Claim(
        id="scalar-loss-converges", origin=Origin("our number", KREISLER), figures={"figure02": "a"},
        statement="The loss goes to zero all the same",
        quantity="last loss over the largest",
        measure=loss_reduction, table="figure02", relation="<=", bound=0.0, tolerance=1e-6,
        reason="The loss falls by what the experiment's stopping loss asks for; a millionth is our reading of 'to "
               "zero'.",
        check="a run ends at the loss that it is told to",
        fails_if="the run diverges or does not come to its end", control=controls.STUCK,
    ),
    Claim(
        id="scalar-sharpness-alternates", origin=Origin("our number", KREISLER), figures={"figure02": "b"},
        statement="At the edge of stability, from when the sharpness first rises above 2/eta until GFS sharpness is "
                  "at most that, the sharpness oscillates around 2/eta",
        quantity="share of steps that change sides",
        measure=share_of_alternations, table="figure02", remark=single_sharpnesses, relation=">=", bound=0.9,
        reason="'Oscillates around' is no number in the text. The sharpness is above and below 2/eta by turns, so "
               "that no value by itself has to be near it (see the note): nine steps in ten are to change sides.",
        fails_if="one step in ten stays on its side of 2/eta", control=controls.EIGENVALUE,
    ),
    Claim(
        id="scalar-sharpness-hovers", origin=Origin("our number", KREISLER), figures={"figure02": "b"},
        statement="What it oscillates around there is 2/eta",
        quantity="median of the mean of two consecutive iterates, in units of 2/eta",
        measure=sharpness_over_two_steps, table="figure02", relation="within", bound=1.0, tolerance=0.1,
        reason="'Around' is no number in the text: the mean of two values, one from each side, is to be within a "
               "tenth, half of the time.",
        fails_if="the median is more than a tenth off", control=controls.EIGENVALUE,
    ),
    Claim(
        id="scalar-loss-exponential", origin=Origin("our number", KREISLER, "Section", "3.6"),
        figures={"figure02": "a"},
        statement="Once GFS sharpness is below 2/eta the loss decays exponentially",
        quantity="correlation of its logarithm with the iteration",
        measure=correlation_of_decay, table="figure02", relation="within", bound=-1.0, tolerance=0.001,
        reason="A straight line in the logarithm but for the first steps, in which signs still change: a thousandth "
               "for those. Powers of the iteration and exponentials of its powers are further from a line.",
        fails_if="the logarithm of the loss is no straight line", control=controls.POWER_LAW,
    ),
    Claim(
        id="final-sharpness-below", origin=Origin("stated", KREISLER), figures={"figure08": ""},
        statement="The sharpness converges to below 2/eta",
        quantity="last sharpness, in units of 2/eta",
        measure=largest_final_sharpness, table="figure02", relation="<=", bound=1.0,
        reason="2/eta is the statement's own threshold.",
        fails_if="it ends above 2/eta", control=controls.EIGENVALUE,
    ),
    Claim(
        id="final-sharpness-close", origin=Origin("our number", KREISLER), figures={"figure08": ""},
        statement="The sharpness converges to close to 2/eta",
        quantity="last sharpness, in units of 2/eta",
        measure=farthest_final_sharpness, table="figure02", relation="within", bound=1.0, tolerance=0.05,
        reason="'Close' is no number in the text; 5 percent is our reading, as for the GFS sharpness.",
        fails_if="it ends more than 5 percent from 2/eta", control=controls.EIGENVALUE,
    ),
    Claim(
        id="sharpness-equals-gfs", origin=Origin("our number", KREISLER, "Section", "1"), figures={"figure01": ""},
        statement="Sharpness and GFS sharpness agree where gradient descent has converged",
        quantity="relative difference",
        measure=final_gap_of_sharpnesses, table="figure02", relation="<=", bound=0.0, tolerance=1e-3,
        reason="At loss L the two differ by O(sqrt(L)), 1e-4 times a constant at the stopping loss.",
        fails_if="the two differ by more than a thousandth at the end", control=controls.SHARPER,
    ),
    Claim(
        id="scalar-plane", origin=Origin("stated", KREISLER), figures={"figure01": ""},
        statement="In the plane (D = 2) the gradient flow solutions of the iterates slide along the curve of minima "
                  "towards lower sharpness",
        quantity="largest relative rise",
        measure=largest_gfs_rise, table="figure01", relation="<=", bound=0.0, tolerance=1e-12,
        reason="Rounding of phi is some 1e-15; 1e-12 leaves room and no more.",
        fails_if="an iterate's GFS sharpness is above an earlier one's by more than rounding",
        control=controls.SHUFFLED,
    ),
    Claim(
        id="invariant-set-sufficient", origin=Origin("stated", KREISLER), figures={"figure02": "c"},
        statement="Starting in the positive invariant set, GFS sharpness never rises",
        quantity="starts in the set where it does",
        measure=rising_starts_in_set, table="plane", remark=starts_in_set, relation="is", bound=0.0,
        reason="'Never': from not one of the starts.",
        fails_if="it rises at a step from one start in the set",
        control=controls.replaced("a rise in each run", rises=1),
    ),
    Claim(
        id="invariant-set-large", origin=Origin("our number", KREISLER), figures={"figure02": "c"},
        statement="The set covers a large part of the starts from which GFS sharpness falls monotonically to "
                  "convergence",
        quantity="share of these starts that are in the set",
        measure=share_of_monotone_starts_in_set, table="plane", relation=">=", bound=1 / 3,
        reason="'A large part' is no number in the text; a third is our reading. The share depends on how far up the "
               "plane goes.",
        fails_if="less than a third of these starts are in the set", control=controls.ONE_START,
    ),
    Claim(
        id="nonmonotone-early", origin=Origin("our number", KREISLER), figures={"figure02": "c"},
        statement="Where GFS sharpness is not monotone and the run converges, it tends to rise in the first few "
                  "iterations only",
        quantity="share of these runs that rise in the first ten alone",
        measure=share_of_early_rises, table="plane", remark=rising_starts, relation=">=", bound=0.95,
        reason="'Tends to' and 'the first few' are no numbers in the text; 95 percent and ten, of some hundred steps, "
               "are our reading.",
        fails_if="more than one in twenty of these runs rises after step 10",
        control=controls.scaled("last_rise", 10, "rises at ten times the step"),
    ),
    Claim(
        id="nonmonotone-enters-set", origin=Origin("our number", KREISLER), figures={"figure02": "c"},
        statement="Where GFS sharpness is not monotone and the run converges, gradient descent enters the set and GFS "
                  "sharpness rises no more",
        quantity="share of these runs",
        measure=share_that_enters_set, table="plane", relation=">=", bound=0.95,
        reason="'Tends to' is no number in the text; 95 percent is our reading.",
        fails_if="more than one in twenty of these runs rises after it entered, or never enters",
        control=controls.replaced("runs that never enter the set", first_in_set=-1),
    ),
    Claim(
        id="final-sharpness-near", origin=Origin("our number", KREISLER), figures={"figure03": ""},
        statement="Starts with GFS sharpness above 2/eta and product within 0.3 of 1 end close to 2/eta",
        quantity="least final sharpness, in units of 2/eta",
        measure=least_final_from_small_loss, table="plane", relation=">=", bound=0.95,
        reason="'Near 1' and 'close' are no numbers in the text: 0.3 and 5 percent are our reading.",
        fails_if="one of these starts diverges or ends below 0.95",
        control=controls.scaled("final_gfs", 0.5, "final sharpnesses half as large"),
    ),
    Claim(
        id="final-sharpness-far", origin=Origin("our number", KREISLER), figures={"figure03": ""},
        statement="Starts with GFS sharpness above 2/eta and a loss above 2 end well below it",
        quantity="median final sharpness of those that converge, in units of 2/eta",
        measure=median_final_from_large_loss, table="plane", relation="<=", bound=0.8,
        reason="'Well below' is no number in the text: 20 percent is our reading.",
        fails_if="the median is above 0.8",
        control=controls.scaled("final_gfs", 2.0, "final sharpnesses twice as large"),
    ),
    Claim(
        id="no-convergence-above", origin=Origin("our number", KREISLER, "Appendix", "B.1"),
        statement="Gradient descent does not converge to a minimum with sharpness above 2/eta",
        quantity="share of the converging runs that end at most there",
        measure=share_converged_below, table="plane", relation="within", bound=1.0, tolerance=1e-3,
        reason="A run is taken for converged at a loss of 1e-12, which chaotic iterates may happen upon: one in a "
               "thousand is left for those.",
        fails_if="more than one converging run in a thousand ends above 2/eta",
        control=controls.scaled("final_gfs", 2.0, "final sharpnesses twice as large"),
    ),
    Claim(
        id="bifurcation", origin=Origin("our number", KREISLER), figures={"figure04": ""},
        statement="Above 2/eta the products along gradient descent nearly coincide with GPGD's periodic points",
        quantity="95 percent quantile of the distance",
        measure=distance_to_gpgd, table="figure04_gpgd", remark=distance_of_shuffled, relation="<=", bound=0.05,
        reason="The products spread over about 1.5; 'very nearly' is read as a few hundredths, for 19 iterates in 20.",
        fails_if="one iterate in twenty is farther than 0.05 from the periodic points", control=controls.OTHER_ORBITS,
    ),
    Claim(
        id="bifurcation-ends-at-minimum", origin=Origin("our number", KREISLER, "Section", "3.6"),
        figures={"figure04": ""},
        statement="Where GFS sharpness reaches 2/eta gradient descent is very close to the minimum, GPGD's point of "
                  "period 1",
        quantity="distance of the product from 1",
        measure=distance_from_minimum_at_crossing, table="figure04_gpgd", relation="<=", bound=0.0, tolerance=0.1,
        reason="'Very close' is no number in the text; a tenth, of products that spread over about 1.5, is our "
               "reading.",
        fails_if="the product is more than a tenth from 1", control=controls.FARTHEST_PRODUCT,
    ),
    Claim(
        id="stable-set-disjoint", origin=Origin("derived", KREISLER), figures={"figure07": ""},
        statement="At depth 3 the points of Damian et al.'s stable set other than minima have products apart from 1",
        quantity="largest product",
        measure=largest_stable_product, table="stable_set", remark=stable_products, relation="<=", bound=0.5,
        tolerance=1e-12,
        reason="Derived in replication.studies.scalar.stable_set; 1e-12 is for rounding.",
        fails_if="a point of the set has a product above 1/2 and is no minimum",
        control=controls.replaced("points of the set at every product", points=3),
    ),
    Claim(
        id="stable-set-apart", origin=Origin("derived", KREISLER), figures={"figure07": ""},
        statement="At depth 3, beyond a product of 0.6, the gradient stays far from orthogonal to the top eigenvector",
        quantity="least cosine",
        measure=least_cosine_beyond, table="stable_set", relation=">=", bound=0.5,
        reason="That the set ends at a product of 1/2 is derived in replication.studies.scalar.stable_set; that 'far "
               "from orthogonal' is a cosine of 1/2 is our reading.",
        fails_if="the cosine is below 1/2 somewhere",
        control=controls.replaced("orthogonal gradients", least_cosine=0.0),
    ),
    Claim(
        id="high-loss-crossing", origin=Origin("stated", KREISLER), figures={"figure09": ""},
        statement="A start whose loss is about 5.1 when GFS sharpness crosses 2/eta",
        quantity="loss at the crossing",
        measure=crossing_loss, table="figure09", relation="within", bound=5.1, tolerance=0.1,
        reason="5.1 is the paper's. The start is chosen for it (scalar.start): the check says that there is one. The "
               "grid of the plane leaves the loss some hundredths off.",
        check="the start is chosen by this",
        fails_if="the run crosses elsewhere", control=controls.scaled("loss", 0.01, "a hundredth of the loss"),
    ),
    Claim(
        id="high-loss-ends-far", origin=Origin("our number", KREISLER), figures={"figure09": ""},
        statement="That start ends far below 2/eta",
        quantity="final GFS sharpness, in units of 2/eta",
        measure=largest_final_gfs, table="figure09", relation="<=", bound=0.7,
        reason="'Far below' is no number in the text: 0.7 is our reading.",
        check="the start is chosen by this",
        fails_if="it ends above 0.7", control=controls.ENDS_NEAR,
    ),
    Claim(
        id="high-loss-monotone", origin=Origin("stated", KREISLER), figures={"figure09": ""},
        statement="From that start GFS sharpness never rises",
        quantity="largest relative rise",
        measure=largest_gfs_rise, table="figure09", relation="<=", bound=0.0, tolerance=1e-12,
        reason="Rounding of phi is some 1e-15; 1e-12 leaves room and no more.",
        check="the start is chosen among those from which it is so",
        fails_if="an iterate's GFS sharpness is above an earlier one's by more than rounding",
        control=controls.SHUFFLED,
    ),
    Claim(
        id="gpgd-predicts", origin=Origin("our number", KREISLER), figures={"figure10": ""},
        statement="Two steps of GPGD lead where two steps of gradient descent do, those of the approximation of Zhu "
                  "et al. do not",
        quantity="ratio of the root mean square errors above 2/eta",
        measure=ratio_of_two_step_errors, table="figure10_gpgd", remark=two_step_errors, relation="<=", bound=0.2,
        reason="'Close' and 'does not approximate well' are no numbers in the text: a fifth of the error, in what two "
               "steps lead to, is our reading. Of several trajectories the worst one counts.",
        fails_if="the error of GPGD is more than a fifth of the other on one trajectory", control=controls.EXCHANGED,
    ),
    Claim(
        id="gpgd-beats-approximation", origin=Origin("our number", KREISLER), figures={"figure10": ""},
        statement="Above 2/eta the trajectory is nearer to GPGD's periodic points than to those of Zhu et al.'s "
                  "approximation",
        quantity="ratio of the median distances",
        measure=ratio_of_distances, table="figure10_gpgd", remark=distances, relation="<=", bound=1.0,
        reason="No number in the text: that the distance is smaller at all.",
        fails_if="GPGD's points are farther on one trajectory", control=controls.EXCHANGED,
    ),
    Claim(
        id="gpgd-close", origin=Origin("our number", KREISLER), figures={"figure10": "b"},
        statement="Above 2/eta GPGD closely approximates the products along gradient descent",
        quantity="95 percent quantile of the distance",
        measure=largest_distance_to_gpgd, table="figure10_gpgd", remark=far_distances, relation="<=", bound=0.05,
        reason="'Close' is no number in the text: a few hundredths for 19 iterates in 20, as in figure 4.",
        fails_if="one iterate in twenty is farther than 0.05 on one trajectory", control=controls.EXCHANGED,
    ),
    Claim(
        id="approximation-far", origin=Origin("our number", KREISLER), figures={"figure10": "a"},
        statement="The diagram of Zhu et al.'s approximation does not approximate them well",
        quantity="95 percent quantile of the distance",
        measure=least_distance_to_approximation, table="figure10_gpgd", remark=far_distances, relation=">=",
        bound=0.05,
        reason="'Does not approximate well' is no number in the text: farther than what is close.",
        fails_if="19 iterates in 20 are nearer than 0.05 on one trajectory", control=controls.EXCHANGED,
    ),
    Claim(
        id="approximation-bifurcates", origin=Origin("stated", KREISLER), figures={"figure10": "a"},
        statement="The approximate dynamics become periodic at some GFS sharpness and chaotic at other",
        quantity="iterates of each kind above 2/eta, the fewer",
        measure=least_of_periodic_and_chaotic, table="figure10_gpgd", remark=kinds_of_orbits, relation=">=", bound=1.0,
        reason="One iterate of each kind shows that both occur.",
        fails_if="it is periodic at all iterates of one trajectory, or at none",
        control=controls.replaced("a period of 2 everywhere", zhu_period=2, zhu_chaotic=False),
    ),
    Claim(
        id="approximation-to-period-2", origin=Origin("our number", KREISLER, "Appendix", "B.2"),
        statement="Zhu et al.'s approximation is valid up to where its dynamics cease to be of period 2, 8 a kappa = 1",
        quantity="8 a kappa from which on it predicts the product two steps on no better than the mean does",
        measure=end_of_validity, table="figure10_gpgd", remark=ends_of_validity, relation="within", bound=1.0,
        tolerance=0.25,
        reason="'Valid' is no number in the text. Where its error is that of a constant, the mean, an approximation "
               "says nothing of the product any more. Its period, in steps of gradient descent, is 2 up to 8 a kappa "
               "= 1 (see ZhuTwoSteps). At the larger step twenty iterates extend over 0.4 there; the tolerance is a "
               "little more than half of that.",
        fails_if="it is of use up to another 8 a kappa than 1, by more than a quarter",
        control=controls.scaled("zhu_a", 2.0, "a of twice the size"),
    ),
    Claim(
        id="approximation-no-further", origin=Origin("our number", KREISLER, "Appendix", "B.2"),
        statement="Zhu et al.'s approximation is not valid where its dynamics have a longer period or none",
        quantity="root mean square error of the product two steps on over its standard deviation",
        measure=error_beyond_period_two, table="figure10_gpgd", remark=errors_by_period, relation=">=", bound=1.0,
        reason="'Valid' is no number in the text: with the error of a constant, 1, an approximation says nothing of "
               "the product any more.",
        fails_if="it predicts better than a constant there on one trajectory", control=controls.EXCHANGED,
    ),
    Claim(
        id="chaos-in-invariant-set", origin=Origin("stated", KREISLER), figures={"figure11": ""},
        statement="The positive invariant set contains points at which gradient descent is chaotic",
        quantity="iterates in it from which GPGD is",
        measure=chaotic_in_set, table="figure11_gpgd", remark=chaotic_iterates, relation=">=", bound=1.0,
        reason="One such iterate shows that there are some.",
        fails_if="no iterate in the set is chaotic", control=controls.replaced("no chaos", chaotic=False),
    ),
    *(_examined(statement) for statement in theorems.STATEMENTS),
)  # fmt: skip
