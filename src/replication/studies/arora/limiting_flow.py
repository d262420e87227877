r"""The limiting flows of Arora et al. (2022) on a manifold of minima.

In the time ``tau = eta^2 t`` the flow of normalised gradient descent is

    dX/dtau = -1/4 P grad log lambda_1(X)

and that of gradient descent on ``sqrt(L)``

    dX/dtau = -1/8 P grad lambda_1(X),

``lambda_1`` being the largest eigenvalue of the Hessian of L and P the projection on the tangent space of the manifold.
Both begin where gradient flow from the start of the run ends. The factors come from one oscillation: across the
manifold the iterate alternates between ``c s`` and ``(c - 1) s`` along the top eigenvector, with ``s = eta``
(normalised) or ``s = eta sqrt(lambda_1 / 2)`` (sqrt), so that its mean magnitude is ``s / 2`` whatever c is, and each
step along the manifold is the rate ``eta_t`` of that step times ``-y^2 / 2 P grad lambda_1``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.descent import Descent

Floats = NDArray[np.float64]

# Far below what the smallest step size is compared with: the iterates differ from the flow by 1e-6 at the least.
_TOLERANCE = 1e-11
# A smooth flow to tau = 1 takes some thousand; where the field jumps the steps shrink without end.
_MAX_EVALUATIONS = 200_000


def tangent(normals: ArrayLike, vector: ArrayLike) -> Floats:
    """Return ``P v``, with ``P = I - J^T (J J^T)^-1 J``, shape (k,).

    Args:
        normals: J, shape (r, k): r independent directions, such as the gradients of the constraints.
        vector: v, shape (k,).

    >>> tangent([[1.0, 1.0]], [2.0, 0.0]).tolist()
    [1.0, -1.0]
    """
    J, v = np.asarray(normals, dtype=np.float64), np.asarray(vector, dtype=np.float64)
    return v - J.T @ np.linalg.solve(J @ J.T, J @ v)


def velocity(descent: Descent, largest: Any, projected: Floats) -> Floats:
    """Return ``dX/dtau`` of a method from ``lambda_1`` and ``P grad lambda_1`` (...).

    Raises:
        ValueError: a method without a limiting flow, such as plain gradient descent.

    >>> [velocity(descent, 2.0, np.array([8.0])).tolist() for descent in ("normalised", "sqrt")]
    [[-1.0], [-1.0]]
    """
    if descent == "normalised":
        return -projected / (4 * largest)
    if descent == "sqrt":
        return -projected / 8
    raise ValueError(f"there is no limiting flow of {descent!r} descent, only of 'normalised' and 'sqrt'")


def integrate(field: Callable[[Floats], Floats], start: ArrayLike, times: ArrayLike) -> Floats:
    """Return the flow of a field from ``start`` at ascending times from 0 on, shape (m, k), by DOP853.

    Args:
        field: maps a point (k,) to its velocity (k,).
        start: shape (k,), at time 0.
        times: shape (m,), 0 or more.

    Raises:
        ValueError: times that descend or begin before 0, or a flow that cannot be integrated that far, such as one that
            comes to where ``lambda_1`` is a double eigenvalue and has no gradient.

    >>> integrate(lambda x: -x, [1.0, 2.0], [0.0, 1.0]).round(9).tolist()
    [[1.0, 2.0], [0.367879441, 0.735758882]]
    """
    from scipy.integrate import solve_ivp

    asked = np.asarray(times, dtype=np.float64)
    begin = np.array(start, dtype=np.float64)
    if (asked < 0).any() or (np.diff(asked) < 0).any():
        raise ValueError("the times of a flow must ascend from 0 on")
    unique, place = np.unique(asked, return_inverse=True)
    if not len(unique) or unique[-1] == 0:
        return np.repeat(begin[None], len(asked), axis=0)
    evaluations = 0

    def velocity_at(time: float, x: Floats) -> Floats:
        nonlocal evaluations
        evaluations += 1
        if evaluations > _MAX_EVALUATIONS:
            raise ValueError(f"the flow could not be integrated to {unique[-1]:g}: it is not smooth at {time:.6g}")
        return field(x)

    found = solve_ivp(
        velocity_at,
        (0.0, unique[-1]),
        begin,
        "DOP853",
        t_eval=unique,
        rtol=_TOLERANCE,
        atol=_TOLERANCE * max(1e-300, float(np.abs(begin).max())),
    )
    if not found.success:
        raise ValueError(f"the flow could not be integrated to {unique[-1]:g}: {found.message}")
    return found.y.T[place]
