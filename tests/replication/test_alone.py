"""Experiments in one process: the rules' numbers, on a machine without their packages, within a time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from project import ROOT, TINY

from gfsharp import flow
from gfsharp.curvature import hessian_vector_product
from gfsharp.errors import UserError
from replication import agreement, configuration, data, yaml_files
from replication.alone import clock, comparison, costs, images, order, packing, schedule, work
from replication.alone.__main__ import main
from replication.figures import drawing, networks, style
from replication.storage import files, provenance
from replication.training import models, runs
from replication.training.checkpoints import checkpoint_files
from replication.training.trajectory import Plan

FC, VGG = "fc-hardtanh-digits", "vgg11-digits"
RUN = "runs/fc-hardtanh-digits/seed0-lr0.1"
# Of what is not on such a machine, all that the project uses. mpmath is not among it: torch's own sympy needs that.
MISSING = "snakemake pydantic jsonschema cvxpy clarabel torchvision matplotlib seaborn sklearn"
BARE = f"""
import importlib.abc, sys

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING.split()!r}:
            raise ImportError(f"there is no {{name}} here")

sys.meta_path.insert(0, Nothing())
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with the digits as a local file, the overlay that names it, and what makes packages be missing."""
    folder = tmp_path_factory.mktemp("alone")
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images[:40, None] / 16 * 255).astype(np.uint8)
    np.savez(folder / "digits.npz", x=pixels, y=digits.target[:40])
    sets = {name: {"source": "npz", "file": str(folder / "digits.npz")} for name in ("digits", "digits-fewer")}
    (folder / "npz.yaml").write_text(yaml.safe_dump({"data": sets}))
    (folder / "bare").mkdir()
    (folder / "bare/sitecustomize.py").write_text(BARE)
    return folder


def arguments(here, output, *more, experiments=(FC,), overlays=()):
    given = ["--configfile", str(TINY), str(here / "npz.yaml"), *map(str, overlays), "--device", "cpu"]
    return [*experiments, *given, "--output", str(output), *map(str, more)]


def process(here, output, *more, **settings):
    """Start the command where the packages are missing."""
    paths = os.pathsep.join([str(here / "bare"), str(ROOT / "src")])
    return subprocess.Popen(
        [sys.executable, "-m", "replication.alone", *arguments(here, output, *more, **settings)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(started):
    """Wait for a process and return what it printed, without progress bars."""
    out, err = started.communicate(timeout=600)
    return out, "\n".join(line for line in err.splitlines() if "%|" not in line)


@pytest.fixture(scope="module")
def done(here):
    """What the command leaves where the packages are missing, and what it printed."""
    started = process(here, here / "done", "--pack", here / "done.tar.gz")
    out, err = told(started)
    assert (started.returncode, err) == (0, "")
    return here / "done", out


@pytest.fixture
def alone(here, tmp_path, monkeypatch):
    """Run the command in this process; returns its exit status."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*more, output=tmp_path / "out", **settings):
        return main(arguments(here, output, *more, **settings))

    return run


@pytest.fixture
def table_of_rules(here, tmp_path):
    """The table that the stages give that the rules call, one after the other, without this command."""
    config = configuration_of(here)
    (run,) = configuration.runs(config, FC)
    arrays, _ = data.labelled(run.parameters["data_set"])
    model = models.build(run.parameters, arrays)
    trajectory, checkpoints = tmp_path / "rules/trajectory.parquet", tmp_path / "rules/checkpoints"
    runs.train(
        model,
        run.parameters["learning_rate"],
        Plan.of(run.parameters),
        trajectory=trajectory,
        checkpoints=checkpoints,
        record=provenance.recorder({}),
        identity={},
    )
    gfs = runs.gfs_table(model, checkpoint_files(checkpoints))
    return runs.with_gfs(files.read_table(trajectory), [gfs]).assign(**run.labels)


def configuration_of(here, *overlays):
    return yaml_files.merged(ROOT / "config.yaml", TINY, here / "npz.yaml", *overlays)


def overlay(tmp_path, **settings):
    """An overlay that changes the experiment."""
    path = tmp_path / "overlay.yaml"
    path.write_text(yaml.safe_dump({"experiments": {FC: settings}}))
    return path


