"""Configurations as slips of the hand leave them, and what has to become of them."""

import copy
import math
import random

import yaml
from project import ROOT

from replication import yaml_files

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
