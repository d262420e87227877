"""Claims can hold and can fail: each is tried on a run made to order and on a null control."""

import numpy as np
import pandas as pd
import pytest
from ideal import good_run, regression_runs, run_table

from gfs import claims
from gfs.claims import measures


def verdicts(table):
    results = claims.evaluate(claims.CLAIMS, dict.fromkeys(ON_RUNS, (["t.parquet"], table)), "test")
    return {row["id"]: row["verdict"] for row in results}


# The tables that are those of training runs; figure 9's run is another kind of run (see test_claims_scalar.py).
ON_RUNS = ["figure01", "figure02", "figure05", "figure06", "figure12", "figure13"]
ATTEMPTED = [claim.id for claim in claims.CLAIMS if claim.table in ON_RUNS]


def test_a_run_as_the_paper_describes_it_fulfils_all():
    found = verdicts(good_run())
    assert {found[name] for name in ATTEMPTED} == {"holds"}
    assert {found[name] for name in found if name not in ATTEMPTED} == {"not attempted"}


def test_shuffled_checkpoints_are_not_monotone():
    table = good_run()
    table["gfs_sharpness"] = np.random.default_rng(0).permutation(table["gfs_sharpness"])
    found = verdicts(table)
    monotone = ["scalar-gfs-monotone", "regression-gfs-monotone", "network-gfs-monotone"]
    assert {found[name] for name in monotone} == {"fails"}


def test_a_step_size_below_the_edge_is_not_at_the_edge():
    found = verdicts(good_run().assign(threshold=40.0))
    for name in ["scalar-starts-above", "scalar-ends-close", "regression-ends-at-threshold"]:
        assert found[name] == "fails"
    assert found["network-sharpness-hovers"] == "not attempted"


def test_divergence_is_no_convergence_and_no_oscillation():
    table = good_run()
    table["loss"] = np.geomspace(1, 1e20, len(table))
    table.loc[len(table) - 1, "status"] = "diverged"
    found = verdicts(table)
    for name in ["scalar-ends-below", "scalar-loss-converges", "regression-ends-at-threshold"]:
        assert found[name] == "fails"
    for name in ["scalar-loss-oscillates", "network-loss-oscillates"]:
        assert found[name] == "not attempted"


@pytest.mark.parametrize("checkpoints", [0, 1])
def test_without_checkpoints_nothing_holds(checkpoints):
    table = good_run()
    table.loc[checkpoints:, "gfs_sharpness"] = np.nan
    table.loc[checkpoints:, "gfs_status"] = None
    found = verdicts(table)
    of_iterates = ("oscillates", "converges", "falls", "hovers", "final-sharpness")
    about_gfs = [name for name in ATTEMPTED if not any(words in name for words in of_iterates)]
    assert {found[name] for name in about_gfs} == {"not attempted"}


def test_a_creeping_rise_adds_up():
    phi = 13.0 * (1 + 5e-5) ** np.arange(100)
    found = verdicts(run_table(phi))
    assert found["regression-gfs-monotone"] == found["network-gfs-monotone"] == "fails"


def test_runs_on_both_sides_of_the_threshold():
    off = good_run("b")
    off.loc[off.index[-1], "gfs_sharpness"] = 15.0
    off["sharpness"] *= 1.5
    found = verdicts(pd.concat([good_run("a"), off], ignore_index=True))
    for name in ["regression-ends-at-threshold", "network-ends-at-threshold", "network-sharpness-hovers"]:
        assert found[name] == "fails"


def test_a_start_above_the_threshold_shows_nothing_flat_before_it():
    table = good_run()
    table.loc[0, "sharpness"] = 11.0
    assert verdicts(table)["regression-gfs-flat-first"] == "not attempted"


def test_a_sharpness_that_comes_to_the_edge_last_does_not_hover_there():
    table = good_run()
    table["sharpness"] = np.append(np.full(len(table) - 1, 9.0), 10.1)
    found = verdicts(table)
    assert found["network-sharpness-hovers"] == found["network-loss-oscillates"] == "not attempted"


def test_an_unfinished_flow_is_not_passed_over():
    table = good_run()
    table.loc[50, ["gfs_sharpness", "gfs_status"]] = [np.nan, "budget"]
    assert verdicts(table)["network-gfs-monotone"] == "not attempted"


def test_a_run_that_was_left_before_its_end_says_nothing_of_the_end():
    """Neither where the flows of the last checkpoints were not followed, nor where training was broken off."""
    flows = good_run()
    flows.loc[flows["iteration"] > 40, ["gfs_sharpness", "gfs_status"]] = [np.nan, None]
    assert measures.smallest_initial_gfs(flows) == pytest.approx(1.3, rel=1e-3)
    assert np.isnan(measures.largest_final_gfs(flows))
    assert measures.largest_final_sharpness(flows) == pytest.approx(0.999)
    training = good_run().iloc[:40]
    for measure in (measures.largest_final_gfs, measures.largest_final_sharpness, measures.loss_reduction):
        assert np.isnan(measure(training))
        assert np.isfinite(measure(good_run()))


def test_the_worst_run_counts():
    bad = good_run("b")
    bad.loc[60, "gfs_sharpness"] = 20.0
    both = pd.concat([good_run("a"), bad], ignore_index=True)
    assert verdicts(both)["network-gfs-monotone"] == "fails"


