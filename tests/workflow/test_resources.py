"""Memory and processor time of jobs are the kernel's, from their records."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from project import ROOT

from replication.storage import files, provenance

sys.path.append(str(ROOT / "workflow/scripts"))
import resources

RULES = {
    "train": {
        "outputs": ["results/runs/{run}/trajectory.parquet", "results/runs/{run}/trajectory.json"],
        "benchmark": "results/benchmarks/train/{run}.tsv",
    },
    "claims": {"outputs": ["results/claims.json"], "benchmark": "results/benchmarks/claims.tsv"},
}


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
    files.write_table(tmp_path / "t.parquet", pd.DataFrame({"x": [1]}), provenance.recorder({})())
    record = files.read_provenance(tmp_path / "t.parquet")
    assert before <= record["peak_memory_mb"] <= provenance.spent()["peak_memory_mb"]
    assert record["processor_time_s"] > 0
    # One that is passed on keeps its own.
    files.write_table(tmp_path / "u.parquet", pd.DataFrame({"x": [1]}), {"peak_memory_mb": None})
    assert files.read_provenance(tmp_path / "u.parquet")["peak_memory_mb"] is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two trainings, one with a record of earlier versions, and the claims, which have none."""
    monkeypatch.chdir(tmp_path)
    for run, spent in (("a", {"peak_memory_mb": 700.0, "processor_time_s": 30.0}), ("b", {"peak_memory_mb": None})):
        files.write_table(f"results/runs/{run}/trajectory.parquet", pd.DataFrame({"x": [1]}), spent)
    (tmp_path / "results/claims.json").write_text("[]")
    for name, memory in (("train/a", 200), ("train/b", 150), ("claims", 500)):
        path = tmp_path / f"results/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n40.0\t{memory}\t10.0\n")


def test_the_kernel_s_peak_takes_the_place_of_a_sampled_one(folder):
    found = resources.recorded(["results"], RULES)
    jobs = resources.with_records(resources.benchmarks(resources.Path("results/benchmarks")), found).assign(disk_mb=0.0)
    memory = dict(zip(jobs["benchmark"], jobs["memory_mb"], strict=True))
    assert memory == {
        "results/benchmarks/train/a.tsv": 700.0,
        "results/benchmarks/train/b.tsv": 150.0,
        "results/benchmarks/claims.tsv": 500.0,
    }
    assert resources.by_rule(jobs).set_index("rule")["most_memory_mb"].to_dict() == {"claims": 500.0, "train": 700.0}
    assert jobs.set_index("benchmark")["processor_s"]["results/benchmarks/train/a.tsv"] == 30.0
