"""What results were made with, by their records, held against a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import configuration
from replication.configuration import Config
from replication.storage import files

Settings = Mapping[str, Any]

RERUN = "run snakemake again, or name with --configfile what it was made with"
_NOTHING = "nothing"


def check(config: Config, tables: Iterable[str]) -> list[str]:
    """Hold the settings in the record of each table against those of its section of the configuration.

    Returns:
        What no record says the settings of: tables whose record, of an earlier version, names no section, and the
        start of figure 9 where its record is not kept.

    Raises:
        UserError: a table was made with other settings (but for where a file of images lies), is of other runs or,
            of a figure, of other experiments; or not all seeds or depths are there.
    """
    records = {table: files.read_provenance(table) for table in tables}
    silent = []
    for table, record in records.items():
        for name, recorded, configured in _pairs(config, table, record):
            if recorded is None:
                silent.append(name or table)
                continue
            for key, was, now in _differences(recorded, files.as_json(configured)):
                if key.endswith("data_set.file") and _NOTHING in (was, now):
                    continue
                where = f"{name}: {key}" if name else key
                raise UserError(f"{table} was made with {where} = {was}, the configuration has {now}; {RERUN}")
    _check_whole(config, records.values())
    return silent


def other_settings(parameters: Settings) -> Callable[[Settings], list[str]]:
    """Return what says of a record which of its settings are not these."""
    return lambda record: [key for key, _, _ in _differences(record["parameters"], files.as_json(parameters))]


def other_runs(runs: Sequence[str | Path]) -> Callable[[Settings], list[str]]:
    """Return what says of the record of an experiment's table that it has other runs than these.

    Args:
        runs: the tables of its runs, each in the folder of that run, whose name has seed and learning rate.
    """

    def names(paths: Iterable[str | Path]) -> set[str]:
        return {Path(path).parent.name for path in paths}

    return lambda record: [] if names(record["parameters"]["runs"]) == names(runs) else ["runs"]


def _pairs(config: Config, table: str, record: Settings) -> Iterator[tuple[str, Settings | None, Settings]]:
    """Yield what a table was made with, None if that is not known, beside what it would be made with now.

    For several runs that is by name; of what no setting changes there is nothing.
    """
    if "section" not in record:
        yield "", None, {}
        return
    recorded = record["parameters"]
    kind, _, section = (record["section"] or "").partition(".")
    match kind, section:
        case "figures", figure:
            yield "", recorded, {"shows": config["figures"].get(figure)}
        case "experiments", experiment:
            yield from _runs(config, table, experiment, recorded.get("runs"))
        case "scalar", "gpgd":
            labels = {key: recorded[key] for key in ("experiment", "run")}
            rates = {run.name: run.parameters["learning_rate"] for run in _configured(config, labels["experiment"])}
            gpgd = {**configuration.settings(config, "scalar", "gpgd"), **labels}
            yield "", recorded, {**gpgd, "learning_rate": rates.get(labels["run"], _NOTHING)}
        case "arora", problem:
            yield "", recorded, configuration.arora_settings(config, problem)
        case "scalar", "theorems":
            # A table is of one depth; all of them together are held against those asked for below.
            theorems = _without("depths", config["scalar"]["theorems"])
            yield "", {**_without("depth", recorded), "seed": record["seed"]}, theorems
        case "regression", _:
            # As of depths: some seeds a table.
            settings = _without("seeds", configuration.settings(config, "regression", section))
            data_set = configuration.data_set(config, settings["data"])
            yield "", configuration.used(_without("seeds", recorded)), {**settings, "data_set": data_set}
        case _ if section:
            yield "", recorded, configuration.settings(config, kind, section)


def _without(key: str, settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != key}


def _runs(
    config: Config, table: str, experiment: str, recorded: Any
) -> Iterator[tuple[str, Settings | None, dict[str, Any]]]:
    if not isinstance(recorded, Mapping):  # early records have the names of files alone
        yield "", None, {}
        return
    found = {str(run.get("run")): run for run in recorded.values()}
    runs = _configured(config, experiment)
    if found.keys() != {run.name for run in runs}:
        there, asked_for = (", ".join(sorted(names)) or "none" for names in (found, [run.name for run in runs]))
        raise UserError(f"{table} has the runs {there}, the configuration {asked_for}; {RERUN}")
    for run in runs:
        labels = {"experiment": experiment, "run": run.name}
        yield run.name, configuration.used(found[run.name]), {**run.parameters, **labels}
        if run.starts_from_plane:
            yield _start(config)


def _configured(config: Config, experiment: str) -> list[configuration.Run]:
    return configuration.runs(config, experiment) if experiment in config["experiments"] else []


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
        elif was != now:
            yield f"{at}{key}", was, now


def _check_whole(config: Config, records: Iterable[Settings]) -> None:
    """Hold the seeds and depths of all tables together against the configuration's."""
    of_section: dict[str, list[Settings]] = {}
    for record in records:
        of_section.setdefault(record.get("section") or "", []).append(record["parameters"])
    depths = {found["depth"] for found in of_section.get("scalar.theorems", ())}
    seeds = {seed for found in of_section.get("regression.runs", ()) for seed in found["seeds"]}
    for what, found, wanted in (
        ("depths of the theorems", depths, set(config["scalar"]["theorems"]["depths"])),
        ("seeds of squared regression", seeds, set(range(config["regression"]["runs"]["seeds"]))),
    ):
        if found and found != wanted:
            there, asked_for = (", ".join(map(str, sorted(values))) for values in (found, wanted))
            raise UserError(f"there are the {what} {there}, the configuration has {asked_for}; {RERUN}")
