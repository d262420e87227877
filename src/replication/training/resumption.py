"""What a training leaves behind on its way, so that an interrupted one goes on and ends as if nothing had happened.

Beside a run's outputs lies a folder ``unfinished`` with the checkpoint files written so far and one ``state``, which
is replaced as a whole at every checkpoint file. It outlives the training itself, for nobody knows whether a workflow
that was killed just then had taken note of its end, and is removed by the stage that collects the run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from replication import source_digest
from replication.storage import files, locks, provenance
from replication.training.trajectory import Trajectory

Array = NDArray[Any]

_STATE = "state.safetensors"
_LOCK = ".training.lock"
# One that outlived its workflow ends within a second; this is for one that another workflow started.
_SECONDS_TO_WAIT = 600
# Tensors of the model's own have this before their names.
_MODEL = "model."
# What is kept of a trajectory.
_NUMBERS = ("losses", "sharpness", "rates")


@dataclass(frozen=True)
class State:
    """A training after some iterate.

    Attributes:
        weights: of that iterate, shape (P,).
        trajectory: the numbers of the iterates up to it.
        model: what the model's later answers depend on besides the weights: see
            :meth:`replication.training.models.Model.state`.
        names: the checkpoint files written so far.
        resumed_at: the iterates from which this training was resumed before.
    """

    weights: Array
    trajectory: Trajectory = field(default_factory=Trajectory)
    model: Mapping[str, Array] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    resumed_at: tuple[int, ...] = ()

    def resumed(self) -> Self:
        """The same, with a note that a training went on from here."""
        return replace(self, resumed_at=(*self.resumed_at, self.iteration))

    @property
    def iteration(self) -> int:
        """The number of that iterate, -1 before the first."""
        return len(self.trajectory.losses) - 1


class Unfinished:
    """The folder ``unfinished`` of a run.

    Args:
        folder: of the run.
        identity: all that the training's numbers depend on. A state of another identity is not used.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, Any]) -> None:
        self.folder = _folder(folder)
        self.checkpoints = self.folder / "checkpoints"
        self._identity = _digest(json.dumps({**identity, "source": _source()}, sort_keys=True, default=str).encode())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Train this run in the block while no other process does.

        Raises:
            UserError: another one still does after ten minutes.
        """
        with locks.held(self.folder.parent / _LOCK, "this run is being trained", seconds=_SECONDS_TO_WAIT):
            yield

    def save(self, state: State) -> None:
        """Replace the state."""
        from safetensors.numpy import save_file

        tensors = {
            "weights": state.weights,
            **{name: np.array(getattr(state.trajectory, name), dtype=np.float64) for name in _NUMBERS},
            **{_MODEL + name: array for name, array in state.model.items()},
        }
        metadata = {
            "identity": self._identity,
            "names": json.dumps(state.names),
            "resumed_at": json.dumps(state.resumed_at),
        }
        metadata["content"] = _content(tensors, metadata)
        with files.whole_file(self.folder / _STATE) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, temporary, metadata)

    def load(self) -> State | None:
        """Return the state to go on from.

        None if there is none that can be used: then what there is is removed, and the reason is printed.
        """
        from safetensors import SafetensorError

        if not self.folder.exists():
            return None
        try:
            state = self._load()
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            print(f"training from the start: {error}")
            shutil.rmtree(self.folder, ignore_errors=True)
            return None
        print(f"training goes on from iterate {state.iteration}")
        return state

    def peek(self) -> State | None:
        """Return the state to go on from and leave all as it is; None if there is none that can be used."""
        from safetensors import SafetensorError

        try:
            return self._load()
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def _load(self) -> State:
        from safetensors import safe_open

        with safe_open(self.folder / _STATE, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata.pop("content", None) != _content(tensors, metadata):
            raise ValueError("what an earlier one left is damaged")
        if metadata.get("identity") != self._identity:
            raise ValueError("what an earlier one left is of other parameters, data, versions or code")
        names = tuple(json.loads(metadata["names"]))
        for name in names:
            try:
                files.check(self.checkpoints / name)
            except (OSError, ValueError) as error:
                raise ValueError(f"checkpoint {name}, which an earlier one left, is damaged: {error}") from error
        return State(
            tensors["weights"],
            Trajectory(**{name: tensors[name].tolist() for name in _NUMBERS}),
            {name.removeprefix(_MODEL): array for name, array in tensors.items() if name.startswith(_MODEL)},
            names,
            tuple(json.loads(metadata["resumed_at"])),
        )


def forget(folder: str | Path) -> None:
    """Remove what the training of the run in ``folder`` left to be resumed from."""
    # The state first: without it the rest is nothing.
    (_folder(folder) / _STATE).unlink(missing_ok=True)
    shutil.rmtree(_folder(folder), ignore_errors=True)


def _folder(run: str | Path) -> Path:
    return Path(run) / "unfinished"


def _content(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@cache
def _source() -> str:
    """A digest of the code that trains and of the versions that it runs with."""
    folder = Path(__file__).parent
    sources = [folder.parents[1]]
    without = source_digest.NO_RESULT + source_digest.NOT_IN_TRAINING
    code = [source_digest.digest(folder / name, sources, without) for name in ("runs.py", "models.py")]
    return _digest(json.dumps([*code, provenance.versions()], sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
