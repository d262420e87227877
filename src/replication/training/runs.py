"""The stages of an experiment: train a model, find the GFS sharpness of its checkpoints, collect the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gfsharp.descent import Descent, gradient_descent
from gfsharp.errors import UserError
from replication import progress
from replication.storage import files
from replication.training.checkpoints import CheckpointWriter, Record
from replication.training.models import GFSPoint, Model
from replication.training.resumption import State, Unfinished

# The GFS table of a run that diverged before its first checkpoint.
_NO_CHECKPOINTS = pd.DataFrame([{"iteration": 0, **GFSPoint(math.nan, math.nan, math.nan, "").row()}]).iloc[:0]


def arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :func:`train` that a run's parameters say: how to step and stop, what to keep."""
    return {
        "loss_tolerance": parameters["stop"]["loss"],
        "max_iterations": parameters["stop"]["iterations"],
        "sharpness_every": parameters["sharpness_every"],
        "checkpoint_every": parameters["checkpoint_every"],
        "descent": parameters.get("descent", "plain"),
    }


def train(
    model: Model,
    learning_rate: float,
    *,
    loss_tolerance: float,
    max_iterations: int,
    sharpness_every: int,
    checkpoint_every: int,
    trajectory: str | Path,
    checkpoints: str | Path,
    record: Record,
    identity: Mapping[str, Any],
    descent: Descent = "plain",
) -> None:
    """Run gradient descent, writing the trajectory table and the checkpoints.

    The table has a row per iterate: ``iteration``, ``loss``, ``sharpness`` (every ``sharpness_every`` iterates and the
    last, NaN between), ``learning_rate``, ``threshold`` (2 over the effective learning rate: 2/eta, but for the other
    kinds of ``descent``, where it changes on the way) and ``status``. Checkpoints are the iterates at
    multiples of ``checkpoint_every`` and, unless the run diverged, the last; ``index.json`` in their folder lists the
    files. Both appear when the run has ended; on the way there is :class:`replication.training.resumption.Unfinished`,
    from which a run of the same ``identity`` goes on at its last checkpoint file, and ends with the same numbers.

    Raises:
        UserError: another process trains this run, or what is to be written cannot be.
    """
    unfinished = Unfinished(Path(trajectory).parent, identity)
    with unfinished.alone():
        saved = unfinished.load()
        state = saved.resumed() if saved else State.start(model.to_numpy(model.initial))
        model.restore(state.model)
        writer = CheckpointWriter(unfinished.checkpoints, model.checkpoints_per_file, record, state.names)
        iterates = gradient_descent(
            model.loss_and_gradient,
            model.from_numpy(state.weights),
            learning_rate,
            loss_tolerance=loss_tolerance,
            max_iterations=max_iterations,
            first_iteration=max(state.iteration, 0),
            descent=descent,
        )
        losses, sharpness, status = state.losses.tolist(), state.sharpness.tolist(), "running"
        rates = state.rates.tolist()
        if saved:
            next(iterates)  # its row is there
        with progress.bar(max_iterations, "training", done=len(losses)) as bar:
            for iterate in iterates:
                status, last = iterate.status, iterate.status != "running"
                wanted = iterate.iteration % sharpness_every == 0 or last
                losses.append(iterate.loss)
                rates.append(iterate.learning_rate)
                sharpness.append(model.sharpness(iterate.weights) if wanted and status != "diverged" else math.nan)
                if status != "diverged" and (iterate.iteration % checkpoint_every == 0 or last):
                    weights = model.to_numpy(iterate.weights)
                    if writer.add(iterate, weights) and not last:
                        of_iterates = (np.array(losses), np.array(sharpness), np.array(rates))
                        reached = (weights, *of_iterates, model.state(), tuple(writer.names))
                        unfinished.save(State(*reached, state.resumed_at))
                bar.set_postfix_str(f"loss {iterate.loss:.3g}", refresh=False)
                bar.update(0 if last else 1)
        if status == "diverged":
            print(_said_of_divergence(losses))
        table = trajectory_table(losses, sharpness, rates, status, learning_rate)
        files.write_table(trajectory, table, {**record(), "resumed_at": state.resumed_at})
        writer.close(status, Path(checkpoints), model.constants())


def _said_of_divergence(losses: Sequence[float]) -> str:
    loss, last = f"{losses[-1]:.3g}", len(losses) - 1
    if last:
        return f"diverged at iterate {last}, where the loss is {loss}: the run ends there and is recorded as such"
    return (
        f"diverged at its start: the loss of the initial weights is {loss}, before any step. The model, its initial "
        "weights or its data need a look; the run has no checkpoints and is recorded as diverged"
    )


def trajectory_table(
    losses: Sequence[float], sharpness: Sequence[float], rates: Sequence[float], status: str, learning_rate: float
) -> pd.DataFrame:
    """Return the table that :func:`train` writes, of what it knows of each iterate; ``status`` is that of the last."""
    table = pd.DataFrame({"iteration": range(len(losses)), "loss": losses, "sharpness": sharpness, "status": "running"})
    table.loc[table.index[-1], "status"] = status
    return table.assign(learning_rate=learning_rate, threshold=_thresholds(rates))


def _thresholds(rates: Sequence[float]) -> NDArray[np.float64]:
    """Return the sharpness up to which a step is stable; infinite where there is no step, at a critical point."""
    with np.errstate(divide="ignore"):
        return 2 / np.array(rates)


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
    rows: list[dict[str, Any]] = []
    with progress.bar(len(checkpoint_files), "gradient flow", counted=False) as bar:
        for done, path in enumerate(checkpoint_files):
            block = files.read_tensors(path)
            if trajectory is not None:
                _require_same_losses(model, block, trajectory, path)

            def report(gradients: int, loss: float, share: float, before: int = done, path: str | Path = path) -> None:
                bar.set_postfix_str(f"{Path(path).stem}: {gradients} gradients, loss {loss:.3g}", refresh=False)
                bar.update(before + share - bar.n)

            points = model.gfs(block["weights"], report)
            rows += [
                {"iteration": int(iteration), **point.row()}
                for iteration, point in zip(block["iteration"], points, strict=True)
            ]
            bar.update(done + 1 - bar.n)
    return pd.DataFrame(rows)


def _require_same_losses(
    model: Model, block: Mapping[str, NDArray[Any]], trajectory: pd.DataFrame, path: str | Path
) -> None:
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
