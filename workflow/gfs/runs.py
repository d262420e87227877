"""The stages of an experiment: train a model, find the GFS sharpness of its checkpoints, collect the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gfs import files, progress
from gfs.checkpoints import CheckpointWriter, Record
from gfs.descent import gradient_descent
from gfs.models import GFSPoint, Model

# The GFS table of a run that diverged before its first checkpoint.
_NO_CHECKPOINTS = pd.DataFrame([{"iteration": 0, **GFSPoint(math.nan, math.nan, math.nan, "").row()}]).iloc[:0]


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
) -> None:
    """Run gradient descent, writing the trajectory table and the checkpoints.

    The table has a row per iterate: ``iteration``, ``loss``, ``sharpness`` (every ``sharpness_every`` iterates and the
    last, NaN between), ``learning_rate``, ``threshold`` (2/eta) and ``status``. Checkpoints are the iterates at
    multiples of ``checkpoint_every`` and, unless the run diverged, the last; ``index.json`` in their folder lists the
    files and is written last.
    """
    writer = CheckpointWriter(Path(checkpoints), model.checkpoints_per_file, record)
    rows = []
    iterates = gradient_descent(
        model.loss_and_gradient,
        model.initial,
        learning_rate,
        loss_tolerance=loss_tolerance,
        max_iterations=max_iterations,
    )
    with progress.bar(max_iterations, "training") as bar:
        for iterate in iterates:
            last = iterate.status != "running"
            wanted = iterate.iteration % sharpness_every == 0 or last
            curvature = model.sharpness(iterate.weights) if wanted and iterate.status != "diverged" else math.nan
            rows.append((iterate.iteration, iterate.loss, curvature, iterate.status))
            if iterate.status != "diverged" and (iterate.iteration % checkpoint_every == 0 or last):
                writer.add(iterate, model.to_numpy(iterate.weights))
            bar.set_postfix_str(f"loss {iterate.loss:.3g}", refresh=False)
            bar.update(0 if last else 1)
    table = pd.DataFrame(rows, columns=["iteration", "loss", "sharpness", "status"])
    table["learning_rate"] = learning_rate
    table["threshold"] = 2 / learning_rate
    files.write_table(trajectory, table, record())
    writer.close(table["status"].iloc[-1])


def gfs_table(model: Model, checkpoint_files: Sequence[str | Path]) -> pd.DataFrame:
    """Return a row per iterate of the files: ``iteration`` and the fields of :class:`gfs.models.GFSPoint`."""
    rows: list[dict[str, Any]] = []
    with progress.bar(len(checkpoint_files), "gradient flow", counted=False) as bar:
        for done, path in enumerate(checkpoint_files):
            block = files.read_tensors(path)

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


def with_gfs(trajectory: pd.DataFrame, gfs_tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a run's trajectory table with the columns of its GFS tables, NaN between checkpoints."""
    gfs = pd.concat(gfs_tables) if gfs_tables else _NO_CHECKPOINTS
    joined = trajectory.merge(gfs, on="iteration", how="left", validate="one_to_one")
    joined["gradient_evaluations"] = joined["gradient_evaluations"].fillna(0).astype(np.int64)
    return joined
