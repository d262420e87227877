r"""The valley ``L(x, y) = (1 + x^2) y^2``: all of it in closed form.

Its minima are ``y = 0``, with sharpness ``lambda_1 = 2 (1 + x^2)`` and the one normal direction y. Along gradient flow
``dx/dy = x y / (1 + x^2)``, which keeps ``log|x| + x^2/2 - y^2/2``; so it ends at ``x^2 = W(x_0^2 exp(x_0^2 - y_0^2))``
with Lambert's W. The limiting flows are

    sqrt:        dx/dtau = -x / 2                x = x_0 exp(-tau / 2)
    normalised:  dx/dtau = -x / (2 (1 + x^2))    x^2 = W(x_0^2 exp(x_0^2 - tau)).

Not in the paper as far as its abstract shows; the smallest example of what it states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.descent import Descent
from gfsharp.spectrum import largest_eigenvalue

Floats = NDArray[np.float64]


class Valley:
    """``L(x, y) = (1 + x^2) y^2``; weights ``(x, y)`` of shape (n, 2). See
    :class:`replication.studies.arora.problem.Problem`.

    >>> valley = Valley()
    >>> valley.gradient_flow_solution(np.array([[1.5, 0.0], [1.5, 1.0]])).round(4).tolist()
    [[1.5, 0.0], [1.2627, 0.0]]
    """

    def loss_and_gradient(self, w: Floats) -> tuple[Floats, Floats]:
        x, y = w[:, 0], w[:, 1]
        width = 1 + x * x
        gradient = np.empty_like(w)
        gradient[:, 0] = 2 * x * y * y
        gradient[:, 1] = 2 * width * y
        return width * y * y, gradient

    def gradient_flow_solution(self, w: Floats) -> Floats:
        x, y = w[:, 0], w[:, 1]
        return _on_axis(np.sign(x) * _falling(np.abs(x), y * y))

    def sharpness(self, w: Floats) -> Floats:
        x, y = w[:, 0], w[:, 1]
        rows = [np.stack(row, axis=-1) for row in ((2 * y * y, 4 * x * y), (4 * x * y, 2 * (1 + x * x)))]
        return largest_eigenvalue(np.stack(rows, axis=-2))

    def top(self, minima: Floats) -> tuple[Floats, Floats]:
        return 2 * (1 + minima[:, 0] ** 2), np.broadcast_to([0.0, 1.0], minima.shape)

    def limiting_flow(self, descent: Descent, start: Floats, times: Floats) -> Floats:
        """As :meth:`replication.studies.arora.problem.Problem.limiting_flow`; ``start`` is ``(x, 0)``.

        >>> flow = Valley().limiting_flow
        >>> [round(float(flow(descent, [1.5, 0.0], [1.0])[0, 0]), 4) for descent in ("normalised", "sqrt")]
        [1.2627, 0.9098]
        """
        x, tau = float(start[0]), np.asarray(times, dtype=np.float64)
        if descent == "sqrt":
            return _on_axis(x * np.exp(-tau / 2))
        if descent == "normalised":
            return _on_axis(np.sign(x) * _falling(abs(x), tau))
        raise ValueError(f"there is no limiting flow of {descent!r} descent, only of 'normalised' and 'sqrt'")


def _falling(x: ArrayLike, by: ArrayLike) -> Floats:
    """Return the positive z with ``log z + z^2/2 = log x + x^2/2 - by/2``.

    That is ``z^2 = W(e^a)`` with ``a = log x^2 + x^2 - by``: by Newton's method on ``u = log z^2``, for which ``u + e^u
    = a``, so that no exponential overflows.
    """
    x = np.asarray(x, dtype=np.float64)
    with np.errstate(divide="ignore"):
        a = np.asarray(2 * np.log(x) + x * x - by)
    u = np.where(a > 1, np.log(np.maximum(a, 1.0)), a)
    for _ in range(60):
        grown = np.exp(u)
        with np.errstate(invalid="ignore"):
            step = np.where(np.isfinite(a), (u + grown - a) / (1 + grown), 0.0)
        u = u - step
        if not (np.abs(step) > 1e-15 * np.maximum(1.0, np.abs(u))).any():
            break
    return np.exp(u / 2)


def _on_axis(x: Floats) -> Floats:
    return np.stack([x, np.zeros_like(x)], axis=-1)
