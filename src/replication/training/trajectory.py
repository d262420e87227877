"""Gradient descent on a model, and what is measured at each iterate. Nothing here reads or writes a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gfsharp.descent import Descent, Iterate, Status, gradient_descent
from replication.training.models import Array, Model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Plan:
    """When a run ends, and at which iterates something is measured or kept.

    Attributes:
        loss_tolerance, max_iterations: a loss and a number of steps, where the run ends.
        sharpness_every: the sharpness is estimated at the multiples of this number and at the last iterate; None for
            nowhere.
        checkpoint_every: the checkpoints are the iterates at the multiples of this number and, unless the run diverged,
            the last.
        descent: what eta is the step size of: see :func:`gfsharp.descent.gradient_descent`.
    """

    loss_tolerance: float
    max_iterations: int
    sharpness_every: int | None = None
    checkpoint_every: int = 1
    descent: Descent = "plain"

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """Return the plan that the parameters of a run ask for."""
        return cls(
            parameters["stop"]["loss"],
            parameters["stop"]["iterations"],
            parameters["sharpness_every"],
            parameters["checkpoint_every"],
            parameters.get("descent", "plain"),
        )


@dataclass(frozen=True)
class Point(Iterate[Any]):
    """An iterate with what is measured there.

    Attributes:
        sharpness: NaN where it is not estimated, as where the run diverged.
        is_checkpoint: whether it is one.
    """

    sharpness: float
    is_checkpoint: bool


def follow(
    model: Model, learning_rate: float, plan: Plan, *, weights: Array | None = None, reached: int = -1
) -> Iterator[Point]:
    """Yield the iterates of gradient descent, the start included, until the run ends.

    Args:
        model: whose loss falls.
        learning_rate: the step size eta.
        plan: when the run ends, and what is measured.
        weights: where to begin, shape (P,); the model's own start for None.
        reached: the number of the iterate ``weights``, of a run that goes on after it; -1 of a run that begins. What
            the model's answers depend on besides (:meth:`replication.training.models.Model.state`) is restored first.
    """
    iterates = gradient_descent(
        model.loss_and_gradient,
        model.from_numpy(model.to_numpy(model.initial) if weights is None else weights),
        learning_rate,
        loss_tolerance=plan.loss_tolerance,
        max_iterations=plan.max_iterations,
        first_iteration=max(reached, 0),
        descent=plan.descent,
    )
    if reached >= 0:
        next(iterates)  # known already
    for iterate in iterates:
        sharpness = model.sharpness(iterate.weights) if _is_due(iterate, plan.sharpness_every) else math.nan
        yield Point(**vars(iterate), sharpness=sharpness, is_checkpoint=_is_due(iterate, plan.checkpoint_every))


def _is_due(iterate: Iterate[Any], every: int | None) -> bool:
    if every is None or iterate.status == "diverged":
        return False
    return iterate.status != "running" or iterate.iteration % every == 0


@dataclass
class Trajectory:
    """The numbers of a run up to some iterate, each a list by iterate.

    Attributes:
        losses, sharpness, rates: as in :class:`Point`; the rates are the effective learning rates.
        status: of the last iterate.
    """

    losses: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    status: Status = "running"

    def add(self, point: Point) -> None:
        """Take the next iterate in."""
        self.losses.append(point.loss)
        self.sharpness.append(point.sharpness)
        self.rates.append(point.learning_rate)
        self.status = point.status

    def table(self, learning_rate: float) -> pd.DataFrame:
        """Return a row per iterate.

        The columns are ``iteration``, ``loss``, ``sharpness``, ``learning_rate`` (the step size eta), ``threshold``
        and ``status``. The threshold is the sharpness up to which a step is stable, 2 over the effective learning
        rate: 2/eta, but for the other kinds of descent, where it changes on the way; infinite where there is no step,
        at a critical point.
        """
        import pandas as pd

        status = ["running"] * (len(self.losses) - 1) + [self.status]
        with np.errstate(divide="ignore"):
            thresholds = 2 / np.array(self.rates)
        return pd.DataFrame(
            {
                "iteration": range(len(self.losses)),
                "loss": self.losses,
                "sharpness": self.sharpness,
                "status": status,
                "learning_rate": learning_rate,
                "threshold": thresholds,
            }
        )
