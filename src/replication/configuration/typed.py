"""What follows from the types of :mod:`replication.configuration.sections`: JSON schemas and typed objects.

A type is a number, ``bool``, ``str``, ``Literal``, a list, a tuple of items of one type, a dict by name, a dataclass,
or one of several dataclasses, which differ in a key with a ``Literal`` of one word. In ``Annotated`` stand
:func:`limits` and, as text, what the setting is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = dict[str, Any]

_TYPES = {float: "number", int: "integer", bool: "boolean", str: "string"}


def limits(**keywords: Any) -> tuple[tuple[str, Any], ...]:
    """Return keywords of JSON Schema as what may stand in ``Annotated``, which has to be hashable; tuples for lists."""
    return tuple(keywords.items())


def schema(declared: Any, definitions: Schema) -> Schema:
    """Return the JSON Schema of a type; those of dataclasses, and of what has a title, go into ``definitions``.

    Raises:
        TypeError: no type of a setting.
    """
    declared, beside = _apart(declared)
    found = _of_type(declared, definitions)
    for part in beside:
        if isinstance(part, str):
            found |= {"description": f"{part}: {found['description']}" if "description" in found else part}
            continue
        found |= {keyword: [*value] if isinstance(value, tuple) else value for keyword, value in part}
        if title := found.get("title"):
            definitions[title] = found
            found = {"$ref": f"#/$defs/{title}"}
    return found


def _of_type(declared: Any, definitions: Schema) -> Schema:
    origin, arguments = get_origin(declared), get_args(declared)
    if declared is Any:
        return {}
    if declared in _TYPES:
        return {"type": _TYPES[declared]}
    if origin is Literal:
        return {"enum": [*arguments]} if len(arguments) > 1 else {"const": arguments[0]}
    if origin in (list, tuple):
        number = {"minItems": len(arguments), "maxItems": len(arguments)} if origin is tuple else {}
        return {"type": "array", **number, "items": schema(arguments[0], definitions)}
    if origin is dict:
        parts = [schema(argument, definitions) for argument in arguments]
        named = zip(("propertyNames", "additionalProperties"), parts, strict=True)
        return {"type": "object", **{keyword: part for keyword, part in named if part not in ({}, {"type": "string"})}}
    if origin in (UnionType, Union):
        if dataclasses.is_dataclass(arguments[0]):
            return _of_sections(arguments, definitions)
        word, other = (schema(argument, definitions) for argument in arguments)
        return {"if": {"type": "string"}, "then": word, "else": other}
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        return _of_section(declared, definitions)
    raise TypeError(f"no setting is of type {declared}")


def _of_section(section: Any, definitions: Schema) -> Schema:
    if section.__name__ not in definitions:
        definitions[section.__name__] = {}  # its place, before those of what it has
        missing = defaults(section)
        properties = {key: schema(declared, definitions) for key, declared in _declared(section).items()}
        for key, default in missing.items():
            properties[key] |= {} if default is None else {"default": default}
        definitions[section.__name__] = {
            "type": "object",
            "additionalProperties": False,
            "required": [key for key in properties if key not in missing],
            "properties": properties,
        }
    return {"$ref": f"#/$defs/{section.__name__}"}


def _of_sections(sections: tuple[Any, ...], definitions: Schema) -> Schema:
    key, by_word = _tags(sections)
    branches = [
        {
            "if": {"required": [key], "properties": {key: {"const": word}}},
            "then": schema(section, definitions),
        }
        for word, section in by_word.items()
    ]
    return {"type": "object", "required": [key], "properties": {key: {"enum": [*by_word]}}, "allOf": branches}


@cache
def _tags(sections: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    """Return the key whose word says which section is meant, and the sections by that word."""
    for key in _declared(sections[0]):
        options = [_apart(_declared(section).get(key))[0] for section in sections]
        if all(get_origin(option) is Literal and len(get_args(option)) == 1 for option in options):
            return key, {get_args(option)[0]: section for option, section in zip(options, sections, strict=True)}
    raise TypeError(f"no key says which of {sections} is meant")


def made(declared: Any, value: Any) -> Any:
    """Return the typed object of a value that its schema allows: dataclasses in place of their mappings."""
    declared, _ = _apart(declared)
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (UnionType, Union) and dataclasses.is_dataclass(arguments[0]):
        key, by_word = _tags(arguments)
        return made(by_word[value[key]], value)
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        types = _declared(declared)
        return declared(**{key: made(types[key], item) for key, item in value.items()})
    if origin is list:
        return [made(arguments[0], item) for item in value]
    if origin is dict:
        return {name: made(arguments[1], item) for name, item in value.items()}
    return value


@cache
def defaults(section: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass, of the keys that have one; None where leaving it out is no value."""
    found = {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in dataclasses.fields(section)
    }
    return {name: default for name, default in found.items() if default is not MISSING}


@cache
def _declared(section: Any) -> dict[str, Any]:
    return get_type_hints(section, include_extras=True)


def _apart(declared: Any) -> tuple[Any, list[Any]]:
    """Return a type without ``Annotated`` and ``| None``, and what stands beside it, from within."""
    beside: list[Any] = []
    while True:
        if get_origin(declared) is Annotated:
            declared, *within = get_args(declared)
            beside = within + beside
        elif NoneType in get_args(declared):
            (declared,) = (option for option in get_args(declared) if option is not NoneType)
        else:
            return declared, beside
