"""What results were made with, by their records, held against a configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import configuration, figure_registry
from replication.configuration import Config
from replication.storage import files

Settings = Mapping[str, Any]

MEND = "run snakemake again, or name with --configfile what it was made with"
_NOTHING = "nothing"


def check(config: Config, tables: Iterable[str]) -> list[str]:
    """Hold the settings in the record of each table against the configuration's.

    Returns:
        What no record says the settings of: tables, and the start of figure 9 where its record is not kept.

    Raises:
        UserError: a table was made with other settings (but for where a file of images lies) or is of other runs, or
            not all seeds or depths are there.
    """
    records = {table: files.read_provenance(table) for table in tables}
    silent = []
    for table, record in records.items():
        pairs = list(_pairs(config, table, record))
        if not pairs:
            silent.append(table)
        for name, recorded, configured in pairs:
            if recorded is None:
                silent.append(name)
                continue
            for key, was, now in _differences(recorded, json.loads(json.dumps(configured))):
                where = f"{name}: {key}" if name else key
                raise UserError(f"{table} was made with {where} = {was}, the configuration has {now}; {MEND}")
    _check_whole(config, records)
    return silent


def check_shown(config: Config, figure: str, tables: Iterable[str]) -> None:
    """Hold the experiments whose tables a figure was drawn from against those that the configuration shows in it.

    Raises:
        UserError: they are others.
    """
    if figure not in figure_registry.OF_EXPERIMENTS:
        return
    stages = [_stage(config, table) for table in tables]
    shown = {stage[1] for stage in stages if stage[0] in ("tables", "runs")}
    wanted = set(configuration.figure_experiments(config, figure))
    if shown != wanted:
        there, asked_for = (", ".join(sorted(names)) for names in (shown, wanted))
        raise UserError(f"{figure} shows {there}, the configuration has {asked_for} in it; {MEND}")


def _pairs(config: Config, table: str, record: Settings) -> Iterator[tuple[str, Settings | None, Settings]]:
    """Yield what a table was made with beside what it would be made with now: for several runs, by name."""
    recorded = record["parameters"]
    match _stage(config, table):
        case "tables", experiment:
            yield from _runs(config, table, experiment, recorded.get("runs"))
        case "runs", experiment, run, "gpgd", _:
            settings = configuration.settings(config, "scalar", "gpgd")
            rate = configuration.run(config, experiment, run).parameters["learning_rate"]
            yield "", recorded, {**settings, "learning_rate": rate}
        case "arora", *_, problem:
            yield "", recorded, configuration.arora_settings(config, problem)
        case "linear", stage:
            yield "", recorded, configuration.settings(config, "linear", {"preimages": "gd_map"}.get(stage, stage))
        case "scalar", "theorems", _:
            # A table is of one depth; all of them together are held against those asked for below.
            theorems = _without("depths", config["scalar"]["theorems"])
            yield "", {**_without("depth", recorded), "seed": record["seed"]}, theorems
        case "scalar", stage, *_:
            yield "", recorded, configuration.settings(config, "scalar", stage)
        case "regression", stage, *_:
            # As of depths: some seeds a table.
            settings = _without("seeds", configuration.settings(config, "regression", stage))
            data_set = configuration.data_set(config, settings["data"])
            yield "", configuration.used(_without("seeds", recorded)), {**settings, "data_set": data_set}


def _stage(config: Config, table: str) -> tuple[str, ...]:
    return Path(os.path.relpath(table, config["directories"]["results"])).with_suffix("").parts


def _without(key: str, settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != key}


def _runs(
    config: Config, table: str, experiment: str, recorded: Any
) -> Iterator[tuple[str, Settings | None, dict[str, Any]]]:
    # Early records have the names of files alone.
    if not isinstance(recorded, Mapping):
        return
    found = {str(run.get("run")): run for run in recorded.values()}
    runs = configuration.runs(config, experiment) if experiment in config["experiments"] else []
    if found.keys() != {run.name for run in runs}:
        there, asked_for = (", ".join(sorted(names)) or "none" for names in (found, [run.name for run in runs]))
        raise UserError(f"{table} has the runs {there}, the configuration {asked_for}; {MEND}")
    for run in runs:
        labels = {"experiment": experiment, "run": run.name}
        yield run.name, configuration.used(found[run.name]), {**run.parameters, **labels}
        if run.starts_from_plane:
            yield _start(config)


def _start(config: Config) -> tuple[str, Settings | None, dict[str, Any]]:
    """The start of figure 9, which is chosen from the plane."""
    path = f"{config['directories']['results']}/scalar/start.safetensors"
    wanted = {stage: configuration.settings(config, "scalar", stage) for stage in ("plane", "start")}
    if not files.sidecar(path).exists():
        return path, None, wanted
    recorded = files.read_provenance(path)["parameters"]
    return path, {key: recorded.get(key, _NOTHING) for key in wanted}, wanted


def _differences(recorded: Settings, configured: Settings, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(recorded.keys() | configured.keys()):
        was, now = recorded.get(key, _NOTHING), configured.get(key, _NOTHING)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _differences(was, now, f"{at}{key}.")
        elif was != now and not (key == "file" and _NOTHING in (was, now)):
            yield f"{at}{key}", was, now


def _check_whole(config: Config, records: Mapping[str, Settings]) -> None:
    """Hold the seeds and depths of all tables together against the configuration's."""
    parameters = {_stage(config, table): record["parameters"] for table, record in records.items()}
    depths = {found["depth"] for stage, found in parameters.items() if stage[:2] == ("scalar", "theorems")}
    seeds = {
        seed for stage, found in parameters.items() if stage[:2] == ("regression", "runs") for seed in found["seeds"]
    }
    for what, found, wanted in (
        ("depths of the theorems", depths, set(config["scalar"]["theorems"]["depths"])),
        ("seeds of squared regression", seeds, set(range(config["regression"]["runs"]["seeds"]))),
    ):
        if found and found != wanted:
            there, asked_for = (", ".join(map(str, sorted(values))) for values in (found, wanted))
            raise UserError(f"there are the {what} {there}, the configuration has {asked_for}; {MEND}")
