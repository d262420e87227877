"""What is said of a value that cannot be: where it is, what was found, what is allowed, and the nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replication import written_values

# The words for JSON's types.
TYPES = {
    "object": "a mapping of keys to values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def problem(where: str, found: str, allowed: str, name: object = None, names: Iterable[object] = ()) -> str:
    """Return a problem in three lines, or four with the one of ``names`` that is nearest to ``name``."""
    suggestion = nearest(str(name), names, "\n    nearest: {}") if name is not None else ""
    return f"  {where}\n    found:   {found}\n    allowed: {allowed}{suggestion}"


def wrong_type(where: str, found: object, wanted: str) -> str:
    """Return the problem with a value that is not of JSON's type ``wanted``, with how to write what was meant."""
    hint = _number_hint(found, wanted) or _text_hint(found, wanted)
    return problem(where, _described(found), TYPES[wanted] + hint)


def nearest(name: str, names: Iterable[object], template: str) -> str:
    """Return ``template`` with the nearest of ``names``; nothing where none is near."""
    close = difflib.get_close_matches(name, [str(candidate) for candidate in names], n=1, cutoff=0.5)
    return template.format(close[0]) if close else ""


def dotted(path: Sequence[Any]) -> str:
    """Return a place as it is said: ``linear.gfs.networks[0]``.

    >>> dotted(("linear", "gfs", "networks", 0)), dotted(())
    ('linear.gfs.networks[0]', '(top level)')
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "(top level)"


def listed(names: Iterable[object]) -> str:
    """Return names with commas between them."""
    return ", ".join(str(name) for name in names)


def _described(value: object) -> str:
    if value is None:
        return "nothing (an empty value)"
    kinds = {bool: "a truth value", str: "text", int: "a whole number", float: "a number", list: "a list"}
    kind = kinds.get(type(value), "a mapping" if isinstance(value, Mapping) else type(value).__name__)
    return f"{value!r} ({kind})"


def _text_hint(found: object, wanted: str) -> str:
    """YAML 1.1 reads no, on and 2026-01-01 as something else than text."""
    return (
        "; put it in quotes" if wanted == "string" and found is not None and not isinstance(found, list | dict) else ""
    )


def _number_hint(found: object, wanted: str) -> str:
    """How to write the number that was probably meant; none is said where it is not certain which."""
    beyond = "; it is beyond what a floating-point number can be (about 1e-308 to 1e308)"
    if wanted == "number" and isinstance(found, int) and not isinstance(found, bool):
        return beyond
    if wanted not in ("number", "integer") or not isinstance(found, str):
        return ""
    text = found.strip()
    if written_values.DECIMAL.fullmatch(text):
        if written_values.number(text) is None:
            return beyond
        return f"; write {text}" if text != found and wanted == "number" else ""
    if re.fullmatch(r"[-+]?[0-9]+(_[0-9]+)+", text, re.ASCII):
        return "; write it without '_'"
    if re.fullmatch(r"[-+]?0[0-9_]+", text, re.ASCII):
        return "; write it without leading zeros"
    if re.fullmatch(r"0[xob][0-9a-fA-F]+", text, re.ASCII | re.IGNORECASE):
        return "; write it in decimal"
    return ""
