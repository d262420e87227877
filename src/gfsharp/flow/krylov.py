"""Gradient flow where the loss is nearly quadratic: exponential steps in a Krylov space.

With the Hessian H at a point held fixed, the displacement d obeys ``d' = -(g + H d)``: ``d(t) = -t phi_1(-t H) g``,
``phi_1(z) = (e^z - 1)/z``. In the Krylov space of H and g (:class:`gfsharp.lanczos.Lanczos`) that is a function of a
small tridiagonal matrix, at every t for the same products. The space sees the spectrum as it is: gradients that are
left of a flow lie in slow directions, and where a few eigenvalues stand apart it takes them out one by one, so that a
step of length t takes far fewer products than the ``sqrt(t sharpness)`` of a method that knows the spectrum's end
alone.

What the quadratic model leaves out is measured at the step's end and corrected: the exponential Rosenbrock method of
orders 2 and 3 of Hochbruck, Ostermann and Schweitzer (SIAM J. Numer. Anal. 47, 2009), ``exprb32``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gfsharp.flow.gradients import Point
from gfsharp.lanczos import Lanczos, Product

Array = NDArray[np.float64]


class LinearFlow:
    """Gradient flow of the quadratic model of the loss at ``point``.

    Args:
        product: ``v -> H v`` at the point.
        point: where the model is made; the gradient must not vanish.
        size: the most products.
    """

    def __init__(self, product: Product, point: Point, size: int) -> None:
        self.space = Lanczos(product, point.velocity, size)
        self._loss = point.loss
        self._speed = point.speed

    def extend(self, time: float, tolerance: float) -> None:
        """Take products until :meth:`defect` is within the tolerance, or there is no room for more."""
        while not self.space.full and not (self.space.products and self.defect(time) <= tolerance):
            for _ in range(1 + self.space.products // 16):  # what is asked above takes a while too
                if not self.space.full:
                    self.space.extend()

    def displacement(self, time: float) -> Tensor:
        """Return ``d(t)``, shape (P,)."""
        return self.space.combine(self._coordinates(time))

    def velocity(self, time: float) -> Tensor:
        """Return the model's ``-(g + H d(t))``, shape (P,)."""
        space = self.space
        inside = space.vectors @ (np.exp(-time * space.values) * self._start)
        return space.combine(inside).sub_(space.following, alpha=space.beta * float(self._coordinates(time)[-1]))

    def loss(self, time: float) -> float:
        """Return the model's loss ``L + g d + d H d / 2`` at ``d(t)``."""
        modes = self._modes(time)
        return self._loss - float(self._start @ modes) + 0.5 * float(modes @ (self.space.values * modes))

    def defect(self, time: float) -> float:
        """What is wrong with ``d(t)`` for want of products: t times the velocity that leads out of the space."""
        return time * self.space.beta * abs(float(self._coordinates(time)[-1]))

    def correction(self, time: float, remainder: Tensor) -> Tensor:
        """Return ``2 t phi_3(-t H) r`` for the remainder r, shape (P,): the velocity at the end less the model's.

        Outside the space H counts as the median of the eigenvalues inside, which underrates what is flatter there.
        """
        space = self.space
        inside = space.coordinates(remainder)
        outside = remainder - space.combine(inside)
        median = max(float(np.median(space.values)), 0.0)
        kept = space.vectors @ (2 * time * _phi3(time * space.values) * (space.vectors.T @ inside))
        return space.combine(kept).add_(outside, alpha=2 * time * float(_phi3(np.array(time * median))))

    @property
    def _start(self) -> Array:
        return self._speed * self.space.vectors[0]

    def _modes(self, time: float) -> Array:
        return time * _phi1(time * self.space.values) * self._start

    def _coordinates(self, time: float) -> Array:
        result: Array = self.space.vectors @ self._modes(time)
        return result


def _phi1(z: Array) -> Array:
    """``phi_1(-z) = (1 - e^-z)/z``."""
    small = np.abs(z) < 1e-8
    return np.where(small, 1 - z / 2, -np.expm1(-z) / np.where(small, 1.0, z))


def _phi3(z: Array) -> Array:
    """``phi_3(-z) = (1/2 - (1 - phi_1(-z))/z)/z``, by its series where that cancels."""
    small = np.abs(z) < 0.1
    safe = np.where(small, 1.0, z)
    series = 1 / 6 - z / 24 * (1 - z / 5 * (1 - z / 6 * (1 - z / 7)))
    return np.where(small, series, (0.5 - (1 - _phi1(safe)) / safe) / safe)
