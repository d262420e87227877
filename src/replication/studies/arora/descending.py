"""Many runs of a descent side by side, for as many steps as a small step size takes.

A run to ``tau = 1`` takes ``1/eta^2`` steps. :func:`gfsharp.descent.gradient_descent` takes them one by one; here the
runs of both methods, of all starts and step sizes take each step together, which costs little more than one of them,
and only the iterates that are asked for are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfsharp.descent import Descent
from replication.studies.arora.problem import Problem

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One run that is asked for.

    Attributes:
        descent: plain, normalised or sqrt.
        learning_rate: the step size eta.
        start: shape (k,).
        kept: numbers of the iterates to keep, ascending, shape (m,); the last one ends the run.
    """

    descent: Descent
    learning_rate: float
    start: Floats
    kept: Integers


@dataclass(frozen=True)
class Iterates:
    """What is kept of a run.

    Attributes:
        weights: the iterates asked for, shape (m, k).
        turn: the first iterate whose gradient points against that of the one before, the end of phase one; -1 if there
            was none.
        turned: that iterate, shape (k,); NaN if there was none.
    """

    weights: Floats
    turn: int
    turned: Floats


def step(problem: Problem, w: Floats, descents: Sequence[Descent], learning_rates: Floats) -> Floats:
    """Return the points (n, k) after one step each: those of :func:`gfsharp.descent.gradient_descent`.

    Where the gradient, or for ``sqrt`` the loss, is zero there is no step.

    Args:
        descents: a method per point.
        learning_rates: eta per point, shape (n,).
    """
    return _Stepper(descents, learning_rates)(w, *problem.loss_and_gradient(w))


def descend(problem: Problem, runs: Sequence[Run]) -> list[Iterates]:
    """Return the kept iterates of each run; those of a run that diverged are NaN or infinite."""
    found = [np.full((len(run.kept), len(run.start)), np.nan) for run in runs]
    turns = np.full(len(runs), -1)
    turned = np.full((len(runs), len(runs[0].start)), np.nan) if runs else np.empty((0, 0))
    places = [0] * len(runs)
    rows = list(range(len(runs)))
    w = np.array([run.start for run in runs], dtype=np.float64)
    before: Floats | None = None
    iteration = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while len(rows):
            # Runs that are done go, so that the longest ones go on alone.
            going = [place for place, row in enumerate(rows) if places[row] < len(runs[row].kept)]
            if not going:
                break
            if len(going) < len(rows):
                rows, w = [rows[place] for place in going], w[going]
                before = None if before is None else before[going]
            take = _Stepper([runs[row].descent for row in rows], np.array([runs[row].learning_rate for row in rows]))
            following = min(int(runs[row].kept[places[row]]) for row in rows)
            while iteration < following:
                loss, gradient = problem.loss_and_gradient(w)
                if (turns[rows] < 0).any():
                    before = _note_turns(iteration, rows, w, gradient, before, turns, turned)
                    w = take(w, loss, gradient)
                    iteration += 1
                    continue
                for _ in range(following - iteration):
                    w = take(w, loss, gradient)
                    loss, gradient = problem.loss_and_gradient(w)
                iteration = following
            for place, row in enumerate(rows):
                if runs[row].kept[places[row]] == iteration:
                    found[row][places[row]] = w[place]
                    places[row] += 1
    return [Iterates(weights, int(turn), point) for weights, turn, point in zip(found, turns, turned, strict=True)]


def _note_turns(
    iteration: int,
    rows: list[int],
    w: Floats,
    gradient: Floats,
    before: Floats | None,
    turns: Integers,
    turned: Floats,
) -> Floats:
    if before is not None:
        new = (np.einsum("ij,ij->i", gradient, before) < 0) & (turns[rows] < 0)
        turning = np.array(rows)[new]
        turns[turning] = iteration
        turned[turning] = w[new]
    return gradient


class _Stepper:
    """Steps ``w - eta_t grad L`` with ``eta_t = eta / sqrt(a + b |grad L|^2 + 4 c L)``; of a, b and c one is 1."""

    def __init__(self, descents: Sequence[Descent], learning_rates: Floats) -> None:
        kinds = np.array(descents)
        unknown = set(descents) - {"plain", "normalised", "sqrt"}
        if unknown:
            raise ValueError(f"unknown descent {unknown.pop()!r}: plain, normalised or sqrt")
        self.plain, self.by_norm, self.by_loss = (
            factor * (kinds == name) for name, factor in (("plain", 1.0), ("normalised", 1.0), ("sqrt", 4.0))
        )
        self.learning_rates = np.asarray(learning_rates, dtype=np.float64)

    def __call__(self, w: Floats, loss: Floats, gradient: Floats) -> Floats:
        square = self.by_norm * np.einsum("ij,ij->i", gradient, gradient)
        square += self.by_loss * loss
        square += self.plain
        np.sqrt(square, out=square)
        # What is zero is so beside a gradient that is zero too: dividing by one leaves the point where it is.
        square[square == 0] = 1.0
        return w - (self.learning_rates / square)[:, None] * gradient
