"""Fixtures shared by the tests."""

import os

import pytest
import torch
import yaml
from hypothesis import settings
from project import ROOT, copy_project

os.environ["MPLBACKEND"] = "Agg"

# The tensors of the tests are small: a second thread only makes the first wait, long where other work goes on beside.
torch.set_num_threads(1)

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Begin with the file that takes longest, beside which another worker runs the rest."""
    items.sort(key=lambda item: item.path.name != "test_workflow.py")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project in which the small pipeline has run; tests that change it restore it."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    result = project.snakemake("all")
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def fresh(tmp_path):
    """A project in which nothing has run."""
    return copy_project(tmp_path / "project")


@pytest.fixture
def config():
    """The default configuration, to be changed at will."""
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
