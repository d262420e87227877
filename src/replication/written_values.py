"""Numbers and truth values that a reader of files left as text.

YAML 1.1 reads 1e-5 as text, and Snakemake all that is in braces after ``--config``.
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
        return as_truth(value)
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", value, re.ASCII):
        return int(value)
    found = number(value)
    return value if found is None else found


def as_number(value: Any) -> Any:
    """Return what stands for a number as a float, and all else as it is.

    >>> as_number("1e-5"), as_number(1), as_number("no"), as_number(True)
    (1e-05, 1.0, 'no', True)
    """
    if isinstance(value, str):
        found = number(value)
        return value if found is None else found
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return value
    return value


def as_whole(value: Any) -> Any:
    """Return what stands for a whole number as an int, and all else as it is.

    >>> as_whole("5e1"), as_whole(50.0), as_whole(2.5), as_whole("1e400")
    (50, 50, 2.5, '1e400')
    """
    if isinstance(value, str) and DECIMAL.fullmatch(value):
        exact = Decimal(value)
        # Not converted before it is known to be small: 1e999999999 would take for ever.
        return int(exact) if abs(exact) < _LARGEST_WHOLE and exact == exact.to_integral_value() else value
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        return int(value)
    return value


def as_truth(value: Any) -> Any:
    """Return the words true and false as truth values, and all else as it is."""
    return _TRUTH.get(value, value) if isinstance(value, str) else value
