"""The command gfs, as it is called from a shell."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from gfsharp import command, flow, networks


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(3.0, 2.0, size=(9, 2)), columns=["a", "b"])
    table["y"] = np.sin(table["a"])
    table["kind"] = np.where(table["b"] > 3, "tall", "short")
    return table, tmp_path


def network(inputs, targets):
    module = networks.fully_connected(
        inputs.shape[1], targets.shape[1], widths=[12], activation="tanh", seed=0
    ).double()
    return networks.flat_loss(module, torch.tensor(inputs), torch.tensor(targets))


def standardised(table):
    return ((table - table.mean()) / table.std(ddof=0)).to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_sharpness_of_a_table(data, capsys, kind):
    table, folder = data
    numbers = table[["a", "b", "y"]]
    path = folder / f"my.{kind}"
    numbers.to_parquet(path) if kind == "parquet" else numbers.to_csv(path, index=False)
    assert command.main(["sharpness", "--data", str(path), "--target", "y", "--hidden", "12"]) == 0
    said = capsys.readouterr().out
    expected = flow.gfs_sharpness(*network(standardised(table[["a", "b"]]), table[["y"]].to_numpy()))
    assert f"GFS sharpness  {expected.value:.5g} +- {expected.error:.2g}" in said
    assert f"a learning rate above {2 / expected.value:.3g}" in said


@pytest.mark.slow
def test_follow_writes_a_table_and_a_plot(data, capsys):
    table, folder = data
    table[["a", "b", "kind"]].to_csv(folder / "my.csv", index=False)
    given = ["follow", "--data", str(folder / "my.csv"), "--target", "kind", "--lr", "0.1,0.2", "--hidden", "12"]
    assert command.main([*given, "--every", "10", "--iterations", "20", "--output", str(folder / "out")]) == 0
    said = capsys.readouterr()
    assert "classes of kind: short, tall" in said.err
    assert "learning rate 0.1: 2/eta = 20; out of iterations at iterate 20" in said.out
    found = pd.read_csv(folder / "out" / "followed.csv")
    assert list(found["iteration"]) == [0, 10, 20, 0, 10, 20]
    classes = np.stack([table["kind"] == "short", table["kind"] == "tall"], axis=1).astype(float)
    expected = flow.gfs_sharpness(*network(standardised(table[["a", "b"]]), classes))
    assert found["gfs_sharpness"][0] == pytest.approx(expected.value, rel=1e-9)
    assert (folder / "out" / "followed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--data", "none.csv", "--target", "y"], "cannot read none.csv: "),
        (["--data", "my.csv", "--target", "z"], "my.csv has no column 'z'; it has a, b, y, kind"),
        (["--data", "my.csv", "--target", "y"], "the column 'kind' of my.csv is not made of numbers"),
        (["--data", "empty.csv", "--target", "y"], "the column 'y' of empty.csv has empty cells"),
        (["--data", "one.csv", "--target", "y"], "one.csv has no inputs beside y"),
        (["--data", "my.csv", "--target", "y,y"], "--target names a column twice: y,y"),
        (["--data", "none.parquet", "--target", "y"], "cannot read none.parquet: "),
        (["--data", "rows.csv", "--target", "y"], "rows.csv has no rows"),
        (["--data", "endless.csv", "--target", "y"], "the column 'y' of endless.csv has cells that are infinite"),
        (["--data", "gaps.csv", "--target", "kind"], "the column 'kind' of gaps.csv has empty cells"),
        (["--data", "one.csv", "--target", "y", "--tolerance", "0"], "one.csv has no inputs"),
        (["--data", "fine.csv", "--target", "y", "--tolerance", "0"], "loss_tolerance must be positive"),
        (["--data", "my.csv", "--target", "kind,y"], "the column 'kind' of my.csv is not made of numbers"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(data, capsys, monkeypatch, given, message):
    table, folder = data
    monkeypatch.chdir(folder)
    table.to_csv("my.csv", index=False)
    table[["a", "y"]].reindex(range(10)).to_csv("empty.csv", index=False)
    table[["y"]].to_csv("one.csv", index=False)
    table[["a", "y"]].to_csv("fine.csv", index=False)
    table[["a", "y"]][:0].to_csv("rows.csv", index=False)
    table[["a", "y"]].replace(table["y"][3], np.inf).to_csv("endless.csv", index=False)
    table[["a", "kind"]].reindex(range(10)).assign(a=1.0).to_csv("gaps.csv", index=False)
    assert command.main(["sharpness", *given]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"gfs: {message}")
    assert said.err.count("\n") == 1


def test_a_learning_rate_that_is_none_is_one_sentence(data, capsys):
    table, folder = data
    table[["a", "y"]].to_csv(folder / "my.csv", index=False)
    assert command.main(["follow", "--data", str(folder / "my.csv"), "--target", "y", "--lr", "0.1,-1"]) == 2
    assert "learning_rate must be positive and finite, found -1.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sharpness", "follow", "run", "check"])
def test_help_shows_an_example(capsys, name):
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  gfs {name} " in capsys.readouterr().out


def test_the_workflow_is_called_with_what_is_set(monkeypatch, tmp_path):
    (tmp_path / "Snakefile").touch()
    (tmp_path / "src" / "replication").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    calls = []

    def called(arguments, **options):
        calls.append(arguments)
        return subprocess.CompletedProcess(arguments, 3)

    monkeypatch.setattr(subprocess, "run", called)
    given = [
        "run",
        "figure02",
        "--cores",
        "2",
        "-n",
        "--configfile",
        "my.yaml",
        "--set",
        "a.b=[1, 2]",
        "--set",
        "a.c=x",
    ]
    assert command.main(given) == 3
    assert command.main(["check", "my.yaml"]) == 3
    assert calls[0][1:] == [
        *("-m", "snakemake", "--cores", "2", "--dry-run", "--configfile", "my.yaml"),
        *("--config", "a={b: [1, 2], c: x}", "--", "figure02"),
    ]
    assert calls[1][1:] == ["-m", "replication.check", "my.yaml"]
    assert command.main(["run", "--set", "a"]) == 2
    assert command.main(["run", "--set", "a=1", "--set", "a.b=1"]) == 2


def test_outside_a_checkout_the_workflow_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["run"]) == 2
    assert "in a checkout of the project" in capsys.readouterr().err


def test_it_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "gfsharp.command", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gfsharp ")
