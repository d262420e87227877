"""The claims of Arora et al. (2022) on small runs, and for each a way in which they would be wrong and it fails."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from replication import claims
from replication.claims import arora
from replication.studies.arora import Regression, Valley, build, phases, summary
from replication.studies.arora.descending import Run, descend

CLAIMS = {claim.id for claim in arora.CLAIMS}
ORDERS = {"arora-error-normalised", "arora-error-sqrt", "arora-alignment-order"}
SETTINGS = {
    "valley": {"starts": [[1.5, 1.0], [0.7, 1.0]]},
    "scalar": {"starts": [[3.4, 1.9, 0.6, 0.8], [2.2, 1.5, 0.9, 1.2]]},
    "regression": {
        "data": {"samples": 2, "dimension": 6, "mean": 1.0, "deviation": 1.0, "label_deviation": 1.0, "seed": 0},
        "initial_scales": [0.4, 0.6],
    },
}
SAMPLING = {"learning_rates": [0.1, 0.05, 0.02, 0.01, 0.005], "tau": 1.0, "points": 40, "consecutive": 2}


def runs(methods=phases.METHODS, **changes):
    tables = [phases.table(name, {**settings, **SAMPLING, **changes}, methods) for name, settings in SETTINGS.items()]
    return pd.concat(tables, ignore_index=True)


@cache
def honest():
    return runs()


def verdicts(table):
    found = claims.evaluate(arora.CLAIMS, {"arora": (["t.parquet"], table)}, "test")
    return {row["id"]: row["verdict"] for row in found}


def test_claims_are_of_the_paper_and_its_figures():
    assert {claim.origin.paper for claim in arora.CLAIMS} == {"arora2022"}
    assert {claim.place for claim in arora.CLAIMS} == {"figure_arora_flow", "figure_arora_error"}
    assert set(arora.CLAIMS) <= set(claims.CLAIMS)


@pytest.mark.slow
def test_small_runs_fulfil_the_claims():
    found = verdicts(honest())
    # Over so short a range of step sizes the interval of an order may be too wide to tell.
    assert {found[claim] for claim in CLAIMS - ORDERS} == {"holds"}
    assert {found[claim] for claim in ORDERS} <= {"holds", "not attempted"}


def test_an_order_is_judged_by_its_interval():
    """Errors of order one up to noise: the interval has one in it, and is Student's t times the standard error."""
    rates = np.array([0.1, 0.03, 0.01, 0.003, 0.001])
    rows = {"problem": "valley", "descent": "sqrt", "start": 0, "phase": 2, "learning_rate": rates}
    noise = np.array([1.3, 0.8, 1.2, 0.7, 1.25])
    (estimate,) = arora.orders_of_error(pd.DataFrame(rows | {"error": rates * noise}))
    fit = stats.linregress(np.log(rates), np.log(rates * noise))
    assert estimate.value == pytest.approx(fit.slope)
    assert estimate.error == pytest.approx(fit.stderr * stats.t.ppf(0.975, 3))
    assert estimate.of == "valley, sqrt"
    (claim,) = [claim for claim in arora.CLAIMS if claim.id == "arora-error-sqrt"]
    for order, verdict in ((1.4, "holds"), (0.87, "not attempted"), (0.83, "not attempted"), (0.4, "fails")):
        assert claim.verdict(claim.measure(pd.DataFrame(rows | {"error": rates**order * noise}))) == verdict
    few = pd.DataFrame(rows | {"error": rates * noise}).iloc[:2]
    assert claim.verdict(claim.measure(few)) == "not attempted"


# What can go wrong. Each takes the table and returns the same with one thing done otherwise.


