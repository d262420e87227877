"""One run, as far as it has come: what of it is on disk, what is missing, and the next piece of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import stages
from replication.alone import costs
from replication.alone.clock import Clock, Stopped, TimeIsUp
from replication.alone.order import most_telling_first
from replication.configuration import Run
from replication.storage import files
from replication.training.checkpoints import INDEX, checkpoint_files

# The part of a run's time that its training takes before the first flows, if it is not done by then.
_TRAINING_SHARE = 0.5
# How many times as long as expected a flow may take.
_PATIENCE = 2.0


class Work:
    """A run of an experiment in the folder of results.

    Args:
        run: which.
        results: the folder.
        device: a torch device, or ``auto``.
        batch: checkpoint files whose GFS table is one file, as ``execution.checkpoint_files_per_gfs_job`` says.
        clock: what ends the work.
        written: called when the run's table was written.
    """

    def __init__(
        self, run: Run, results: Path, device: str, batch: int, clock: Clock, written: Callable[[Run], None]
    ) -> None:
        self.run = run
        self._written = written
        self.folder = results / "runs" / run.experiment / run.name
        self.table = self.folder / "run.parquet"
        self.data_file = None if run.data is None else results / "data" / f"{run.data}.safetensors"
        self._batch, self._clock, self._device = batch, clock, device
        self._trajectory, self._checkpoints = self.folder / "trajectory.parquet", self.folder / "checkpoints"
        self._partial = self.folder / "unfinished" / "trajectory.parquet"
        self._job: stages.Job | None = None
        self._reached: tuple[Any, list[Path]] | None = None
        self.costs: costs.Costs | None = None
        self._refuse_other_settings()

    @property
    def name(self) -> str:
        """Of the run, for messages."""
        return f"{self.run.experiment}/{self.run.name}"

    @property
    def job(self) -> stages.Job:
        """The run with its model, whose losses look at the clock."""
        if self._job is None:
            costs.reset_peak_memory()
            self._job = stages.Job.prepare(
                self.run.parameters,
                self.data_file,
                self._device,
                self._checkpoints if self.trained else None,
                section=self.run.section,
            )
            self.costs = self.costs or costs.measure(self._job.model)
            watch(self._job.model, self._clock)
            for name, row in self.points().items():
                self.costs.note(name, row)
        return self._job

    def release(self) -> None:
        """Forget the model, for the memory of the next; what was measured stays."""
        self._look_at_memory()
        self._job = None

    def _look_at_memory(self) -> None:
        if self._job is not None and self.costs is not None:
            self.costs.peak_memory = max(self.costs.peak_memory, costs.peak_memory(self._job.model))

    @property
    def trained(self) -> bool:
        """Whether training is done and its checkpoints are there."""
        return self._trajectory.exists() and (self._checkpoints / INDEX).exists()

    @property
    def done(self) -> bool:
        """Whether every point is known, and the table has it."""
        return self.trained and not self.missing() and self._table_is_whole()

    def files(self) -> list[Path]:
        """The checkpoint files, those of an unfinished training so far."""
        if self.trained:
            return checkpoint_files(self._checkpoints)
        found = self._so_far()
        return found[1] if found else []

    def points(self) -> dict[str, Mapping[str, Any]]:
        """The last rows of the tables of the points that are known, by the names of their checkpoint files."""
        found: dict[str, Mapping[str, Any]] = {}
        for path in self.files():
            point = self._point(path)
            if self._is_of(point, [path]):
                found[path.name] = _last_row(point)
        return found

    def has_value(self, path: Path) -> bool:
        """Whether the GFS sharpness of the last iterate in a checkpoint file is known, and not that it has none."""
        row = self.points().get(path.name)
        return row is not None and row["gfs_status"] == "converged"

    def missing(self) -> list[Path]:
        """The checkpoint files whose points are not known, most telling first."""
        known, listed = self.points(), self.files()
        return [listed[i] for i in most_telling_first(len(listed)) if listed[i].name not in known]

    def advance(self, seconds: float, *, all_for_training: bool = False) -> bool:
        """Train and follow flows for so many seconds; return whether anything came of it.

        Training is given half of them, or all that there are, before the first flow. A flow is not begun that is
        expected to take more than is left, and is given up after twice what was expected.

        Raises:
            Stopped: a signal came; what was finished is written.
        """
        end = time.monotonic() + seconds
        progress = False
        if not self.trained:
            progress = self._train(seconds if all_for_training else _TRAINING_SHARE * seconds)
        left_out: set[str] = set()
        while missing := [path for path in self.missing() if path.name not in left_out]:
            self._clock.heed_signals()
            path, left = missing[0], end - time.monotonic()
            left_out.add(path.name)  # whatever comes of it
            expected = self._costs().expected(path.name)
            if 0 < left >= expected:
                progress |= self._follow(path, max(left, _PATIENCE * expected))
        if self.trained and not self.missing() and not self._table_is_whole():
            self.collect()  # a process was killed before it came to that
        return progress

    def _train(self, seconds: float) -> bool:
        before = self._iterate()
        try:
            with self._clock.allotting(seconds):
                stages.train(self._training_job(), self._trajectory, self._checkpoints)
        except (TimeIsUp, Stopped) as ended:
            self._reached = None
            after = self._iterate()
            where = f"at iterate {after}" if after >= 0 else "before its first checkpoint"
            print(f"{self.name}: training waits {where}", flush=True)
            if after > before:
                self.collect()
            if isinstance(ended, Stopped):
                raise
            return after > before
        print(f"{self.name}: trained", flush=True)
        self.collect()
        return True

    def _follow(self, path: Path, seconds: float) -> bool:
        began, found = time.monotonic(), self._costs()
        try:
            with self._clock.allotting(seconds):
                job, trajectory = self.job.of(self.run.parameters), self._trajectory_so_far()
                assert trajectory is not None  # there are checkpoints
                stages.gfs_sharpness(job, [path], trajectory, self._point(path))
        except TimeIsUp:
            found.given_up[path.name] = time.monotonic() - began
            print(f"{self.name}: the flow from {path.stem} was given up, its time being up", flush=True)
            return False
        row = _last_row(self._point(path))
        found.flows[path.name] = took = time.monotonic() - began
        found.note(path.name, row)
        said = f"{row['gfs_sharpness']:.6g} +- {row['gfs_error']:.2g}" if row["gfs_status"] == "converged" else "none"
        print(f"{self.name}: GFS sharpness from {path.stem}: {said} ({row['gfs_status']}, {took:.1f} s)", flush=True)
        self.collect()
        return True

    def collect(self) -> None:
        """Write the run's table, of what there is."""
        trained, listed, known = self.trained, self.files(), self.points()
        if trained:
            self._join(listed, known)
        elif self.summary()["trained"]:
            return  # brought from another machine without its checkpoints: it has more
        trajectory = self._trajectory_so_far()
        if trajectory is None:
            return
        stages.collect_run(
            trajectory,
            [self._point(path) for path in listed if path.name in known],
            self.run.parameters,
            self.run.labels,
            self.table,
            trained=trained,
            beside=self.record(),
        )
        self._written(self.run)

    def record(self) -> dict[str, Any]:
        """Return what the record of a table says of this run: whether it is whole, and what it cost."""
        known, listed = self.points(), self.files()
        self._look_at_memory()
        return {
            "trained": self.trained,
            "gfs_points": {
                "known": sum(path.name in known for path in listed),
                "missing": [path.stem for path in listed if path.name not in known],
            },
            "cost": self.costs.record() if self.costs else None,
        }

    def summary(self) -> dict[str, Any]:
        """Return what the record of the run's table says, without looking further: nothing where there is none."""
        record = files.read_provenance(self.table) if files.is_whole(self.table) else {}
        kept = {key: record.get(key) for key in ("trained", "gfs_points")}
        return {**kept, "cost": self.costs.record() if self.costs else record.get("cost")}

    def cost_of(self, name: str) -> float:
        """Return the gradients and products of a known point, in seconds here; infinite where that is not known."""
        return self.costs.work.get(name, math.inf) if self.costs else math.inf

    def weights(self, path: Path) -> Any:
        """Return the last iterate of a checkpoint file, shape (P,)."""
        return files.read_tensors(path)["weights"][-1]

    def _training_job(self) -> stages.Job:
        return self.job.of(self.run.training_parameters)

    def _costs(self) -> costs.Costs:
        self.job  # noqa: B018 - with it they are measured
        assert self.costs is not None
        return self.costs

    def _so_far(self) -> tuple[Any, list[Path]] | None:
        """The table and the checkpoint files of an unfinished training; kept, for they are held against checksums."""
        if self._reached is None and (self.folder / "unfinished").exists():
            self._reached = stages.reached(self._training_job(), self._trajectory)
        return self._reached

    def _trajectory_so_far(self) -> Path | None:
        """The table of the training, of an unfinished one as far as it goes."""
        if self.trained:
            return self._trajectory
        found = self._so_far()
        if found is None:
            return None
        files.write_table(self._partial, found[0], self._training_job().record())
        return self._partial

    def _iterate(self) -> int:
        """The iterate from which an unfinished training would go on, -1 for none."""
        found = self._so_far()
        return int(found[0]["iteration"].iloc[-1]) if found else -1

    def _point(self, path: Path) -> Path:
        return self.folder / "points" / f"{path.stem}.parquet"

    def _is_of(self, table: Path, checkpoints: list[Path]) -> bool:
        """Whether a GFS table is whole, of these settings and of the weights in these checkpoint files."""
        if not self._usable(table, self.run.parameters):
            return False
        recorded = files.read_provenance(table).get("checkpoints_sha256")
        return recorded == stages.checkpoint_checksums(checkpoints)

    def _usable(self, table: Path, parameters: Mapping[str, Any]) -> bool:
        return files.is_whole(table) and without_places(files.read_provenance(table)["parameters"]) == without_places(
            parameters
        )

    def _table_is_whole(self) -> bool:
        """Whether the run's table has every point, of these settings."""
        # Without checkpoints, as where training diverged at once, nothing says how flows would have been followed.
        parameters = self.run.parameters if self.files() else self.run.training_parameters
        if not self._usable(self.table, {**parameters, **self.run.labels}):
            return False
        record = files.read_provenance(self.table)
        return record.get("trained") is True and record["gfs_points"]["missing"] == []

    def _join(self, listed: list[Path], known: Mapping[str, object]) -> None:
        """Join the points of each batch of which all are known, as the rule ``gfs_sharpness`` writes them."""
        for number, first in enumerate(range(0, len(listed), self._batch)):
            of_batch = listed[first : first + self._batch]
            table = self.folder / "gfs" / f"{number}.parquet"
            if not self._is_of(table, of_batch) and all(path.name in known for path in of_batch):
                stages.join_gfs([self._point(path) for path in of_batch], table)

    def _refuse_other_settings(self) -> None:
        if self._trajectory.exists() and not self._usable(self._trajectory, self.run.training_parameters):
            raise UserError(
                f"{self._trajectory} is damaged or of other settings than the configuration's; give another --output, "
                f"or remove {self.folder}"
            )


def _last_row(table: Path) -> dict[str, Any]:
    return {str(name): value for name, value in files.read_table(table).iloc[-1].items()}


def without_places(parameters: Mapping[str, Any]) -> Any:
    """Return parameters as JSON keeps them, without the place of a file of images, which differs between machines."""
    plain = json.loads(json.dumps(parameters))
    plain.get("data_set", plain).pop("file", None)
    return plain


def watch(model: Any, clock: Clock) -> None:
    """Let every loss of a model look at the clock first."""
    name = "loss" if hasattr(model, "loss") else "loss_and_gradient"
    watched: Callable[..., Any] = clock.watching(getattr(model, name))
    setattr(model, name, watched)
