"""The stages of an experiment: train a model, find the GFS sharpness of its checkpoints, collect the tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gfsharp.errors import UserError
from replication import progress
from replication.storage import files
from replication.training.checkpoints import CheckpointWriter, Record, block, block_name
from replication.training.models import Array, GFSPoint, Model
from replication.training.resumption import State, Unfinished
from replication.training.trajectory import Plan, Point, Trajectory, follow

# The GFS table of a run that diverged before its first checkpoint.
_NO_CHECKPOINTS = pd.DataFrame([{"iteration": 0, **GFSPoint(math.nan, math.nan, math.nan, "").row()}]).iloc[:0]


def train(
    model: Model,
    learning_rate: float,
    plan: Plan,
    *,
    trajectory: str | Path,
    checkpoints: str | Path,
    record: Record,
    identity: Mapping[str, Any],
) -> None:
    """Run gradient descent, writing the trajectory table and the checkpoints.

    The table is that of :meth:`replication.training.trajectory.Trajectory.table`; ``index.json`` in the folder of the
    checkpoints lists their files. Both appear when the run has ended; on the way there is
    :class:`replication.training.resumption.Unfinished`, from which a run of the same ``identity`` goes on at its last
    checkpoint file, and ends with the same numbers.

    Raises:
        UserError: another process trains this run, or what is to be written cannot be.
    """
    unfinished = Unfinished(Path(trajectory).parent, identity)
    with unfinished.alone():
        saved = unfinished.load()
        state = saved.resumed() if saved else State(model.to_numpy(model.initial))
        model.restore(state.model)
        writer = CheckpointWriter(unfinished.checkpoints, model.checkpoints_per_file, record, state.names)
        reached = state.trajectory
        points = follow(model, learning_rate, plan, weights=state.weights, reached=state.iteration)
        for point in _shown(points, reached, plan):
            if point.is_checkpoint:
                weights = model.to_numpy(point.weights)
                if writer.add(point.iteration, weights) and point.status == "running":
                    unfinished.save(State(weights, reached, model.state(), tuple(writer.names), state.resumed_at))
        files.write_table(trajectory, reached.table(learning_rate), {**record(), "resumed_at": state.resumed_at})
        writer.close(reached.status, Path(checkpoints), model.constants())


def followed(model: Model, learning_rate: float, plan: Plan) -> pd.DataFrame:
    """Return the table of a run with the gradient flow solutions from its checkpoints, without any file.

    The numbers are those of :func:`train`, :func:`gfs_table` and :func:`with_gfs`.
    """
    reached, kept = Trajectory(), []
    for point in _shown(follow(model, learning_rate, plan), reached, plan):
        if point.is_checkpoint:
            kept.append((point.iteration, model.to_numpy(point.weights)))
    size = model.checkpoints_per_file
    parts = [kept[first : first + size] for first in range(0, len(kept), size)]
    gfs = _gfs_table(model, len(parts), ((block_name(part), block(part)) for part in parts))
    return with_gfs(reached.table(learning_rate), [gfs] if parts else [])


def _shown(points: Iterator[Point], reached: Trajectory, plan: Plan) -> Iterator[Point]:
    """Pass the points on, each added to what is reached, with a progress bar; say at the end if the run diverged."""
    with progress.bar(plan.max_iterations, "training", done=len(reached.losses)) as bar:
        for point in points:
            reached.add(point)
            yield point
            bar.set_postfix_str(f"loss {point.loss:.3g}", refresh=False)
            bar.update(1 if point.status == "running" else 0)
    if reached.status == "diverged":
        print(_said_of_divergence(reached.losses))


def _said_of_divergence(losses: Sequence[float]) -> str:
    loss, last = f"{losses[-1]:.3g}", len(losses) - 1
    if last:
        return f"diverged at iterate {last}, where the loss is {loss}: the run ends there and is recorded as such"
    return (
        f"diverged at its start: the loss of the initial weights is {loss}, before any step. The model, its initial "
        "weights or its data need a look; the run has no checkpoints and is recorded as diverged"
    )


# How far the loss at a checkpoint may be from the trajectory's. The same module on the same data differs by rounding
# alone, where a sum is taken in another order: on another machine, with other threads. That moves each residual by some
# rounding errors of the outputs, and the loss by the geometric mean of the two losses, that of the residuals and that
# of the outputs, which is as large as the first. Another module has another loss altogether.
_SAME_LOSS = 1e-3
_ROUNDING_ERRORS = 100


def gfs_table(
    model: Model, checkpoint_files: Sequence[str | Path], trajectory: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return a row per iterate of the files: ``iteration`` and the fields of
    :class:`replication.training.models.GFSPoint`.

    Args:
        model: with the data of the run.
        checkpoint_files: of the run.
        trajectory: the table of the training that wrote them, whose losses the model must have there.

    Raises:
        UserError: it has others, so it is not the model that was trained.
    """

    def blocks() -> Iterator[tuple[str, Mapping[str, Array]]]:
        for path in checkpoint_files:
            found = files.read_tensors(path)
            if trajectory is not None:
                _require_same_losses(model, found, trajectory, path)
            yield Path(path).stem, found

    return _gfs_table(model, len(checkpoint_files), blocks())


