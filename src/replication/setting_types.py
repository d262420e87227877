"""Settings as their schema wants them: numbers that a reader of files left as text, and 1 where 1.0 is meant.

YAML 1.1 reads 1e-5 as text, and Snakemake all that is in braces after ``--config``. ``1`` and ``1.0`` are one setting,
and what a result depends on is compared as text: so each value gets the type that the schema has for its key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# As JSON and YAML 1.2 write a number in decimal; 010 and 1_000, which other languages read differently, are none.
DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)

_TRUTH = {word: value for value, name in ((True, "true"), (False, "false")) for word in (name, name.title())}
# Up to here every whole number is a float of its own, so that one with a point says which is meant.
_LARGEST_WHOLE = 2**53


def typed(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return ``value`` with every number of the type that ``schema`` has for its place; what does not fit stays as is.

    Args:
        value: of a configuration; it is not changed.
        schema: what holds for it.
        root: the whole schema, in which references are looked up.
    """
    for part in _parts(value, schema, root):
        value = _of_part(value, part, root)
    return value


def number(text: str) -> float | None:
    """Return the number that ``text`` writes in decimal; None if it is none, or too large or too small for a float.

    >>> number("125e-4"), number("010"), number("1e999"), number("1e-999")
    (0.0125, None, None, None)
    """
    if not DECIMAL.fullmatch(text):
        return None
    found = float(text)
    vanished = found == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    return None if vanished or not math.isfinite(found) else found


def as_read(value: Any) -> Any:
    """Return text as the number or truth value that it would be in a file, also within lists and mappings.

    >>> as_read({"rate": "1e-2", "widths": ["3", "010"], "plain": "true"})
    {'rate': 0.01, 'widths': [3, '010'], 'plain': True}
    """
    if isinstance(value, Mapping):
        return {key: as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_read(item) for item in value]
    if not isinstance(value, str) or value in _TRUTH:
        return _TRUTH.get(value, value) if isinstance(value, str) else value
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", value, re.ASCII):
        return int(value)
    found = number(value)
    return value if found is None else found


def _parts(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas that hold for ``value`` at once: references followed, conditions decided."""
    parts: list[Mapping[str, Any]] = [schema]
    if "$ref" in schema:
        parts += _parts(value, _referred(schema["$ref"], root), root)
    for part in schema.get("allOf", ()):
        parts += _parts(value, part, root)
    if "if" in schema:
        branch = "then" if _meets(value, schema["if"]) else "else"
        if branch in schema:
            parts += _parts(value, schema[branch], root)
    return parts


def _meets(value: Any, condition: Mapping[str, Any]) -> bool:
    """Whether a value meets the condition of an ``if``, of the keywords that the schema has there.

    Written out, as jsonschema is not there where :mod:`replication.alone` runs.

    Raises:
        NotImplementedError: another keyword.
    """
    checks = {
        "type": lambda kind: {"string": str}[kind] is type(value),
        "required": lambda keys: not isinstance(value, Mapping) or all(key in value for key in keys),
        "properties": lambda parts: (
            not isinstance(value, Mapping)
            or all(_meets(value[key], part) for key, part in parts.items() if key in value)
        ),
        "const": lambda wanted: bool(value == wanted),
    }
    unknown = [keyword for keyword in condition if keyword not in checks]
    if unknown:
        raise NotImplementedError(f"the keyword {unknown[0]!r} in a condition of the schema")
    return all(checks[keyword](wanted) for keyword, wanted in condition.items())


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


def _of_part(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "number":
            return _as_number(value)
        case "integer":
            return _as_whole(value)
        case "boolean":
            return _TRUTH.get(value, value) if isinstance(value, str) else value
    if isinstance(value, Mapping) and ("properties" in schema or "additionalProperties" in schema):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        others = others if isinstance(others, Mapping) else {}
        return {key: typed(item, known.get(key, others), root) for key, item in value.items()}
    if isinstance(value, list | tuple) and "items" in schema:
        return [typed(item, schema["items"], root) for item in value]
    return value


def _as_number(value: Any) -> Any:
    if isinstance(value, str):
        found = number(value)
        return value if found is None else found
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return value
    return value


def _as_whole(value: Any) -> Any:
    if isinstance(value, str) and DECIMAL.fullmatch(value):
        exact = Decimal(value)
        # Not converted before it is known to be small: 1e999999999 would take for ever.
        return int(exact) if abs(exact) < _LARGEST_WHOLE and exact == exact.to_integral_value() else value
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        return int(value)
    return value
