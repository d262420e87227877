"""By how much a quantity that should fall rises: the GFS sharpness along gradient descent (Theorem 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def above_least(values: ArrayLike, errors: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Return ``(phi(t) - error(t)) / min_{s<t} (phi(s) + error(s)) - 1`` for t = 1, 2, ..., shape (n - 1,).

    Held against all earlier values, and not the one before alone, a creeping rise adds up. NaN from the first NaN on.

    Args:
        values: phi, shape (n,).
        errors: of each, beyond which a rise has to go; shape (n,) or a number.

    >>> above_least([4.0, 2.0, 3.0]).tolist()
    [-0.5, 0.5]
    """
    phi, error = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    return (phi - error)[1:] / np.minimum.accumulate(phi + error)[:-1] - 1
