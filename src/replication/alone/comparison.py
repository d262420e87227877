"""Do a device and a processor agree? Loss, gradient and GFS sharpness at one checkpoint, on both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from replication.alone.clock import Clock, TimeIsUp
from replication.alone.costs import measure
from replication.alone.work import Work, watch
from replication.training import models
from replication.training.models import GFSPoint, Model


@dataclass(frozen=True)
class Difference:
    """One quantity at one checkpoint, on the device and elsewhere.

    Attributes:
        experiment, run, checkpoint: where.
        quantity: ``loss``, ``gradient`` (of which the norms are shown) or ``gfs_sharpness``.
        device, reference: where and in which precision the two were computed.
        value, reference_value: what they are.
        relative: their difference; of the gradient, the norm of the difference over that of the reference.
        error: what the two values state of their errors, relative, together; NaN where they state none.
    """

    experiment: str
    run: str
    checkpoint: str
    quantity: str
    device: str
    reference: str
    value: float
    reference_value: float
    relative: float
    error: float

    def row(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def in_words(self) -> str:
        """Return a line that says it."""
        stated = "" if np.isnan(self.error) else f", the errors that they state {self.error:.2g}"
        return (
            f"{self.experiment}/{self.run}: {self.quantity} from {self.checkpoint}: {self.value:.8g} on {self.device}, "
            f"{self.reference_value:.8g} on {self.reference}: relative difference {self.relative:.2g}{stated}"
        )


def references(device: str, precision: str) -> list[tuple[str, str]]:
    """Return what a device is compared with, the nearest first: the processor in the same precision, and in float64.

    >>> references("cuda", "float32"), references("cpu", "float32"), references("cpu", "float64")
    ([('cpu', 'float32'), ('cpu', 'float64')], [('cpu', 'float64')], [])
    """
    return [pair for pair in dict.fromkeys([("cpu", precision), ("cpu", "float64")]) if pair != (device, precision)]


def of_gradients(work: Work, path: Path) -> Iterator[Difference]:
    """Yield loss and gradient at a checkpoint, held against each reference."""
    here = _placed(work)
    if here is None:
        return
    value, gradient = _loss_and_gradient(work.job.model, work.weights(path))
    for device, precision in references(*here):
        other, there = _loss_and_gradient(_elsewhere(work, precision), work.weights(path))
        labels = (work.run.experiment, work.run.name, path.stem)
        places = (" ".join(here), f"{device} {precision}")
        apart = abs(value - other) / abs(other) if other else abs(value - other)
        yield Difference(*labels, "loss", *places, value, other, apart, np.nan)
        norms = float(np.linalg.norm(gradient)), float(np.linalg.norm(there))
        distance = float(np.linalg.norm(gradient - there))
        yield Difference(*labels, "gradient", *places, *norms, distance / norms[1] if norms[1] else distance, np.nan)


def of_gfs_sharpness(work: Work, path: Path, clock: Clock) -> Difference | None:
    """Return the known GFS sharpness of a checkpoint, held against the nearest reference; None without time for it.

    The expected time is that of as many gradients and products as the device took, each measured first.
    """
    here = _placed(work)
    known = work.points().get(path.name)
    if here is None or known is None or not references(*here):
        return None
    device, precision = references(*here)[0]
    model = _elsewhere(work, precision)
    cost = measure(model)
    cost.note(path.name, known)
    expected = cost.work[path.name]
    if expected > clock.left:
        print(f"{work.name}: no time for its GFS sharpness on {device} {precision}: {expected:.0f} s", flush=True)
        return None
    watch(model, clock)
    began = time.monotonic()
    try:
        with clock.allotting(clock.left):
            (point,) = model.gfs(work.weights(path)[None])
    except TimeIsUp:
        print(f"{work.name}: its GFS sharpness on {device} {precision} was given up, the time being up", flush=True)
        return None
    print(f"{work.name}: a flow on {device} {precision} took {time.monotonic() - began:.1f} s", flush=True)
    ours = float(known["gfs_sharpness"])
    return Difference(
        work.run.experiment, work.run.name, path.stem, "gfs_sharpness", " ".join(here), f"{device} {precision}",
        ours, point.gfs_sharpness, abs(ours - point.gfs_sharpness) / abs(point.gfs_sharpness),
        (float(known["gfs_error"]) + _error(point)) / abs(point.gfs_sharpness),
    )  # fmt: skip


def _error(point: GFSPoint) -> float:
    return float(point.row()["gfs_error"])


def _placed(work: Work) -> tuple[str, str] | None:
    """Where the run's model is and in which precision; None of one that is no network."""
    if "precision" not in work.run.parameters:
        return None
    initial: Any = work.job.model.initial
    return initial.device.type, str(work.run.parameters["precision"])


def _elsewhere(work: Work, precision: str) -> Model:
    """The same model on the processor; what a user's factory drew for the first one it might not draw again."""
    parameters = {**work.run.parameters, "precision": precision}
    return models.build(parameters, work.job.arrays, device="cpu", constants=work.job.model.constants())


def _loss_and_gradient(model: Model, weights: Any) -> tuple[float, Any]:
    loss, gradient = model.loss_and_gradient(model.from_numpy(weights))
    return float(loss), model.to_numpy(gradient).astype(np.float64)
