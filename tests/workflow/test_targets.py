"""The workflow from nothing: what each target needs, small runs of some, what bad input says."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from dry_runs import rules_planned
from project import TINY

from replication import figure_registry
from replication import variants as sensitivity_variants

FIGURES = list(figure_registry.FIGURES)
IMAGES = {"figure06", "figure12", "figure13", "figure_arora_networks", "figure_arora_gfs"}
GAUSSIAN = {"figure05", "figure_arora_gfs"}


def test_dry_run_of_the_default_scale(fresh):
    result = fresh.run("--dry-run")
    assert result.returncode == 0, result.stderr
    # Before training the number of GFS jobs is unknown.
    assert "gfs_sharpness" not in result.stdout.split("Job stats:")[-1]
    stages = [
        "gaussian_data",
        "image_data",
        "plane",
        "stable_set",
        "theorems",
        "regression_runs",
        "train",
        "gpgd",
        "collect",
        "claims",
    ]
    for rule in [*stages, *FIGURES]:
        assert re.search(rf"^{rule}\s+\d+$", result.stdout + result.stderr, re.MULTILINE), rule


def test_dry_run_of_the_paper_s_scale(fresh):
    result = fresh.run("--dry-run", "--configfile", "config/paper.yaml")
    assert result.returncode == 0, result.stderr
    assert "results/paper/tables/fc-hardtanh-cifar10.parquet" in result.stdout + result.stderr


@pytest.fixture(scope="module")
def planned_by_figure():
    """The rules that each figure needs where nothing has been made."""
    return rules_planned(FIGURES)


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_is_a_target_that_needs_its_own_experiment_only(planned_by_figure, figure):
    planned = planned_by_figure[figure]
    assert figure in planned
    assert not planned & (set(FIGURES) - {figure})
    assert ("image_data" in planned) == (figure in IMAGES)
    assert ("gaussian_data" in planned) == (figure in GAUSSIAN)
    assert ("regression_runs" in planned) == (figure == "figure05")


def test_each_variant_of_the_sensitivity_is_a_job_that_depends_on_its_own_values(fresh, tmp_path):
    table = "results/sensitivity/variants/scalar/ours.parquet"
    result = fresh.snakemake(table)
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(pd.read_parquet(fresh.folder / table)["study"]) == {"scalar"}
    variants = len(list(sensitivity_variants.variants(yaml.safe_load((fresh.folder / "config.yaml").read_text()))))

    def jobs(change):
        overlay = tmp_path / "change.yaml"
        overlay.write_text(yaml.safe_dump(change))
        done = fresh.run("--dry-run", "--configfile", str(TINY), str(overlay), "--", "sensitivity")
        return int(re.search(r"^sensitivity_variant\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE)[1])

    assert jobs({"data": {"gaussian": {"mean": 0.5}}}) == variants - 1
    assert jobs({"experiments": {"scalar-depth4": {"learning_rates": [0.19]}}}) == variants


def test_divergence_is_recorded_and_drawn_not_a_crash(fresh, tmp_path):
    overlay = tmp_path / "diverging.yaml"
    overlay.write_text(yaml.safe_dump({"experiments": {"scalar-depth4": {"learning_rates": [5.0]}}}))
    result = fresh.run("--configfile", str(TINY), str(overlay), "--", "figure02")
    printed = result.stdout + result.stderr
    assert result.returncode == 0, printed
    assert "scalar-depth4/lr5.0 diverged: see results/logs/train/scalar-depth4/lr5.0.log" in printed
    table = pd.read_parquet(fresh.folder / "results/tables/scalar-depth4.parquet")
    assert table["status"].iloc[-1] == "diverged"
    assert "diverged at" in (fresh.folder / "figures/figure02.svg").read_text()


def test_a_model_and_data_of_a_user_s_own_with_two_threads(fresh, tmp_path):
    overlay = tmp_path / "shorter.yaml"
    shorter = {"spirals": {"stop": {"loss": 0.2, "iterations": 200}}}
    overlay.write_text(yaml.safe_dump({"experiments": shorter, "execution": {"threads": 2}}))
    result = fresh.run("--configfile", "examples/own_model.yaml", str(overlay), "--", "figure06")
    assert result.returncode == 0, result.stdout + result.stderr
    table = pd.read_parquet(fresh.folder / "results/own/tables/spirals.parquet")
    assert (table["gfs_status"].dropna() == "converged").all()
    assert (table["gfs_error"].dropna() < 0.5 * table["gfs_sharpness"].dropna()).all()
    assert (fresh.folder / "figures/own/figure06.pdf").exists()
    (run,) = (fresh.folder / "results/own/runs/spirals").iterdir()
    hardware = json.loads((run / "trajectory.json").read_text())["hardware"]
    assert (hardware["threads"], hardware["torch_threads"]) == ("2", 2)


BAD_CONFIGURATIONS = {
    "a misspelt key": ({"experiments": {"regression": {"initial_scal": 1.0}}}, "experiments.regression.initial_scal"),
    "a wrong type": ({"execution": {"threads": "two"}}, "execution.threads"),
    "a learning rate of zero": ({"experiments": {"scalar-depth4": {"learning_rates": [0]}}}, "learning_rates[0]"),
    "an unknown architecture": (
        {"experiments": {"fc-hardtanh-digits": {"architecture": "fully_conected"}}},
        "nearest: fully_connected",
    ),
    "a missing data file": (
        {"data": {"cifar10": {"source": "cifar10", "images": 10, "file": "no/such.npz"}}},
        "data.cifar10.file",
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_a_bad_configuration_stops_before_anything_is_written(fresh, tmp_path, case):
    change, expected = BAD_CONFIGURATIONS[case]
    overlay = tmp_path / "bad.yaml"
    overlay.write_text(yaml.safe_dump(change))
    result = fresh.run("--configfile", str(overlay))
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert expected in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "figures").exists()


@pytest.mark.parametrize(
    "module",
    [
        "gfsharp.scalar",
        "gfsharp.regression",
        *(f"replication.{name}" for name in ("training.models", "training.runs", "configuration", "claims", "studies")),
        "replication.figures.panels",
    ],
)
def test_torch_is_not_imported_where_it_is_not_needed(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "module", ["replication.configuration", "replication.training.checkpoints", "replication.source_digest"]
)
def test_what_the_snakefile_imports_is_light(module):
    code = f"import sys, {module}; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
