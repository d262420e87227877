"""The global minimisers of a linear network: samples of them, their codimension and their smallest sharpness.

The minimisers are the weights whose product is the best one of rank r, r being the smallest width. Where that product
has the rank r itself (*full rank*), the derivative of the product has rank ``r (d_0 + d_D - r)`` at each of them:
its image is the tangent space of the matrices of rank r, all matrices where no hidden layer is narrower than input and
output. So they are a smooth manifold of that codimension. Where it has a lower rank they need not be: of one unit per
layer and the product 0, for example, they are the planes ``w_i = 0``, which cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from replication.storage.table_schema import Column, Columns
from replication.studies.linear import cases
from replication.studies.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# Singular values below this, relative to the largest, are rounding: those that count are above 1e-3 of it.
RANK_TOLERANCE = 1e-9


# Of linear/minimisers.parquet.
COLUMNS: Columns = {
    **cases.COLUMNS,
    "full_rank": Column("truth", "", "whether the best product has the rank that the widths allow"),
    "idle": Column("truth", "", "whether idle units have weights"),
    "codimension": Column("whole number", "", "of the minimisers, as it is predicted at full rank"),
    "rank": Column("whole number", "", "of the residual's Jacobian: singular values that count"),
    "least_kept": Column("number", "", "the smallest of these, relative to the largest"),
    "largest_dropped": Column("number", "", "the largest that does not count, relative to the largest; 0 where all do"),
    "hessian_rank": Column("whole number", "", "eigenvalues of the Hessian that count"),
    "excess": Column("number", "", "loss above the least, relative to it or to 1"),
    "slope": Column("number", "L / w", "the largest entry of the gradient"),
}


def codimension(network: LinearNetwork) -> int:
    """Return ``r (d_0 + d_D - r)``, r being the smallest width: the codimension of the minimisers at full rank.

    >>> codimension(LinearNetwork.whitened((3, 4, 2), np.ones((2, 3)))), codimension(
    ...     LinearNetwork.whitened((3, 1, 2), np.ones((2, 3)))
    ... )
    (6, 4)
    """
    r = network.rank
    return r * (network.widths[0] + network.widths[-1] - r)


def is_full_rank(network: LinearNetwork) -> bool:
    """Return whether the best product has the rank r, the smallest width."""
    return product_rank(network) == network.rank


def product_rank(network: LinearNetwork) -> int:
    """Return the rank of the best product, at most r."""
    values = np.linalg.svd(network.best_product, compute_uv=False)
    return int(np.sum(values > RANK_TOLERANCE * values[0])) if values[0] > 0 else 0


def sample(network: LinearNetwork, count: int, seed: int, *, spread: float = 0.5, idle: float = 1.0) -> Floats:
    """Draw global minimisers, shape (count, P).

    With ``U S V^T`` the best product's singular value decomposition of rank k, ``W_j = R_j N_j R_{j-1}^{-1}``: R_j is
    invertible for a hidden layer and I for input and output; N_j carries k units, each multiplied by its ``s^(1/D)``,
    from one layer to the next. What other units there are is *idle*: on one side of a narrowest layer they are computed
    and ignored, on the other read and never fed, so that they may have any weights among themselves. At full rank
    every minimiser is of this form. Without spread and idle weights the minimisers are balanced.

    Args:
        spread: the logarithms of the singular values of R_j are Gaussian with this standard deviation.
        idle: the standard deviation of the idle weights.
    """
    generator = np.random.default_rng(seed)
    k = product_rank(network)
    u, s, v = np.linalg.svd(network.best_product, full_matrices=False)
    mixing = [_invertible(generator, count, width, spread) for width in network.widths[1:-1]]
    ignored = _ignored(network, k)
    layers = []
    for j in range(network.depth):
        first, last = j == 0, j + 1 == network.depth
        carried = np.diag(s[:k] ** (1 / network.depth))
        carried = carried @ v[:k] if first else carried
        carried = u[:, :k] @ carried if last else carried
        rows, columns = carried.shape
        more_rows = 0 if last else network.widths[j + 1] - k
        more_columns = 0 if first else network.widths[j] - k
        inner = idle * generator.normal(size=(count, rows + more_rows, columns + more_columns))
        inner[:, :rows, :columns] = carried
        if not first and ignored[j]:
            inner[:, :rows, columns:] = 0
        if not last and not ignored[j + 1]:
            inner[:, rows:, :columns] = 0
            if not first and ignored[j]:
                inner[:, rows:, columns:] = 0
        inner = inner if first else inner @ np.linalg.inv(mixing[j - 1])
        layers.append(inner if last else mixing[j] @ inner)
    return network.flat(layers)


def _ignored(network: LinearNetwork, k: int) -> list[bool]:
    """Of each layer, whether its idle units are computed and ignored; if not, they are read and never fed."""
    if k == network.widths[-1]:
        narrowest = network.depth
    elif k == network.widths[0]:
        narrowest = 0
    else:
        narrowest = 1 + int(np.argmin(network.widths[1:-1])) if network.depth > 1 else 0
    return [j <= narrowest for j in range(network.depth + 1)]


def _invertible(generator: np.random.Generator, count: int, width: int, spread: float) -> Floats:
    left, right = (np.linalg.qr(generator.normal(size=(count, width, width)))[0] for _ in range(2))
    values = np.exp(spread * generator.normal(size=(count, 1, width)))
    return (left * values) @ right


@dataclass(frozen=True)
class Ranks:
    """Ranks of the residual's Jacobian at points of shape (n, P).

    Attributes:
        rank: singular values that count, shape (n,).
        least_kept: the smallest that counts, relative to the largest, shape (n,).
        largest_dropped: the largest that does not, relative to the largest, shape (n,); zero where all count.
        hessian_rank: eigenvalues of the Hessian that count, shape (n,).
    """

    rank: NDArray[np.int64]
    least_kept: Floats
    largest_dropped: Floats
    hessian_rank: NDArray[np.int64]


def ranks(network: LinearNetwork, w: Floats) -> Ranks:
    """Return the ranks at ``w``, shape (n, P).

    Where the rank is the codimension of the minimisers on all of them, they are a smooth manifold with the kernel as
    tangent space. The Hessian's rank is then the same: the loss grows in all directions across them.
    """
    values = np.linalg.svd(network.residual_jacobian(w), compute_uv=False)
    relative = values / values[:, :1]
    counts = relative > RANK_TOLERANCE
    eigenvalues = np.abs(np.linalg.eigvalsh(network.hessian(w)))
    return Ranks(
        rank=counts.sum(axis=-1),
        least_kept=np.min(np.where(counts, relative, np.inf), axis=-1),
        largest_dropped=np.max(np.where(counts, 0.0, relative), axis=-1),
        # An eigenvalue is the square of a singular value, and rounding is as large as before.
        hessian_rank=(eigenvalues > RANK_TOLERANCE * eigenvalues.max(axis=-1, keepdims=True)).sum(axis=-1),
    )


def least_sharpness(network: LinearNetwork) -> float:
    """Return ``D s^(2 - 2/D)``, the smallest sharpness of a global minimiser on whitened data, s being the largest
    singular value of the best product (derived; for scalar networks, with s = 1, it is D).

    With u and v the singular vectors of s, ``lambda_max >= sum_j |A_j^T u|^2 |B_j v|^2``, as the direction with the
    parts ``A_j^T u (B_j v)^T`` shows. Each ``|A_j^T u| |B_{j+1} v|`` is at least ``u^T A_j B_{j+1} v = s``, so that the
    product of the D terms is at least ``s^(2 D - 2)`` and their mean at least ``s^(2 - 2/D)``. Balanced minimisers
    attain it. Where a width is too small to fit the target, the residual adds terms to the Hessian that this leaves
    out; samples have shown no smaller sharpness.

    Raises:
        ValueError: data that are not whitened, ``X X^T = N I``: see :func:`search_least_sharpness`.

    >>> round(least_sharpness(LinearNetwork.whitened((1, 1, 1, 1), [[8.0]])), 9)
    48.0
    """
    if not np.allclose(network.covariance, np.eye(network.widths[0]), rtol=0, atol=1e-10):
        raise ValueError("the closed form is for whitened data, X X^T = N I")
    largest = np.linalg.svd(network.best_product, compute_uv=False)[0]
    return float(network.depth * largest ** (2 - 2 / network.depth))


def search_least_sharpness(network: LinearNetwork, starts: int = 4, seed: int = 0) -> float:
    """Return the smallest sharpness of a global minimiser that a search finds: of any data, from above.

    Over the k x k factors of R_j (see :func:`sample`) that the k units carried are mixed by, without idle units,
    which, where the target is fitted, add to the sharpness only. Power means of the eigenvalues, of growing power, lead
    to the largest of them.
    """
    generator = np.random.default_rng(seed)
    k, depth = product_rank(network), network.depth
    reduced = LinearNetwork(
        (network.widths[0], *[k] * (depth - 1), network.widths[-1]), network.inputs, network.targets
    )
    base = reduced.layers(sample(reduced, 1, seed, spread=0.0)[0])

    def weights(factors: Floats) -> Floats:
        mixing = np.eye(k) + factors.reshape(depth - 1, k, k)
        layers = [layer.copy() for layer in base]
        for j in range(depth - 1):
            layers[j] = mixing[j] @ layers[j]
            layers[j + 1] = layers[j + 1] @ np.linalg.inv(mixing[j])
        return reduced.flat(layers)

    def mean(factors: Floats, power: int) -> float:
        values = np.abs(np.linalg.eigvalsh(reduced.hessian(weights(factors))))
        return float(values.max() * np.sum((values / values.max()) ** power) ** (1 / power))

    best = np.inf
    for _ in range(starts):
        factors = 0.1 * generator.normal(size=(depth - 1) * k * k)
        for power in (4, 16, 64, 256, 1024):
            factors = minimize(mean, factors, args=(power,), method="L-BFGS-B").x
        best = min(best, float(reduced.sharpness(weights(factors))))
    return best


def table(
    *,
    networks: Sequence[Sequence[int]],
    deficient: Sequence[Sequence[int]],
    samples: int,
    seed: int,
    spread: float,
    points: int,
) -> pd.DataFrame:
    """Return ranks at sampled minimisers, as the configuration's ``linear.minimisers`` has it.

    A row per network and minimiser, with ``COLUMNS``; half of a network's have no idle weights. The networks of
    ``deficient`` have targets of rank one.
    """
    import pandas as pd

    sampled = [cases.gaussian_network(widths, samples, seed) for widths in networks]
    sampled += [
        cases.diagonal_network(widths, [1.0] + [0.0] * (min(widths[0], widths[-1]) - 1)) for widths in deficient
    ]
    tables = []
    for network in sampled:
        for idle in (1.0, 0.0):
            w = sample(network, points // 2, seed, spread=spread, idle=idle)
            tables.append(
                pd.DataFrame(
                    {
                        "network": cases.name(network.widths),
                        "depth": network.depth,
                        "full_rank": is_full_rank(network),
                        "idle": idle > 0,
                        "codimension": codimension(network),
                        **vars(ranks(network, w)),
                        "excess": np.abs(network.loss(w) - network.least_loss) / max(1.0, network.least_loss),
                        "slope": np.abs(network.gradient(w)).max(axis=-1),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