def points(folder):
    """The names of the checkpoints below results, in order; at which iterate the last is depends on rounding."""
    return [path.stem for path in checkpoint_files(folder / RUN / "checkpoints")]


def same_rows(path, expected):
    pd.testing.assert_frame_equal(files.read_table(path), expected, check_exact=True)


class Ticking:
    """Time that passes by a tick whenever somebody looks, so that a test does not depend on the machine's speed."""

    def __init__(self, monkeypatch, tick=0.01):
        self.now, self.tick = 1000.0, tick
        fake = SimpleNamespace(monotonic=self.look)
        monkeypatch.setattr(clock, "time", fake)
        monkeypatch.setattr(work, "time", fake)
        # What real gradients take would be of another time.
        monkeypatch.setattr(costs, "_seconds", lambda function: self.tick)

    def look(self):
        self.now += self.tick
        return self.now


# Where the packages are missing.


@pytest.mark.slow
def test_where_packages_are_missing_the_numbers_are_those_of_the_rules(done, table_of_rules):
    folder, out = done
    same_rows(folder / f"tables/{FC}.parquet", table_of_rules)
    same_rows(folder / RUN / "run.parquet", table_of_rules)
    assert "trained, 4 of 4 GFS points; a gradient" in out


def test_the_files_are_those_that_the_rules_write(done, here):
    folder, _ = done
    (run,) = configuration.runs(configuration_of(here), FC)
    record = files.read_provenance(folder / "data/digits.safetensors")
    assert record["parameters"] == run.parameters["data_set"]
    assert [*record["inputs"].values()] == [files.sha256(here / "digits.npz")]
    assert record["section"] == "data.digits"
    tensors, (expected, _) = files.read_tensors(folder / "data/digits.safetensors"), data.labelled(record["parameters"])
    for name, array in expected.items():
        np.testing.assert_array_equal(tensors[name], array)
    assert files.read_provenance(folder / RUN / "trajectory.parquet")["parameters"] == run.training_parameters
    # As execution.checkpoint_files_per_gfs_job says: three checkpoints, and one.
    for number, names in enumerate([points(folder)[:3], points(folder)[3:]]):
        table = folder / RUN / f"gfs/{number}.parquet"
        assert list(files.read_table(table)["iteration"]) == [int(name) for name in names]
        assert files.read_provenance(table)["parameters"] == run.parameters
    assert not (folder / RUN / "unfinished").exists()


def test_records_say_what_the_runs_are_and_cost(done):
    folder, _ = done
    record = files.read_provenance(folder / f"tables/{FC}.parquet")
    (parameters,) = record["parameters"]["runs"].values()
    assert (parameters["architecture"], parameters["learning_rate"]) == ("fully_connected", 0.1)
    assert record["missing_runs"] == []
    (of_run,) = record["of_runs"].values()
    assert of_run["trained"] is True
    assert of_run["gfs_points"] == {"known": 4, "missing": []}
    cost = of_run["cost"]
    assert 0 < cost["gradient_s"] < cost["flow_s"]["median"] <= cost["flow_s"]["largest"]
    assert cost["hessian_vector_product_s"] > 0
    assert cost["peak_memory_bytes"] > 1e7
    assert json.loads((folder / "alone.json").read_text())["runs"][0]["run"] == "seed0-lr0.1"


@pytest.mark.slow
def test_what_needs_a_package_that_is_missing_says_so(here, tmp_path):
    started = process(here, tmp_path / "out", experiments=["regression"])
    out, err = told(started)
    assert started.returncode == 1
    assert err == "error: the data of regression cannot be made here: there is no cvxpy here"
    assert "data:" in out


def test_a_second_call_finds_nothing_to_do(done, alone, capsys):
    folder, _ = done
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert alone(output=folder) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == times
    assert "4 of 4 GFS points" in capsys.readouterr().out


# Ended early.


