"""What it is to interpolate: ``X beta = y`` as ``A beta = b`` with orthonormal rows, decided in one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Singular values of X below this, relative to the largest, are taken for rounding; what lies between this and the next
# is neither: whether such a direction belongs to the range cannot be told.
_ROUNDING = 1e-14
_CLEAR = 1e-11
# What is left of y outside the range of X, relative to y.
_OUTSIDE = 1e-8


@dataclass(frozen=True)
class Interpolation:
    """``A beta = b`` for the columns of X that can be used.

    The solvers take it, so that neither the condition of X nor repeated samples slow them down.

    Attributes:
        rows: A with orthonormal rows, shape (r, d).
        targets: b, shape (r,).
        obstacle: why no beta can be found that interpolates; None where there is one.
    """

    rows: Floats
    targets: Floats
    obstacle: str | None


def interpolation(X: Floats, y: Floats) -> Interpolation:
    """Return what ``X beta = y`` says; samples of different sizes are brought to one first."""
    sizes = np.linalg.norm(X, axis=1)
    scale = np.where(sizes > 0, sizes, 1.0)
    left, values, right = np.linalg.svd(X / scale[:, None], full_matrices=False)
    y = y / scale
    largest = values.max(initial=0.0)
    kept = values > _ROUNDING * largest
    coordinates = left[:, kept].T @ y
    outside = float(np.linalg.norm(y - left[:, kept] @ coordinates))
    obstacle = None
    if outside > _OUTSIDE * np.linalg.norm(y):
        obstacle = (
            f"y is not in the range of X ({len(y)} samples in {X.shape[1]} dimensions, rank {kept.sum()}); "
            f"{outside / np.linalg.norm(y):.2g} of it lies outside"
        )
    elif (kept & (values < _CLEAR * largest)).any():
        condition = largest / values[kept].min()
        obstacle = f"the rank of X cannot be told: its condition number is {condition:.2g}; drop samples that are alike"
    return Interpolation(right[kept], coordinates / values[kept], obstacle)
