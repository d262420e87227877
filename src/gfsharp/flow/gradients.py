"""Gradients of a loss, counted against a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gfsharp import derivatives
from gfsharp.curvature import Loss, hessian_vector_product
from gfsharp.lanczos import Product

Failure = Literal["budget", "not finite", "negative loss", "negative curvature", "stationary", "unstable"]

# Points this far apart, relative to the scale of the weights that move, give a Hessian-vector product to some three
# digits in float32, and one that is averaged over the kinks of hardtanh and ReLU that a step crosses too.
_DIFFERENCE = 1e-4
# ... and no nearer than so many roundings of the weights.
_ROUNDINGS = 100


class FlowEnded(Exception):  # noqa: N818 - not an error: a status that the result carries
    """The flow cannot be followed further; ``status`` says why."""

    def __init__(self, status: Failure) -> None:
        super().__init__(status)
        self.status: Failure = status


@dataclass(frozen=True)
class Point:
    """A point of the flow: weights (P,), the loss, and the velocity ``-grad L`` (P,)."""

    weights: Tensor
    loss: float
    velocity: Tensor

    @property
    def speed(self) -> float:
        """``|grad L|``, whose square is the rate at which the loss falls."""
        return float(self.velocity.norm())

    @property
    def slowest_curvature(self) -> float:
        """``|grad L|^2 / 4L``, half of what the curvature is at least if the loss is quadratic with minimum zero."""
        return self.speed**2 / (4 * self.loss) if self.loss > 0 else 0.0

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and bool(torch.isfinite(self.velocity).all())


class Gradients:
    """The velocity of the flow of ``loss``, and its Hessian.

    Raises :class:`FlowEnded` where the next gradient or product would pass the budget.
    """

    def __init__(self, loss: Loss, budget: int) -> None:
        self.loss = loss
        self.budget = budget
        self.count = 0
        self.products = 0

    @property
    def work(self) -> int:
        """Gradients and Hessian-vector products so far."""
        return self.count + self.products

    @property
    def left(self) -> int:
        """How many more are within the budget."""
        return self.budget - self.work

    def require(self, count: int) -> None:
        """Stop unless so many more are within the budget: a step begun in vain is not begun."""
        if count > self.left:
            raise FlowEnded("budget")

    def velocity(self, weights: Tensor) -> Tensor:
        """Return ``-grad L(w)``; nothing is read back from the device."""
        self.require(1)
        self.count += 1
        return -derivatives.value_and_gradient(self.loss, weights)[1]

    def point(self, weights: Tensor) -> Point:
        """Return the point of the flow at ``weights``."""
        self.require(1)
        self.count += 1
        value, gradient = derivatives.loss_and_gradient(self.loss, weights)
        return Point(weights, value, -gradient)

    def hessian_product(self, point: Point) -> Product:
        """Return ``v -> Hessian L(w) v``, exact; the gradient that it differentiates counts too."""
        self.require(1)
        self.count += 1
        product = hessian_vector_product(self.loss, point.weights)

        def counted(vector: Tensor) -> Tensor:
            self.require(1)
            self.products += 1
            return product(vector)

        return counted

    def curvature_along(self, point: Point, direction: Tensor, scale: float) -> Tensor:
        """Return the Hessian times a unit vector, from the difference of two gradients: one more of them.

        ``scale`` is the length that is the unit of their distance (:class:`gfsharp.flow.scale.Scale`).
        """
        rounding = _ROUNDINGS * torch.finfo(point.weights.dtype).eps * float(point.weights.norm())
        distance = max(_DIFFERENCE * scale, rounding) or 1.0
        return (point.velocity - self.velocity(point.weights.add(direction, alpha=distance))).div_(distance)
