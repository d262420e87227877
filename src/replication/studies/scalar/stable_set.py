"""The stable set of Damian et al. (2023) for scalar networks of depth 3 (Appendix A; figure 7).

    M = {w : sharpness(w) <= 2/eta, <grad L(w), u(w)> = 0},   u(w) the top eigenvector of the Hessian.

Derived: with ``v_i = 1/w_i`` the gradient is ``(pi - 1) pi v`` and the Hessian ``pi ((2 pi - 1) v v^T + (1 - pi)
diag(v^2))``. A top eigenvector orthogonal to v then has the eigenvalue ``pi (1 - pi) v_i^2`` on at least two weights of
equal magnitude, and is the top one only where these are the smallest and ``0 < pi <= 1/2``. At ``pi = 0`` only saddles
belong to M: two weights are zero, and so is the gradient. So M is the minima (product one) and, apart from them, points
with a product of at most 1/2. Here M is found without that knowledge: by the sign changes of ``<grad L, u>`` along
lines of shapes at fixed product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gfsharp.scalar.columns import Floats
from gfsharp.scalar.network import gradient, hessian
from replication.storage.table_schema import WEIGHTS, Column, Columns

# Neighbours on a line whose top eigenvectors are further apart have exchanged eigenvalues: no root between them.
_SAME_VECTOR = 0.7
_BISECTIONS = 50


_PRODUCT: Columns = {"product": Column("number", "w³", "of the weights")}

# Of scalar/stable_set/points.parquet.
POINTS: Columns = {
    **WEIGHTS,
    **_PRODUCT,
    "sharpness": Column("number", "L / w²", "at the point"),
    "learning_rate": Column("number", "w² / L", "eta, the same for all"),
}

# Of scalar/stable_set/products.parquet.
PRODUCTS: Columns = {
    **_PRODUCT,
    "least_cosine": Column("number", "", "of the angle of gradient and top eigenvector, over stable weights"),
    "points": Column("whole number", "", "of the set that were found at it"),
}


@dataclass(frozen=True)
class StableSet:
    """Points of M that are not minima, and how far from M each product stays.

    Attributes:
        points: weights, shape (n, 3), all of the product's sign.
        products: scanned, shape (m,).
        least_cosine: for each product the least ``|cos(grad L, u)|`` over the shapes that are stable, roots included;
            NaN where none is stable.
    """

    points: Floats
    products: Floats
    least_cosine: Floats


def stable_set(learning_rate: float, products: Floats, *, log_ratio: float, shapes: int) -> StableSet:
    """Scan weights of depth 3, all of one sign, at each of ``products`` for points of M.

    Other signs with the same product have the same dynamics (Appendix D.2.2).

    Args:
        products: neither zero nor one.
        log_ratio: the logarithms of the weights' ratios run up to this.
        shapes: points along each of the two axes of shapes.
    """
    # Shapes exp(p, q - p/2, -q - p/2); no line runs along a tie of two weights.
    p, q = np.meshgrid(np.linspace(-log_ratio, log_ratio, shapes), np.linspace(0, log_ratio, shapes) + 1e-3)
    found, least = [], []
    for product in products:
        roots = _roots(product, p, q)
        cosine, top = _alignment(_weights(product, p, q))
        stable_roots = roots[_alignment(roots)[1] <= 2 / learning_rate] if len(roots) else roots
        found.append(stable_roots)
        stable = np.abs(cosine[top <= 2 / learning_rate])
        at_roots = np.abs(_alignment(stable_roots)[0]) if len(stable_roots) else np.empty(0)
        least.append(np.min(np.concatenate([stable, at_roots]), initial=np.inf))
    cosines = np.array(least)
    return StableSet(np.concatenate(found), np.asarray(products), np.where(np.isfinite(cosines), cosines, np.nan))


def _weights(product: float, p: Floats, q: Floats) -> Floats:
    return np.cbrt(product) * np.exp(np.stack([p, q - p / 2, -q - p / 2], axis=-1))


def _top(w: Floats) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(hessian(w))
    return values[..., -1], vectors[..., -1]


def _alignment(w: Floats) -> tuple[Floats, Floats]:
    """Return ``cos(grad L, u)`` up to its sign, and the sharpness."""
    top, u = _top(w)
    slope = gradient(w)
    return np.sum(slope * u, axis=-1) / np.linalg.norm(slope, axis=-1), top


def _roots(product: float, p: Floats, q: Floats) -> Floats:
    """Return points with ``<grad L, u> = 0`` on lines of constant q, one for each sign change between neighbours."""
    w = _weights(product, p, q)
    _, u = _top(w)
    slope = gradient(w)
    overlap = np.sum(u[:, 1:] * u[:, :-1], axis=-1)
    left = np.sum(slope[:, :-1] * u[:, :-1], axis=-1)
    right = np.sum(slope[:, 1:] * u[:, 1:], axis=-1) * np.sign(overlap)
    changes = (left * right < 0) & (np.abs(overlap) > _SAME_VECTOR)
    low, high, line = p[:, :-1][changes], p[:, 1:][changes], q[:, :-1][changes]
    start, sign = u[:, :-1][changes], np.sign(left[changes])
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        points = _weights(product, middle, line)
        vector = _top(points)[1]
        oriented = vector * np.sign(np.sum(vector * start, axis=-1, keepdims=True))
        before = np.sum(gradient(points) * oriented, axis=-1) * sign > 0
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return _weights(product, 0.5 * (low + high), line)
