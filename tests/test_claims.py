"""Claims can hold and can fail: each is tried on a run made to order and on a null control."""

import numpy as np
import pandas as pd
import pytest

from gfs import claims


def run_table(phi, sharpness=None, loss=None, status="converged", name="a"):
    """A run at eta = 0.2 (2/eta = 10) with GFS sharpness ``phi`` at every iterate."""
    phi = np.asarray(phi, dtype=float)
    count = len(phi)
    return pd.DataFrame(
        {
            "experiment": "test",
            "run": name,
            "seed": 0,
            "learning_rate": 0.2,
            "threshold": 10.0,
            "iteration": range(count),
            "loss": np.geomspace(1, 1e-9, count) if loss is None else loss,
            "sharpness": phi if sharpness is None else sharpness,
            "gfs_sharpness": phi,
            "gfs_status": np.where(np.isfinite(phi), "converged", "budget"),
            "status": ["running"] * (count - 1) + [status],
        }
    )


def good_run(name="a"):
    """Behaves as the paper says: phi flat until the sharpness crosses 2/eta, then down to just below it."""
    phi = np.concatenate([np.linspace(13.002, 13.0, 20), 9.99 + 3.01 * np.exp(-np.arange(80) / 8)])
    sharpness = np.concatenate([np.linspace(5, 10.05, 20), 10 + 0.1 * np.sin(np.arange(79)), [9.99]])
    loss = np.concatenate([np.geomspace(1, 1e-2, 20), np.geomspace(1e-2, 1e-9, 80)])
    loss[30:60:5] *= 3
    return run_table(phi, sharpness, loss, name=name)


def verdicts(table):
    results = claims.evaluate(dict.fromkeys(["figure02", "figure05", "figure06"], ("t.parquet", table)), "test")
    return {row["id"]: row["verdict"] for row in results}


ATTEMPTED = [claim.id for claim in claims.CLAIMS if claim.measure is not None]


def test_a_run_as_the_paper_describes_it_fulfils_all():
    found = verdicts(good_run())
    assert {found[name] for name in ATTEMPTED} == {"holds"}
    assert {found[name] for name in found if name not in ATTEMPTED} == {"not attempted"}


def test_shuffled_checkpoints_are_not_monotone():
    table = good_run()
    table["gfs_sharpness"] = np.random.default_rng(0).permutation(table["gfs_sharpness"])
    found = verdicts(table)
    monotone = ["scalar-gfs-monotone", "regression-gfs-monotone", "network-gfs-monotone", "regression-decreases"]
    assert {found[name] for name in monotone} == {"fails"}


def test_a_step_size_below_the_edge_is_not_at_the_edge():
    table = good_run().assign(threshold=40.0)
    found = verdicts(table)
    for name in [
        "scalar-starts-above",
        "scalar-ends-close",
        "regression-ends-at-threshold",
        "network-sharpness-hovers",
    ]:
        assert found[name] == "fails"


def test_a_diverged_run_concludes_nothing():
    found = verdicts(good_run().assign(status="diverged"))
    for name in ["scalar-ends-below", "scalar-loss-converges", "regression-ends-at-threshold"]:
        assert found[name] == "fails"


def test_an_unfinished_flow_is_not_passed_over():
    table = good_run()
    table.loc[50, ["gfs_sharpness", "gfs_status"]] = [np.nan, "budget"]
    assert verdicts(table)["network-gfs-monotone"] == "fails"


def test_the_worst_run_counts():
    bad = good_run("b")
    bad.loc[60, "gfs_sharpness"] = 20.0
    both = pd.concat([good_run("a"), bad], ignore_index=True)
    assert verdicts(both)["network-gfs-monotone"] == "fails"


def test_measures_in_numbers():
    table = run_table([12.0, 12.0, 11.0, 11.5, 10.0], sharpness=[8, 9, 11, 12, 13])
    assert claims.largest_gfs_increase(table) == pytest.approx(0.5 / 11)
    assert claims.share_of_gfs_decreases(table) == 0.5
    assert claims.gfs_change_before_crossing(table) == pytest.approx(1 / 12)
    assert claims.smallest_initial_gfs(table) == 1.2
    assert claims.largest_final_gfs(table) == 1.0
    assert claims.median_sharpness_at_edge(table) == 1.2
    assert claims.share_of_loss_increases(table) == 0.0


def test_identifiers_are_unique():
    names = [claim.id for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)


def test_markdown_has_a_row_for_each():
    results = claims.evaluate({"figure02": ("t.parquet", good_run())}, "test")
    text = claims.markdown(results)
    assert text.count("\n| ") == len(results) + 1
    assert "7 were attempted: 7 hold, 0 fail" in text
