"""Lanczos iteration for a symmetric operator on torch vectors, in the memory of their device."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from gfsharp.sums import dot, norm, projections, take_out, unit

Product = Callable[[Tensor], Tensor]
Array = NDArray[np.float64]

# The squares of smaller numbers lose digits in float64, or vanish.
_TINY = 1e-140
# With fewer products from a random direction, or one near an eigenvector, others have not grown out of the random part.
LEAST_PRODUCTS = 12
NOT_FINITE = "the Hessian-vector product is not finite: the loss overflows or is NaN there"


class Lanczos:
    """The Krylov space of a symmetric operator H and a vector, with full reorthogonalisation.

    After k products ``H V = V T + beta v e_k^T``: V is orthonormal, (P, k), T tridiagonal, v the next direction. Sums
    over the P components are taken in float64 (:mod:`gfsharp.sums`); a product reads back from the device once.

    Where the space is exhausted, H maps it to itself: what lies outside it has not been seen. :meth:`branch` goes on
    there, and T falls into blocks.

    Args:
        product: ``v -> H v`` for vectors of shape (P,).
        start: the first direction, shape (P,); not zero.
        size: the most products.
        image: ``H start / |start|``, shape (P,), where it is known already: the first product is then not taken.
    """

    def __init__(self, product: Product, start: Tensor, size: int, image: Tensor | None = None) -> None:
        self._product: Product | None = product
        self._image = image
        self._basis = torch.empty(size, start.numel(), dtype=start.dtype, device=start.device)
        self._precision = torch.finfo(start.dtype).eps
        self._diagonal: list[float] = []
        self._off_diagonal: list[float] = []
        self._block = 0
        self.following = unit(start)
        self.beta = math.inf
        self._decomposition: tuple[Array, Array] = np.empty(0), np.empty((0, 0))

    @property
    def products(self) -> int:
        """Products so far, k; the known one counts."""
        return len(self._diagonal)

    @property
    def products_of_block(self) -> int:
        """Products since the start or the last :meth:`branch`."""
        return self.products - self._block

    @property
    def basis(self) -> Tensor:
        """``V^T``, shape (k, P)."""
        return self._basis[: self.products]

    @property
    def full(self) -> bool:
        """Whether there is no room for another direction, or none but rounding is left."""
        return not self.room or self.exhausted

    @property
    def room(self) -> int:
        """How many more products there is room for."""
        return len(self._basis) - self.products

    @property
    def exhausted(self) -> bool:
        """Whether what is left after the last direction is rounding."""
        return self.products_of_block > 0 and self.beta <= 10 * self._precision * self._scale

    @property
    def complete(self) -> bool:
        """Whether the space is all of R^P."""
        return self.products == self._basis.shape[1]

    def extend(self) -> None:
        """Take one more product.

        Raises:
            FloatingPointError: the product is not finite.
        """
        if self._product is None:
            raise RuntimeError("the space was closed")
        linked = self.products_of_block > 0
        if self.products:
            self._off_diagonal.append(self.beta if linked else 0.0)
        self._basis[self.products] = self.following
        image = self._product(self.following) if self._image is None else self._image
        self._image = None
        diagonal = dot(image, self.following)
        # The recurrence first, as one pass over the basis is enough for what it leaves.
        image = torch.addcmul(image, self.following, diagonal.to(image), value=-1)
        if linked:
            image.sub_(self._basis[self.products - 1], alpha=self._off_diagonal[-1])
        overlaps = self._orthogonalise(image, self.products + 1)
        read = torch.stack([diagonal, overlaps @ overlaps, dot(image, image)]).tolist()
        self._diagonal.append(read[0])
        if not all(map(math.isfinite, read)):
            raise FloatingPointError(NOT_FINITE)
        self.beta = math.sqrt(read[2])
        if math.sqrt(read[1]) > 0.1 * self.beta or self.beta < _TINY:
            # What is left is hardly more than rounding, which lies in the space too, or its squares underflow.
            self._orthogonalise(image, self.products)
            self.beta = norm(image)
        self.following = unit(image, self.beta) if self.beta else image

    def branch(self, direction: Tensor) -> None:
        """Go on outside an exhausted space, along what lies outside it of ``direction``, shape (P,).

        Raises:
            RuntimeError: the space is all of R^P, or there is no room.
        """
        if self.complete or not self.room:
            raise RuntimeError("there is no room for another direction")
        direction = direction.clone()
        for _ in range(3):  # of P dimensions one may be left: each pass takes out what the last left of the others
            self._orthogonalise(direction, self.products)
            direction = unit(direction)
        self.following = direction
        self._block = self.products

    def _orthogonalise(self, vector: Tensor, count: int) -> Tensor:
        """Take out of ``vector`` what lies along the first directions, in place; return how much that was, float64."""
        return take_out(self._basis[:count], vector)

    def close(self) -> None:
        """Let go of the operator, which may hold a graph; the space can be used but not extended any more."""
        self._product = None

    @property
    def values(self) -> Array:
        """The eigenvalues of T, which rise, shape (k,)."""
        return self._eigen[0]

    @property
    def vectors(self) -> Array:
        """The eigenvectors of T as columns, shape (k, k)."""
        return self._eigen[1]

    @property
    def _eigen(self) -> tuple[Array, Array]:
        if len(self._decomposition[0]) != self.products:
            self._decomposition = eigh_tridiagonal(self._diagonal, self._off_diagonal)
        return self._decomposition

    def residual(self) -> float:
        """Return ``||H v - theta v||`` of the top Ritz pair, as the space has it: where rounding is left out."""
        return self.beta * abs(float(self.vectors[-1, -1]))

    @property
    def rounding(self) -> float:
        """The machine's precision, of the spectrum's size."""
        return float(self._precision * max(abs(self.values[0]), abs(self.values[-1])))

    @property
    def _scale(self) -> float:
        """A bound on the size of T's eigenvalues (Gershgorin)."""
        return max(map(abs, self._diagonal)) + 2 * max(self._off_diagonal, default=0.0)

    def combine(self, coordinates: Array) -> Tensor:
        """Return ``V c``, shape (P,), for coordinates c of shape (k,)."""
        return self.basis.T @ torch.from_numpy(coordinates).to(self._basis)

    def dominant(self) -> tuple[float, Tensor]:
        """Return the eigenvalue of T of largest size and its vector in the space, shape (P,)."""
        largest = int(np.argmax(np.abs(self.values)))
        return float(self.values[largest]), self.combine(self.vectors[:, largest])

    def coordinates(self, vector: Tensor) -> Array:
        """Return ``V^T x``, shape (k,), for x of shape (P,)."""
        return projections(self.basis, vector).cpu().numpy()


def random_direction(like: Tensor, seed: int = 0, draw: int = 0) -> Tensor:
    """Return a random unit vector of the shape (P,), precision and device of ``like``.

    Args:
        like: a vector of shape (P,).
        seed: of the draws.
        draw: which of the seed's vectors; all are independent.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draw + 1):
        noise = torch.randn(like.numel(), generator=generator, dtype=torch.float64)
    return unit(noise).to(like)


def half_random(guess: Tensor, seed: int = 0, draw: int = 0) -> Tensor:
    """Return a unit vector half along ``guess``, shape (P,), half random: a start that no eigenvector is missing in.

    Args:
        guess: not zero.
        seed, draw: as for :func:`random_direction`.

    Raises:
        ValueError: the guess is zero or not finite.
    """
    noise = random_direction(guess, seed, draw)
    guess = unit(guess)
    mixed = guess + noise * torch.where(dot(noise, guess) >= 0, 1.0, -1.0).to(guess)
    return unit(mixed)  # never zero, in one dimension either
