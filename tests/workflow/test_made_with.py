"""Results that were made with other settings than the configuration's are told from those that were not."""

import copy
import json
import shutil

import pytest
from project import ROOT

import made_with
from gfsharp.errors import UserError
from replication import configuration, figure_registry, yaml_files
from replication.storage import files

REFERENCE = ROOT / "results/reference"


@pytest.fixture
def reference(monkeypatch):
    """The configuration of the reference results."""
    monkeypatch.chdir(ROOT)
    return yaml_files.merged("config.yaml", "config/paper.yaml", "config/reference.yaml")


def tables():
    found = (path.relative_to(ROOT) for path in sorted(REFERENCE.rglob("*.parquet")))
    return [str(path) for path in found if path.parent.name != "figures"]


def test_the_reference_results_are_what_their_configuration_asks_for(reference):
    silent = made_with.check(reference, tables())
    # It is not kept.
    assert silent == ["results/reference/scalar/start.safetensors"]


def leaves(value, place=()):
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*place, key))
        else:
            yield (*place, key)


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    if isinstance(value, str):
        return value + "-more"
    return [*value, changed(value[-1])]


@pytest.mark.parametrize("section", ["scalar", "regression", "arora", "linear"])
def test_each_setting_of_the_analyses_is_held(reference, section):
    paths = tables()
    for place in leaves(reference[section], (section,)):
        if place[:2] == ("scalar", "start"):  # its record is not kept
            continue
        config = copy.deepcopy(reference)
        parent = config
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = changed(parent[place[-1]])
        if place[-1] == "data":
            config["data"][parent["data"]] = config["data"]["gaussian"]
        with pytest.raises(UserError, match="the configuration has"):
            made_with.check(config, paths)


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("tables/scalar-depth4", "experiments.scalar-depth4.stop.loss"),
        ("tables/resnet20-other-digits", "experiments.resnet20-other-digits.channels"),
        ("tables/resnet20-other-digits", "experiments.resnet20-other-digits.flow.tolerance"),
        ("tables/resnet20-other-digits", "data.other-digits-fewer.images"),
        ("tables/regression", "experiments.regression.initial_scale"),
        ("runs/scalar-bifurcation/lr0.05/gpgd/orbits", "scalar.gpgd.steps"),
        ("scalar/theorems/depth5", "scalar.theorems.seed"),
        ("regression/scales", "data.gaussian.deviation"),
    ],
)
def test_another_setting_is_named(reference, table, place):
    *parents, key = place.split(".")
    settings = reference
    for part in parents:
        settings = settings[part]
    path = f"results/reference/{table}.parquet"
    settings[key] = changed(settings[key])
    with pytest.raises(
        UserError, match=rf"^{path} was made with .*{key} = .*, the configuration has .*; run snakemake"
    ):
        made_with.check(reference, [path])


def test_a_setting_that_only_one_of_both_has_is_a_difference_but_where_a_file_lies(reference, tmp_path, monkeypatch):
    path = "results/reference/tables/resnet20-other-digits.parquet"
    (tmp_path / path).parent.mkdir(parents=True)
    shutil.copy2(ROOT / path, tmp_path / path)
    record = json.loads((ROOT / path).with_suffix(".json").read_text(encoding="utf-8"))
    del record["record_sha256"]
    (run,) = record["parameters"]["runs"].values()
    run["data_set"]["file"] = "digits.npz"
    files.write_record((tmp_path / path).with_suffix(".json"), record)
    monkeypatch.chdir(tmp_path)
    data_set = reference["data"]["other-digits-fewer"]
    data_set["file"] = "elsewhere.npz"
    with pytest.raises(UserError, match=r"data_set\.file = digits\.npz, the configuration has elsewhere\.npz"):
        made_with.check(reference, [path])
    del data_set["file"]
    assert made_with.check(reference, [path]) == []
    data_set["classes"] = 3
    with pytest.raises(UserError, match=r"data_set\.classes = nothing, the configuration has 3"):
        made_with.check(reference, [path])


