"""The types of settings."""

import jsonschema
import pytest

from replication import check, setting_types, yaml_files


def conditions(schema):
    """Every condition of a schema."""
    if isinstance(schema, dict):
        yield from [schema["if"]] if isinstance(schema.get("if"), dict) else []
        for part in schema.values():
            yield from conditions(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from conditions(part)


@pytest.mark.parametrize(
    "value",
    [*({"source": source} for source in ("gaussian", "digits", "cifar10", "svhn", "npz", "custom", "other", 3)),
     *({"model": model} for model in ("scalar", "regression", "network", None)),
     {}, [], "plane", 1.0, None, {"model": "scalar", "source": "npz"}],
)  # fmt: skip
def test_the_conditions_of_the_schema_are_read_as_jsonschema_reads_them(value):
    found = list(conditions(yaml_files.read(check.SCHEMA)))
    assert len(found) >= 10
    for condition in found:
        assert setting_types._meets(value, condition) == jsonschema.Draft202012Validator(condition).is_valid(value)


def test_a_condition_that_is_not_understood_is_refused():
    with pytest.raises(NotImplementedError, match="the keyword 'minimum'"):
        setting_types._meets(3, {"minimum": 1})
