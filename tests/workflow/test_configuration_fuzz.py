"""Mutated configurations: each is accepted, and its runs can be listed, or refused with the one clear message."""

import copy
import math
import random

import pytest
import yaml
from dry_runs import dry_runs
from project import ROOT
from snakemake.utils import update_config

from replication import configuration, yaml_files
from replication.configuration import ConfigurationError

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
MUTATIONS = 60  # tests/faults has hundreds

# What people type, and what YAML makes of it.
VALUES = [
    None, True, False, 0, -1, 1, 2, 10**9, 0.0, -0.5, 0.5, 4.0, 1e-300, 1e300, math.nan, math.inf, -math.inf,
    "", " ", "1e-5", "plane", "digits", "rkc", "../up", "/", "\0", "ü", "x" * 300, "a:b", "os:getcwd",
    [], [[]], [None], [1, "a"], [0.1, 0.1], [-1.0], [1.0, 2.0], ["digits"], {}, {"a": 1}, {1: 2}, {None: None},
]  # fmt: skip


def places(value, path=()):
    """All places of a nested value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def parent_of(config, path):
    for key in path[:-1]:
        config = config[key]
    return config


def mutate(config, random):
    path = random.choice([path for path in places(config) if path])
    parent, key = parent_of(config, path), path[-1]
    match random.choice(["value", "value", "value", "remove", "rename", "add", "swap", "scale", "repeat"]):
        case "value":
            parent[key] = copy.deepcopy(random.choice(VALUES))
        case "remove":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            name = str(key)
            place = random.randrange(len(name) + 1)
            parent[name[:place] + random.choice("x-_. /") + name[place + 1 :]] = parent.pop(key)
        case "add" if isinstance(parent, dict):
            parent[random.choice(["extra", 3, None, "lr", str(key) + "s"])] = copy.deepcopy(random.choice(VALUES))
        case "swap":
            other = random.choice([path for path in places(config) if path])
            parent[key] = copy.deepcopy(parent_of(config, other)[other[-1]])
        case "scale" if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = parent[key] * random.choice([-1, 0, 0.5, 2, 1000, 1e-6])
        case "repeat" if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))


def outcome(config):
    try:
        configuration.check(config, SCHEMA)
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


SHIPPED = [
    ["config.yaml"],
    ["config.yaml", "config/paper.yaml"],
    ["config.yaml", "config/paper.yaml", "config/reference.yaml"],
    ["config.yaml", "examples/own_model.yaml"],
]


def nudge(config, random):
    """Another number where one is, which may be a fine one."""
    path = random.choice([path for path in places(config) if path and is_number(parent_of(config, path)[path[-1]])])
    parent = parent_of(config, path)
    parent[path[-1]] = type(parent[path[-1]])(parent[path[-1]] * random.choice([0.5, 0.9, 1.1, 2, 10, 1000]))


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def mutated(seed):
    """A mutated configuration, as the file config.yaml."""
    seeded = random.Random(seed)
    paths = seeded.choice(SHIPPED)
    config = yaml_files.merged(*(ROOT / path for path in paths))
    count = seeded.choice([1, 1, 1, 2, 5])
    change = seeded.choice([mutate, nudge])
    for _ in range(count):
        change(config, seeded)
    return f"{change.__name__} {count} in {paths[-1]}", yaml.safe_dump(config).encode(), []


REFUSALS = (
    "the configuration cannot be used; nothing was started.",
    "the configuration file config.yaml cannot be used",
)


def assert_planned_or_refused(run):
    """A dry run has planned all, or said once in plain words why not; in no case is there anything new on disk."""
    assert not run.left, run.what
    assert "Traceback" not in run.printed, run.what + run.printed
    if not run.planned:
        assert sum(run.printed.count(refusal) for refusal in REFUSALS) == 1, run.what + run.printed


def test_mutated_configurations_are_planned_or_refused_by_snakemake():
    """A sample, as above."""
    found = [*dry_runs(mutated, range(30))]
    for run in found:
        assert_planned_or_refused(run)
    assert 6 <= sum(run.planned for run in found) <= 24