def test_other_runs_seeds_and_depths_are_named(reference):
    original = copy.deepcopy(reference)
    reference["experiments"]["scalar-depth4"]["learning_rates"] = [0.2, 0.3]
    with pytest.raises(UserError, match=r"has the runs lr0\.2, the configuration lr0\.2, lr0\.3"):
        made_with.check(reference, ["results/reference/tables/scalar-depth4.parquet"])
    del reference["experiments"]["scalar-depth4"]
    with pytest.raises(UserError, match=r"has the runs lr0\.2, the configuration none"):
        made_with.check(reference, ["results/reference/tables/scalar-depth4.parquet"])
    for section, key, value in (("runs", "seeds", 51), ("runs", "seeds", 49)):
        config = copy.deepcopy(original)
        config["regression"][section][key] = value
        with pytest.raises(UserError, match="seeds"):
            made_with.check(config, tables())
    original["scalar"]["theorems"]["depths"] = [2, 3, 20]
    with pytest.raises(UserError, match="depth"):
        made_with.check(original, tables())


def test_a_figure_of_other_experiments_is_named(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = []
    for figure in figure_registry.FIGURES:
        shows = reference["figures"].get(figure)
        record = {"section": f"figures.{figure}" if shows else None, "parameters": {"shows": shows}}
        paths.append(f"results/figures/{figure}.parquet")
        files.write_record(files.sidecar(paths[-1]), record)
    assert made_with.check(reference, paths) == []
    reference["figures"]["figure08"] = "scalar-pairs"
    with pytest.raises(UserError, match=r"figure08\.parquet was made with shows = scalar-depth4, .* has scalar-pairs;"):
        made_with.check(reference, paths)


def test_the_start_of_figure_9_is_held_where_its_record_is_kept(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for suffix in ("parquet", "json"):
        (tmp_path / "results/reference/tables").mkdir(parents=True, exist_ok=True)
        shutil.copy2(REFERENCE / f"tables/scalar-high-loss.{suffix}", tmp_path / "results/reference/tables")
    wanted = {stage: configuration.settings(reference, "scalar", stage) for stage in ("plane", "start")}
    (tmp_path / "results/reference/scalar").mkdir()
    files.write_record(tmp_path / "results/reference/scalar/start.json", {"parameters": json.loads(json.dumps(wanted))})
    table = ["results/reference/tables/scalar-high-loss.parquet"]
    assert made_with.check(reference, table) == []
    reference["scalar"]["start"]["largest_final"] *= 2
    with pytest.raises(UserError, match=r"start\.safetensors: start\.largest_final = "):
        made_with.check(reference, table)


def test_a_record_of_an_earlier_version_says_nothing_of_its_settings(reference, tmp_path, monkeypatch):
    path = "results/reference/scalar/plane.parquet"
    record = files.read_provenance(ROOT / path)
    assert "inputs" not in record  # nobody knows them any more
    (tmp_path / path).parent.mkdir(parents=True)
    files.write_record(tmp_path / files.sidecar(path), {key: record[key] for key in record if key != "section"})
    monkeypatch.chdir(tmp_path)
    reference["scalar"]["plane"]["learning_rate"] = 0.3
    assert made_with.check(reference, [path]) == [path]


def test_gpgd_of_a_run_that_is_no_more_is_named(reference):
    path = "results/reference/runs/scalar-bifurcation/lr0.05/gpgd/orbits.parquet"
    reference["experiments"]["scalar-bifurcation"]["learning_rates"] = [0.06]
    with pytest.raises(UserError, match=r"learning_rate = 0\.05, the configuration has nothing"):
        made_with.check(reference, [path])


def test_results_may_be_named_absolutely(reference):
    reference["directories"]["results"] = str(ROOT / "results/reference")
    assert len(made_with.check(reference, tables())) == 1
