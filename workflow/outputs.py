"""Which job made a file, by the rules' patterns, and which files are behind a figure, by the records beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from replication.storage import files

# By rule: the patterns of its outputs, and that of its benchmark, with wildcards in braces.
Rules = Mapping[str, Mapping[str, Any]]


# With its constraint, if it has one.
_WILDCARD = re.compile(r"\{(\w+)[^}]*\}")


def benchmark_of(path: str, rules: Rules) -> str | None:
    """Return the benchmark of the job that made a file, or the folder that it is in; None of what no rule makes."""
    for rule in rules.values():
        for output in rule["outputs"]:
            if found := _regex(output).fullmatch(path):
                return _WILDCARD.sub(r"{\1}", rule["benchmark"]).format(**found.groupdict())
    return None


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    """A wildcard stands for part of a name; what is in a folder that is an output is of that folder's job."""
    parts = _WILDCARD.split(pattern)
    text, known = "", set()
    for literal, name in zip(parts[::2], [*parts[1::2], None], strict=True):
        text += re.escape(literal)
        if name is not None:
            text += f"(?P={name})" if name in known else f"(?P<{name}>[^/]+)"
            known.add(name)
    return re.compile(text + "(?:/.*)?")


def sizes(folders: Iterable[str], rules: Rules) -> dict[str, int]:
    """Return the bytes that each job left below the folders, by its benchmark."""
    found: dict[str, int] = {}
    for path in sorted({path for folder in folders for path in Path(folder).rglob("*") if path.is_file()}):
        benchmark = benchmark_of(str(path), rules)
        if benchmark is not None:
            found[benchmark] = found.get(benchmark, 0) + path.stat().st_size
    return found


def behind(figure: str, results: str, figures: str) -> Iterator[str]:
    """Yield the files that a figure consists of and was made from, back to the data."""
    yield f"{figures}/{figure}.pdf"
    numbers = f"{results}/figures/{figure}.parquet"
    for table in files.read_provenance(numbers)["parameters"]["tables_sha256"]:
        yield from _behind_table(table, results)


def _behind_table(table: str, results: str) -> Iterator[str]:
    yield table
    place = Path(table).relative_to(results)
    runs: list[Path] = []
    if place.parts[0] == "tables":
        runs = [Path(run).parent for run in files.read_provenance(table)["parameters"]["runs"]]
        for run in runs:
            yield str(run / "run.parquet")
            yield from (str(path) for path in sorted((run / "gfs").glob("*.parquet")))
    elif place.parts[0] == "runs":
        runs = [Path(results, *place.parts[:3])]
    for run in runs:
        yield str(run / "trajectory.parquet")
        yield from _data(files.read_provenance(run / "trajectory.parquet"), results)


def _data(record: Mapping[str, Any], results: str) -> Iterator[str]:
    parameters = record["parameters"]
    if parameters.get("initial_weights") == "plane":
        yield from (f"{results}/scalar/start.safetensors", f"{results}/scalar/plane.parquet")
    elif parameters["model"] == "regression":
        yield f"{results}/data/{parameters['data']}/seed{parameters['seed']}.safetensors"
    elif parameters["model"] == "network":
        yield f"{results}/data/{parameters['data']}.safetensors"
