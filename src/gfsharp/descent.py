r"""Gradient descent, ``w <- w - eta grad L(w)`` (Section 1), and two kin of it, on any of the models, NumPy or torch.

The kin are those of Arora et al. (2022): normalised gradient descent and gradient descent on the square root of the
loss. Both step along ``-grad L`` as gradient descent does, with an effective learning rate that changes on the way:
see :func:`effective_learning_rate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np

Status = Literal["running", "converged", "out of iterations", "diverged"]

Descent = Literal["plain", "normalised", "sqrt"]

# Edge-of-stability oscillations stay far below this; what passes it overflows within a few steps.
DIVERGED_LOSS = 1e12


class Vector(Protocol):
    """What gradient descent asks of weights: NumPy arrays and torch tensors have it."""

    def __sub__(self, other: Self, /) -> Self: ...
    def __mul__(self, other: Self, /) -> Self: ...
    def __rmul__(self, factor: float, /) -> Self: ...


V = TypeVar("V", bound=Vector)


@dataclass(frozen=True)
class Iterate(Generic[V]):
    """One iterate.

    Attributes:
        iteration: its number.
        weights: ``w``.
        loss: there.
        status: ``running`` or, for the last one, why the run ended.
        learning_rate: the effective learning rate of the step from here: see :func:`effective_learning_rate`.
    """

    iteration: int
    weights: V
    loss: float
    status: Status
    learning_rate: float


def effective_learning_rate(
    descent: Descent, learning_rate: float, loss: float, gradient: Any, least_loss: float = 0.0
) -> float:
    r"""Return the ``eta_t`` of a step ``w - eta_t grad L(w)``.

    It is ``eta`` (plain), ``eta / |grad L|`` (normalised) or ``eta / (2 sqrt(L - min L))`` (sqrt: ``grad sqrt(L - min
    L) = grad L / (2 sqrt(L - min L))``); Arora et al. (2022). Where the gradient of either is zero there is no step:
    the effective learning rate is then 0.

    Args:
        learning_rate: eta.
        loss: L.
        gradient: ``grad L``, a NumPy array or torch tensor of any shape, or a number.
        least_loss: ``min L``, for sqrt alone: NaN where L is below it or not a number.

    >>> [effective_learning_rate(descent, 0.1, 4.0, 8.0) for descent in ("plain", "normalised", "sqrt")]
    [0.1, 0.0125, 0.025]
    """
    if descent == "plain":
        return learning_rate
    if descent == "sqrt":
        above = loss - least_loss
        if not above > 0:
            return 0.0 if above == 0 else math.nan
        return learning_rate / (2 * math.sqrt(above))
    if descent != "normalised":
        raise ValueError(f"unknown descent {descent!r}: plain, normalised or sqrt")
    norm = _norm(gradient)
    return learning_rate / norm if norm else 0.0


def gradient_descent(
    loss_and_gradient: Callable[[V], tuple[float, V]],
    weights: V,
    learning_rate: float,
    *,
    loss_tolerance: float,
    max_iterations: int,
    first_iteration: int = 0,
    descent: Descent = "plain",
    least_loss: float = 0.0,
) -> Iterator[Iterate[V]]:
    """Yield the iterates of gradient descent, the start included, until the run ends.

    It ends when the loss is at most ``loss_tolerance`` (``converged``), after ``max_iterations`` steps (``out of
    iterations``), or when the loss is not finite or above ``DIVERGED_LOSS`` (``diverged``: a result, not an error).

    Args:
        loss_and_gradient: maps weights to the loss and its gradient.
        weights: the start.
        learning_rate: the step size eta.
        loss_tolerance: a loss; 0 or more.
        first_iteration: the number of the start, for a run that goes on from there.
        descent: what eta is the step size of: the loss (``plain``), the loss with its gradient normalised, or the
            square root of the loss (Arora et al., 2022).
        least_loss: ``min L``, which ``sqrt`` takes from the loss; 0 where there is an interpolating minimum, as in all
            experiments here.

    Raises:
        ValueError: a learning rate that is not positive and finite, or a loss below the least under ``sqrt``.

    >>> run = gradient_descent(lambda w: (w**2, 2 * w), 1.0, 0.25, loss_tolerance=0.01, max_iterations=10)
    >>> [(iterate.iteration, iterate.weights, iterate.status) for iterate in run][-2:]
    [(3, 0.125, 'running'), (4, 0.0625, 'converged')]

    The other two step by eta however small the loss is, and so never settle:

    >>> settings = {"loss_tolerance": 0.0, "max_iterations": 4, "descent": "normalised"}
    >>> [iterate.weights for iterate in gradient_descent(lambda w: (w**2, 2 * w), 0.875, 0.25, **settings)]
    [0.875, 0.625, 0.375, 0.125, -0.125]
    """
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"the learning rate must be positive and finite, found {learning_rate!r}")
    iteration = first_iteration
    while True:
        loss, gradient = loss_and_gradient(weights)
        status = _status(loss, iteration, loss_tolerance, max_iterations)
        if descent == "sqrt" and loss < least_loss:
            raise ValueError(
                f"the loss is {loss!r} at iterate {iteration}: its root needs one of {least_loss:g} or more"
            )
        rate = effective_learning_rate(descent, learning_rate, loss, gradient, least_loss)
        yield Iterate(iteration, weights, loss, status, rate)
        if status != "running":
            return
        weights = weights - rate * gradient
        iteration += 1


def _norm(gradient: Any) -> float:
    """Return the Euclidean norm: of a tensor summed in float64; of tiny numbers without underflow."""
    if hasattr(gradient, "is_cuda"):
        from gfsharp import sums

        return sums.norm(gradient.flatten())
    with np.errstate(over="ignore", under="ignore"):
        square = gradient * gradient
    total = float(square.sum() if hasattr(square, "sum") else square)
    return math.sqrt(total) if 1e-280 < total < math.inf else math.hypot(*_flat(gradient))


def _flat(gradient: Any) -> list[float]:
    return gradient.ravel().tolist() if hasattr(gradient, "ravel") else [float(gradient)]


def _status(loss: float, iteration: int, loss_tolerance: float, max_iterations: int) -> Status:
    if not loss <= DIVERGED_LOSS:
        return "diverged"
    if loss <= loss_tolerance:
        return "converged"
    return "out of iterations" if iteration >= max_iterations else "running"
