"""Each claim can fail: for every one a way in which the results would be wrong, and under which its verdict is so."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from ideal import (
    all_descents,
    far_run,
    good_run,
    gpgd,
    linear_convergence,
    linear_gd_map,
    linear_gfs,
    linear_minimisers,
    linear_preimages,
    linear_stable_minima,
    network_descents,
    plane,
    regression_runs,
    rises,
    run_table,
    stable_set,
)

from gfsharp import scalar
from replication import claims
from replication.claims import arora
from replication.studies.scalar import theorems

NETWORKS = {"network": "figure06", "activation": "figure12", "svhn": "figure13"}
IDEAL = {
    "figure01": good_run,
    "figure02": good_run,
    "figure05": good_run,
    "figure06": good_run,
    "figure12": good_run,
    "figure13": good_run,
    "figure09": far_run,
    "plane": plane,
    "stable_set": stable_set,
    "figure04_gpgd": gpgd,
    "figure10_gpgd": gpgd,
    "figure11_gpgd": gpgd,
    "regression_runs": regression_runs,
    "regression_scales": regression_runs,
    "figure_arora_networks": network_descents,
    "figure_arora_gfs": all_descents,
    "arora_rises": rises,
    "linear_gd_map": linear_gd_map,
    "linear_preimages": linear_preimages,
    "linear_minimisers": linear_minimisers,
    "linear_stable_minima": linear_stable_minima,
    "linear_convergence": linear_convergence,
    "linear_gfs": linear_gfs,
}


def verdicts(name, table):
    found = claims.evaluate(claims.CLAIMS, {name: (["t.parquet"], table)}, "test")
    return {row["id"]: row["verdict"] for row in found if row["source"]}


@cache
def ideal_verdicts(name):
    return verdicts(name, IDEAL[name]())


# What can go wrong. Each takes a table and returns the same with one thing done otherwise.


def shuffled(table):
    """Checkpoints in disorder: the GFS sharpness of one iterate beside another."""
    return table.assign(gfs_sharpness=np.random.default_rng(0).permutation(table["gfs_sharpness"]))


def backwards(table):
    """Iterates numbered from the last to the first."""
    return table.assign(gfs_sharpness=table["gfs_sharpness"].to_numpy()[::-1])


def of_a_sharper_model(table):
    """The GFS sharpness of a model that is not the one trained: half as sharp again."""
    return table.assign(gfs_sharpness=1.5 * table["gfs_sharpness"])


def of_a_flatter_model(table):
    return table.assign(gfs_sharpness=0.5 * table["gfs_sharpness"])


def smaller_steps(table):
    """A step size so small that no iterate comes to the edge."""
    return table.assign(threshold=4 * table["threshold"])


def diverged(table):
    """A step size past stability: the loss grows without bound and the last iterate is no solution."""
    ended = table.assign(loss=np.geomspace(1, 1e20, len(table)))
    ended.loc[ended.index[-1], "status"] = "diverged"
    return ended


def wrong_eigenvalue(table):
    """A sharpness that is not the largest eigenvalue."""
    return table.assign(sharpness=1.5 * table["sharpness"])


def wrong_at_edge(table):
    """The same from the iterate on which the sharpness comes to 2/eta."""
    return table.assign(sharpness=table["sharpness"].where(table["iteration"] < 19, 1.5 * table["sharpness"]))


def gradient_flow(table):
    """No gradient descent but gradient flow: the loss falls at each step."""
    return table.assign(loss=np.geomspace(1, 1e-9, len(table)))


def stuck(table):
    """A training that does not train."""
    return table.assign(loss=1.0)


def power_law(table):
    """A decay that slows down once GFS sharpness is below 2/eta."""
    return once_below(table, lambda share: (1 + 5 * share) ** -10)


def stretched(table):
    return once_below(table, lambda share: np.exp(-19 * share**0.7))


def once_below(table, loss):
    below = np.flatnonzero(table["gfs_sharpness"] <= table["threshold"])
    return table.assign(loss=np.r_[np.ones(below[0]), loss(np.linspace(0, 1, len(table) - below[0]))])


def early_crossing(table):
    """GFS sharpness falls although the sharpness is still below 2/eta."""
    return table.assign(gfs_sharpness=np.linspace(13, 9.99, len(table)))


@dataclass(frozen=True)
class Control:
    """A table with something wrong, and the claims that fail for it."""

    table: str
    wrong: Callable[[pd.DataFrame], pd.DataFrame]
    fails: tuple[str, ...]


def of_kind(kind):
    """The norms that a search finds follow its radius on networks of a kind."""
    return lambda table: table.assign(norm=table["norm"].where(table["kind"] != kind, table["radius"]))


def rising(networks):
    """The GFS sharpness rises by a hundredth on the way on networks of these names."""
    bump = 0.2 * np.sin(np.arange(100) / 5)
    return lambda table: table.assign(
        **{
            column: table[column] + table["experiment"].eq(networks) * bump[table["iteration"]]
            for column in ("gfs_sharpness", "closed_form")
        }
    )


def on_the_plane(**columns):
    return lambda table: table.assign(**columns)


CONTROLS = {
    "figure 1, checkpoints shuffled": Control("figure01", shuffled, ("scalar-plane",)),
    "figure 2, checkpoints shuffled": Control("figure02", shuffled, ("scalar-gfs-monotone",)),
    "figure 2, wrong model": Control(
        "figure02", of_a_sharper_model, ("scalar-ends-below", "scalar-ends-close", "sharpness-equals-gfs")
    ),
    "figure 2, small steps": Control(
        "figure02", smaller_steps, ("scalar-starts-above", "scalar-ends-close", "final-sharpness-close")
    ),
    "figure 2, diverged": Control(
        "figure02", diverged, ("scalar-ends-below", "scalar-loss-converges", "final-sharpness-below")
    ),
    "figure 2, wrong eigenvalue": Control(
        "figure02",
        wrong_eigenvalue,
        (
            "scalar-sharpness-alternates",
            "scalar-sharpness-hovers",
            "final-sharpness-below",
            "final-sharpness-close",
            "sharpness-equals-gfs",
        ),
    ),
    "figure 2, gradient flow": Control("figure02", gradient_flow, ("scalar-loss-oscillates",)),
    "figure 2, stuck": Control(
        "figure02", stuck, ("scalar-loss-converges", "scalar-loss-exponential", "scalar-loss-oscillates")
    ),
    "figure 2, a power of the iteration": Control("figure02", power_law, ("scalar-loss-exponential",)),
    "figure 2, an exponential of a power": Control("figure02", stretched, ("scalar-loss-exponential",)),
    "plane, rises in the set": Control(
        "plane", lambda t: t.assign(rises=t["rises"] + t["in_set"]), ("invariant-set-sufficient",)
    ),
    "plane, a set too small": Control("plane", on_the_plane(in_set=[True] + [False] * 7), ("invariant-set-large",)),
    "plane, late rises": Control("plane", lambda t: t.assign(last_rise=10 * t["last_rise"]), ("nonmonotone-early",)),
    "plane, never in the set": Control("plane", on_the_plane(first_in_set=-1), ("nonmonotone-enters-set",)),
    "plane, wrong model": Control(
        "plane", lambda t: t.assign(final_gfs=0.5 * t["final_gfs"]), ("final-sharpness-near",)
    ),
    "plane, unstable minima": Control(
        "plane", lambda t: t.assign(final_gfs=2 * t["final_gfs"]), ("final-sharpness-far", "no-convergence-above")
    ),
    "figure 4, orbits of other iterates": Control(
        "figure04_gpgd", lambda t: t.assign(distance=t["shuffled_distance"]), ("bifurcation",)
    ),
    "figure 4, products shuffled": Control(
        "figure04_gpgd", lambda t: t.assign(product=t["product"].to_numpy()[::-1]), ("bifurcation-ends-at-minimum",)
    ),
    "figure 7, a set that reaches the minima": Control(
        "stable_set",
        lambda t: t.assign(points=3, least_cosine=0.0),
        ("stable-set-disjoint", "stable-set-apart"),
    ),
    "figure 9, a start near the minimum": Control(
        "figure09",
        lambda t: t.assign(gfs_sharpness=[12.0, 9.99, 9.98, 9.97, 9.96, 9.95], loss=1e-3),
        ("high-loss-crossing", "high-loss-ends-far"),
    ),
    "figure 9, checkpoints shuffled": Control("figure09", shuffled, ("high-loss-monotone",)),
    "figure 10, GPGD and its approximation exchanged": Control(
        "figure10_gpgd",
        lambda t: t.assign(
            two_step_error=t["zhu_two_step_error"],
            zhu_two_step_error=t["two_step_error"],
            distance=t["zhu_distance"],
            zhu_distance=t["distance"],
        ),
        (
            "gpgd-predicts",
            "gpgd-beats-approximation",
            "gpgd-close",
            "approximation-far",
            "approximation-to-period-2",
            "approximation-no-further",
        ),
    ),
    "figure 10, an approximation that never bifurcates": Control(
        "figure10_gpgd", on_the_plane(zhu_period=2, zhu_chaotic=False), ("approximation-bifurcates",)
    ),
    "figure 10, an approximation that is chaotic everywhere": Control(
        "figure10_gpgd", on_the_plane(zhu_period=0, zhu_chaotic=True), ("approximation-bifurcates",)
    ),
    "figure 10, a of twice the size": Control(
        "figure10_gpgd", lambda t: t.assign(zhu_a=2 * t["zhu_a"]), ("approximation-to-period-2",)
    ),
    "figure 10, an approximation with four times the error": Control(
        "figure10_gpgd",
        lambda t: t.assign(zhu_two_step_error=4 * t["zhu_two_step_error"]),
        ("approximation-to-period-2",),
    ),
    "figure 10, one of two trajectories on which all fails": Control(
        "figure10_gpgd",
        lambda t: pd.concat([t, t.assign(run="b", distance=t["zhu_distance"], zhu_distance=t["distance"])]),
        ("gpgd-beats-approximation", "gpgd-close", "approximation-far"),
    ),
    "figure 11, no chaos": Control("figure11_gpgd", on_the_plane(chaotic=False), ("chaos-in-invariant-set",)),
    "figure 5a, checkpoints shuffled": Control("figure05", shuffled, ("regression-gfs-monotone",)),
    "figure 5a, falls too early": Control("figure05", early_crossing, ("regression-gfs-flat-first",)),
    "figure 5a, small steps": Control(
        "figure05", smaller_steps, ("regression-starts-above", "regression-ends-at-threshold")
    ),
    "figure 5b, wrong model": Control(
        "regression_runs", of_a_sharper_model, ("regression-eight-runs", "regression-all-end")
    ),
    "figure 5b, backwards": Control("regression_runs", backwards, ("regression-eight-monotone",)),
    "figure 5c, backwards": Control(
        "regression_runs", backwards, ("regression-decreases", "regression-all-runs", "regression-rises-early")
    ),
    "figure 5d, backwards": Control("regression_scales", backwards, ("regression-scales",)),
    "descents of Arora et al., plain gradient descent with small steps": Control(
        "figure_arora_networks", smaller_steps, ("arora-network-edge",)
    ),
    "descents of Arora et al., sharpness rising": Control(
        "figure_arora_networks",
        lambda t: t.assign(sharpness=t["sharpness"].to_numpy()[::-1]),
        ("arora-network-sharpness-falls",),
    ),
    "descents of Arora et al., checkpoints shuffled": Control(
        "figure_arora_gfs", shuffled, ("arora-gfs-monotone", "arora-network-gfs-monotone")
    ),
    "descents of Arora et al., one run in four rises": Control(
        "arora_rises",
        lambda t: t.assign(largest_rise=np.where(t["start"] == 1, 1e-6, t["largest_rise"])),
        ("arora-gfs-normalised", "arora-gfs-sqrt"),
    ),
    "descents of Arora et al., no way along the minima": Control(
        "figure_arora_gfs",
        lambda t: t.assign(gfs_sharpness=20 - 0.01 * t["iteration"]),
        ("arora-gfs-falls",),
    ),
    "linear map, of one layer": Control(
        "linear_gd_map", lambda t: t.assign(control=False), ("linear-map-nonsingular", "linear-map-singular")
    ),
    "linear map, preimages that are none": Control(
        "linear_preimages", lambda t: t.assign(error=1e-3), ("linear-map-preimages",)
    ),
    "linear map, preimages missed": Control(
        "linear_preimages", lambda t: t.assign(area_ratio=0.9), ("linear-map-area",)
    ),
    "linear minima, of deficient rank": Control(
        "linear_minimisers", lambda t: t.assign(full_rank=True), ("linear-minima-manifold",)
    ),
    "linear minima, without a bound": Control(
        "linear_stable_minima", of_kind("bounded"), ("linear-minima-bounded", "linear-minima-found")
    ),
    "linear minima, wide ones without a bound": Control(
        "linear_stable_minima", of_kind("unbounded"), ("linear-minima-wide",)
    ),
    "linear convergence, of other steps": Control(
        "linear_convergence",
        lambda t: t.assign(fraction=2 * t["fraction"]),
        ("linear-convergence-none", "linear-convergence-critical"),
    ),
    "linear convergence, another formula": Control(
        "linear_convergence", lambda t: t.assign(searched=1.1 * t["critical"]), ("linear-critical-step",)
    ),
    "linear networks, rises at width one": Control("linear_gfs", rising("1-1-1"), ("linear-gfs-scalar",)),
    "linear networks, rises at width two": Control("linear_gfs", rising("2-2-2"), ("linear-gfs-monotone",)),
    "linear networks, a sharper model": Control("linear_gfs", of_a_sharper_model, ("linear-gfs-ends-below",)),
    **{
        f"{table}, {name}": Control(table, wrong, tuple(f"{prefix}-{claim}" for claim in fails))
        for prefix, table in NETWORKS.items()
        for name, wrong, fails in [
            ("checkpoints shuffled", shuffled, ["gfs-monotone"]),
            ("flatter model", of_a_flatter_model, ["starts-above", "ends-at-threshold"]),
            ("small steps", smaller_steps, ["starts-above", "ends-at-threshold"]),
            ("wrong eigenvalue at the edge", wrong_at_edge, ["sharpness-hovers"]),
            ("gradient flow", gradient_flow, ["loss-oscillates"]),
            ("diverged", diverged, ["ends-at-threshold", "loss-falls"]),
        ]
    },
}


@pytest.mark.parametrize("name", CONTROLS)
def test_what_is_wrong_is_found(name):
    control = CONTROLS[name]
    ideal = ideal_verdicts(control.table)
    found = verdicts(control.table, control.wrong(IDEAL[control.table]()))
    assert {ideal[claim] for claim in control.fails} == {"holds"}
    assert {claim: found[claim] for claim in control.fails} == dict.fromkeys(control.fails, "fails")


PRINTED = [claim for claim in claims.CLAIMS if claim.control is not None and claim.table in IDEAL]


@pytest.mark.parametrize("claim", PRINTED, ids=lambda claim: claim.id)
def test_the_control_that_is_printed_fails(claim):
    table = IDEAL[claim.table]()
    assert claim.verdict(claim.measure(table)) == "holds"
    assert claim.verdict(claim.measure(claim.control.wrong(table))) == "fails"
    (row,) = claims.evaluate([claim], {claim.table: (["t.parquet"], table)}, "test")
    assert row["control"]["words"] == claim.control.words
    assert row["control"]["verdict"] == "fails"
    pd.testing.assert_frame_equal(table, IDEAL[claim.table]())  # which a control leaves as it is


STATEMENTS = [statement.id for statement in theorems.STATEMENTS]


@pytest.fixture(scope="module")
def examined():
    """Each statement at depth 2, in the invariant set or what else it asks for."""
    return pd.DataFrame([vars(theorems.examine(statement, 2, 60, 0)) for statement in theorems.STATEMENTS])


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_fails_on_points_that_break_an_assumption(name, examined):
    found = claims.evaluate(claims.CLAIMS, {"theorems": (["t.parquet"], examined)}, "test")
    (row,) = [row for row in found if row["id"] == name]
    assert row["verdict"] == "holds"
    # The same numbers are its printed control.
    broken = examined.assign(violations=examined["outside_violations"])
    assert verdicts("theorems", broken)[name] == "fails"
    assert row["control"]["verdict"] == "fails"


def test_each_claim_has_a_control():
    controlled = {claim for control in CONTROLS.values() for claim in control.fails}
    elsewhere = {claim.id for claim in arora.CLAIMS}  # test_claims_arora.py
    assert controlled | set(STATEMENTS) == {claim.id for claim in claims.CLAIMS} - elsewhere


# The same on gradient descent itself: a scalar network of depth 4 (figure 2) and of depth 2 (figure 1).

STARTS = {"figure02": ([3.4, 1.9, 0.39, 0.36], 0.2), "figure01": ([2.072, 0.386], 0.5)}


def descend(w, eta, *, gfs=scalar.gfs_sharpness):
    """Gradient descent until the loss is 1e-8 or above 1e6, with ``gfs`` in the place of the GFS sharpness."""
    path = [np.asarray(w)]
    while 1e-8 < scalar.loss(path[-1]) < 1e6 and len(path) < 3000:
        path.append(scalar.gd_step(path[-1], eta))
    iterates = np.array(path)
    loss = scalar.loss(iterates)
    status = "diverged" if loss[-1] >= 1e6 else "converged" if loss[-1] <= 1e-8 else "out of iterations"
    table = run_table(gfs(iterates), scalar.sharpness(iterates), loss, status)
    return table.assign(learning_rate=eta, threshold=2 / eta)


@pytest.mark.parametrize("figure", STARTS)
def test_gradient_descent_fulfils_the_claims(figure):
    assert set(verdicts(figure, descend(*STARTS[figure])).values()) == {"holds"}


def test_a_step_size_past_stability():
    w, eta = STARTS["figure02"]
    table = descend(w, 2.5 * eta)
    assert table["status"].iloc[-1] == "diverged"
    found = verdicts("figure02", table)
    fails = {"scalar-ends-below", "scalar-ends-close", "scalar-loss-converges", "final-sharpness-below"}
    assert {found[name] for name in fails} == {"fails"}
    # Of a run that blew up there is no edge of stability to speak of.
    assert found["scalar-loss-oscillates"] == "not attempted"


def test_a_step_size_far_below_stability():
    w, eta = STARTS["figure02"]
    found = verdicts("figure02", descend(w, eta / 5))
    assert {found[name] for name in ("scalar-starts-above", "scalar-ends-close", "final-sharpness-close")} == {"fails"}
    assert found["scalar-sharpness-hovers"] == found["scalar-loss-oscillates"] == "not attempted"
    assert found["scalar-gfs-monotone"] == "holds"  # which is true at any step size


@pytest.mark.parametrize(("figure", "claim"), [("figure02", "scalar-gfs-monotone"), ("figure01", "scalar-plane")])
@pytest.mark.parametrize(
    "gfs",
    [
        pytest.param(scalar.sharpness, id="the sharpness itself"),
        pytest.param(lambda w: scalar.gfs_sharpness(w * np.linspace(1, 1.2, w.shape[-1])), id="another network"),
        pytest.param(lambda w: np.random.default_rng(1).permutation(scalar.gfs_sharpness(w)), id="other iterates"),
    ],
)
def test_a_gfs_sharpness_of_something_else(figure, claim, gfs):
    assert verdicts(figure, descend(*STARTS[figure], gfs=gfs))[claim] == "fails"
