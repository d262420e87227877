r"""The scalar network ``L(w) = (prod_i w_i - 1)^2 / 2``: its limiting flows, in closed form at depth 2.

At a minimum the Hessian is ``n n^T`` with ``n = 1/w`` (equation 4 of Kreisler et al.): one normal direction, ``lambda_1
= sum_i 1/w_i^2``. With ``a_i = log|w_i|``, ``p_i = 1/w_i^2`` and ``M = sum p^2 / sum p`` the flows are

    sqrt:        da_i/dtau = (p_i^2 - p_i M) / 4
    normalised:  da_i/dtau = (p_i^2 - p_i M) / (2 sum p),

which keep ``sum_i a_i = 0``. At depth 2, ``w = (e^s, e^-s)``, with ``u = 2 s``::

    sqrt:        sinh u = sinh(u_0) exp(-tau / 2)
    normalised:  log tanh(|u|/2) + cosh u = log tanh(|u_0|/2) + cosh u_0 - tau / 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root

from gfsharp import scalar
from gfsharp.descent import Descent
from replication.studies.arora.limiting_flow import integrate, velocity

Floats = NDArray[np.float64]


class Scalar:
    """A scalar network of any depth D; weights of shape (n, D), none of them zero. See
    :class:`replication.studies.arora.problem.Problem`.

    >>> Scalar().top(np.array([[2.0, 0.5]]))[0].tolist()
    [4.25]
    """

    def loss_and_gradient(self, w: Floats) -> tuple[Floats, Floats]:
        # As gfsharp.scalar.loss and gfsharp.scalar.gradient, which take other care and, of a few networks, ten times as
        # long.
        product = np.multiply.reduce(w, axis=1)
        residual = product - 1.0
        return 0.5 * residual * residual, (residual * product)[:, None] / w

    def gradient_flow_solution(self, w: Floats) -> Floats:
        return scalar.gradient_flow_solution(w)

    def sharpness(self, w: Floats) -> Floats:
        return scalar.sharpness(w)

    def top(self, minima: Floats) -> tuple[Floats, Floats]:
        normals = 1 / minima
        squares = np.sum(normals**2, axis=1)
        return squares, normals / np.sqrt(squares)[:, None]

    def limiting_flow(self, descent: Descent, start: Floats, times: Floats) -> Floats:
        """As :meth:`replication.studies.arora.problem.Problem.limiting_flow`, integrated in the logarithms of the
        weights.

        >>> ended = Scalar().limiting_flow("sqrt", np.array([2.0, 0.5]), np.array([1.0]))
        >>> bool(np.allclose(ended, depth_two("sqrt", 2.0, [1.0])))
        True
        """
        begin = np.asarray(start, dtype=np.float64)
        logarithms = integrate(lambda a: log_velocity(descent, a), np.log(np.abs(begin)), times)
        return np.sign(begin) * np.exp(logarithms)


def log_velocity(descent: Descent, a: ArrayLike) -> Floats:
    """Return ``da/dtau`` at a minimum, shape (D,), for ``a = log|w|``.

    Raises:
        ValueError: a method other than ``normalised`` and ``sqrt``.

    >>> (log_velocity("normalised", [0.0, 0.0]) + log_velocity("sqrt", [0.0, 0.0])).tolist()  # the flattest one
    [0.0, 0.0]
    """
    p = np.exp(-2 * np.asarray(a, dtype=np.float64))
    total = p.sum()
    # P grad lambda_1, over the weights.
    return velocity(descent, total, -2 * (p * p - p * (p @ p / total)))


def depth_two(descent: Descent, first: float, times: ArrayLike) -> Floats:
    """Return the flow at depth 2 from ``(first, 1/first)`` in closed form, shape (m, 2).

    Args:
        first: the first weight, above zero.
        times: tau, shape (m,).

    Raises:
        ValueError: a method other than ``normalised`` and ``sqrt``.

    >>> depth_two("sqrt", 2.0, [0.0, 100.0]).round(9).tolist()
    [[2.0, 0.5], [1.0, 1.0]]
    """
    tau = np.asarray(times, dtype=np.float64)
    u = 2 * np.log(first)
    if descent == "sqrt":
        found = np.arcsinh(np.sinh(u) * np.exp(-tau / 2))
    elif descent == "normalised":
        # In log u: the equation is monotone there, and where u is small it is log u = const - tau/2.
        if not u:
            return np.ones((len(tau), 2))
        last = np.log(abs(u))
        interval = (last - 10 - tau, np.full(len(tau), last))
        ends = find_root(lambda v, t: _kept(v) - _kept(last) + t / 2, interval, args=(tau,))
        found = np.sign(u) * np.exp(ends.x)
    else:
        raise ValueError(f"there is no limiting flow of {descent!r} descent, only of 'normalised' and 'sqrt'")
    return np.exp(np.stack([found / 2, -found / 2], axis=-1))


def _kept(v: Floats) -> Floats:
    u = np.exp(v)
    return np.asarray(np.log(np.tanh(u / 2)) + np.cosh(u))
