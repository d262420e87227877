"""The data of the runs, written as the rules ``image_data`` and ``gaussian_data`` write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import configuration, stages
from replication.alone.work import without_places
from replication.configuration import Config, Run
from replication.storage import files


def with_local_files(config: Config, given: Sequence[str]) -> dict[str, Any]:
    """Return a configuration whose data sets take images from local files.

    Args:
        config: as it was read.
        given: ``NAME=PATH`` each. NAME is a data set's, or ``cifar10`` or ``svhn`` for all sets of that source.

    Raises:
        UserError: one is of another form, or there is no such data set.
    """
    sets = {name: dict(settings) for name, settings in config["data"].items()}
    for pair in given:
        wanted, equals, path = pair.partition("=")
        named = [name for name, of in sets.items() if wanted == of.get("source") and wanted in ("cifar10", "svhn")]
        named = named or [name for name in sets if name == wanted]
        if not (equals and path and named):
            raise UserError(f"--data-file takes NAME=PATH, NAME being one of {', '.join(sets)}; found {pair!r}")
        for name in named:
            sets[name]["file"] = path
    return {**config, "data": sets}


def prepare(runs: Sequence[Run], results: Path, downloads: str) -> None:
    """Write the data set of each run below ``results``, unless it is there.

    Raises:
        UserError: it cannot be had here, or another of its name is there.
    """
    for run in runs:
        if run.starts_from_plane:
            raise UserError(f"{run.experiment} starts from the plane of starts, which only Snakemake makes")
        if run.data is not None:
            _prepare(run, results / "data" / f"{run.data}.safetensors", downloads)


def _prepare(run: Run, tensors: Path, downloads: str) -> None:
    settings, section = run.parameters["data_set"], f"data.{run.parameters['data']}"
    if tensors.exists():
        _require_same(tensors, settings)
        return
    print(f"data: {tensors}", flush=True)
    try:
        if settings["source"] == "gaussian":
            assert run.seed is not None  # of squared regression, whose seed is that of the data
            stages.gaussian_data(settings, run.seed, tensors, section=section)
        else:
            wanted = downloads if configuration.downloads(settings) else None
            stages.image_data(settings, str(tensors), wanted, section=section)
    except ImportError as error:
        wanted = f"; name a local .npz with --data-file {settings['source']}=PATH" if "images" in settings else ""
        raise UserError(f"the data of {run.experiment} cannot be made here: {error}{wanted}") from error


def _require_same(tensors: Path, settings: Mapping[str, Any]) -> None:
    files.check(tensors)
    record = files.read_provenance(tensors)
    same = without_places(record["parameters"]) == without_places(settings)
    # Of earlier versions the checksum has a name of its own.
    known = {*record.get("inputs", {}).values(), record.get("file_sha256")}
    if "file" in settings and files.sha256(settings["file"]) not in known:
        same = False
    if not same:
        raise UserError(f"{tensors} is of other settings or of another file of images; give another --output")