def replaced(table, flow):
    """The same iterates beside another flow: ``flow(problem, descent, start, tau)``."""
    tables = []
    for (name, descent, number, rate), run in table.groupby(summary.RUN, sort=False):
        problem, starts = build(name, SETTINGS[name])
        # As in replication.studies.arora.phases: the iterates are those that were kept.
        (iterates,) = descend(problem, [Run(descent, rate, starts[number], run["iteration"].to_numpy())])
        path = flow(problem, descent, starts[number], run["tau"].to_numpy())
        error = np.linalg.norm(problem.gradient_flow_solution(iterates.weights) - path, axis=1)
        columns = {"error": error, "flow_sharpness": problem.top(path)[0]}
        tables.append(run.assign(**columns, travelled=np.linalg.norm(path[-1] - path[0])))
    return pd.concat(tables, ignore_index=True)


def solution(problem, w):
    return problem.gradient_flow_solution(w[None])[0]


def at_twice_the_pace(problem, descent, start, tau):
    """Factors of 1/2 and 1/4."""
    return problem.limiting_flow(descent, solution(problem, start), 2 * tau)


def of_the_other_method(problem, descent, start, tau):
    other = {"normalised": "sqrt", "sqrt": "normalised"}[descent]
    return problem.limiting_flow(other, solution(problem, start), tau)


def from_another_start(problem, descent, start, tau):
    """From the gradient flow solution of a point beside the start, off by 5 percent."""
    moved = start * (1 + 0.05 * np.cos(np.arange(len(start))))
    return problem.limiting_flow(descent, solution(problem, moved), tau)


def coarse(table):
    """As the honest table, of the runs that a control takes again."""
    return table[(table["start"] == 0) & (table["learning_rate"] >= 0.01)]


FLOWS = {
    at_twice_the_pace: {"arora-follows-flow", "arora-drift-normalised", "arora-drift-sqrt"},
    of_the_other_method: {"arora-follows-flow", "arora-drift-normalised", "arora-drift-sqrt"},
    from_another_start: {"arora-follows-flow"},
}
ERRORS = {"arora-error-normalised", "arora-error-sqrt"}


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_another_flow_is_not_followed(flow):
    found = verdicts(replaced(coarse(honest()), flow))
    # An error that does not go to zero has no order.
    for claim in FLOWS[flow] | ERRORS:
        assert found[claim] == "fails", claim


@pytest.mark.slow
def test_the_flow_put_in_anew_is_that_of_the_table():
    """The control of the controls."""
    again = replaced(
        coarse(honest()), lambda problem, descent, w, tau: problem.limiting_flow(descent, solution(problem, w), tau)
    )
    for column in ("error", "flow_sharpness", "travelled"):
        # What is rounded otherwise in another batch grows where the oscillation lands near the minima.
        np.testing.assert_allclose(again[column], coarse(honest())[column], rtol=0.05, atol=1e-6)


@cache
def plain():
    """Plain gradient descent with the same step sizes in place of both methods."""
    tables = [runs(("plain",), learning_rates=[0.1, 0.05, 0.02]).assign(descent=descent) for descent in phases.METHODS]
    return pd.concat(tables, ignore_index=True)


@pytest.mark.slow
def test_plain_descent_does_not_enter_phase_two():
    # At 0.02, where 2/eta is above the sharpness of all of its minima, it comes to rest.
    table = plain()[plain()["learning_rate"] == 0.02]
    found = verdicts(table)
    assert found["arora-phase-one"] == "not attempted"
    # Taken for phase two from some time on, it drifts nowhere, and its gradient is along the flattest direction.
    found = verdicts(table.assign(phase=np.where(table["tau"] > 0.2, 2, 1)))
    for claim in ("arora-follows-flow", "arora-drift-normalised", "arora-drift-sqrt", "arora-edge-of-stability"):
        assert found[claim] != "holds", claim
    assert found["arora-follows-flow"] == "fails"


def shuffled(table):
    """Iterates in disorder within each run."""
    generator = np.random.default_rng(0)
    columns = ["gfs_sharpness", "error"]
    tables = []
    for _, run in table.groupby(summary.RUN, sort=False):
        order = generator.permutation(len(run))
        tables.append(run.assign(**{column: run[column].to_numpy()[order] for column in columns}))
    return pd.concat(tables, ignore_index=True)


