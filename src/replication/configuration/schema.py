"""The JSON schema of the configuration, also as a file for editors and other programs: ``make schema`` writes it.

Draft 2020-12; patterns are ECMAScript's. It says what :mod:`replication.configuration.sections` declares; what no type
can say, it does not have.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from replication.configuration import typed
from replication.configuration.sections import Configuration


@cache
def schema() -> typed.Schema:
    """Return the schema, with each section among its definitions."""
    definitions: typed.Schema = {}
    typed.schema(Configuration, definitions)
    top = definitions.pop(Configuration.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "configuration"}
    return {**head, **top, "$defs": definitions}


def text() -> str:
    """Return the schema as the file has it: on one line what fits there."""
    return _folded(schema(), "") + "\n"


def _folded(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent + flat) <= 120 or not isinstance(value, dict | list):
        return flat
    within = indent + "  "
    if isinstance(value, list):
        return f"[\n{within}" + f",\n{within}".join(_folded(item, within) for item in value) + f"\n{indent}]"
    items = (f"{json.dumps(key)}: {_folded(item, within)}" for key, item in value.items())
    return f"{{\n{within}" + f",\n{within}".join(items) + f"\n{indent}}}"