def test_a_rise_within_the_errors_is_none_and_large_errors_say_nothing():
    rising = run_table(13.0 * (1 + 1e-3) ** np.arange(20))
    assert verdicts(rising)["network-gfs-monotone"] == "fails"
    assert verdicts(rising.assign(gfs_error=0.2))["network-gfs-monotone"] == "holds"
    assert verdicts(rising.assign(gfs_error=2.0))["network-gfs-monotone"] == "not attempted"
    assert verdicts(rising.assign(gfs_error=np.nan))["network-gfs-monotone"] == "not attempted"


def test_every_network_of_a_figure_counts():
    bad = good_run().assign(experiment="vgg", gfs_sharpness=lambda t: t["gfs_sharpness"].to_numpy()[::-1])
    both = pd.concat([good_run(), bad], ignore_index=True)
    for name in ["network-gfs-monotone", "activation-gfs-monotone", "svhn-gfs-monotone"]:
        assert verdicts(both)[name] == "fails"


def test_measures_in_numbers():
    table = run_table([12.0, 12.0, 11.0, 11.2, 11.5, 10.0], sharpness=[8, 9, 11, 12, 13, 13])
    assert measures.largest_gfs_rise(table) == pytest.approx(0.5 / 11)
    assert measures.share_of_gfs_decreases(table) == pytest.approx(2 / 5)
    assert measures.gfs_change_before_crossing(table) == pytest.approx(1 / 12)
    assert measures.smallest_initial_gfs(table) == 1.2
    assert measures.largest_final_gfs(table) == 1.0
    assert measures.loss_reduction(table) == pytest.approx(1e-9)
    long = run_table(np.full(40, 12.0), sharpness=[9] * 10 + [11, 12, 13] * 10, loss=[1] * 10 + [1, 2, 1] * 10)
    assert measures.median_sharpness_at_edge(long) == 1.2
    assert measures.share_of_loss_increases(long) == pytest.approx(10 / 29)


def test_identifiers_are_unique():
    names = [claim.id for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_markdown_has_a_row_for_each():
    results = claims.evaluate(claims.CLAIMS, {"figure02": (["t.parquet"], good_run())}, "test")
    text = claims.markdown(results)
    assert text.count("\n| ") == len(results) + 1
    assert "11 were attempted: 11 hold, 0 fail" in text


def verdict_rows(table):
    tables = dict.fromkeys(["regression_runs", "regression_scales"], (["t.parquet"], table))
    return [row for row in claims.evaluate(claims.CLAIMS, tables, "test") if row["source"]]


def verdicts_on_runs(table):
    return {row["id"]: row["verdict"] for row in verdict_rows(table)}


def test_many_runs_as_the_paper_describes_them():
    found = verdicts_on_runs(regression_runs())
    assert set(found.values()) == {"holds"}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("regression-eight-runs", lambda t: t.assign(threshold=9.0)),
        ("regression-decreases", lambda t: t.assign(gfs_sharpness=t["gfs_sharpness"][::-1].to_numpy())),
        ("regression-all-runs", lambda t: t.assign(gfs_sharpness=t["gfs_sharpness"][::-1].to_numpy())),
        ("regression-rises-early", lambda t: t.assign(gfs_sharpness=t["gfs_sharpness"][::-1].to_numpy())),
        ("regression-scales", lambda t: t.assign(gfs_sharpness=t["gfs_sharpness"][::-1].to_numpy())),
    ],
)
def test_many_runs_that_are_otherwise_fail(name, change):
    assert verdicts_on_runs(change(regression_runs()))[name] == "fails"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("regression-eight-runs", lambda t: t[t["run"] != "run3"]),
        ("regression-eight-runs", lambda t: t.assign(threshold=12.0)),
        ("regression-rises-early", lambda t: t.assign(gfs_sharpness=10.0)),
        ("regression-rises-early", lambda t: t.iloc[:0]),
        ("regression-scales", lambda t: t.assign(gfs_sharpness=10.0)),
        ("regression-scales", lambda t: t.assign(status="diverged")),
    ],
)
def test_runs_that_say_nothing_are_not_judged(name, change):
    assert verdicts_on_runs(change(regression_runs()))[name] == "not attempted"


def test_the_eight_are_the_first_and_the_latest_rise_the_last_of_any_run():
    table = regression_runs(10)
    late = (table["run"] == "run9") & (table["iteration"] == 60)
    table.loc[late, "gfs_sharpness"] *= 1.001
    # Beyond the eight: one run that ends high changes their claim only if it is among them.
    table.loc[table["run"] == "run8", "gfs_sharpness"] += 5
    found = {row["id"]: row for row in verdict_rows(table)}
    assert found["regression-eight-runs"]["verdict"] == "holds"
    assert found["regression-rises-early"]["verdict"] == "fails"


def test_a_diverging_run_among_many_is_not_passed_over():
    table = regression_runs()
    table.loc[table.index[-1], ["status", "gfs_sharpness", "gfs_status"]] = ["diverged", np.nan, None]
    found = verdicts_on_runs(table)
    assert found["regression-decreases"] == found["regression-all-runs"] == "not attempted"
