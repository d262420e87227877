"""Gradient descent, ``w <- w - eta grad L(w)`` (Section 1), on any of the models, NumPy or torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Self, TypeVar

Status = Literal["running", "converged", "out of iterations", "diverged"]

# Edge-of-stability oscillations stay far below this; what passes it overflows within a few steps.
DIVERGED_LOSS = 1e12


class Vector(Protocol):
    """What gradient descent asks of weights: NumPy arrays and torch tensors have it."""

    def __sub__(self, other: Self, /) -> Self: ...
    def __rmul__(self, factor: float, /) -> Self: ...


V = TypeVar("V", bound=Vector)


@dataclass(frozen=True)
class Iterate(Generic[V]):
    """One iterate: its number, weights ``w``, loss there, and ``running`` or, for the last one, why the run ended."""

    iteration: int
    weights: V
    loss: float
    status: Status


def gradient_descent(
    loss_and_gradient: Callable[[V], tuple[float, V]],
    weights: V,
    learning_rate: float,
    *,
    loss_tolerance: float,
    max_iterations: int,
    first_iteration: int = 0,
) -> Iterator[Iterate[V]]:
    """Yield the iterates of gradient descent, the start included, until the run ends.

    It ends when the loss is at most ``loss_tolerance`` (``converged``), after ``max_iterations`` steps (``out of
    iterations``), or when the loss is not finite or above ``DIVERGED_LOSS`` (``diverged``: a result, not an error).

    Args:
        loss_and_gradient: maps weights to the loss and its gradient.
        weights: the start.
        learning_rate: the step size eta.
        first_iteration: the number of the start, for a run that goes on from there.

    Raises:
        ValueError: a learning rate that is not positive and finite.

    >>> run = gradient_descent(lambda w: (w**2, 2 * w), 1.0, 0.25, loss_tolerance=0.01, max_iterations=10)
    >>> [(iterate.iteration, iterate.weights, iterate.status) for iterate in run][-2:]
    [(3, 0.125, 'running'), (4, 0.0625, 'converged')]
    """
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"the learning rate must be positive and finite, found {learning_rate!r}")
    iteration = first_iteration
    while True:
        loss, gradient = loss_and_gradient(weights)
        status = _status(loss, iteration, loss_tolerance, max_iterations)
        yield Iterate(iteration, weights, loss, status)
        if status != "running":
            return
        weights = weights - learning_rate * gradient
        iteration += 1


def _status(loss: float, iteration: int, loss_tolerance: float, max_iterations: int) -> Status:
    if not loss <= DIVERGED_LOSS:
        return "diverged"
    if loss <= loss_tolerance:
        return "converged"
    return "out of iterations" if iteration >= max_iterations else "running"
