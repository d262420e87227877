"""How far out the stable minima lie: global minimisers of sharpness at most 2/eta.

The loss is quadratic in each layer alone: along V in the place of W_j it curves by ``|A_j V B_j X|_F^2 / N``. So
``|A_j| |B_j| <= c = sqrt(2 / (eta mu))`` where the sharpness is at most 2/eta, mu being the smallest eigenvalue of
``X X^T / N`` (norms here are spectral). *Bounded*: at depth 2, where ``A_1 = W_2`` and ``B_2 = W_1``, each layer is
at most c; and at any depth where all hidden widths are the rank of the best product M. There the factors in
``A_j B_{j+1} = M`` have full rank, so that ``W_j = B_{j+1} M^+ A_{j-1}``, and with the largest and smallest singular
values s and m of M that are not zero::

    |B_j| <= (c/s) |B_{j+1}| <= s (c/s)^{D+1-j}     from |A_j| |B_j| <= c and |A_j| |B_{j+1}| >= s,
    |A_j| <= (c/s) |A_{j-1}| <= s (c/s)^j           likewise,
    |W_j| <= |B_{j+1}| |A_{j-1}| / m <= (s^2/m) (c/s)^{D-1}     for 1 < j < D, and s (c/s)^{D-1} for j = 1 and j = D.

*Unbounded*: from depth 3 on, where two neighbouring hidden layers are both wider than M's rank (:func:`escape`). Their
units can have directions that W_j is fed nothing along (outside the range of ``B_j``) and directions that are ignored
after it (the kernel of ``A_j``). A weight from the first to the second changes neither the product nor any ``A_i`` or
``B_i``, nor, where the residual is orthogonal to the inputs, the Hessian: it may be as large as one likes. So stable
minima are then no bounded set at any step size at which there are some. The abstract, all of the paper that is at hand,
says that they are, and names no assumption on the widths.

What lies between the two cases is not settled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from replication.storage.table_schema import Column, Columns
from replication.studies.linear import cases
from replication.studies.linear.minimisers import least_sharpness, product_rank, sample
from replication.studies.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# Eigenvalues that are kept below 2/eta one by one: the largest may be a double one where the search ends.
_TOP = 4
_STEPS = 300
# What a point that the search returns may miss its conditions by.
_PRODUCT_ERROR = 1e-8
_SHARPNESS_EXCESS = 1e-6


# Of linear/stable_minima.parquet.
COLUMNS: Columns = {
    **cases.COLUMNS,
    "kind": Column("text", "", "`bounded` or `unbounded` where one is shown, else `open`"),
    "search": Column(
        "text", "", "`radius` where the radius varies at one learning rate, `rate` where the rates do, with the largest"
    ),
    **cases.RATE,
    "radius": Column("number", "w", "of the search"),
    "norm": Column("number", "w", "the largest found; empty where none is"),
    "bound": Column("number", "w", "of the norms of stable minima; empty where none is shown"),
    "least_norm": Column("number", "w", "of the balanced minimisers"),
}


def kind(network: LinearNetwork) -> str:
    """Return ``bounded`` or ``unbounded``, where one is shown above, or else ``open``.

    >>> [kind(cases.diagonal_network(widths, [1.0, 0.5])) for widths in [(2, 5, 2), (2, 2, 2, 2), (2, 3, 3, 2)]]
    ['bounded', 'bounded', 'unbounded']
    """
    hidden, k = network.widths[1:-1], product_rank(network)
    if network.depth <= 2 or set(hidden) == {k}:
        return "bounded"
    return "unbounded" if _loose_layer(network) is not None and _fits(network) else "open"


def bound(network: LinearNetwork, eta: float) -> float:
    """Return a bound on ``|w|_2`` of weights with the best product and a sharpness of at most 2/eta (see above).

    The Frobenius norm of a layer is at most its spectral norm times the root of its rank, which is at most its smaller
    side. Infinite where no bound is known.

    >>> round(bound(cases.diagonal_network((1, 1, 1), [1.0]), 0.5), 12)  # |w_1|, |w_2| <= (2/eta)^(1/2)
    2.828427124746
    """
    if kind(network) != "bounded":
        return np.inf
    c = np.sqrt(2 / (eta * np.linalg.eigvalsh(network.covariance)[0]))
    values = np.linalg.svd(network.best_product, compute_uv=False)[: product_rank(network)]
    if network.depth == 1:
        return float(np.linalg.norm(network.best_product))
    largest, least = values[0], values[-1]
    outer = c if network.depth == 2 else largest * (c / largest) ** (network.depth - 1)
    inner = outer * max(1.0, largest / least)
    layers = [outer if j in (0, network.depth - 1) else inner for j in range(network.depth)]
    return float(np.sqrt(sum(min(shape) * layer**2 for shape, layer in zip(network.shapes, layers, strict=True))))


def escape(network: LinearNetwork, distance: float) -> Floats:
    """Return a global minimiser of the smallest known sharpness with one idle weight of size ``distance``.

    It leads from a direction outside the range of ``B_j`` to one in the kernel of ``A_j``. On whitened data the
    sharpness is :func:`replication.studies.linear.minimisers.least_sharpness`, at any distance.

    Raises:
        ValueError: no two neighbouring hidden layers are wider than the best product's rank.
    """
    j = _loose_layer(network)
    if j is None:
        raise ValueError(f"no two neighbouring hidden layers of {network.widths} are wider than the product's rank")
    layers = network.layers(sample(network, 1, 0, spread=0.0, idle=0.0)[0])
    below = np.linalg.multi_dot([*layers[:j][::-1], np.eye(network.widths[0])])
    above = np.linalg.multi_dot([np.eye(network.widths[-1]), *layers[:j:-1]])
    ignored, unfed = np.linalg.svd(above)[2][-1], np.linalg.svd(below)[0][:, -1]
    layers[j] = layers[j] + distance * np.outer(ignored, unfed)
    return network.flat(layers)


def _loose_layer(network: LinearNetwork) -> int | None:
    """The index of the first layer between two hidden ones that are both wider than the best product's rank."""
    k = product_rank(network)
    return next((j for j in range(1, network.depth - 1) if min(network.shapes[j]) > k), None)


