"""Results that were made with other settings than the configuration's are told from those that were not."""

import pytest
from project import ROOT

import made_with
from gfs import yaml_files
from gfs.errors import UserError

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
    # Collected before records had settings; the last network was not.
    assert {path.partition("tables/")[2].partition("-")[0] for path in silent} == {"fc", "vgg11", "resnet20"}
    assert len(silent) == 7


@pytest.mark.parametrize(
    ("table", "place", "key"),
    [
        ("tables/scalar-depth4", "experiments.scalar-depth4.stop", "loss"),
        ("tables/resnet20-svhn", "experiments.resnet20-svhn", "channels"),
        ("tables/resnet20-svhn", "data.svhn-fewest", "images"),
        ("tables/regression", "experiments.regression", "initial_scale"),
        ("runs/scalar-bifurcation/lr0.05/gpgd/orbits", "scalar.gpgd", None),
        ("scalar/plane", "scalar.plane", "learning_rate"),
        ("scalar/stable_set/products", "scalar.stable_set", None),
        ("scalar/theorems/depth5", "scalar.theorems", "points"),
        ("regression/runs/3", "regression.runs.stop", "loss"),
        ("regression/scales", "data.gaussian", "deviation"),
        ("arora/valley", "arora", "tau"),
        ("arora/rises/scalar", "arora.scalar", "starts"),
        ("linear/preimages", "linear.gd_map", "points"),
        ("linear/convergence", "linear.convergence", None),
    ],
)
def test_another_setting_is_named(reference, table, place, key):
    settings = reference
    for part in place.split("."):
        settings = settings[part]
    key = key or min(name for name, value in settings.items() if isinstance(value, int | float))
    assert key in settings
    path = f"results/reference/{table}.parquet"
    assert made_with.check(reference, [path]) == []
    was = settings[key]
    settings[key] = was * 2
    with pytest.raises(UserError, match=rf"^{path} was made with .*{key} = .*, the configuration has"):
        made_with.check(reference, [path])


def test_other_runs_are_named(reference):
    reference["experiments"]["scalar-depth4"]["learning_rates"] = [0.2, 0.3]
    with pytest.raises(UserError, match=r"has the runs lr0\.2, the configuration lr0\.2, lr0\.3"):
        made_with.check(reference, ["results/reference/tables/scalar-depth4.parquet"])
