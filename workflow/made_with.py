"""What results were made with, by their records, held against a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from gfs import configuration, files
from gfs.configuration import Config
from gfs.errors import UserError

Settings = Mapping[str, Any]

MEND = "run snakemake again, or name with --configfile what it was made with"


def check(config: Config, tables: Iterable[str]) -> list[str]:
    """Hold the settings in the record of each table against the configuration's; return the tables without any.

    A setting that only one of both has is passed over: it may be younger than the record, or say where a file lies.

    Raises:
        UserError: a table was made with another value, or is of other runs.
    """
    silent = []
    for table in tables:
        pairs = list(_pairs(config, table, files.read_provenance(table)["parameters"]))
        if not pairs:
            silent.append(table)
        for name, recorded, configured in pairs:
            for key, was, now in _differences(recorded, json.loads(json.dumps(configured))):
                where = f"{name}: {key}" if name else key
                raise UserError(f"{table} was made with {where} = {was}, the configuration has {now}; {MEND}")
    return silent


def _pairs(config: Config, table: str, recorded: Settings) -> Iterator[tuple[str, Settings, Settings]]:
    """Yield what a table was made with beside what it would be made with now: for several runs, by name."""
    place = PurePath(table).relative_to(config["directories"]["results"]).with_suffix("")
    match place.parts:
        case "tables", experiment:
            yield from _runs(config, table, experiment, recorded.get("runs"))
        case "runs", _, _, "gpgd", _:
            yield "", recorded, configuration.settings(config, "scalar", "gpgd")
        case "arora", *_, problem:
            yield "", recorded, configuration.arora_settings(config, problem)
        case "linear", stage:
            yield "", recorded, configuration.settings(config, "linear", {"preimages": "gd_map"}.get(stage, stage))
        case "scalar", "theorems", _:
            yield "", recorded, config["scalar"]["theorems"]
        case "scalar", stage, *_:
            yield "", recorded, configuration.settings(config, "scalar", stage)
        case "regression", stage, *_:
            settings = configuration.settings(config, "regression", stage)
            # The table of some runs has the seeds of those.
            settings.pop("seeds", None)
            yield "", recorded, {**settings, "data_set": configuration.data_set(config, settings["data"])}


def _runs(
    config: Config, table: str, experiment: str, recorded: Any
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    # Early records have the names of files alone.
    if not isinstance(recorded, Mapping):
        return
    found = {run["run"]: run for run in recorded.values()}
    wanted = {run.name: dict(run.parameters) for run in configuration.runs(config, experiment)}
    if found.keys() != wanted.keys():
        there, asked_for = (", ".join(sorted(names)) for names in (found, wanted))
        raise UserError(f"{table} has the runs {there}, the configuration {asked_for}; {MEND}")
    yield from ((name, found[name], parameters) for name, parameters in wanted.items())


def _differences(recorded: Settings, configured: Settings, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(recorded.keys() & configured.keys()):
        was, now = recorded[key], configured[key]
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _differences(was, now, f"{at}{key}.")
        elif was != now:
            yield f"{at}{key}", was, now
