"""The quadratic loss of a linear network of any depth and widths, its derivatives and gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfsharp.spectrum import largest_eigenvalue

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearNetwork:
    """``L(W) = ||W_D ... W_1 X - Y||_F^2 / (2N)``, with ``W_j`` of shape (d_j, d_{j-1}).

    Weights are one flat vector of shape (P,), or a batch (..., P): ``W_1`` row by row, then ``W_2`` and so on. All that
    takes weights is vectorised over leading axes. Below, ``A_j = W_D ... W_{j+1}`` and ``B_j = W_{j-1} ... W_1``, so
    that ``A_j W_j B_j`` is the product for each j, and ``C = X X^T / N``.

    Attributes:
        widths: d_0 (inputs), d_1, ..., d_D (outputs).
        inputs: X, shape (d_0, N), a column per sample, of rank d_0.
        targets: Y, shape (d_D, N).

    Raises:
        ValueError: fewer than two widths or one below 1, data of other shapes or not finite, inputs of deficient rank.

    >>> network = LinearNetwork((1, 1, 1), [[1.0]], [[1.0]])
    >>> float(network.loss([2.0, 1.0])), network.gradient([2.0, 1.0]).tolist()
    (0.5, [1.0, 2.0])
    """

    widths: tuple[int, ...]
    inputs: Floats = field(repr=False)
    targets: Floats = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        for name in ("inputs", "targets"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths must be two or more positive numbers, found {self.widths}")
        if self.inputs.ndim != 2 or self.targets.ndim != 2:
            raise ValueError("inputs and targets must be matrices with a column per sample")
        expected = (self.widths[0], self.samples), (self.widths[-1], self.samples)
        if (self.inputs.shape, self.targets.shape) != expected:
            found = f"{self.inputs.shape} and {self.targets.shape}"
            raise ValueError(f"inputs and targets must have shapes {expected[0]} and {expected[1]}, found {found}")
        if not (np.isfinite(self.inputs).all() and np.isfinite(self.targets).all()):
            raise ValueError("inputs and targets must be finite")
        if np.linalg.matrix_rank(self.inputs) < self.widths[0]:
            raise ValueError(f"inputs must have rank {self.widths[0]}, the first width: give more samples")

    @classmethod
    def whitened(cls, widths: Sequence[int], target: ArrayLike) -> LinearNetwork:
        """Return a network on data with ``X X^T = N I`` and ``Y = M X``, so that ``L = ||W_D ... W_1 - M||_F^2 / 2``.

        Args:
            target: M, shape (d_D, d_0).

        >>> float(LinearNetwork.whitened((1, 1, 1, 1), [[1.0]]).loss([2.0, 1.0, 1.0]))  # a scalar network
        0.5
        """
        inputs = np.sqrt(widths[0]) * np.eye(widths[0])
        return cls(tuple(widths), inputs, np.asarray(target, dtype=np.float64) @ inputs)

    @property
    def depth(self) -> int:
        """D, the number of layers."""
        return len(self.widths) - 1

    @property
    def samples(self) -> int:
        """N."""
        return int(self.inputs.shape[1])

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shapes of W_1, ..., W_D."""
        return tuple((self.widths[j + 1], self.widths[j]) for j in range(self.depth))

    @cached_property
    def size(self) -> int:
        """P, the number of weights."""
        return sum(rows * columns for rows, columns in self.shapes)

    @cached_property
    def covariance(self) -> Floats:
        """``C = X X^T / N``, shape (d_0, d_0)."""
        return self.inputs @ self.inputs.T / self.samples

    def layers(self, w: ArrayLike) -> list[Floats]:
        """Return W_1, ..., W_D of weights of shape (..., P), each of shape (..., d_j, d_{j-1}).

        Raises:
            ValueError: another number of weights.
        """
        weights = np.asarray(w, dtype=np.float64)
        if weights.ndim < 1 or weights.shape[-1] != self.size:
            raise ValueError(f"weights must have shape (..., {self.size}), found {weights.shape}")
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])
        parts = np.split(weights, ends[:-1], axis=-1)
        return [part.reshape(*weights.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def flat(self, layers: Sequence[Floats]) -> Floats:
        """Return the weights of shape (..., P) that :meth:`layers` splits."""
        return np.concatenate([layer.reshape(*layer.shape[:-2], -1) for layer in layers], axis=-1)

    def product(self, w: ArrayLike) -> Floats:
        """Return ``W_D ... W_1``, shape (..., d_D, d_0)."""
        return _before(self.layers(w))[-1]

    def residual(self, w: ArrayLike) -> Floats:
        """Return ``W_D ... W_1 X - Y``, shape (..., d_D, N)."""
        return self.product(w) @ self.inputs - self.targets

    def loss(self, w: ArrayLike) -> Floats:
        """Return the loss, shape (...)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sum(self.residual(w) ** 2, axis=(-2, -1)) / (2 * self.samples)

    def gradient(self, w: ArrayLike) -> Floats:
        """Return the gradient, whose part for W_j is ``A_j^T G B_j^T`` with ``G = (W_D ... W_1 X - Y) X^T / N``; shape
        (..., P)."""
        layers = self.layers(w)
        before, after = _before(layers), _after(layers)
        slope = (before[-1] @ self.inputs - self.targets) @ self.inputs.T / self.samples
        return self.flat([_t(after[j]) @ slope @ _t(before[j]) for j in range(self.depth)])

    def hessian_vector_product(self, w: ArrayLike, v: ArrayLike) -> Floats:
        """Return ``Hessian L(w) v``: the gradient's formula differentiated along v.

        Args:
            v: shape (..., P); its leading axes and those of ``w`` broadcast.
        """
        layers, directions = self.layers(w), self.layers(v)
        before, after = _before(layers), _after(layers)
        moved_before, moved_after = _moved_before(layers, directions, before), _moved_after(layers, directions, after)
        slope = (before[-1] @ self.inputs - self.targets) @ self.inputs.T / self.samples
        moved_slope = moved_before[-1] @ self.covariance
        parts = [
            _t(moved_after[j]) @ slope @ _t(before[j])
            + _t(after[j]) @ moved_slope @ _t(before[j])
            + _t(after[j]) @ slope @ _t(moved_before[j])
            for j in range(self.depth)
        ]
        leading = np.broadcast_shapes(*(part.shape[:-2] for part in parts))
        return self.flat([np.broadcast_to(part, leading + part.shape[-2:]) for part in parts])

    def hessian(self, w: ArrayLike) -> Floats:
        """Return the Hessian, shape (..., P, P): for few weights, as it is dense.

        >>> LinearNetwork((1, 1, 1), [[1.0]], [[1.0]]).hessian([2.0, 0.5]).tolist()
        [[0.25, 1.0], [1.0, 4.0]]
        """
        weights = np.asarray(w, dtype=np.float64)
        columns = self.hessian_vector_product(weights[..., None, :], np.eye(self.size))
        return 0.5 * (columns + _t(columns))

    def sharpness(self, w: ArrayLike) -> Floats:
        """Return the largest eigenvalue of the Hessian, shape (...)."""
        return largest_eigenvalue(self.hessian(w))

    def product_jacobian(self, w: ArrayLike) -> Floats:
        """Return the derivative of the product with its rows one after the other, shape (..., d_D d_0, P)."""
        moved = self._moved_products(w)
        return _t(moved.reshape(*moved.shape[:-2], -1))

    def residual_jacobian(self, w: ArrayLike) -> Floats:
        """Return the derivative of the residual with its rows one after the other, shape (..., d_D N, P).

        Its rank is the number of conditions that the residual puts on the weights to first order.
        """
        moved = self._moved_products(w) @ self.inputs
        return _t(moved.reshape(*moved.shape[:-2], -1))

    def _moved_products(self, w: ArrayLike) -> Floats:
        """The derivatives of the product along each weight, shape (..., P, d_D, d_0)."""
        layers = self.layers(np.asarray(w, dtype=np.float64)[..., None, :])
        return _moved_before(layers, self.layers(np.eye(self.size)), _before(layers))[-1]

    def gd_step(self, w: ArrayLike, eta: ArrayLike) -> Floats:
        """Return ``w - eta grad L(w)``, shape (..., P); ``eta`` is a number or of shape (...)."""
        weights = np.asarray(w, dtype=np.float64)
        return weights - np.asarray(eta, dtype=np.float64)[..., None] * self.gradient(weights)

    def gd_jacobian(self, w: ArrayLike, eta: ArrayLike) -> Floats:
        """Return the Jacobian of :meth:`gd_step`, ``I - eta Hessian L(w)``, shape (..., P, P)."""
        return np.eye(self.size) - np.asarray(eta, dtype=np.float64)[..., None, None] * self.hessian(w)

    def balances(self, w: ArrayLike) -> list[Floats]:
        """Return ``W_{j+1}^T W_{j+1} - W_j W_j^T``, j = 1 ... D - 1, which gradient flow keeps; (..., d_j, d_j) each.

        >>> [b.tolist() for b in LinearNetwork((1, 1, 1), [[1.0]], [[1.0]]).balances([2.0, 1.0])]
        [[[-3.0]]]
        """
        layers = self.layers(w)
        return [_t(upper) @ upper - lower @ _t(lower) for lower, upper in pairwise(layers)]

    @cached_property
    def rank(self) -> int:
        """Return the largest rank that a product of the layers can have, the smallest width."""
        return min(self.widths)

    @cached_property
    def best_product(self) -> Floats:
        """The product of least loss, shape (d_D, d_0).

        With ``C = R R`` it is ``T_r(Y X^T / N R^-1) R^-1``, where ``T_r`` keeps the r largest singular values
        (Eckart-Young): the least squares solution where no width is below those of input and output.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        inverse_root = vectors / np.sqrt(values) @ vectors.T
        u, s, v = np.linalg.svd(self.targets @ self.inputs.T / self.samples @ inverse_root, full_matrices=False)
        return (u[:, : self.rank] * s[: self.rank]) @ v[: self.rank] @ inverse_root

    @cached_property
    def least_loss(self) -> float:
        """The loss of the global minimisers."""
        return float(np.sum((self.best_product @ self.inputs - self.targets) ** 2) / (2 * self.samples))


def _t(matrix: Floats) -> Floats:
    return np.swapaxes(matrix, -1, -2)


def _before(layers: Sequence[Floats]) -> list[Floats]:
    """B_1 = I, ..., B_D and the product."""
    products = [np.eye(layers[0].shape[-1])]
    for layer in layers:
        products.append(layer @ products[-1])
    return products


def _after(layers: Sequence[Floats]) -> list[Floats]:
    """A_1, ..., A_D = I."""
    products = [np.eye(layers[-1].shape[-2])]
    for layer in reversed(layers[1:]):
        products.append(products[-1] @ layer)
    return products[::-1]


def _moved_before(layers: Sequence[Floats], directions: Sequence[Floats], before: Sequence[Floats]) -> list[Floats]:
    """The derivatives of B_1, ..., B_D and of the product along the directions."""
    moved = [np.zeros_like(before[0])]
    for layer, direction, product in zip(layers, directions, before[:-1], strict=True):
        moved.append(direction @ product + layer @ moved[-1])
    return moved


def _moved_after(layers: Sequence[Floats], directions: Sequence[Floats], after: Sequence[Floats]) -> list[Floats]:
    """The derivatives of A_1, ..., A_D along the directions."""
    moved = [np.zeros_like(after[-1])]
    for layer, direction, product in zip(layers[:0:-1], directions[:0:-1], after[:0:-1], strict=True):
        moved.append(product @ direction + moved[-1] @ layer)
    return moved[::-1]