def _gfs_table(model: Model, count: int, blocks: Iterable[tuple[str, Mapping[str, Array]]]) -> pd.DataFrame:
    """Return the rows of blocks of checkpoints, each with its name for the progress bar."""
    rows: list[dict[str, Any]] = []
    with progress.bar(count, "gradient flow", counted=False) as bar:
        for done, (name, found) in enumerate(blocks):

            def report(gradients: int, loss: float, share: float, before: int = done, name: str = name) -> None:
                bar.set_postfix_str(f"{name}: {gradients} gradients, loss {loss:.3g}", refresh=False)
                bar.update(before + share - bar.n)

            points = model.gfs(found["weights"], report)
            rows += [
                {"iteration": int(iteration), **point.row()}
                for iteration, point in zip(found["iteration"], points, strict=True)
            ]
            bar.update(done + 1 - bar.n)
    return pd.DataFrame(rows)


def _require_same_losses(model: Model, block: Mapping[str, Array], trajectory: pd.DataFrame, path: str | Path) -> None:
    expected = trajectory.set_index("iteration")["loss"].reindex(block["iteration"]).to_numpy(dtype=np.float64)
    found = np.asarray(model.losses(block["weights"]), dtype=np.float64)
    first = float(trajectory["loss"].iloc[0])
    rounding = _ROUNDING_ERRORS * np.finfo(block["weights"].dtype).eps
    with np.errstate(invalid="ignore", over="ignore"):
        room = _SAME_LOSS * np.abs(expected) + rounding * np.sqrt(np.abs(expected * first))
        other = ~(np.abs(found - expected) <= room) & ~(found == expected)
    if other.any():
        index = int(np.argmax(other))
        raise UserError(
            f"the loss at iterate {int(block['iteration'][index])} ({path}) is {found[index]:.6g}, and was "
            f"{expected[index]:.6g} in training: this is not the model, or not the data, that was trained. A function "
            "of your own has to build the same module each time, by the seed it is given; if its file, or one that it "
            "reads, was changed since, train again"
        )


def with_gfs(trajectory: pd.DataFrame, gfs_tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a run's trajectory table with the columns of its GFS tables, empty between checkpoints.

    What a flow took is empty as well where none was made: the closed forms have no flow.
    """
    gfs = pd.concat(gfs_tables) if gfs_tables else _NO_CHECKPOINTS
    joined = trajectory.merge(gfs, on="iteration", how="left", validate="one_to_one")
    counts = ["gradient_evaluations", "hessian_vector_products"]
    joined[counts] = joined[counts].where(joined["flow_time"].notna()).astype("Int64")
    return joined
