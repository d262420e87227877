"""Which job made a file, what the jobs left on the disk, and which files are behind a figure."""

import pandas as pd
import pytest

import outputs
from replication.storage import files

RULES = {
    "data": {"outputs": ["r/data/{set,a|b}.safetensors", "r/data/{set,a|b}.json"], "benchmark": "b/data/{set,a|b}.tsv"},
    "train": {"outputs": ["r/runs/{e}/{r}/t.parquet", "r/runs/{e}/{r}/checkpoints"], "benchmark": "b/t/{e}/{r}.tsv"},
    "twice": {"outputs": ["r/{e}/{e}.parquet"], "benchmark": "b/twice/{e}.tsv"},
    "figure": {"outputs": ["f/figure.pdf"], "benchmark": "b/figure.tsv"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "benchmark"),
    [
        ("r/data/a.json", "b/data/a.tsv"),
        ("r/runs/x/lr0.1/t.parquet", "b/t/x/lr0.1.tsv"),
        ("r/runs/x/lr0.1/checkpoints/0.safetensors", "b/t/x/lr0.1.tsv"),
        ("r/runs/x/t.parquet", None),
        ("r/x/x.parquet", "b/twice/x.tsv"),
        ("r/x/y.parquet", None),
        ("f/figureXpdf", None),
        ("r/logs/a.log", None),
    ],
)
def test_a_file_is_of_the_job_whose_pattern_fits(path, benchmark):
    assert outputs.benchmark_of(path, RULES) == benchmark


def test_the_sizes_of_a_job_s_files_add_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, size in {
        "r/runs/x/1/t.parquet": 3,
        "r/runs/x/1/checkpoints/0.json": 4,
        "r/logs/x": 9,
        "f/figure.pdf": 5,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x" * size)
    assert outputs.sizes(["r", "f"], RULES) == {"b/t/x/1.tsv": 7, "b/figure.tsv": 5}


def test_behind_a_figure_is_all_from_the_data_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def table(path, **parameters):
        files.write_table(path, pd.DataFrame({"x": [1]}), {"parameters": parameters})

    table("r/runs/net/s0/trajectory.parquet", model="network", data="digits", seed=0)
    table("r/runs/net/s0/gfs/0.parquet")
    table("r/runs/reg/s3/trajectory.parquet", model="regression", data="gaussian", seed=3)
    table("r/runs/high/lr/trajectory.parquet", model="scalar", initial_weights="plane")
    table("r/tables/net.parquet", runs={"r/runs/net/s0/run.parquet": {}})
    table("r/tables/reg.parquet", runs={"r/runs/reg/s3/run.parquet": {}})
    tables = [
        "r/tables/net.parquet",
        "r/tables/reg.parquet",
        "r/runs/high/lr/gpgd/iterates.parquet",
        "r/scalar/x.parquet",
    ]
    table("r/figures/figure01.parquet", tables_sha256=dict.fromkeys(tables, ""))
    assert set(outputs.behind("figure01", "r", "f")) == {
        "f/figure01.pdf",
        *tables,
        "r/runs/net/s0/run.parquet",
        "r/runs/net/s0/gfs/0.parquet",
        "r/runs/net/s0/trajectory.parquet",
        "r/data/digits.safetensors",
        "r/runs/reg/s3/run.parquet",
        "r/runs/reg/s3/trajectory.parquet",
        "r/data/gaussian/seed3.safetensors",
        "r/runs/high/lr/trajectory.parquet",
        "r/scalar/start.safetensors",
        "r/scalar/plane.parquet",
    }