def wait_for(path, started):
    end = time.monotonic() + 300
    while not path.exists():
        assert started.poll() is None, told(started)
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_leaves_what_it_finished_and_goes_on(here, tmp_path, alone, done, number):
    output = tmp_path / "out"
    started = process(here, output)
    wait_for(output / RUN / "points/0000000.json", started)
    started.send_signal(number)
    out, err = told(started)
    if number != signal.SIGKILL:
        assert (started.returncode, err) == (128 + number, "")
        assert f"told to end by {number.name}" in out
        assert "trained, " in out
        record = files.read_provenance(output / f"tables/{FC}.parquet")
        assert 1 <= record["of_runs"]["seed0-lr0.1"]["gfs_points"]["known"] < 4
    point = output / RUN / "points/0000000.parquet"
    made = point.stat().st_mtime_ns
    assert alone() == 0
    assert point.stat().st_mtime_ns == made
    same_rows(output / f"tables/{FC}.parquet", files.read_table(done[0] / f"tables/{FC}.parquet"))


# A flow that would take hours.
ENDLESS = {"method": "rk4", "loss_tolerance": 1e-25, "max_gradients": 10**9}


@pytest.mark.slow
def test_a_flow_is_left_when_the_time_is_up(alone, monkeypatch, tmp_path):
    ticking = Ticking(monkeypatch)
    began = ticking.now
    assert alone("--minutes", 0.5, overlays=[overlay(tmp_path, flow=ENDLESS)]) == 0
    assert ticking.now - began <= 30
    record = files.read_provenance(tmp_path / f"out/tables/{FC}.parquet")
    of_run = record["of_runs"]["seed0-lr0.1"]
    assert of_run["trained"] is True
    assert of_run["gfs_points"] == {"known": 0, "missing": points(tmp_path / "out")}
    assert len(of_run["cost"]["flows_given_up_s"]) == 0  # of the last table, which was written before the flow
    (run,) = json.loads((tmp_path / "out/alone.json").read_text())["runs"]
    assert len(run["cost"]["flows_given_up_s"]) >= 1
    table = files.read_table(tmp_path / f"out/tables/{FC}.parquet")
    assert table["gfs_status"].isna().all()
    assert table["status"].iloc[-1] == "converged"


@pytest.mark.slow
def test_three_seconds_by_the_clock_on_the_wall(alone, tmp_path):
    """Beside other work little is done in them; they end all the same, and what is left is whole."""
    began = time.monotonic()
    assert alone("--minutes", 0.05, overlays=[overlay(tmp_path, flow=ENDLESS)]) == 0
    assert time.monotonic() - began < 3 + 60  # a minute for what torch imports at first, on a machine with other work
    assert (tmp_path / "out/alone.json").exists()
    for table in (tmp_path / "out").rglob("*.parquet"):
        files.check(table)


@pytest.fixture(scope="module")
def partial(here, tmp_path_factory):
    """Tables of runs that were left: within the flows in one folder, within training in another."""
    folder = tmp_path_factory.mktemp("partial")

    def ticks_of(output, minutes):
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(ROOT)
            ticking = Ticking(patched)
            began = ticking.now
            assert main(arguments(here, output, "--minutes", minutes)) == 0
            return ticking.now - began

    whole = ticks_of(folder / "whole", 60)
    # Training is a tenth of it, a flow some fifth.
    for left, share in (("flows", 0.6), ("training", 0.06)):
        ticks_of(folder / left, share * whole / 60)
    return folder


@pytest.mark.slow
def test_a_table_without_its_later_points_is_a_table(partial, done, table_of_rules, capsys):
    table = files.read_table(partial / f"flows/tables/{FC}.parquet")
    of_run = files.read_provenance(partial / f"flows/tables/{FC}.parquet")["of_runs"]["seed0-lr0.1"]
    known = table["gfs_status"].notna()
    assert 1 <= known.sum() < 4
    assert table["iteration"][known].iloc[0] == 0
    assert of_run["gfs_points"]["known"] == known.sum()
    assert of_run["gfs_points"]["missing"] == [
        name for name in points(done[0]) if int(name) not in set(table["iteration"][known])
    ]
    same = table_of_rules[["iteration", "loss", "sharpness", "status", "threshold"]]
    pd.testing.assert_frame_equal(table[same.columns], same, check_exact=True)
    pd.testing.assert_frame_equal(table[known], table_of_rules[known.to_numpy()], check_exact=True)


