"""Sharpness of any twice differentiable torch loss: the largest Hessian eigenvalue, matrix-free.

The sharpness is ``lambda_max(Hessian L(w))``, the largest *algebraic* eigenvalue (Section 3.1, Notation). Lanczos
iteration needs Hessian-vector products alone, so a network's Hessian is never formed (Appendix B.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gfsharp import derivatives
from gfsharp.arguments import require_counts, require_positive, require_weights
from gfsharp.lanczos import LEAST_PRODUCTS, NOT_FINITE, Lanczos, Product, half_random, random_direction
from gfsharp.precision import exact
from gfsharp.sums import dot, norm, unit

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sharpness:
    """The largest Hessian eigenvalue with what is known of its error.

    Attributes:
        value: the Rayleigh quotient ``theta = v.Hv / v.v`` of the vector, summed in float64.
        residual: ``||H v - theta v||`` and what rounding adds: the machine's precision of the spectrum's size, or what
            two computations of ``H v`` differ by, if that is more. Some eigenvalue of H, as the products give it, lies
            within this distance of ``theta``.
        vector: the unit Ritz vector ``v``, shape (P,); a start for the next estimate nearby.
        products: Hessian-vector products used.
        converged: whether ``||H v - theta v||`` and the rounding each are at most ``tolerance * |theta|``, and no part
            of the space is left out: see :func:`sharpness`.
        smallest: the smallest Ritz value met on the way: the smallest eigenvalue is at most that.
    """

    value: float
    residual: float
    vector: Tensor
    products: int
    converged: bool
    smallest: float


@exact()
def hessian_vector_product(loss: Loss, parameters: Tensor) -> Callable[[Tensor], Tensor]:
    """Return ``v -> Hessian L(w) v`` at fixed ``w``, exact by differentiating the gradient along ``v``.

    The gradient's graph is built once and shared by all products.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point ``w``, shape (P,).

    Raises:
        LossError: the loss gives no real number, or none that depends on its argument.

    >>> product = hessian_vector_product(lambda w: w[0] ** 2 * w[1], torch.tensor([1.0, 3.0]))
    >>> product(torch.tensor([1.0, 0.0])).tolist()  # the first column of [[2 w_2, 2 w_1], [2 w_1, 0]]
    [6.0, 2.0]
    """
    point = parameters.detach().requires_grad_(True)
    gradient = derivatives.gradient(derivatives.evaluated(loss, point), point, create_graph=True)

    @exact()
    def product(vector: Tensor) -> Tensor:
        if not gradient.requires_grad:  # a loss that is linear in w
            return torch.zeros_like(vector)
        # materialize_grads: parameters that the gradient does not depend on have zeros, not nothing
        (result,) = torch.autograd.grad(gradient, point, grad_outputs=vector, retain_graph=True, materialize_grads=True)
        return result.detach()

    return product


@exact()
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

    Lanczos with full reorthogonalisation, restarted from the leading Ritz vector when the basis is full. One more
    product at the end gives the residual of the vector that is returned, and what rounding does to the products: they
    are computed in the precision of the parameters, and all sums over the weights in float64. For a symmetric matrix
    some eigenvalue lies within the residual of the Rayleigh quotient. That it is the largest one is not certain but
    made likely: the first direction is half random or random, no sweep ends before ``LEAST_PRODUCTS`` products, and
    where the Krylov space is exhausted before it is all of R^P, the search goes on from a random direction outside it,
    until one adds nothing larger.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point, shape (P,).
        tolerance: stop once the residual is at most this fraction of the value.
        max_products: budget of Hessian-vector products; past it the best value so far is returned with
            ``converged`` false.
        basis_size: Lanczos vectors held in memory at once.
        start: a guess at the top eigenvector, shape (P,), such as the vector found at a nearby point. A random vector
            is added to it, or a guess near another eigenvector could hide the top one.
        seed: of the random vectors.

    Raises:
        FloatingPointError: a Hessian-vector product is not finite.
        TypeError, ValueError: a tolerance or budget that is no positive number, weights that are not flat, or a start
            that is of another shape, zero or not finite.

    >>> found = sharpness(lambda w: (w[0] ** 2 - 5 * w[1] ** 2) / 2, torch.tensor([1.0, 1.0]))
    >>> round(found.value, 4), round(found.smallest, 4), found.converged
    (1.0, -5.0, True)
    """
    require_weights(parameters=parameters)
    require_positive(tolerance=tolerance)
    require_counts(max_products=max_products, basis_size=basis_size)
    if start is not None and start.shape != parameters.shape:
        raise ValueError(f"start must have the shape of the parameters, found {tuple(start.shape)}")
    if start is not None and not 0 < norm(start) < math.inf:
        raise ValueError("start must be finite and not zero")
    search = _Search(hessian_vector_product(loss, parameters), tolerance, max_products, seed)
    vector = random_direction(parameters, seed) if start is None else half_random(start, seed)
    return search.run(vector, min(basis_size, parameters.numel()))