def backwards(table):
    """Up the slope of the sharpness: the flow with the other sign."""
    runs = table.groupby(summary.RUN, sort=False)["gfs_sharpness"]
    return table.assign(gfs_sharpness=runs.transform(lambda values: values.to_numpy()[::-1]))


def random_directions(table):
    """Gradients without a relation to the top eigenvector, in three dimensions."""
    v = np.abs(np.random.default_rng(0).normal(size=(len(table), 3)))
    return table.assign(angle=np.arccos(v[:, 0] / np.linalg.norm(v, axis=1)))


def one_side(table):
    """Only the iterates on the farther side of the oscillation."""
    high = table["loss"] > table.groupby(summary.RUN)["loss"].transform("median")
    return table[high | (table["iteration"] == 0) | (table["phase"] == 1)]


@pytest.mark.parametrize(
    ("wrong", "fails"),
    [
        (shuffled, {"arora-sharpness-falls", "arora-drift-normalised", "arora-drift-sqrt"}),
        (backwards, {"arora-sharpness-falls", "arora-drift-normalised", "arora-drift-sqrt"}),
        (random_directions, {"arora-alignment", "arora-alignment-order"}),
        (one_side, {"arora-edge-of-stability"}),
        (lambda t: t.assign(edge=t["edge"] * t["gfs_sharpness"]), {"arora-edge-of-stability"}),  # no unit of 2/eta
        (lambda t: t.assign(approach=t["approach"] ** 2), {"arora-phase-one"}),
        (lambda t: t.assign(turn=2 * t["turn"]), {"arora-phase-one"}),
        (lambda t: t.assign(error=t["error"] / np.sqrt(t["learning_rate"])), ERRORS),
        (lambda t: t.assign(error=t["error"].max()), {*ERRORS, "arora-follows-flow"}),
        (lambda t: t.assign(angle=t["angle"] ** 2), {"arora-alignment-order"}),
    ],
)
def test_what_is_wrong_is_found(wrong, fails):
    found = verdicts(wrong(honest()))
    assert {claim: found[claim] for claim in fails} == dict.fromkeys(fails, "fails")


def test_each_claim_has_a_control():
    marked = test_what_is_wrong_is_found.pytestmark[0].args[1]
    controlled = set().union(*FLOWS.values(), ERRORS, *(fails for _, fails in marked))
    assert controlled == CLAIMS


@pytest.mark.slow
def test_without_runs_nothing_is_judged():
    for table in (honest().iloc[:0], honest().assign(phase=1, turn=-1)):
        assert set(verdicts(table).values()) == {"not attempted"}


def test_runs_that_fail_are_not_left_out():
    table = honest().copy()
    table.loc[table.index[-1], ["gfs_sharpness", "error", "angle", "edge"]] = np.nan
    found = verdicts(table)
    assert found["arora-sharpness-falls"] == "not attempted"


def test_the_remarks_name_what_was_judged():
    rows = {row["id"]: row["note"] for row in claims.evaluate(arora.CLAIMS, {"arora": ("t", honest())}, "test")}
    assert rows["arora-follows-flow"] == "12 runs at eta = 0.005"
    assert "valley 1.0" in rows["arora-error-sqrt"]


@pytest.mark.parametrize("claim", arora.CLAIMS, ids=lambda claim: claim.id)
def test_the_control_that_is_printed_fails(claim):
    (row,) = claims.evaluate([claim], {"arora": (["t"], honest())}, "test")
    assert row["control"]["verdict"] == "fails"


def test_problems_are_those_of_the_table():
    assert isinstance(build("valley", SETTINGS["valley"])[0], Valley)
    assert isinstance(build("regression", SETTINGS["regression"])[0], Regression)
