"""Claims can hold and can fail: each is tried on a run made to order and on a null control."""

import numpy as np
import pandas as pd
import pytest
from ideal import good_run, regression_runs, run_table

from replication import claims, measures
from replication.claims import Claim, networks, printing
from replication.claims.claim import Estimate
from replication.papers import Origin
from replication.storage import files


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
    of_iterates = ("oscillates", "alternates", "converges", "falls", "hovers", "final-sharpness")
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


@pytest.mark.slow
def test_a_rise_within_the_errors_is_none_and_large_errors_say_nothing():
    rising = run_table(13.0 * (1 + 1e-3) ** np.arange(20))
    assert verdicts(rising)["network-gfs-monotone"] == "fails"
    assert verdicts(rising.assign(gfs_error=0.1))["network-gfs-monotone"] == "fails"
    flat = run_table(np.full(20, 13.0))
    assert verdicts(flat.assign(gfs_error=0.1))["network-gfs-monotone"] == "holds"
    # A rise of 2.3 percent would not have shown.
    assert verdicts(flat.assign(gfs_error=0.15))["network-gfs-monotone"] == "not attempted"
    assert verdicts(rising.assign(gfs_error=0.2))["network-gfs-monotone"] == "not attempted"
    assert verdicts(rising.assign(gfs_error=2.0))["network-gfs-monotone"] == "not attempted"
    assert verdicts(rising.assign(gfs_error=np.nan))["network-gfs-monotone"] == "not attempted"


@pytest.mark.slow
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
    # Of a hundred steps at least.
    assert measures.share_of_loss_increases(long) == pytest.approx(10 / 100)
    longer = run_table(np.full(310, 12.0), sharpness=[9] * 10 + [11, 12, 13] * 100, loss=[1] * 10 + [1, 2, 1] * 100)
    assert measures.share_of_loss_increases(longer) == pytest.approx(100 / 299)


def test_identifiers_are_unique():
    names = [claim.id for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_each_claim_says_what_is_measured_why_its_bound_is_so_and_what_makes_it_fail():
    for claim in claims.CLAIMS:
        assert min(map(len, (claim.statement, claim.quantity, claim.reason, claim.fails_if))) >= 5, claim.id
        assert claim.place
        assert np.isfinite(claim.bound)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"figures": {"figure2": "b"}}, "no figure figure2"),
        ({"relation": "within"}, "'within' with a tolerance of 0"),
        ({"relation": "is", "tolerance": 0.1}, "'is' with a tolerance of 0.1"),
    ],
)
def test_a_claim_that_contradicts_itself_is_refused(fields, wrong):
    with pytest.raises(ValueError, match=wrong):
        Claim(id="one", origin=Origin("own"), statement="x is one", bound=1.0, **fields)


def test_a_claim_is_of_a_paper_or_our_own():
    assert Origin("own").paper is None
    for origin in (("stated",), ("derived", None), ("own", "somebody2020")):
        with pytest.raises(ValueError, match="one of kreisler2023, arora2022, craciun2024"):
            Origin(*origin)


def test_a_claim_of_ones_own_is_of_no_paper():
    """It is counted by itself and not among those of the paper whose figure it is judged by."""
    ours = Claim(
        id="ours", origin=Origin("own"), figures={"figure02": "b"}, statement="x is small",
        measure=lambda table: table["x"].max(), table="one", relation="<=", bound=0.5, tolerance=0.1,
    )  # fmt: skip
    results = claims.evaluate([ours], {"one": (["t.parquet"], pd.DataFrame({"x": [0.25]}))}, "test")
    (row,) = results
    assert (row["paper"], row["figure"]) == (None, "2b (beyond the paper)")
    assert {key: row[key] for key in ("relation", "bound", "tolerance", "measured")} == {
        "relation": "<=", "bound": 0.5, "tolerance": 0.1, "measured": 0.25,
    }  # fmt: skip
    assert printing.group(row) == "of no paper"
    assert printing.expected(row) == "<= 0.5 + 0.1"
    assert "| of no paper | 1 | 1 hold |" in printing.summary([results])


def test_markdown_has_a_row_for_each():
    results = claims.evaluate(claims.CLAIMS, {"figure02": (["t.parquet"], good_run())}, "test")
    text = claims.markdown(results)
    assert text.count("\n| ") == len(results) + 2  # and two headings
    assert "10 were attempted: 10 hold, 0 fail" in text
    assert "2 checks" not in text.split("## Checks")[0]
    checks = text.split("## Checks")[1]
    assert "2 were attempted: 2 hold, 0 fail" in checks
    assert (
        "| scalar-starts-above | 2b | GFS sharpness starts above 2/eta (first GFS sharpness, in units of 2/eta) | "
        "eta is chosen so |" in checks
    )


def verdict_rows(table):
    tables = dict.fromkeys(["regression_runs", "regression_scales"], (["t.parquet"], table))
    return [row for row in claims.evaluate(claims.CLAIMS, tables, "test") if row["source"]]


