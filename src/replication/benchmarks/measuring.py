"""Timing, and what the memory of the machine allows."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from replication.markdown import markdown_table


def best_of(repeats: int, function: Callable[[], Any]) -> float:
    """Return the shortest wall time of several calls in seconds: what else the machine does only adds to it."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def memory_bandwidth(megabytes: int = 512) -> float:
    """Return the bytes per second at which one core reads an array that no cache holds."""
    values = np.ones(megabytes * 125_000)
    return values.nbytes / best_of(5, values.sum)


def result(what: str, measured: float, unit: str, wanted: str = "") -> dict[str, Any]:
    """Return a row of :func:`page`."""
    return {"what": what, "measured": float(measured), "unit": unit, "wanted": wanted}


def page(title: str, machine: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first lines of a page; rows have the keys ``what``, ``measured``, ``unit`` and ``wanted``."""
    return [
        f"# Speed: {title}",
        "",
        "Written by `make benchmark`; each ratio is between times of one run on one machine.",
        f"Machine: {machine}.",
        "",
        *markdown_table(
            ["what", "measured", "wanted", "met"],
            ([row["what"], f"{row['measured']:.3g} {row['unit']}", row["wanted"], met(row)] for row in rows),
        ),
        "",
    ]


def met(row: Mapping[str, Any]) -> str:
    """Return ``yes`` or ``no``; nothing where nothing was wanted.

    Raises:
        ValueError: what was wanted is no comparison with a number.
    """
    if not row["wanted"]:
        return ""
    relation, _, limit = row["wanted"].partition(" ")
    compare = {">=": operator.ge, "<=": operator.le, "<": operator.lt}.get(relation)
    if compare is None:
        raise ValueError(f"wanted {row['wanted']!r}: a comparison (>=, <=, <) and a number")
    return "yes" if compare(row["measured"], float(limit.split()[0])) else "no"  # without its unit
