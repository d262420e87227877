"""Sharpness of any twice differentiable torch loss: the largest Hessian eigenvalue, matrix-free.

The sharpness is ``lambda_max(Hessian L(w))``, the largest *algebraic* eigenvalue (Section 3.1, Notation). Lanczos
iteration needs Hessian-vector products alone, so a network's Hessian is never formed (Appendix B.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gfs.arguments import require_counts, require_positive, require_weights
from gfs.lanczos import Lanczos, half_random, random_direction

Loss = Callable[[Tensor], Tensor]

# With fewer, a start near one eigenvector converges to it before the others have grown out of the random part.
_LEAST_PRODUCTS = 12


@dataclass(frozen=True)
class Sharpness:
    """The largest Hessian eigenvalue with what is known of its error.

    Attributes:
        value: the Ritz value ``theta``.
        residual: ``||H v - theta v||`` and what rounding adds; some eigenvalue of H lies within this distance of
            ``theta``.
        vector: the unit Ritz vector ``v``, shape (P,); a start for the next estimate nearby.
        products: Hessian-vector products used.
        converged: whether ``residual <= tolerance * |theta|`` was reached.
        smallest: the smallest Ritz value met on the way: the smallest eigenvalue is at most that.
    """

    value: float
    residual: float
    vector: Tensor
    products: int
    converged: bool
    smallest: float


def hessian_vector_product(loss: Loss, parameters: Tensor) -> Callable[[Tensor], Tensor]:
    """Return ``v -> Hessian L(w) v`` at fixed ``w``, exact by differentiating the gradient along ``v``.

    The gradient's graph is built once and shared by all products.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point ``w``, shape (P,).

    >>> product = hessian_vector_product(lambda w: w[0] ** 2 * w[1], torch.tensor([1.0, 3.0]))
    >>> product(torch.tensor([1.0, 0.0])).tolist()  # the first column of [[2 w_2, 2 w_1], [2 w_1, 0]]
    [6.0, 2.0]
    """
    point = parameters.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(point), point, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        if not gradient.requires_grad:  # a loss that is linear in w
            return torch.zeros_like(vector)
        # materialize_grads: parameters that the gradient does not depend on have zeros, not nothing
        (result,) = torch.autograd.grad(gradient, point, grad_outputs=vector, retain_graph=True, materialize_grads=True)
        return result.detach()

    return product


def sharpness(
    loss: Loss,
    parameters: Tensor,
    *,
    tolerance: float = 1e-4,
    max_products: int = 400,
    basis_size: int = 50,
    start: Tensor | None = None,
    seed: int = 0,
) -> Sharpness:
    """Return the largest algebraic eigenvalue of the Hessian of ``loss`` at ``parameters``.

    Lanczos with full reorthogonalisation, restarted from the leading Ritz vector when the basis is full. For a
    symmetric matrix some eigenvalue lies within the residual of the Ritz value. That it is the largest one is not
    certain but made likely: the first direction is half random, and no first sweep ends before ``_LEAST_PRODUCTS``
    products.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point, shape (P,).
        tolerance: stop once the residual is at most this fraction of the value.
        max_products: budget of Hessian-vector products; past it the best value so far is returned with
            ``converged`` false.
        basis_size: Lanczos vectors held in memory at once.
        start: a guess at the top eigenvector, shape (P,), such as the vector found at a nearby point. A random vector
            is added to it, or a guess near another eigenvector could hide the top one.
        seed: of the random vector.

    Raises:
        FloatingPointError: a Hessian-vector product is not finite.
        TypeError, ValueError: a tolerance or budget that is no positive number, weights that are not flat, or a start
            of another shape.

    >>> found = sharpness(lambda w: (w[0] ** 2 - 5 * w[1] ** 2) / 2, torch.tensor([1.0, 1.0]))
    >>> round(found.value, 4), round(found.smallest, 4), found.converged
    (1.0, -5.0, True)
    """
    require_weights(parameters=parameters)
    require_positive(tolerance=tolerance)
    require_counts(max_products=max_products, basis_size=basis_size)
    if start is not None and start.shape != parameters.shape:
        raise ValueError(f"start must have the shape of the parameters, found {tuple(start.shape)}")
    product = hessian_vector_product(loss, parameters)
    vector = random_direction(parameters, seed) if start is None else half_random(start, seed)
    size = min(basis_size, parameters.numel())
    used, smallest = 0, math.inf
    while True:
        sweep = _lanczos(product, vector, min(size, max_products - used), tolerance)
        value, vector, residual, products, low = sweep
        used, smallest = used + products, min(smallest, low)
        converged = residual <= tolerance * abs(value)
        if converged or used >= max_products or size == parameters.numel():
            return Sharpness(value, residual, vector, used, converged, smallest)


def _lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, size: int, tolerance: float
) -> tuple[float, Tensor, float, int, float]:
    """One Lanczos sweep of at most ``size`` products: Ritz value, vector and residual, products, least Ritz value."""
    space = Lanczos(product, start, size)
    rounding = torch.finfo(start.dtype).eps
    while True:
        space.extend()
        value, smallest = float(space.values[-1]), float(space.values[0])
        residual = space.beta * abs(float(space.vectors[-1, -1])) + rounding * max(abs(value), abs(smallest))
        if space.full or (residual <= 0.999 * tolerance * abs(value) and space.products >= _LEAST_PRODUCTS):
            break
    ritz = space.combine(space.vectors[:, -1])
    return value, ritz / ritz.norm(), residual, space.products, smallest
