"""The checkpoints of a run: blocks of iterates in files of their own, and the list of them.

Without pandas, since the workflow reads the list at every start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfs import files
from gfs.descent import Iterate

Record = Callable[[], dict[str, Any]]

INDEX = "index.json"


def checkpoint_files(checkpoints: str | Path) -> list[Path]:
    """Return the checkpoint files that a finished training wrote, in order of iteration."""
    folder = Path(checkpoints)
    return [folder / name for name in files.read_json(folder / INDEX)["files"]]


class CheckpointWriter:
    """Writes blocks of iterates to ``<first iteration>.safetensors`` as training goes on."""

    def __init__(self, folder: Path, per_file: int, record: Record) -> None:
        # What an interrupted run left is not this run's.
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self.per_file = per_file
        self.record = record
        self.iterations: list[int] = []
        self.weights: list[NDArray[Any]] = []
        self.names: list[str] = []

    def add(self, iterate: Iterate[Any], weights: NDArray[Any]) -> None:
        self.iterations.append(iterate.iteration)
        self.weights.append(weights)
        if len(self.iterations) >= self.per_file:
            self._flush()

    def close(self, status: str) -> None:
        self._flush()
        files.write_json(self.folder / INDEX, {"files": self.names, "status": status})

    def _flush(self) -> None:
        if not self.iterations:
            return
        name = f"{self.iterations[0]:07d}.safetensors"
        tensors = {"iteration": np.array(self.iterations, dtype=np.int64), "weights": np.stack(self.weights)}
        files.write_tensors(self.folder / name, tensors, self.record())
        self.names.append(name)
        self.iterations, self.weights = [], []