def layer_sharpness(
    loss: Loss, parameters: Tensor, layers: Mapping[str, slice], **options: Any
) -> dict[str, Sharpness]:
    """Return the largest eigenvalue of each layer's block of the Hessian, all other weights held fixed.

    The sharpness is at least the largest of them.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point, shape (P,).
        layers: where the weights of each layer lie, by its name, such as ``loss.layers`` of
            :func:`gfsharp.networks.flat_loss`.
        **options: of :func:`sharpness` but ``start``.

    Raises:
        FloatingPointError, TypeError, ValueError: as there; a layer without weights.

    >>> def loss(w):
    ...     return (w[0] ** 2 + 3 * w[1] ** 2 + 8 * w[0] * w[1]) / 2
    >>> found = layer_sharpness(loss, torch.zeros(2), {"first": slice(0, 1), "second": slice(1, 2)})
    >>> {name: round(layer.value, 4) for name, layer in found.items()}, round(sharpness(loss, torch.zeros(2)).value, 4)
    ({'first': 1.0, 'second': 3.0}, 6.1231)
    """
    require_weights(parameters=parameters)
    point = parameters.detach()

    def within(place: slice) -> Loss:
        low, high, _ = place.indices(len(point))
        return lambda part: loss(torch.cat([point[:low], part, point[high:]]))

    return {name: sharpness(within(place), point[place], **options) for name, place in layers.items()}


@dataclass(frozen=True)
class _Estimate:
    """The top Ritz pair of a space: the value, ``||H v - theta v||``, what rounding adds, the vector and its image."""

    value: float
    residual: float
    rounding: float
    vector: Tensor
    image: Tensor | None


class _Search:
    """Restarted Lanczos for the largest eigenvalue of a symmetric operator."""

    def __init__(self, product: Product, tolerance: float, max_products: int, seed: int) -> None:
        self._product = product
        self._tolerance = tolerance
        self._left = self._max_products = max_products
        self._seed = seed
        self._draws = 0  # random directions after the first
        self._largest = -math.inf  # in the spaces that were exhausted
        self._smallest = math.inf

    def run(self, vector: Tensor, size: int) -> Sharpness:
        image = None
        while True:
            # One product is kept for the vector that is found. It is the first of the next sweep, if there is one.
            room = max(self._left - 1, 1) + (image is not None)
            space = Lanczos(self._counted, vector, min(size, room), image)
            explored = self._sweep(space)
            found = self._measure(space)
            bound = self._tolerance * abs(found.value)
            converged = explored and found.residual <= bound and found.rounding <= bound
            settled = explored and (space.exhausted or space.complete)
            if converged or settled or found.rounding > bound or self._left <= 1:
                error = found.residual + found.rounding
                used = self._max_products - self._left
                return Sharpness(found.value, error, found.vector, used, converged, self._smallest)
            vector, image = found.vector, found.image
            if not explored:
                self._draws += 1
                vector, image = half_random(vector, self._seed, self._draws), None

    def _counted(self, vector: Tensor) -> Tensor:
        self._left -= 1
        return self._product(vector)

    def _sweep(self, space: Lanczos) -> bool:
        """Extend the space until its top Ritz pair is good enough or there is no room; return whether that is all.

        It is not all where the space is exhausted and what lies outside has not been looked at.
        """
        while True:
            space.extend()
            value, smallest = float(space.values[-1]), float(space.values[0])
            self._smallest = min(self._smallest, smallest)
            if space.complete:
                return True
            if space.exhausted:
                if value <= self._largest + 10 * space.rounding:
                    return True
                self._largest = value
                if not space.room:
                    return False
                self._draws += 1
                space.branch(random_direction(space.following, self._seed, self._draws))
                continue
            enough = space.products_of_block >= LEAST_PRODUCTS
            if space.residual() + space.rounding <= 0.999 * self._tolerance * abs(value) and enough:
                return True
            if not space.room:
                return enough or space.products_of_block == space.products

    def _measure(self, space: Lanczos) -> _Estimate:
        """Return the top Ritz pair, with its residual from one more product if there is one left."""
        value, coordinates = float(space.values[-1]), space.vectors[:, -1]
        vector = unit(space.combine(coordinates))
        if not self._left:
            return _Estimate(value, space.residual(), space.rounding, vector, None)
        image = self._counted(vector)
        # What the products so far say that it is: the two differ by their rounding.
        foreseen = value * vector + space.beta * float(coordinates[-1]) * space.following
        rounding = max(norm(image - foreseen), space.rounding)
        value = float(dot(image, vector) / dot(vector, vector))
        residual = norm(image - value * vector)
        if not math.isfinite(value):
            raise FloatingPointError(NOT_FINITE)
        return _Estimate(value, residual, rounding, vector, image)