def verdicts_on_runs(table):
    return {row["id"]: row["verdict"] for row in verdict_rows(table)}


def test_many_runs_as_the_paper_describes_them():
    found = verdicts_on_runs(regression_runs())
    assert set(found.values()) == {"holds"}
    assert len(found) == 7


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
    assert found["regression-all-end"]["verdict"] == "fails"
    assert found["regression-rises-early"]["verdict"] == "fails"


def test_a_diverging_run_among_many_is_not_passed_over():
    table = regression_runs()
    table.loc[table.index[-1], ["status", "gfs_sharpness", "gfs_status"]] = ["diverged", np.nan, None]
    found = verdicts_on_runs(table)
    assert found["regression-decreases"] == found["regression-all-runs"] == "not attempted"


# Intervals.


def at_the_end(value, error):
    """A run that ends at ``value`` of 2/eta, with an error."""
    table = good_run()
    table.loc[table.index[-1], ["gfs_sharpness", "gfs_error"]] = [10 * value, 10 * error]
    return table


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (1.05, 0.04, "holds"),
        (1.083, 0.037, "not attempted"),
        (1.106, 0.069, "not attempted"),
        (1.2, 0.069, "fails"),
        (0.85, 0.02, "fails"),
        (1.0, np.nan, "not attempted"),
    ],
)
def test_an_end_is_judged_with_its_error(value, error, verdict):
    found = claims.evaluate(claims.CLAIMS, {"figure06": (["t.parquet"], at_the_end(value, error))}, "test")
    (row,) = [row for row in found if row["id"] == "network-ends-at-threshold"]
    assert row["verdict"] == verdict
    if verdict == "not attempted" and np.isfinite(error):
        assert row["note"].startswith(f"undecided: test is {value:.4g} ± {error:.2g}")


def test_one_network_that_fails_is_enough_and_one_that_is_open_leaves_it_open():
    (claim,) = [claim for claim in claims.CLAIMS if claim.id == "network-ends-at-threshold"]
    good, unclear, bad = Estimate(1.0, 0.01, "a"), Estimate(1.1, 0.05, "b"), Estimate(1.3, 0.05, "c")
    assert claim.verdict([good, unclear]) == "not attempted"
    assert claim.verdict([good, unclear, bad]) == "fails"
    assert claim.worst([good, unclear, bad]) == bad
    assert claim.worst([good, unclear]) == unclear
    assert claim.undecided([good, unclear]) == "b is 1.1 ± 0.05"
    assert claim.verdict([]) == "not attempted"


# What a run of a network would have shown.


def points(phi, errors):
    return run_table(phi).assign(gfs_error=errors)


def test_the_smallest_rise_that_shows_is_one_that_the_claim_sees():
    """A phi that is raised by a little more than it fails the claim, one raised by a little less does not."""
    table = points([13.0, 12.0, 11.0, 10.9, 10.8], [0.05, 0.02, 0.05, 0.02, 0.03])
    visible = networks.smallest_visible_rises(table)
    for t in range(1, 5):
        least = table["gfs_sharpness"].iloc[:t].min()
        for factor, sees in ((1 + 1e-6, True), (1 - 1e-6, False)):
            phi, error = table["gfs_sharpness"].to_numpy().copy(), table["gfs_error"].to_numpy().copy()
            raised = least * (1 + visible[t - 1] * factor)
            error[t] *= raised / phi[t]
            phi[t] = raised
            (estimate,) = networks.rises_beyond_error(points(phi[: t + 1], error[: t + 1]))
            assert (estimate.value > 0) == sees


def test_power_is_that_of_half_of_the_checkpoints():
    table = points(np.linspace(13, 12, 11), [5.0] + [0.01] * 10)
    visible = networks.smallest_visible_rises(table)
    assert networks.power(table) == np.median(visible) < 0.002
    assert visible[0] > 0.3  # the first value hides much, later ones do not
    assert verdicts(table)["network-gfs-monotone"] == "holds"
    assert np.isinf(networks.smallest_visible_rises(points([13.0, 12.0], [0.1, 12.0]))).all()
    assert np.isnan(networks.smallest_visible_rises(points([13.0, np.nan], [0.1, 0.1]))).all()


def test_a_rise_that_would_show_is_told_from_the_limit():
    """A phi that never moves, with the error at which a rise of 2.03 percent shows."""
    flat = points(np.full(20, 13.0), 0.1306)
    ((visible, text),) = [(row.visible, row.why) for row in networks.rises_beyond_error(flat)]
    assert 0.0202 < visible < 0.0204
    assert text == "a rise below 2.03% would not show at half of the checkpoints"


