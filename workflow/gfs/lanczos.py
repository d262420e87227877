"""Lanczos iteration for a symmetric operator on torch vectors, in the memory of their device."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

Product = Callable[[Tensor], Tensor]
Array = NDArray[np.float64]


class Lanczos:
    """The Krylov space of a symmetric operator H and a vector, with full reorthogonalisation.

    After k products ``H V = V T + beta v e_k^T``: V is orthonormal, (P, k), T tridiagonal, v the next direction.

    Args:
        product: ``v -> H v`` for vectors of shape (P,).
        start: the first direction, shape (P,); not zero.
        size: the most products.
    """

    def __init__(self, product: Product, start: Tensor, size: int) -> None:
        self._product: Product | None = product
        self._basis = torch.empty(size, start.numel(), dtype=start.dtype, device=start.device)
        self._rounding = torch.finfo(start.dtype).eps
        self._diagonal: list[float] = []
        self._off_diagonal: list[float] = []
        self.following = start / start.norm()
        self.beta = math.inf
        self._decomposition: tuple[Array, Array] = np.empty(0), np.empty((0, 0))

    @property
    def products(self) -> int:
        """Products so far, k."""
        return len(self._diagonal)

    @property
    def basis(self) -> Tensor:
        """``V^T``, shape (k, P)."""
        return self._basis[: self.products]

    @property
    def full(self) -> bool:
        """Whether there is no room for another direction, or none but rounding is left."""
        return self.products == len(self._basis) or self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether what is left after the last direction is rounding."""
        return self.products > 0 and self.beta <= 10 * self._rounding * self._scale

    def extend(self) -> None:
        """Take one more product.

        Raises:
            FloatingPointError: the product is not finite.
        """
        if self._product is None:
            raise RuntimeError("the space was closed")
        if self.products:
            self._off_diagonal.append(self.beta)
        self._basis[self.products] = self.following
        image = self._product(self.following)
        self._diagonal.append(float(image @ self.following))
        # The recurrence first, as one pass over the basis is enough for what it leaves.
        image = image.sub(self.following, alpha=self._diagonal[-1])
        if self._off_diagonal:
            image.sub_(self._basis[self.products - 2], alpha=self._off_diagonal[-1])
        image.addmv_(self.basis.T, self.basis @ image, alpha=-1)
        self.beta = float(image.norm())
        if not (math.isfinite(self._diagonal[-1]) and math.isfinite(self.beta)):
            raise FloatingPointError("the Hessian-vector product is not finite: the loss overflows or is NaN there")
        self.following = image / self.beta if self.beta else image

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
        return (self.basis @ vector).double().cpu().numpy()


def random_direction(like: Tensor, seed: int = 0) -> Tensor:
    """Return a random unit vector of the shape (P,), precision and device of ``like``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(like.numel(), generator=generator, dtype=torch.float64).to(like)
    return noise / noise.norm()


def half_random(guess: Tensor, seed: int = 0) -> Tensor:
    """Return a unit vector half along ``guess``, shape (P,), half random: a start that no eigenvector is missing in."""
    noise = random_direction(guess, seed)
    guess = guess / guess.norm()
    mixed = guess + (noise if noise @ guess >= 0 else -noise)  # never zero, in one dimension either
    return mixed / mixed.norm()