@pytest.mark.slow
def test_a_table_of_a_training_that_waits_is_the_beginning_of_the_whole(partial, table_of_rules):
    table = files.read_table(partial / f"training/tables/{FC}.parquet")
    record = files.read_provenance(partial / f"training/tables/{FC}.parquet")["of_runs"]["seed0-lr0.1"]
    assert record["trained"] is False
    last = int(table["iteration"].iloc[-1])
    assert last in (0, 20, 40)
    assert set(table["status"]) == {"running"}
    columns = ["iteration", "loss", "sharpness", "threshold", "learning_rate"]
    expected = table_of_rules[columns].iloc[: last + 1]
    pd.testing.assert_frame_equal(table[columns], expected, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("left", ["flows", "training"])
def test_what_was_left_is_finished_to_the_same_rows(partial, alone, table_of_rules, tmp_path, left):
    shutil.copytree(partial / left, tmp_path / "out")
    assert alone() == 0
    same_rows(tmp_path / f"out/tables/{FC}.parquet", table_of_rules)
    resumed = files.read_provenance(tmp_path / "out" / RUN / "trajectory.parquet")["resumed_at"]
    assert bool(resumed) == (left == "training")


def test_partial_tables_are_compared_as_far_as_they_go(partial, done, capsys):
    for left in ("flows", "training"):
        agreement.main([str(partial / left / "tables"), str(done[0] / "tables")])
        lines = capsys.readouterr().out.splitlines()
        of_start = [line for line in lines if "start" in line]
        if left == "flows":
            assert [line.split()[0] for line in of_start] == ["agrees"]
        ends = [line.split()[0] for line in lines if " end:" in line]
        whole = files.read_table(partial / left / f"tables/{FC}.parquet")["gfs_status"].notna().iloc[-1]
        assert ends == ["agrees" if whole else "unknown"]


def test_partial_tables_are_drawn(partial, tmp_path):
    for left in ("flows", "training"):
        with style.applied():
            drawing.save(networks.draw(files.read_table(partial / left / f"tables/{FC}.parquet")), tmp_path / "a.png")
        assert (tmp_path / "a.png").stat().st_size > 1e4


def test_no_flow_is_begun_that_is_expected_to_outlast_the_time(alone, monkeypatch, tmp_path):
    begun = []
    real = work.stages.gfs_sharpness
    monkeypatch.setattr(work.stages, "gfs_sharpness", lambda *given: (begun.append(given), real(*given)))
    Ticking(monkeypatch)
    monkeypatch.setattr(costs.Costs, "expected", lambda self, name: 1e6)
    assert alone("--minutes", 10) == 0
    assert begun == []
    assert files.read_table(tmp_path / f"out/tables/{FC}.parquet")["status"].iloc[-1] == "converged"


@pytest.mark.slow
def test_tables_that_a_killed_process_did_not_come_to_write_are_written(alone, tmp_path):
    assert alone() == 0
    table, of_run = tmp_path / f"out/tables/{FC}.parquet", tmp_path / "out" / RUN / "run.parquet"
    whole = files.read_table(table)
    # Killed between a table and its record, and before the table of the experiment.
    files.write_table(of_run, whole.iloc[:10], {})
    of_run.with_suffix(".json").unlink()
    table.unlink()
    assert alone() == 0
    same_rows(table, whole)
    same_rows(of_run, whole)
    files.write_table(table, whole.iloc[:10], {})
    assert alone() == 0
    same_rows(table, whole)


# Settings that changed, other images.


@pytest.mark.slow
def test_flows_with_other_settings_are_followed_anew_without_training(alone, tmp_path, done):
    assert alone() == 0
    trajectory = tmp_path / "out" / RUN / "trajectory.parquet"
    made = trajectory.stat().st_mtime_ns
    assert alone(overlays=[overlay(tmp_path, flow={"tolerance": 3.0e-2})]) == 0
    assert trajectory.stat().st_mtime_ns == made
    for table in (f"tables/{FC}.parquet", f"{RUN}/gfs/0.parquet"):
        old, new = files.read_table(done[0] / table), files.read_table(tmp_path / "out" / table)
        assert (old["gfs_sharpness"].dropna() != new["gfs_sharpness"].dropna()).any()


@pytest.mark.slow
def test_other_training_settings_or_images_are_refused(alone, here, tmp_path):
    assert alone() == 0
    with pytest.raises(UserError, match="of other settings than the configuration's"):
        alone(overlays=[overlay(tmp_path, sharpness_every=7)])
    other = tmp_path / "other.npz"
    with np.load(here / "digits.npz") as arrays:
        np.savez(other, x=arrays["x"][::-1], y=arrays["y"][::-1])
    with pytest.raises(UserError, match="of another file of images"):
        alone("--data-file", f"digits={other}")
    elsewhere = tmp_path / "elsewhere.npz"
    elsewhere.write_bytes((here / "digits.npz").read_bytes())
    assert alone("--data-file", f"digits={elsewhere}") == 0


def test_local_files_stand_in_for_downloads(here):
    config = yaml_files.merged(ROOT / "config.yaml", ROOT / "config/paper.yaml")
    given = images.with_local_files(config, ["cifar10=a.npz", "svhn-fewer=b.npz"])["data"]
    named = {name: of.get("file") for name, of in given.items() if of["source"] in ("cifar10", "svhn")}
    assert named == {"cifar10": "a.npz", "cifar10-fewer": "a.npz", "svhn": None, "svhn-fewer": "b.npz"}
    assert "file" not in config["data"]["cifar10"]
    for wrong in ("cifar11=a.npz", "cifar10", "cifar10="):
        with pytest.raises(UserError, match="--data-file takes NAME=PATH"):
            images.with_local_files(config, [wrong])


@pytest.mark.parametrize(
    ("more", "experiments", "said"),
    [
        ([], ["fc-hardtanh-digit"], "no experiment 'fc-hardtanh-digit'; near it: fc-hardtanh-digits"),
        (["--minutes", "0"], [FC], "--minutes must be positive"),
        (["--minutes", "nan"], [FC], "--minutes must be positive"),
        ([], ["scalar-high-loss"], "only Snakemake makes"),
        (["--data-file", "digits=nowhere.npz"], [FC], "which is not there"),
        (["--pack", str(ROOT)], [FC], "--pack takes the name of a file"),
    ],
)
def test_what_cannot_be_is_said(alone, more, experiments, said):
    with pytest.raises(UserError, match=said):
        alone(*more, experiments=experiments)


def test_scalar_networks_run_too(alone, tmp_path):
    assert alone(experiments=["scalar-depth4"]) == 0
    table = files.read_table(tmp_path / "out/tables/scalar-depth4.parquet")
    assert (table["gfs_status"] == "converged").all()


# What comes back.


def test_the_archive_is_small_and_goes_on_elsewhere(done, here, alone, tmp_path):
    archive, output = here / "done.tar.gz", tmp_path / "out"
    assert archive.stat().st_size < 100_000
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
        tar.extractall(output, filter="data")
    assert {f"tables/{FC}.parquet", f"tables/{FC}.json", f"{RUN}/run.parquet", "alone.json"} <= names
    assert not [name for name in names if "checkpoints" in name or name.startswith("data")]
    assert all(len(name.split("/")) <= 5 for name in names)
    same_rows(output / f"tables/{FC}.parquet", files.read_table(done[0] / f"tables/{FC}.parquet"))
    # Elsewhere it is trained again; the points are of the same weights, and stay.
    made = {path: path.stat().st_mtime_ns for path in (output / RUN / "points").glob("*.parquet")}
    assert len(made) == 4
    assert alone() == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    same_rows(output / f"tables/{FC}.parquet", files.read_table(done[0] / f"tables/{FC}.parquet"))


@pytest.mark.slow
def test_an_archive_is_there_on_the_way_too(alone, monkeypatch, tmp_path):
    """A machine may be taken away in the middle of a flow."""

    def lost(*given):
        raise MemoryError

    monkeypatch.setattr(work.stages, "gfs_sharpness", lost)
    monkeypatch.setattr("replication.alone.__main__._Session.report", lambda session: None)
    with pytest.raises(MemoryError):
        alone("--pack", tmp_path / "packed.tar.gz")
    with tarfile.open(tmp_path / "packed.tar.gz") as tar:
        assert {f"{RUN}/trajectory.parquet", f"tables/{FC}.parquet"} <= set(tar.getnames())


def test_an_archive_is_whole_or_not_there(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        packing.pack(tmp_path / "results", tmp_path / "file/sub/packed.tar.gz")
    # One that was there stays where the next cannot be finished.
    packed = tmp_path / "packed.tar.gz"
    packing.pack(tmp_path / "results", packed)
    before = packed.read_bytes()
    (tmp_path / "results/a.json").touch()
    monkeypatch.setattr(tarfile.TarFile, "add", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        packing.pack(tmp_path / "results", packed)
    assert packed.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"results", "file", "packed.tar.gz"}


@pytest.mark.slow
def test_snakemake_takes_the_folder_for_its_own_and_finishes_what_is_missing(fresh, here, alone):
    folder, overlays = fresh.folder, ["--configfile", str(TINY), str(here / "npz.yaml")]
    assert alone(output=folder / "results") == 0
    table = f"results/tables/{FC}.parquet"
    result = fresh.run("--dry-run", *overlays, "--", table)
    assert "Nothing to be done" in result.stdout + result.stderr
    # As where the last points were not followed.
    for path in (folder / "results" / RUN / "gfs").glob("1.*"):
        path.unlink()
    result = fresh.run("--dry-run", "--quiet", "host", *overlays, "--forcerun", "collect_run", "--", table)
    assert "gfs_sharpness        1\n" in result.stdout + result.stderr
    assert "train " not in result.stdout + result.stderr


# The agreement of devices.


@pytest.mark.slow
def test_a_device_is_held_against_the_processor(alone, tmp_path, capsys, here):
    assert alone("--agreement") == 0
    rows = json.loads((tmp_path / "out/alone.json").read_text())["agreement"]
    assert [row["quantity"] for row in rows] == ["loss", "gradient", "gfs_sharpness"]
    assert {(row["device"], row["reference"]) for row in rows} == {("cpu float32", "cpu float64")}
    # Anew, by hand: float32 has seven digits.
    (run,) = configuration.runs(configuration_of(here), FC)
    arrays, _ = data.labelled(run.parameters["data_set"])
    found = []
    last = points(tmp_path / "out")[-1]
    weights = files.read_tensors(tmp_path / "out" / RUN / f"checkpoints/{last}.safetensors")["weights"][0]
    for precision in ("float32", "float64"):
        model = models.build({**run.parameters, "precision": precision}, arrays)
        loss, gradient = flow.loss_and_gradient(model.loss, model.from_numpy(weights))
        found.append((loss, gradient.double().numpy()))
    (loss, gradient), (exact, exact_gradient) = found
    apart = np.linalg.norm(gradient - exact_gradient) / np.linalg.norm(exact_gradient)
    assert rows[0]["value"] == loss
    assert rows[0]["relative"] == pytest.approx(abs(loss / exact - 1), rel=1e-6, abs=1e-12)
    assert rows[1]["relative"] == pytest.approx(apart, rel=1e-6)
    assert 0 < rows[1]["relative"] < 1e-5
    assert rows[2]["relative"] < rows[2]["error"]
    assert f"gfs_sharpness from {last}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_device_that_is_wrong_is_seen(alone, here, tmp_path, monkeypatch):
    """The null control: a gradient with ten bits, as TF32 has."""
    assert alone() == 0
    config = configuration_of(here)
    (run,) = configuration.runs(config, FC)
    began = work.Work(run, tmp_path / "out", "cpu", 3, clock.Clock(), lambda run: None)
    real = type(began.job.model).loss_and_gradient

    def rounded(model, w):
        loss, gradient = real(model, w)
        return loss, (gradient * 1024).round() / 1024 if gradient.dtype == began.job.model.initial.dtype else gradient

    monkeypatch.setattr(type(began.job.model), "loss_and_gradient", rounded)
    _, gradient = comparison.of_gradients(began, began.files()[-1])
    assert gradient.relative > 1e-3


# The pieces.


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12, 73])
def test_whenever_it_is_left_the_order_has_no_large_gap(count):
    found = order.most_telling_first(count)
    assert sorted(found) == list(range(count))
    for taken in range(2, count):
        gaps = np.diff(sorted(found[:taken]))
        assert gaps.max() <= 2 * gaps.min() + 1


