"""Reading values by their schema: numbers get their type, and what cannot be is named.

``1`` and ``1.0`` are one setting, and what a result depends on is compared as text: so each number gets the type that
is declared for its key. Of JSON Schema this knows what :mod:`replication.configuration.typed` writes, and no more.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from replication import written_values
from replication.configuration.messages import dotted, listed, nearest, problem, wrong_type
from replication.configuration.typed import Schema

_PYTHON: dict[str, Any] = {
    "object": Mapping,
    "array": (list, tuple),
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": float,
}
_FROM_TEXT = {
    "integer": written_values.as_whole,
    "number": written_values.as_number,
    "boolean": written_values.as_truth,
}

# By keyword: whether a value is beyond it, and what is allowed instead. NaN is within all; what is no number is looked
# for apart.
_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "exclusiveMinimum": (operator.le, "a number above {}"),
    "exclusiveMaximum": (operator.ge, "a number below {}"),
    "minimum": (operator.lt, "{} or more"),
    "maximum": (operator.gt, "{} or less"),
    "multipleOf": (operator.mod, "a multiple of {}"),
    "minItems": (lambda value, least: 0 < len(value) < least, "at least {} of them"),
    "maxItems": (lambda value, most: len(value) > most, "{} of them"),
    "uniqueItems": (lambda value, _: _has_one_twice(value), "each value once"),
}


def _has_one_twice(values: Sequence[Any]) -> bool:
    told_apart = [(isinstance(value, bool), value) for value in values]  # Python has True == 1
    return any(value in told_apart[:i] for i, value in enumerate(told_apart))


class Reader:
    """Reads one configuration.

    Attributes:
        problems: what is wrong with the values that were read.
    """

    def __init__(self, config: Mapping[str, Any], definitions: Schema) -> None:
        self.problems: list[str] = []
        self._config, self._definitions = config, definitions

    def read(self, value: Any, schema: Schema, path: tuple[Any, ...] = ()) -> Any:
        """Return ``value`` with each number of the type that ``schema`` has for it, and what does not fit as it is."""
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        if "if" in schema:
            return self.read(value, schema["then" if isinstance(value, str) else "else"], path)
        if "enum" in schema or "const" in schema:
            self._read_word(value, schema.get("enum") or [schema["const"]], path)
            return value
        kind = schema.get("type")
        if kind is None:
            return value
        if kind in _FROM_TEXT:
            value = _FROM_TEXT[kind](value)
        if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean"):
            self.problems.append(wrong_type(dotted(path), value, kind))
            return value
        if kind == "array":
            value = [self.read(item, schema["items"], (*path, i)) for i, item in enumerate(value)]
        for keyword, (is_beyond, allowed) in _LIMITS.items():
            if keyword in schema and is_beyond(value, schema[keyword]):
                self._add(path, value, allowed.format(schema[keyword]))
        if not value and (schema.get("minItems") or schema.get("minProperties")):
            self._add(path, value, "not empty")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            self._add(path, value, schema["description"])
        if "allOf" in schema:
            return self._read_one_of(value, schema, path)
        return self._read_keys(value, schema, path) if kind == "object" else value

    def _read_word(self, value: Any, words: Sequence[str], path: tuple[Any, ...]) -> None:
        if value not in words:
            self._add(path, value, listed(words), value, words)

    def _read_one_of(self, value: Mapping[str, Any], schema: Schema, path: tuple[Any, ...]) -> Any:
        """Read one of several sections; the word at a key says which."""
        (key,) = schema["required"]
        words = schema["properties"][key]["enum"]
        if key not in value:
            self._add_missing(path, key, value)
        elif value[key] in words:
            return self.read(value, schema["allOf"][words.index(value[key])]["then"], path)
        else:
            self._read_word(value[key], words, (*path, key))
        return value

    def _read_keys(self, value: Mapping[str, Any], schema: Schema, path: tuple[Any, ...]) -> dict[str, Any]:
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        unknown = sorted((key for key in value if key not in known), key=str)
        for key in unknown:
            if others is False:
                place = dotted((*path, key))
                self.problems.append(problem(place, "an unknown key", listed(sorted(known)), key, sorted(known)))
            elif "propertyNames" in schema:
                self.read(key, schema["propertyNames"], path)
        for key in schema.get("required", ()):
            if key not in value:
                self._add_missing(path, key, unknown)
        read = {key: self.read(value[key], known[key], (*path, key)) for key in known if key in value}
        read |= {key: self.read(value[key], others or {}, (*path, key)) for key in unknown}
        return {key: read[key] for key in value}

    def _add(self, path: tuple[Any, ...], found: object, allowed: str, *names: Any) -> None:
        self.problems.append(problem(dotted(path), repr(found), allowed, *names))

    def _add_missing(self, path: tuple[Any, ...], key: str, others: Iterable[str]) -> None:
        """Name the unknown key that was meant for it, and the entry that was meant by one that an overlay has anew."""
        hint = f"; add it{nearest(key, others, ' (or rename {})')}"
        if len(path) == 2 and path[0] in ("experiments", "data"):
            entries = {str(name) for name in self._config[path[0]]} - {path[1]}
            hint += nearest(str(path[1]), entries, f". Or was {{}} meant by {path[1]}?")
        self.problems.append(problem(dotted((*path, key)), "nothing", f"this key is needed{hint}"))