def test_a_network_that_would_not_have_shown_a_rise_is_named():
    blurred = good_run().assign(experiment="vgg", gfs_error=1.0)
    both = pd.concat([good_run(), blurred], ignore_index=True)
    found = claims.evaluate(claims.CLAIMS, {"figure06": (["t.parquet"], both)}, "test")
    (row,) = [row for row in found if row["id"] == "network-gfs-monotone"]
    assert row["verdict"] == "not attempted"
    assert row["note"].startswith(f"{row['undecided']}; ")
    assert row["undecided"].startswith("undecided: vgg (a rise below ")
    test, vgg = row["estimates"]
    assert (test["of"], test["verdict"], test["why"]) == ("test", "holds", None)
    assert (vgg["of"], vgg["verdict"], vgg["value"]) == ("vgg", "not attempted", None)
    assert f"a rise below {vgg['smallest_visible_rise']:.1%} would not show" in vgg["why"]
    assert test["smallest_visible_rise"] < 0.02 < vgg["smallest_visible_rise"]
    assert "test: rises by 0 whatever the errors" in row["note"]


# The edge of stability.


@pytest.mark.slow
def test_one_rise_in_many_steps_is_no_oscillation():
    table = good_run().assign(loss=np.geomspace(1, 1e-9, 100))
    table.loc[50, "loss"] = 1.0
    assert verdicts(table)["network-loss-oscillates"] == verdicts(table)["scalar-loss-oscillates"] == "fails"
    # Three rises in twelve steps are too few as well.
    short = run_table(np.full(13, 12.0), sharpness=[9] + [11] * 12, loss=[1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1])
    assert verdicts(short)["network-loss-oscillates"] == "fails"


def test_the_edge_begins_with_a_passage_from_below_and_ends_with_phi():
    phi = np.concatenate([np.full(30, 12.0), np.full(30, 9.9)])
    # From far above, then around 2/eta, then at the minimum.
    sharpness = np.concatenate([np.full(10, 30.0), 10 + 0.2 * (-1.0) ** np.arange(20), np.full(30, 7.0)])
    table = run_table(phi, sharpness)
    stretch = measures.at_edge(table)
    assert stretch["iteration"].tolist() == list(range(12, 30))  # 11 is the first below
    assert measures.median_sharpness_at_edge(table) == pytest.approx(1.0, abs=0.03)
    assert measures.share_of_alternations(table) == 1.0
    never = run_table(phi, np.full(60, 30.0))
    assert np.isnan(measures.median_sharpness_at_edge(never))
    assert verdicts(never)["network-sharpness-hovers"] == "not attempted"


def test_turns_around_the_threshold_need_no_value_near_it():
    phi = np.full(60, 12.0)
    sharpness = np.concatenate([[9.0], 10 - 6.0 * (-1.0) ** np.arange(59)])
    table = run_table(phi, sharpness)
    assert measures.sharpness_over_two_steps(table) == pytest.approx(1.0)
    assert measures.share_of_alternations(table) == 1.0
    found = verdicts(table)
    assert found["scalar-sharpness-alternates"] == found["scalar-sharpness-hovers"] == "holds"


# The table of the networks.


def test_networks_are_listed_with_their_settings(tmp_path):
    path = tmp_path / "a.parquet"
    settings = {
        "experiment": "test",
        "run": "a",
        "architecture": "vgg11_bn",
        "data_set": {"images": 300, "source": "x"},
    }
    files.write_table(path, good_run(), {"parameters": {"runs": {"run.parquet": settings}}})
    (row,) = networks.described([str(path)], good_run())
    assert (row["architecture"], row["images"], row["data"]) == ("vgg11_bn", 300, "x")
    assert (row["threshold"], row["iterations"], row["start"]) == (10.0, 99, 13.002)
    # A record that names files alone, and no record.
    files.write_table(path, good_run(), {"parameters": {"runs": ["run.parquet"]}})
    for place in (path, tmp_path / "none.parquet"):
        (row,) = networks.described([str(place)], good_run())
        assert (row["architecture"], row["images"]) == (None, None)
    found = claims.evaluate(claims.CLAIMS, {"figure06": ([str(path)], good_run())}, "test")
    page = claims.markdown(found)
    assert "| test | - | 10 | 99 | 13 | 9.99 | 0.0%, 0.0% |" in page.split("## Networks")[1]


def test_every_claim_says_what_would_make_it_fail():
    for claim in claims.CLAIMS:
        assert claim.fails_if, claim.id
        assert claim.control is not None, claim.id


@pytest.mark.parametrize("left", [{"status": "running"}, {"gfs_status": None}], ids=["training", "flows"])
def test_the_end_of_a_network_that_was_left_before_it_is_not_judged(left):
    table = good_run()
    for column, value in left.items():
        table.loc[table.index[-1], column] = value
    found = claims.evaluate(claims.CLAIMS, {"figure06": (["none.parquet"], table)}, "test")
    rows = {row["id"]: row for row in found}
    assert rows["network-ends-at-threshold"]["verdict"] == "not attempted"
    assert "left before its end" in rows["network-ends-at-threshold"]["note"]
    (run,) = rows["network-gfs-monotone"]["runs"]
    assert run["end"] is None
    assert run["start"] == 13.002