def test_time_is_shared_out_and_what_is_not_used_goes_to_the_others(monkeypatch):
    now = SimpleNamespace(monotonic=lambda: now.time, time=0.0)
    monkeypatch.setattr(clock, "time", now)

    class Run:
        def __init__(self, needs):
            self.needs, self.given = needs, []

        @property
        def done(self):
            return self.needs <= 0

        def advance(self, seconds, *, all_for_training):
            self.given.append(round(seconds, 6))
            # Of a piece of work that does not fit nothing is done.
            took = self.needs if self.needs <= seconds else 0.0
            self.needs -= took
            now.time += took
            return took > 0

        def release(self):
            pass

    quick, slow, slower = Run(2), Run(70), Run(1000)
    schedule.advance([quick, slow, slower], clock.Clock(90))
    assert (quick.given, quick.done) == ([30.0], True)
    # A round of shares, another, then all that there is.
    assert slow.given == [44.0, 44.0, 88.0]
    assert slow.done
    assert slower.given == [88.0, 88.0, 18.0, 18.0, 18.0]
    assert not slower.done


def test_the_first_run_of_each_experiment_comes_first(config):
    config["experiments"][FC]["seeds"] = [0, 1]
    taken = schedule.in_turn([configuration.runs(config, name) for name in (FC, "fc-tanh-digits")])
    assert [(run.experiment, run.seed) for run in taken] == [(FC, 0), ("fc-tanh-digits", 0), (FC, 1)]