def _fits(network: LinearNetwork) -> bool:
    """Whether the best product leaves a residual that is orthogonal to the inputs."""
    slope = (network.best_product @ network.inputs - network.targets) @ network.inputs.T / network.samples
    return bool(np.abs(slope).max() <= 1e-10 * max(1.0, np.abs(network.targets).max()))


def eigenvalue_gradients(network: LinearNetwork, w: Floats, vectors: Floats) -> Floats:
    """Return the gradients of ``v^T Hessian L(w) v`` in w for unit vectors v of shape (n, P), shape (n, P).

    They are those of the eigenvalues where v is an eigenvector of a simple one. Along ``w + t v`` the gradient of the
    loss is a polynomial of degree 2 D - 1 in t, and twice its coefficient of ``t^2`` is wanted: fitted through 2 D
    points it is exact.
    """
    count = 2 * network.depth
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count) * max(1.0, float(np.abs(w).max()))
    coefficient = 2 * np.linalg.inv(np.vander(nodes, increasing=True))[2]
    gradients = network.gradient(w + nodes[:, None, None] * vectors)
    return np.asarray(np.tensordot(coefficient, gradients, axes=1), dtype=np.float64)


def farthest(network: LinearNetwork, eta: float, radius: float, *, starts: int, seed: int) -> Floats:
    """Search for the stable minimum of the largest norm up to ``radius``, shape (P,); NaN where none is found.

    By sequential quadratic programming from random minimisers: the norm is raised with the product kept at the best one
    and each of the largest eigenvalues of the Hessian at most 2/eta. Only a point that fulfils all this counts.
    """
    conditions_of_product = _conditions_of_product(network)
    target = conditions_of_product @ network.best_product.ravel()

    def of_sharpness(w: Floats) -> Floats:
        return np.asarray(1 - 0.5 * eta * np.linalg.eigvalsh(network.hessian(w))[-_TOP:], dtype=np.float64)

    def slopes_of_sharpness(w: Floats) -> Floats:
        vectors = np.linalg.eigh(network.hessian(w))[1][:, -_TOP:].T
        return -0.5 * eta * eigenvalue_gradients(network, w, vectors)

    conditions = [
        {
            "type": "eq",
            "fun": lambda w: conditions_of_product @ network.product(w).ravel() - target,
            "jac": lambda w: conditions_of_product @ network.product_jacobian(w),
        },
        {"type": "ineq", "fun": of_sharpness, "jac": slopes_of_sharpness},
        {"type": "ineq", "fun": lambda w: 1 - w @ w / radius**2, "jac": lambda w: -2 * w / radius**2},
    ]
    best = np.full(network.size, np.nan)
    for start in sample(network, starts, seed, spread=0.3, idle=0.3):
        with np.errstate(all="ignore"):
            found = minimize(
                lambda w: -w @ w / radius,
                start,
                jac=lambda w: -2 * w / radius,
                method="SLSQP",
                constraints=conditions,
                options={"maxiter": _STEPS, "ftol": 1e-10},
            ).x
        if _is_stable_minimum(network, found, eta, radius) and not found @ found <= best @ best:
            best = found
    return best


