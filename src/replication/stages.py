"""What each stage of an experiment reads and writes: for the rules of the workflow, and for one process alone.

A stage takes files, calls the package and leaves a table or tensor file with its record. The scripts of the rules
``image_data``, ``gaussian_data``, ``train``, ``gfs_sharpness``, ``collect_run`` and ``collect`` call these functions,
and so does :mod:`replication.alone`: what they leave is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd
from numpy.typing import NDArray

from replication import data
from replication.storage import files, provenance, table_schema
from replication.training import models, resumption, runs
from replication.training.checkpoints import Record, constants
from replication.training.trajectory import Plan

Array = NDArray[Any]
Settings = Mapping[str, Any]
File = str | Path


def image_data(settings: Settings, tensors: File, downloads: str | None = None, *, section: str | None = None) -> None:
    """Write the images of a data set, or the data of a user's own, that its settings ask for.

    Args:
        settings: of a checked configuration.
        tensors: where ``inputs`` and ``targets`` go.
        downloads: where archives are kept, if the images are downloaded.
        section: of the configuration that the settings are of, for the record.

    Raises:
        UserError: as of :func:`replication.data.labelled`.
    """
    record = provenance.recorder(settings, section=section)
    arrays, statistics = data.labelled(settings, downloads)
    inputs = files.checksums([settings["file"]] if "file" in settings else [])
    of_images = {"statistics": statistics} if statistics else {}
    files.write_tensors(tensors, arrays, {**record(), "inputs": inputs, **of_images})


def gaussian_data(settings: Settings, seed: int, tensors: File, *, section: str | None = None) -> None:
    """Write Gaussian samples, their labels and the sharpness of their flattest interpolator."""
    from replication.studies import regression as regression_runs

    record = provenance.recorder(settings, section=section, seed=seed)
    files.write_tensors(tensors, regression_runs.tensors(settings, seed), record())


@dataclass(frozen=True)
class Job:
    """A run with its model made.

    Attributes:
        parameters: of the run (see :class:`replication.configuration.Run`), or those that its training depends on.
        data_file: its data set, None where there is none.
        arrays: the content of that file.
        model: made of both.
        record: gives the record of what is written, its clock being started.
        section: of the configuration that the parameters are of.
    """

    parameters: Settings
    data_file: File | None
    arrays: Mapping[str, Array] = field(repr=False)
    model: models.Model = field(repr=False)
    record: Record
    section: str | None

    @classmethod
    def prepare(
        cls,
        parameters: Settings,
        data_file: File | None,
        device: str,
        checkpoints: File | None = None,
        *,
        section: str | None = None,
    ) -> Self:
        """Read the data and make the model on a torch device; ``auto`` is a GPU where there is one.

        Args:
            parameters: as above.
            data_file: as above.
            device: a torch device; networks only.
            checkpoints: the folder of the checkpoints that a finished training left, with the constants of its model;
                None in training.
            section: as above.
        """
        record = _recorder(parameters, section, data_file)
        arrays = files.read_tensors(data_file) if data_file else {}
        kept = constants(checkpoints) if checkpoints else None
        model = models.build(parameters, arrays, device=device, constants=kept)
        return cls(parameters, data_file, arrays, model, record, section)

    def of(self, parameters: Settings) -> Self:
        """The same with other parameters to be recorded, and a clock that starts now."""
        return replace(self, parameters=parameters, record=_recorder(parameters, self.section, self.data_file))

    @property
    def learning_rate(self) -> float:
        """The step size eta."""
        return models.learning_rate(self.parameters, self.arrays)

    @property
    def identity(self) -> dict[str, Any]:
        """What the numbers of a training depend on. An interrupted training goes on where this is the same."""
        return {
            "parameters": self.parameters,
            "data_sha256": files.sha256(self.data_file) if self.data_file else None,
            # What a user's own factory made; where it forgets its seed, each time something else.
            "constants": files.digest(self.model.constants()),
            # What the last digits depend on.
            "device": str(getattr(self.model.initial, "device", "cpu")),
            **{key: value for key, value in provenance.hardware().items() if key in ("torch_threads", "gpu")},
        }


def _recorder(parameters: Settings, section: str | None, data_file: File | None) -> Record:
    inputs = files.checksums([data_file] if data_file else [])
    return provenance.recorder(parameters, section=section, inputs=inputs, seed=parameters["seed"])


def train(job: Job, trajectory: File, checkpoints: File) -> None:
    """Run gradient descent, from where an earlier process was interrupted, and write trajectory and checkpoints."""
    with _exactly(job) as notes:
        runs.train(
            job.model,
            job.learning_rate,
            Plan.of(job.parameters),
            trajectory=trajectory,
            checkpoints=checkpoints,
            record=lambda: job.record() | notes(),
            identity=job.identity,
        )


@contextmanager
def _exactly(job: Job) -> Iterator[Callable[[], dict[str, Any]]]:
    """Compute in full precision and deterministically, if it is torch that computes.

    Yields:
        What the record has to say of it: the operations that have no deterministic version, if there are such, and the
        most memory that was in use on a GPU.
    """
    # A NumPy array has a device too: the word "cpu".
    device = getattr(job.model.initial, "device", None)
    if device is None or not hasattr(device, "type"):
        yield dict
        return
    import torch

    from gfsharp import precision

    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with precision.exact(), precision.operations_without_deterministic() as operations:

        def notes() -> dict[str, Any]:
            found: dict[str, Any] = {}
            if operations:
                found["without_deterministic_version"] = sorted(operations)
            if on_gpu:
                found["gpu_peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
            return found

        yield notes


def reached(job: Job, trajectory: File) -> tuple[pd.DataFrame, list[Path]] | None:
    """Return how far an unfinished training has come, its table as far as it goes and its checkpoint files.

    None if it has no checkpoint yet. The status in the table is ``running`` to its end.
    """
    unfinished = resumption.Unfinished(Path(trajectory).parent, job.identity)
    state = unfinished.peek()
    if state is None:
        return None
    return state.trajectory.table(job.learning_rate), [unfinished.checkpoints / name for name in state.names]


def gfs_sharpness(job: Job, checkpoints: Sequence[File], trajectory: File, table: File) -> None:
    """Write the table of the gradient flow solutions from the iterates of checkpoint files.

    Raises:
        UserError: the model's losses there are not those of the trajectory, the table of the training.
    """
    inputs = files.checksums([trajectory, *checkpoints])
    with _exactly(job) as notes:
        found = runs.gfs_table(job.model, checkpoints, files.read_table(trajectory))
    record = job.record()
    beside = {"inputs": record["inputs"] | inputs, "checkpoints_sha256": checkpoint_checksums(checkpoints)}
    files.write_table(table, found, {**record, **notes(), **beside})


def join_gfs(parts: Sequence[File], table: File) -> None:
    """Write several GFS tables of one run as one, that which :func:`gfs_sharpness` would write of their checkpoints."""
    records = [files.read_provenance(path) for path in parts]
    first = records[0]
    record = provenance.recorder(
        first["parameters"], section=first.get("section"), inputs=files.checksums(parts), seed=first["seed"]
    )
    checksums = {name: checksum for each in records for name, checksum in each["checkpoints_sha256"].items()}
    found = pd.concat([files.read_table(path) for path in parts], ignore_index=True)
    spent = round(sum(each["wall_time_s"] for each in records), 3)
    files.write_table(table, found, {**record(), "wall_time_s": spent, "checkpoints_sha256": checksums})


def checkpoint_checksums(checkpoints: Sequence[File]) -> dict[str, Any]:
    """Return the checksums of checkpoint files by their names, as their records have them."""
    return {Path(path).name: files.read_provenance(path)["sha256"] for path in checkpoints}


def collect_run(
    trajectory: File,
    gfs: Sequence[File],
    settings: Settings,
    labels: Settings,
    table: File,
    *,
    trained: bool = True,
    beside: Settings | None = None,
) -> None:
    """Write a run's table: its trajectory, the GFS sharpness at the checkpoints where it is known, the labels.

    Args:
        trajectory: the table of the training.
        gfs: the tables of its checkpoints, all or some.
        settings: of the run as configured. A run that diverged at once has no flow whose record has its options.
        labels: columns with one value, ``experiment`` and ``seed`` among them.
        table: where it goes.
        trained: whether the training is done. Then what it would be resumed from is removed.
        beside: what the record says besides.
    """
    # A table that is passed on says itself where it comes from.
    parameters = {**settings, **labels}
    for path in [trajectory, *gfs][:2]:
        parameters |= files.read_provenance(path)["parameters"]
    record = provenance.recorder(
        parameters,
        section=f"experiments.{labels['experiment']}",
        inputs=files.checksums([trajectory, *gfs]),
        seed=labels["seed"],
    )
    found = runs.with_gfs(files.read_table(trajectory), [files.read_table(path) for path in gfs]).assign(**labels)
    files.write_table(table, found, {**record(), **(beside or {})}, columns=table_schema.RUN)
    if trained:
        # Training and flows are done and noted: nothing will go on from there.
        resumption.forget(Path(table).parent)


def collect(run_tables: Sequence[File], table: File, *, beside: Settings | None = None) -> None:
    """Write the table of all runs of an experiment; ``beside`` is what its record says besides."""
    records = {str(path): files.read_provenance(path) for path in run_tables}
    record = provenance.recorder(
        {"runs": {path: of_run["parameters"] for path, of_run in records.items()}},
        section=next(iter(records.values())).get("section"),
        inputs=files.checksums(run_tables),
    )
    found = pd.concat([files.read_table(path) for path in run_tables], ignore_index=True)
    files.write_table(table, found, {**record(), **(beside or {})}, columns=table_schema.RUN)
