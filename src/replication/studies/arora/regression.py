r"""Squared regression, ``f(x) = <u_+^2 - u_-^2, x>``: the limiting flows by projection.

The minima are ``X (u_+^2 - u_-^2) = y``: as many normal directions as samples, the rows of the Jacobian ``J = 2 [X
diag(u_+), -X diag(u_-)]`` of the residuals. There the Hessian of ``L = |residuals|^2 / (2N)`` is ``J^T J / N``; with v
the top eigenvector of ``J J^T`` (N x N) its largest eigenvalue is ``lambda_1 = |J^T v|^2 / N``, its eigenvector ``J^T
v`` and, where ``lambda_1`` is simple, ::

    d lambda_1 / d u_+ = (8/N) (X^T v)^2 u_+,    d lambda_1 / d u_- = (8/N) (X^T v)^2 u_-.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.descent import Descent
from gfsharp.regression import SquaredRegression
from replication.studies.arora.limiting_flow import integrate, tangent, velocity

Floats = NDArray[np.float64]


class Regression:
    """Squared regression on ``X`` (N, d) and ``y`` (N,); weights ``(u_+, u_-)`` of shape (n, 2d). See
    :class:`replication.studies.arora.problem.Problem`.

    Raises:
        ValueError: as :class:`gfsharp.regression.SquaredRegression`.

    >>> Regression([[1.0]], [2.0]).top(np.array([[1.5, 0.5]]))[0].round(9).tolist()  # 4 (u_+^2 + u_-^2)
    [10.0]
    """

    def __init__(self, X: ArrayLike, y: ArrayLike) -> None:
        self.model = SquaredRegression(X, y)
        self._signed = np.concatenate([self.model.X, -self.model.X], axis=1)

    def loss_and_gradient(self, w: Floats) -> tuple[Floats, Floats]:
        residuals = (w * w) @ self._signed.T - self.model.y
        loss = np.einsum("ij,ij->i", residuals, residuals) / (2 * self.model.samples)
        return loss, (residuals @ self._signed) * w * (2 / self.model.samples)

    def gradient_flow_solution(self, w: Floats) -> Floats:
        """As :meth:`replication.studies.arora.problem.Problem.gradient_flow_solution`; NaN without a certificate."""
        found = self.model.gradient_flow_solution(*_halves(w))
        solutions = np.concatenate([found.u_plus, found.u_minus], axis=1)
        return np.where(np.reshape(found.certified, (-1, 1)), solutions, np.nan)

    def sharpness(self, w: Floats) -> Floats:
        return self.model.sharpness(*_halves(w))

    def top(self, minima: Floats) -> tuple[Floats, Floats]:
        jacobian = self.jacobian(minima)
        finite = np.isfinite(jacobian).all(axis=(1, 2), keepdims=True)
        usable = np.where(finite, jacobian, 0.0)
        v = np.linalg.eigh(usable @ np.swapaxes(usable, 1, 2))[1][:, :, -1]
        images = np.einsum("nij,ni->nj", jacobian, v)
        sizes = np.linalg.norm(images, axis=1)
        return sizes**2 / self.model.samples, images / sizes[:, None]

    def jacobian(self, w: Floats) -> Floats:
        """Return the Jacobian of the residuals, shape (n, N, 2d)."""
        return 2 * self._signed * w[:, None, :]

    def gradient_of_top(self, minimum: Floats) -> tuple[float, Floats]:
        """Return ``lambda_1`` of ``J^T J / N`` at one point and its gradient, shape (2d,); it must be simple."""
        jacobian = self.jacobian(minimum[None])[0]
        values, vectors = np.linalg.eigh(jacobian @ jacobian.T)
        weights = (vectors[:, -1] @ self._signed) ** 2
        return values[-1] / self.model.samples, 8 / self.model.samples * weights * minimum

    def limiting_flow(self, descent: Descent, start: Floats, times: Floats) -> Floats:
        """As :meth:`replication.studies.arora.problem.Problem.limiting_flow`."""

        def field(w: Floats) -> Floats:
            largest, gradient = self.gradient_of_top(w)
            return velocity(descent, largest, tangent(self.jacobian(w[None])[0], gradient))

        return integrate(field, start, times)


def _halves(w: Floats) -> tuple[Floats, Floats]:
    half = w.shape[1] // 2
    return w[:, :half], w[:, half:]