def _conditions_of_product(network: LinearNetwork) -> Floats:
    """The linear forms on products that are those of the best one nowhere else nearby, as independent as they can be.

    With U and V the singular vectors of the best product of rank k = r they are those of ``U^T P`` and, on the
    complement of U, of ``P V``: the rest follows, as no product has a larger rank.
    """
    k = network.rank
    u, _, v = np.linalg.svd(network.best_product)
    rows = [np.einsum("i,jk->jik", u[:, i], np.eye(network.widths[0])) for i in range(k)]
    rows += [np.einsum("i,kj->jik", u[:, i], v[:k].T) for i in range(k, network.widths[-1])]
    return np.concatenate(rows).reshape(-1, u.shape[0] * v.shape[0])


def _is_stable_minimum(network: LinearNetwork, w: Floats, eta: float, radius: float) -> bool:
    if not np.isfinite(w).all() or np.linalg.norm(w) > radius * (1 + _SHARPNESS_EXCESS):
        return False
    missed = np.abs(network.product(w) - network.best_product).max()
    return bool(missed <= _PRODUCT_ERROR and network.sharpness(w) <= 2 / eta * (1 + _SHARPNESS_EXCESS))


def table(
    *,
    networks: Sequence[Sequence[int]],
    singular_values: Sequence[float],
    fraction: float,
    fractions: Sequence[float],
    radius: tuple[float, float],
    radii: int,
    starts: int,
    seed: int,
) -> pd.DataFrame:
    """Return the largest norms of stable minima found, as the configuration's ``linear.stable_minima`` has it.

    A row per network and search, with ``COLUMNS``.
    """
    import pandas as pd

    rows = []
    reaches = np.geomspace(*radius, radii)
    for widths in networks:
        network = cases.diagonal_network(widths, singular_values)
        balanced = float(np.linalg.norm(sample(network, 1, 0, spread=0.0, idle=0.0)[0]))
        searches = [("radius", fraction, reach) for reach in reaches]
        searches += [("rate", varied, reaches[-1]) for varied in fractions]
        for search, of_critical, reach in searches:
            eta = of_critical * 2 / least_sharpness(network)
            found = farthest(network, eta, reach, starts=starts, seed=seed)
            rows.append(
                {
                    "network": cases.name(widths),
                    "depth": network.depth,
                    "kind": kind(network),
                    "search": search,
                    "learning_rate": eta,
                    "fraction": of_critical,
                    "radius": reach,
                    "norm": float(np.linalg.norm(found)),
                    "bound": bound(network, eta),
                    "least_norm": balanced,
                }
            )
    return pd.DataFrame(rows)