def test_a_flow_is_expected_to_cost_as_those_beside_it():
    found = costs.Costs(gradient=0.5, product=1.0)
    assert found.expected("b") == 100.0  # two hundred gradients
    found.note("a", {"gradient_evaluations": 10, "hessian_vector_products": 5})
    assert found.expected("b") == 10.0
    found.flows["a"] = 20.0  # with what is no gradient of the flow
    found.note("c", {"gradient_evaluations": 4, "hessian_vector_products": 0})
    assert found.expected("b") == 20.0
    assert found.expected("d") == 4.0
    found.given_up["d"] = 8.0
    assert found.expected("d") == 10.0


def test_the_first_signal_waits_for_the_gradient_and_the_second_does_not():
    told_to = clock.Clock(60)
    before = {number: signal.getsignal(number) for number in clock.SIGNALS}
    with told_to.listening():
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with pytest.raises(clock.Stopped, match="SIGTERM"):
            told_to.watching(len)("abc")
    assert {number: signal.getsignal(number) for number in clock.SIGNALS} == before
    assert clock.Clock(60).watching(len)("abc") == 3


def test_a_hessian_vector_product_looks_at_the_clock_and_is_the_same(monkeypatch):
    import torch

    now = SimpleNamespace(monotonic=lambda: now.time, time=0.0)
    monkeypatch.setattr(clock, "time", now)
    watching = clock.Clock(60)
    w, v = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.5])

    def loss(w):
        return w[0] ** 2 * w[1]

    product = hessian_vector_product(watching.watching(loss), w)
    assert torch.equal(product(v), hessian_vector_product(loss, w)(v))
    now.time = 61.0
    with pytest.raises(clock.TimeIsUp):
        product(v)


