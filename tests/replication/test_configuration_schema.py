"""The settings as they are declared: their JSON schema, what is read by it, and those who use them."""

import copy
import dataclasses
import inspect
import random
from typing import Literal, get_args

import jsonschema
import pytest
from mutations import SHIPPED, mutate, nudge
from project import ROOT

from gfsharp.descent import Descent
from gfsharp.flow_methods import METHODS
from replication import yaml_files
from replication.configuration import schema, sections, typed
from replication.configuration.values import Reader
from replication.studies.linear import convergence, gd_map, gfs, minimisers, stable_minima
from replication.studies.scalar import plane

SCHEMA = schema.schema()
# JSON Schema takes 4.0 for a whole number; what it becomes (a path, a count of threads) does not.
OF_KIND = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def test_the_file_is_that_of_the_declared_settings():
    found = (ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8")
    assert found == schema.text(), "make schema writes it anew"


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def read(config):
    reader = Reader(config, SCHEMA["$defs"])
    return reader.read(config, SCHEMA), reader.problems


@pytest.mark.parametrize("seed", range(4))
def test_what_is_read_without_a_problem_is_what_another_validator_takes(seed):
    """Of mutated configurations; jsonschema knows nothing of how ours are read."""
    seeded = random.Random(seed)
    base = yaml_files.merged(*(ROOT / path for path in SHIPPED[seed]))
    taken = 0
    for _ in range(25):
        config = copy.deepcopy(base)
        for _ in range(seeded.choice([1, 1, 1, 2, 5])):
            seeded.choice([mutate, nudge])(config, seeded)
        if not all_text(config):
            continue  # not in JSON; refused before
        typed_config, problems = read(config)
        assert OF_KIND(SCHEMA).is_valid(typed_config) == (not problems), problems
        taken += not problems
    assert 3 < taken < 25


def all_text(value):
    """Whether all keys are text."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and all_text(item) for key, item in value.items())
    return all(map(all_text, value)) if isinstance(value, list) else True


def test_every_setting_says_what_it_is():
    for name, definition in SCHEMA["$defs"].items():
        for key, setting in definition.get("properties", {}).items():
            named = SCHEMA["$defs"].get(setting.get("$ref", "").rpartition("/")[2], {})
            assert setting.get("description") or "properties" in named, f"{name}.{key}"


def test_what_is_chosen_from_is_what_the_science_has():
    assert set(SCHEMA["$defs"]["Flow"]["properties"]["method"]["enum"]) == set(METHODS)
    descents = typed._declared(sections.ScalarRuns)["descent"]
    assert get_args(typed._apart(descents)[0]) == get_args(Descent)


def test_the_typed_object_of_a_configuration():
    config, problems = read(yaml_files.merged(ROOT / "config.yaml"))
    assert not problems
    made = typed.made(sections.Configuration, config)
    assert made.experiments["regression"].stop == sections.Stop(loss=1e-5, iterations=50000)
    assert isinstance(made.data["gaussian"], sections.Gaussian)
    assert made.data["digits"] == sections.Digits(source="digits", images=100, skip=0, normalisation="channel")
    assert made.experiments["fc-hardtanh-digits"].channels is None


@pytest.mark.parametrize(
    ("section", "study", "others"),
    [
        (sections.Plane, plane.table, {"threads"}),
        (sections.GdMap, gd_map.table, set()),
        (sections.Preimages, gd_map.preimage_table, set()),
        (sections.Minimisers, minimisers.table, set()),
        (sections.StableMinima, stable_minima.table, set()),
        (sections.Convergence, convergence.table, set()),
        (sections.LinearGfs, gfs.table, set()),
    ],
)
def test_a_study_takes_the_settings_of_its_section(section, study, others):
    declared = {field.name for field in dataclasses.fields(section)} - {"preimages"}  # for a table of its own
    assert {*inspect.signature(study).parameters} == declared | others


def test_a_type_that_no_setting_has_is_an_error():
    with pytest.raises(TypeError, match="complex"):
        typed.schema(complex, {})

    @dataclasses.dataclass
    class Two:
        kind: Literal["two", "deux"]

    with pytest.raises(TypeError, match="no key says"):
        typed.schema(Two | sections.Stop, {})
