"""Mutated configurations: each is accepted, and its runs can be listed, or refused with the one clear message."""

import copy
import math
import random

import pytest
import yaml
from dry_runs import dry_runs
from mutations import assert_planned_or_refused, mutate, mutated, parent_of, places
from project import ROOT
from snakemake.utils import update_config

from replication import configuration
from replication.configuration import ConfigurationError

MUTATIONS = 60  # tests/faults has hundreds


def outcome(config):
    try:
        configuration.check(config)
    except ConfigurationError as error:
        return str(error)
    assert_numbers(config)
    for name in config["experiments"]:
        for run in configuration.runs(config, name):
            assert configuration.run(config, name, run.name) == run
    for figure in config["figures"]:
        assert configuration.figure_experiments(config, figure)
    return ""


def assert_numbers(config):
    """What is accepted has a value everywhere, and no number that is none."""
    for path in places(config):
        value = parent_of(config, path)[path[-1]] if path else config
        assert value is not None, path
        assert not isinstance(value, float) or math.isfinite(value), path


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_should_not_have_been_accepted_is_seen(value, monkeypatch):
    """The null control: a check that accepts everything."""
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert outcome(copy.deepcopy(config)) == ""
    monkeypatch.setattr(configuration, "check", lambda *_: None)
    config["experiments"]["scalar-depth4"]["stop"]["loss"] = value
    with pytest.raises(AssertionError):
        outcome(config)


@pytest.mark.parametrize("overlay", [None, "config/paper.yaml", "examples/own_model.yaml"])
def test_mutated_configurations_are_accepted_or_refused_with_reasons(overlay, monkeypatch):
    monkeypatch.chdir(ROOT)
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    if overlay:
        update_config(base, yaml.safe_load((ROOT / overlay).read_text()))
    seeded = random.Random(str(overlay))
    refused = 0
    for _ in range(MUTATIONS):
        config = copy.deepcopy(base)
        for _ in range(seeded.choice([1, 1, 1, 2, 5])):
            mutate(config, seeded)
        message = outcome(config)
        if message:
            refused += 1
            assert message.startswith("the configuration cannot be used; nothing was started.\n  ")
            problems = message.split("\n")[1:]
            assert sum(line.startswith("    found:") for line in problems) >= 1
            assert sum(line.startswith("    allowed:") for line in problems) >= 1
    # Both ends are reached, or the mutations say nothing.
    assert 0.3 * MUTATIONS < refused < 0.97 * MUTATIONS


def test_mutated_configurations_are_planned_or_refused_by_snakemake():
    """A sample, as above."""
    found = [*dry_runs(mutated, range(30))]
    for run in found:
        assert_planned_or_refused(run)
    assert 6 <= sum(run.planned for run in found) <= 24
