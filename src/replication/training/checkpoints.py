"""The checkpoints of a run: blocks of iterates in files of their own, and the list of them.

Without pandas, since the workflow reads the list at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfsharp.errors import UserError
from replication.storage import files

Record = Callable[[], dict[str, Any]]
# The number of an iterate and its weights, shape (P,).
Checkpoint = tuple[int, NDArray[Any]]

INDEX = "index.json"
# Beside the checkpoints of a model that has some: see replication.training.models.Model.constants.
CONSTANTS = "constants.safetensors"


def checkpoint_files(checkpoints: str | Path) -> list[Path]:
    """Return the checkpoint files that a finished training wrote, in order of iteration.

    Raises:
        UserError: the list of them, or one of them, is missing, or the list is not what was written.
    """
    folder = Path(checkpoints)
    names = files.read_record(folder / INDEX).get("files")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise files.unreadable(folder / INDEX, "it lists no files")
    listed = [folder / name for name in names]
    for path in listed:
        if not path.exists():
            raise files.unreadable(path, "it is not there")
    return listed


def constants(checkpoints: str | Path) -> dict[str, NDArray[Any]] | None:
    """Return the constants of the model whose checkpoints these are, None where it has none.

    Raises:
        UserError: their file is not what was written.
    """
    path = Path(checkpoints) / CONSTANTS
    return files.read_tensors(path) if path.exists() else None


def training_status(checkpoints: str | Path) -> str | None:
    """Return how a training ended, a :data:`gfsharp.descent.Status`; None where its list says nothing."""
    try:
        found = files.read_record(Path(checkpoints) / INDEX).get("status")
    except UserError:
        return None
    return found if isinstance(found, str) else None


def block(checkpoints: Sequence[Checkpoint]) -> dict[str, NDArray[Any]]:
    """Return what a file of these checkpoints holds: ``iteration``, shape (k,), and ``weights``, shape (k, P)."""
    iterations, weights = zip(*checkpoints, strict=True)
    return {"iteration": np.array(iterations, dtype=np.int64), "weights": np.stack(weights)}


def block_name(checkpoints: Sequence[Checkpoint]) -> str:
    """Return the name of that file, without suffix: its first iteration."""
    return f"{checkpoints[0][0]:07d}"


class CheckpointWriter:
    """Writes blocks of iterates to ``<first iteration>.safetensors`` as training goes on.

    Args:
        folder: where the files are written.
        per_file: iterates in a file.
        record: gives their provenance.
        names: files that are there already, of a training that goes on.
    """

    def __init__(self, folder: Path, per_file: int, record: Record, names: Sequence[str] = ()) -> None:
        self.folder = folder
        self.per_file = per_file
        self.record = record
        self._kept: list[Checkpoint] = []
        self.names = list(names)

    def add(self, iteration: int, weights: NDArray[Any]) -> bool:
        """Return whether this iterate completed a file."""
        self._kept.append((iteration, weights))
        complete = len(self._kept) >= self.per_file
        if complete:
            self._flush()
        return complete

    def close(self, status: str, folder: Path, constants: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Put the files, and the list of them, into a ``folder`` of their own, which appears as a whole.

        Args:
            status: how the training ended.
            folder: where.
            constants: of the model, kept beside them.
        """
        self._flush()
        with files.whole_folder(folder) as temporary:
            for name in self.names:
                for path in (self.folder / name, files.sidecar(self.folder / name)):
                    files.link_or_copy(path, temporary / path.name)
            if constants:
                files.write_tensors(temporary / CONSTANTS, constants, self.record())
            files.write_record(temporary / INDEX, {"files": self.names, "status": status})

    def _flush(self) -> None:
        if not self._kept:
            return
        name = f"{block_name(self._kept)}.safetensors"
        files.write_tensors(self.folder / name, block(self._kept), self.record())
        self.names.append(name)
        self._kept = []
