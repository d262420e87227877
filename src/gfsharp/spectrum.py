"""Largest eigenvalues of many small symmetric matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POWER_STEPS = 12
# What the eigenvalue may fall short by, relative to it, as bounded from above.
_TOLERANCE = 1e-13


def largest_eigenvalue(matrices: Floats) -> Floats:
    """Return the largest eigenvalue of symmetric matrices of shape (..., n, n), shape (...); NaN where not finite.

    >>> largest_eigenvalue(np.array([[[0.0, 1.0], [1.0, 0.0]], [[-3.0, 0.0], [0.0, -2.0]]])).round(12).tolist()
    [1.0, -2.0]
    """
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    values = np.linalg.eigvalsh(np.where(np.expand_dims(finite, (-2, -1)), matrices, 0.0))[..., -1]
    return np.where(finite, values, np.nan)


def largest_eigenvalue_semidefinite(matrices: Floats) -> Floats:
    """Return :func:`largest_eigenvalue` of positive semidefinite matrices, faster where it stands apart.

    Power iteration gives a Rayleigh quotient theta with residual r. The other eigenvalues have the sum of squares
    ``|M|_F^2 - lambda_1^2 <= |M|_F^2 - theta^2``, so none exceeds its root s, and where ``s < theta`` it is known that
    ``theta <= lambda_1 <= theta + |r|^2 / (theta - s)``. Where that is not close enough all eigenvalues are computed.
    """
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    values = np.full(len(flat), np.nan)
    finite = np.isfinite(flat).all(axis=(-2, -1))
    open_ = np.flatnonzero(finite)
    if len(open_) and flat.shape[-1] > 1:
        theta, known = _by_power(flat[open_])
        values[open_[known]] = theta[known]
        open_ = open_[~known]
    if len(open_):
        values[open_] = np.linalg.eigvalsh(flat[open_])[:, -1]
    return values.reshape(matrices.shape[:-2])


def _by_power(matrices: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    squares = np.einsum("kij,kij->k", matrices, matrices)
    # The largest column is a first step of power iteration already.
    largest = np.argmax(np.einsum("kii->ki", matrices), axis=-1)
    v = matrices[np.arange(len(matrices)), :, largest][:, :, None]
    theta, known = np.zeros(len(matrices)), np.zeros(len(matrices), dtype=bool)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(_POWER_STEPS):
            v = v / np.linalg.norm(v, axis=1, keepdims=True)
            image = matrices @ v
            theta = np.sum(v * image, axis=(1, 2))
            residual = np.sum((image - theta[:, None, None] * v) ** 2, axis=(1, 2))
            gap = theta - np.sqrt(np.maximum(squares - theta**2, 0.0))
            known = (gap > 0) & (residual <= _TOLERANCE * theta * gap)
            if known.all():
                break
            v = image
    return theta, known
