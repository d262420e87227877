"""Memory and processor time of jobs are the kernel's, from their records."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from project import ROOT

from replication.storage import files, provenance

sys.path.append(str(ROOT / "workflow/scripts"))
import resources

ONE = pd.DataFrame({"x": [1]})
COLUMNS = ("seconds", "memory_mb", "processor_s", "disk_mb")


def in_a_process(code, parent_mb=0):
    """What a process measures of itself that is started by one of some size."""
    started = (
        f"import subprocess, sys\nx = bytearray({parent_mb} << 20)\nsubprocess.run([sys.executable, '-c', {code!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", started],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    return json.loads(result.stdout)


MEASURE = "import json; from replication.storage import provenance; {}; print(json.dumps(provenance.spent()))"


def test_a_short_peak_is_seen_and_what_started_the_process_is_not():
    least = in_a_process(MEASURE.format("pass"))["peak_memory_mb"]
    peak = in_a_process(MEASURE.format("x = bytearray(300 << 20); del x"))["peak_memory_mb"]
    beside = in_a_process(MEASURE.format("pass"), parent_mb=300)["peak_memory_mb"]
    assert 290 < peak - least < 310
    if sys.platform == "linux":
        assert beside - least < 20


def test_processor_time_is_that_of_work_not_of_waiting():
    waited = in_a_process(MEASURE.format("import time; time.sleep(0.5)"))["processor_time_s"]
    worked = in_a_process(
        MEASURE.format("import time\nwhile time.process_time() < 1.5: pass\nimport json").replace("; print", "\nprint")
    )["processor_time_s"]
    assert waited < 1.2 < 1.4 < worked


def test_every_record_says_what_its_process_took_when_all_was_written(tmp_path):
    before = provenance.spent()["peak_memory_mb"]
    files.write_table(tmp_path / "t.parquet", ONE, provenance.recorder({})())
    record = files.read_provenance(tmp_path / "t.parquet")
    assert before <= record["peak_memory_mb"] <= provenance.spent()["peak_memory_mb"]
    assert record["processor_time_s"] > 0
    # One that is passed on keeps its own.
    files.write_table(tmp_path / "u.parquet", ONE, {"peak_memory_mb": None})
    assert files.read_provenance(tmp_path / "u.parquet")["peak_memory_mb"] is None


def made(path, log, inputs=(), **beside):
    """A table as a job of this log leaves it."""
    record = {"job": log and {"rule": "any", "log": f"results/logs/{log}.log"}, "inputs": files.checksums(inputs)}
    write = files.write_tensors if path.endswith(".safetensors") else files.write_table
    write(f"results/{path}", {"x": np.ones(1)} if write is files.write_tensors else ONE, {**record, **beside})
    return f"results/{path}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two trainings, one with a record of earlier versions, and the claims, which have none."""
    monkeypatch.chdir(tmp_path)
    made("runs/a/trajectory.parquet", "train/a", peak_memory_mb=700.0, processor_time_s=30.0)
    made("runs/a/checkpoints/0.safetensors", "train/a", peak_memory_mb=600.0, processor_time_s=20.0)
    made("runs/b/trajectory.parquet", "train/b", peak_memory_mb=None)
    made("runs/c/trajectory.parquet", None)
    made("reference/runs/a/trajectory.parquet", "train/a", collected_from_sha256="0", peak_memory_mb=900.0)
    for name, memory in (("train/a", 200), ("train/b", 150), ("claims", 500)):
        path = tmp_path / f"results/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n40.0\t{memory}\t10.0\n")
    records = resources.made_here("results")
    return resources.with_records(
        resources.benchmarks(Path("results/benchmarks")), resources.recorded(records, "results/logs")
    ).set_index("job")


def test_the_kernel_s_peak_takes_the_place_of_a_sampled_one(folder):
    assert folder["memory_mb"].to_dict() == {"train/a": 700.0, "train/b": 150.0, "claims": 500.0}
    assert resources.by_rule(folder).set_index("rule")["most_memory_mb"].to_dict() == {"claims": 500.0, "train": 700.0}
    assert folder["processor_s"]["train/a"] == 30.0


def test_a_job_has_left_what_names_it(folder, tmp_path):
    left = [path for path in (tmp_path / "results/runs/a").rglob("*.*") if path.is_file()]
    assert len(left) == 4
    assert folder["disk_mb"]["train/a"] == pytest.approx(resources.size(*left))
    assert folder["disk_mb"]["claims"] == 0  # of which the rule names the files


def test_behind_a_figure_are_all_jobs_from_the_data_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = made("data/digits.safetensors", "image_data/digits")
    plane = made("scalar/plane.parquet", "plane")
    checkpoint = made("runs/net/s0/checkpoints/0.safetensors", "train/net/s0", [data])
    trajectory = made("runs/net/s0/trajectory.parquet", "train/net/s0", [data])
    flow = made("runs/net/s0/gfs/0.parquet", "gfs_sharpness/net/s0/0", [checkpoint, trajectory, data])
    run = made("runs/net/s0/run.parquet", "collect_run/net/s0", [trajectory, flow])
    made("runs/net/s1/run.parquet", "collect_run/net/s1", [trajectory])
    table = made("tables/net.parquet", "collect/net", [run])
    made("figures/figure01.parquet", "figure01", [table, plane])
    of_run = {f"{rule}/net/s0" for rule in ("train", "collect_run")}
    shared = {"figure01", "plane", "collect/net", "gfs_sharpness/net/s0/0", "image_data/digits"}
    assert resources.behind("figure01", "results", "results/logs") == of_run | shared
    files.sidecar(flow).unlink()  # what is gone ends there
    assert resources.behind("figure01", "results", "results/logs") == of_run | shared - {"gfs_sharpness/net/s0/0"}


def test_records_that_name_no_job_are_told():
    of_rules = resources.by_rule(pd.DataFrame([{"rule": "train", **dict.fromkeys(COLUMNS, 1.0)}]))
    of_figures = of_rules.rename(columns={"rule": "figure"})
    assert "Of 3 files the records" in resources.markdown(of_rules, of_figures, "tiny", "machine", 3)
    assert "name no job" not in resources.markdown(of_rules, of_figures, "tiny", "machine")
