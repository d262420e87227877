"""What is asked of a problem so that both methods can be held against their limiting flow on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gfsharp.descent import Descent

Floats = NDArray[np.float64]


class Problem(Protocol):
    """A loss whose minima, all with loss 0, are a manifold. Weights have shape (n, k): n points side by side."""

    def loss_and_gradient(self, w: Floats) -> tuple[Floats, Floats]:
        """Return L, shape (n,), and its gradient, shape (n, k)."""

    def gradient_flow_solution(self, w: Floats) -> Floats:
        """Return where gradient flow from each point ends, shape (n, k); NaN where it does not end at a minimum."""

    def sharpness(self, w: Floats) -> Floats:
        """Return the largest eigenvalue of the Hessian at any point, shape (n,)."""

    def top(self, minima: Floats) -> tuple[Floats, Floats]:
        """Return the largest eigenvalue of the Hessian at minima, shape (n,), and its unit eigenvector, (n, k)."""

    def limiting_flow(self, descent: Descent, start: Floats, times: Floats) -> Floats:
        """Return the limiting flow from one minimum, shape (k,), at ascending times tau, shape (m, k)."""


def build(name: str, settings: Mapping[str, Any]) -> tuple[Problem, Floats]:
    """Return a problem and the starts (n, k) of its runs.

    Args:
        name: ``valley`` (settings: ``starts``, pairs x and y), ``scalar`` (``starts``, lists of weights of one depth)
            or ``regression`` (``data``, arguments of :func:`replication.data.gaussian`, and ``initial_scales``, one per
            start: every entry of ``u_+`` and ``u_-``).

    Raises:
        ValueError: another name.
    """
    from replication import data
    from replication.studies.arora.regression import Regression
    from replication.studies.arora.scalar import Scalar
    from replication.studies.arora.valley import Valley

    if name == "regression":
        X, y = data.gaussian(**settings["data"])
        return Regression(X, y), np.array(settings["initial_scales"])[:, None] * np.ones(2 * X.shape[1])
    if name not in ("valley", "scalar"):
        raise ValueError(f"unknown problem {name!r}: valley, scalar or regression")
    return Valley() if name == "valley" else Scalar(), np.array(settings["starts"], dtype=np.float64)
