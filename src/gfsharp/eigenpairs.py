"""The leading eigenvalues and eigenvectors of the Hessian, in the memory of the weights' device."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from gfsharp.arguments import require_counts, require_positive, require_weights
from gfsharp.lanczos import LEAST_PRODUCTS, NOT_FINITE, Product, random_direction
from gfsharp.operators import product_of
from gfsharp.precision import exact
from gfsharp.sums import norm, projections, take_out, unit

Which = Literal["largest", "smallest"]

# Directions in memory beyond twice those that are sought, so that they converge before there is no room.
_BESIDE = 20


@dataclass(frozen=True)
class Eigenpairs:
    """Leading eigenpairs of a symmetric operator, in descending order (``smallest``: ascending).

    Attributes:
        values: Rayleigh quotients, shape (k,), float64.
        vectors: orthonormal vectors as rows, shape (k, P), on the device of the weights.
        residuals: ``||H v - theta v||``, shape (k,), from a product with each vector: some eigenvalue of H lies within
            that of ``theta``, rounding of the products aside.
        products: Hessian-vector products used.
        converged: whether each residual is at most ``tolerance`` times the largest of the ``|values|``, or ten times
            the machine's precision of the spectrum's size.
    """

    values: NDArray[np.float64]
    vectors: Tensor = field(repr=False)
    residuals: NDArray[np.float64]
    products: int
    converged: bool


@exact()
def eigenpairs(
    loss: Any,
    parameters: Tensor,
    k: int = 1,
    *,
    which: Which = "largest",
    tolerance: float = 1e-4,
    max_products: int = 2000,
    basis_size: int = 50,
    seed: int = 0,
) -> Eigenpairs:
    """Return the k largest or smallest eigenvalues of the Hessian of ``loss`` at ``parameters``, with their vectors.

    Lanczos iteration with full reorthogonalisation, restarted with the leading Ritz vectors where there is no room
    (thick restarts: Wu and Simon, 2000). Once k pairs have converged a random direction outside them is followed, until
    one adds nothing larger: the Krylov space of one vector has one vector of an eigenvalue that occurs several times. A
    Rayleigh-Ritz step with one more product for each vector gives values and residuals.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor; or a symmetric operator
            (:func:`gfsharp.operators.product_of`).
        parameters: the point, shape (P,).
        k: how many, at most P.
        which: ``"largest"`` or ``"smallest"``, in the algebraic order.
        tolerance: of the residuals, relative to the size of the largest value of the k.
        max_products: budget of Hessian-vector products; past it the best pairs so far are returned with ``converged``
            false.
        basis_size: Lanczos vectors held in memory at once, at least ``2 k + 20`` are.
        seed: of the random directions.

    Raises:
        FloatingPointError: a product is not finite.
        LossError: the loss gives no real number, or none that depends on its argument.
        TypeError, ValueError: arguments that cannot be meant.

    >>> scales = torch.tensor([3.0, 3.0, 1.0, -2.0], dtype=torch.float64)
    >>> found = eigenpairs(lambda w: (scales * w**2).sum() / 2, torch.zeros(4, dtype=torch.float64), 3)
    >>> found.values.round(9).tolist(), found.converged
    ([3.0, 3.0, 1.0], True)
    """
    require_weights(parameters=parameters)
    require_counts(k=k, max_products=max_products, basis_size=basis_size)
    require_positive(tolerance=tolerance)
    if which not in get_args(Which):
        raise ValueError(f"which must be 'largest' or 'smallest', found {which!r}")
    if k > parameters.numel():
        raise ValueError(f"k must be at most the number of weights, {parameters.numel()}, found {k}")
    if max_products < 2 * k:
        raise ValueError(f"max_products must be at least 2 k, {2 * k}, found {max_products}")
    sign = 1.0 if which == "largest" else -1.0
    product = product_of(loss, parameters)
    size = min(max(basis_size, 2 * k + _BESIDE), parameters.numel())
    space = _Space(lambda v: sign * product(v), parameters, size, max_products - k, seed)
    _converge(space, k, tolerance)
    rounding = 10 * space.rounding
    values, vectors, residuals = space.measured(k)
    bound = max(tolerance * float(np.abs(values).max()), rounding)
    return Eigenpairs(sign * values, vectors, residuals, space.products, bool((residuals <= bound).all()))


def _converge(space: _Space, k: int, tolerance: float) -> None:
    """Extend the space until its k leading pairs have converged and a random direction adds none."""
    while True:
        since = space.products
        while not (space.products - since >= LEAST_PRODUCTS and space.have_converged(k, tolerance)):
            if not space.extend(k):
                return
        lowest = float(space.values[-k])
        if not space.branch(k):
            return
        since = space.products
        while space.room and (space.products - since < LEAST_PRODUCTS or space.may_exceed(lowest, k)):
            if not space.extend(k):
                return
        if float(space.values[-k]) <= lowest + tolerance * space.scale:
            return


class _Space:
    """An orthonormal basis V, (m, P), with ``V H V^T = T``, which grows by Lanczos iteration.

    But for what was left out at restarts and branches, ``H V^T = V^T T + beta v e^T`` with the next direction v.
    """

    def __init__(self, product: Product, like: Tensor, size: int, budget: int, seed: int) -> None:
        self._product, self._seed, self._draws, self._left = product, seed, 0, budget
        self._basis = torch.empty(size, like.numel(), dtype=like.dtype, device=like.device)
        self._projected = np.zeros((size, size))
        self._size = 0
        self._following = random_direction(like, seed)
        self._beta = math.inf
        self._eigen: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.products = 0

    @property
    def room(self) -> int:
        """How many more directions fit in."""
        return len(self._basis) - self._size

    @property
    def values(self) -> NDArray[np.float64]:
        """The Ritz values, which rise, shape (m,)."""
        return self._decomposed()[0]

    @property
    def scale(self) -> float:
        """The size of the spectrum, as far as it is known."""
        return float(np.abs(self.values[[0, -1]]).max())

    def residuals(self, count: int) -> NDArray[np.float64]:
        """Return the residuals of the leading pairs, the largest first."""
        return self._beta * np.abs(self._decomposed()[1][-1, ::-1][:count])

    def have_converged(self, k: int, tolerance: float) -> bool:
        """Whether the k leading pairs are good enough."""
        if self._size < k:
            return False
        bound = tolerance * float(np.abs(self.values[-k:]).max()) / 2
        # Values that are zero beside others are known to rounding.
        return bool((self.residuals(k) <= max(bound - self.rounding, 2 * self.rounding)).all())

    def may_exceed(self, lowest: float, k: int) -> bool:
        """Whether the pair after the k leading ones may be one of a larger value than ``lowest``."""
        if self._size <= k:
            return True
        return bool(self.values[-k - 1] + self.residuals(k + 1)[-1] > lowest)

    def extend(self, keep: int) -> bool:
        """Take one more product; where there is no room, restart first. Return false where nothing is left to do.

        Args:
            keep: how many leading pairs are sought.
        """
        if self._size and self._beta <= 10 * self.rounding and not self._away(self._size):
            return False
        if self._left < 1:
            return False
        if not self.room:
            self._restart(keep + (len(self._basis) - keep) // 2)
        self._left -= 1
        self.products += 1
        image = self._product(self._following)
        self._basis[self._size] = self._following
        self._size += 1
        basis = self._basis[: self._size]
        self._following = image.clone()
        overlaps = take_out(basis, self._following)
        # What the first pass leaves along the basis is rounding; where little else is left it is not small beside it.
        take_out(basis, self._following)
        column = overlaps.cpu().numpy()
        if not np.isfinite(column).all():
            raise FloatingPointError(NOT_FINITE)
        self._projected[: self._size, self._size - 1] = self._projected[self._size - 1, : self._size] = column
        self._eigen = None
        self._beta = norm(self._following)
        if self._beta > 10 * self.rounding:
            self._following = unit(self._following, self._beta)
        return True

    def branch(self, keep: int) -> bool:
        """Keep the leading pairs alone and go on along a random direction; return false where there is none."""
        if self._left < 1 or self._basis.shape[1] <= keep:
            return False
        self._restart(keep)
        return self._away(keep)

    def measured(self, k: int) -> tuple[NDArray[np.float64], Tensor, NDArray[np.float64]]:
        """Return k Rayleigh-Ritz values from the largest, vectors and residuals, by one product for each vector."""
        if self._size > k:
            self._restart(k)
        rows = self._basis[: self._size]
        images = torch.stack([self._product(row) for row in rows])
        self.products += len(rows)
        small = torch.stack([projections(rows, image) for image in images]).cpu().numpy()
        gram = torch.stack([projections(rows, row) for row in rows]).cpu().numpy()
        if not np.isfinite(small).all():
            raise FloatingPointError(NOT_FINITE)
        values, mixes = eigh((small + small.T) / 2, (gram + gram.T) / 2)
        mixed = torch.from_numpy(mixes[:, ::-1].T.copy()).to(rows)
        vectors, images = mixed @ rows, mixed @ images
        sizes = np.array([norm(vector) for vector in vectors])
        values = values[::-1].copy()
        pairs = zip(values.tolist(), vectors, images, strict=True)
        residuals = np.array([norm(image - value * vector) for value, vector, image in pairs]) / sizes
        return values, vectors / torch.from_numpy(sizes).to(rows).unsqueeze(1), residuals

    def _decomposed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._eigen is None:
            self._eigen = np.linalg.eigh(self._projected[: self._size, : self._size])
        return self._eigen

    @property
    def rounding(self) -> float:
        """The machine's precision, of the spectrum's size."""
        return torch.finfo(self._basis.dtype).eps * self.scale

    def _restart(self, keep: int) -> None:
        """Keep the leading Ritz pairs as the basis."""
        keep = min(keep, self._size)
        values, vectors = self._decomposed()
        mixed = torch.from_numpy(vectors[:, ::-1][:, :keep].T.copy()).to(self._basis)
        self._basis[:keep] = mixed @ self._basis[: self._size]
        self._projected[:] = 0.0
        np.fill_diagonal(self._projected[:keep, :keep], values[::-1][:keep])
        self._size, self._eigen = keep, None

    def _away(self, count: int) -> bool:
        """Go on along a random direction outside the first ``count`` of the basis, if there is one."""
        if count >= self._basis.shape[1]:
            return False
        self._draws += 1
        self._following = random_direction(self._following, self._seed, self._draws)
        for _ in range(3):  # of P dimensions one may be left
            take_out(self._basis[:count], self._following)
            self._following = unit(self._following)
        self._beta = math.inf
        return True
