"""Trace and spectral density of the Hessian by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gfsharp.arguments import require_counts, require_positive, require_weights
from gfsharp.lanczos import Lanczos
from gfsharp.operators import product_of
from gfsharp.precision import exact


@dataclass(frozen=True)
class SpectralDensity:
    """What random vectors say of a spectrum of P eigenvalues; each has a quadrature rule of its own.

    Attributes:
        nodes: Ritz values of each vector's Krylov space, shape (n, m); NaN where the space was exhausted before.
        weights: their weights, which sum to one for each vector, shape (n, m); 0 there.
        size: P.
        products: Hessian-vector products used.
    """

    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]
    size: int
    products: int

    @property
    def trace(self) -> float:
        """P times the mean eigenvalue, an unbiased estimate of the trace (Hutchinson, 1989)."""
        return float(self._traces.mean())

    @property
    def trace_error(self) -> float:
        """The standard error of the trace over the vectors; NaN for a single one."""
        count = len(self._traces)
        return float(self._traces.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan

    @property
    def _traces(self) -> NDArray[np.float64]:
        return self.size * np.nansum(self.weights * self.nodes, axis=1)

    def density(self, at: ArrayLike, width: float) -> NDArray[np.float64]:
        """Return the density of the eigenvalues, smoothed by a Gaussian; it integrates to one.

        Args:
            at: where, any shape.
            width: the standard deviation of the Gaussian, in the unit of the eigenvalues.
        """
        require_positive(width=width)
        at = np.asarray(at, dtype=float)
        known = self.weights > 0
        distances = (at[..., None] - self.nodes[known]) / width
        bumps = np.exp(-0.5 * distances**2) / (width * math.sqrt(2 * math.pi))
        smoothed: NDArray[np.float64] = bumps @ self.weights[known] / len(self.weights)
        return smoothed


@exact()
def spectral_density(
    loss: Any, parameters: Tensor, *, vectors: int = 10, steps: int = 40, seed: int = 0
) -> SpectralDensity:
    """Return the spectral density of the Hessian of ``loss`` at ``parameters``, by stochastic Lanczos quadrature.

    For a random vector x of signs ``x . f(H) x / P`` has the mean ``tr f(H) / P``. The Gauss quadrature of its Krylov
    space of m steps is exact for polynomials f of degree 2m - 1 (Ubaru, Chen and Saad, 2017; Ghorbani, Krishnan and
    Xiao, 2019).

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor; or a symmetric operator
            (:func:`gfsharp.operators.product_of`).
        parameters: the point, shape (P,).
        vectors: how many random vectors, n.
        steps: Lanczos steps of each, m, and products; as many vectors are held in memory.
        seed: of the random vectors.

    Raises:
        FloatingPointError: a product is not finite.
        LossError: the loss gives no real number, or none that depends on its argument.
        TypeError, ValueError: arguments that cannot be meant.

    >>> scales = torch.tensor([4.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    >>> found = spectral_density(lambda w: (scales * w**2).sum() / 2, torch.zeros(4, dtype=torch.float64), vectors=2)
    >>> round(found.trace, 9), round(float(found.density(1.0, 0.1)), 3), found.products
    (7.0, 2.992, 4)
    """
    require_weights(parameters=parameters)
    require_counts(vectors=vectors, steps=steps)
    product = product_of(loss, parameters)
    steps = min(steps, parameters.numel())
    nodes, weights = np.full((vectors, steps), np.nan), np.zeros((vectors, steps))
    generator = torch.Generator().manual_seed(seed)
    products = 0
    for row in range(vectors):
        signs = torch.randint(0, 2, (parameters.numel(),), generator=generator) * 2 - 1
        space = Lanczos(product, signs.to(parameters), steps)
        while not space.full:
            space.extend()
        count = space.products
        nodes[row, :count], weights[row, :count] = space.values, space.vectors[0] ** 2
        products += count
    return SpectralDensity(nodes, weights, parameters.numel(), products)
