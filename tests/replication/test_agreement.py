"""Two machines' tables side by side."""

import numpy as np
import pandas as pd
import pytest

from replication import agreement
from replication.storage import files


def run(phi, *, name="run", gradients=0, error=0.0, first=0):
    iterations = range(first, first + 10 * len(phi), 10)
    return pd.DataFrame(
        {
            "experiment": "e",
            "run": name,
            "iteration": iterations,
            "learning_rate": 0.5,
            "gfs_sharpness": phi,
            "gfs_error": error,
            "gradient_evaluations": gradients,
        }
    )


def verdicts(table, other):
    return {(found.run, found.quantity): found.verdict == "agrees" for found in agreement.compare(table, other)}


def test_the_same_agrees():
    assert verdicts(run([5.0, 4.0]), run([5.0, 4.0])) == {("e/run", "start"): True, ("e/run", "end"): True}


@pytest.mark.parametrize(
    ("other", "start", "end"),
    [
        (run([5.0 * (1 + 2e-8), 4.0]), False, True),
        (run([5.0, 4.0 * (1 + 2e-3)]), True, False),
        (run([5.0 * (1 + 1e-9), 4.0 * (1 + 5e-4)]), True, True),
    ],
)
def test_closed_forms_agree_to_rounding(other, start, end):
    assert verdicts(run([5.0, 4.0]), other) == {("e/run", "start"): start, ("e/run", "end"): end}


@pytest.mark.parametrize(
    ("other", "start", "end"),
    [
        (run([5.1, 4.0], gradients=9, error=0.03), True, True),
        (run([5.2, 4.0], gradients=9, error=0.03), False, True),
        (run([5.0, 4.39], gradients=9, error=0.03), True, True),
        (run([5.0, 4.41], gradients=9, error=0.03), True, False),
    ],
)
def test_flows_agree_to_their_errors(other, start, end):
    ours = run([5.0, 4.0], gradients=9, error=0.03)
    assert verdicts(ours, other) == {("e/run", "start"): start, ("e/run", "end"): end}


def test_a_start_that_only_one_has_is_not_compared():
    assert verdicts(run([5.0, 4.0]), run([4.5, 4.0], first=10)) == {("e/run", "end"): True}


def test_a_run_without_gfs_sharpness_has_to_have_none_elsewhere():
    nothing = run([np.nan, np.nan])
    assert verdicts(nothing, nothing) == {("e/run", "end"): True}
    assert verdicts(nothing, run([5.0, 4.0])) == {("e/run", "end"): False}


def test_runs_of_one_table_alone_are_left_out():
    both = pd.concat([run([5.0, 4.0]), run([3.0], name="more")])
    assert {name for name, _ in verdicts(both, run([5.0, 4.0]))} == {"e/run"}


def test_folders_on_the_command_line(tmp_path, capsys):
    for folder, phi in (("a", 4.0), ("b", 4.0), ("c", 9.0)):
        (tmp_path / folder).mkdir()
        files.write_table(tmp_path / folder / "e.parquet", run([5.0, phi]), {})
    assert agreement.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "agrees  e/run  end: 0 (at most 0.001)" in capsys.readouterr().out
    assert agreement.main([str(tmp_path / "a"), str(tmp_path / "c")]) == 1
    assert "differs  e/run  end: 1.2" in capsys.readouterr().out
    with pytest.raises(agreement.UserError, match=f"no tables in {tmp_path}/nowhere"):
        agreement.main([str(tmp_path / "a"), str(tmp_path / "nowhere")])


def test_nothing_is_passed_over_in_silence(tmp_path, capsys):
    for folder, name in (("a", "run"), ("b", "other")):
        (tmp_path / folder).mkdir()
        files.write_table(tmp_path / folder / "e.parquet", run([5.0, 4.0], name=name), {})
    with pytest.raises(agreement.UserError, match="no run in common"):
        agreement.main([str(tmp_path / "a"), str(tmp_path / "b")])
    assert capsys.readouterr().out == f"only in {tmp_path}/a  e/run\nonly in {tmp_path}/b  e/other\n"


def test_errors_that_are_not_known_leave_the_start_undecided():
    ours = run([5.0, 4.0], gradients=9, error=np.nan)
    assert [found.verdict for found in agreement.compare(ours, ours)] == ["unknown", "agrees"]


def test_of_a_run_whose_last_flow_was_not_followed_the_end_is_unknown():
    whole = run([5.0, 4.0, 3.0], gradients=9).assign(gfs_status="converged", status=["running", "running", "converged"])
    left = whole.copy()
    left.loc[2, ["gfs_sharpness", "gfs_status"]] = [np.nan, None]
    for pair in ((whole, left), (left, whole)):
        assert [(found.quantity, found.verdict) for found in agreement.compare(*pair)] == [
            ("start", "agrees"),
            ("end", "unknown"),
        ]
    # One that diverged has no flow from its last iterate, and ends with the last that there is.
    diverged = left.assign(status=["running", "running", "diverged"])
    assert [found.verdict for found in agreement.compare(diverged, diverged)] == ["agrees", "agrees"]