def test_seconds_that_are_kept_are_there_afterwards(monkeypatch):
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 0.0))
    kept = clock.Clock(60)
    with kept.reserving(20):
        assert kept.left == 40
        with kept.allotting(100):
            kept.check()
    assert kept.left == 60


def test_a_copy_without_git_is_told_its_commit(monkeypatch):
    monkeypatch.setenv("GFS_COMMIT", "0123abc")
    of_checkout = provenance.commit.__wrapped__()
    assert of_checkout is not None
    assert of_checkout != "0123abc"

    def without_git(*command, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", without_git)
    assert provenance.commit.__wrapped__() == "0123abc"
    monkeypatch.delenv("GFS_COMMIT")
    assert provenance.commit.__wrapped__() is None


# The configuration is checked as everywhere.


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": "digitz"}, [f"experiments.{FC}.data", "'digitz'", "nearest: digits"]),
        (
            {"widths": ["0"], "learning_rats": [0.1]},
            [f"experiments.{FC}.widths[0]", "allowed: 1 or more", "nearest: learning_rates"],
        ),
    ],
)
def test_where_packages_are_missing_a_wrong_setting_is_refused_in_the_same_words(here, tmp_path, settings, says):
    started = process(here, tmp_path / "out", overlays=[overlay(tmp_path, **settings)])
    _, err = told(started)
    assert started.returncode == 1
    assert "Traceback" not in err
    for part in says:
        assert part in err
    with pytest.raises(configuration.ConfigurationError) as error:
        configuration.check(configuration_of(here, tmp_path / "overlay.yaml"))
    assert str(error.value) in err
