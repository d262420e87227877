"""The share of starts from which gradient descent converges, against the step size.

At a step size above ``2 / (the smallest sharpness of a global minimiser)`` every global minimiser is unstable. As the
map is non-singular, the starts from which gradient descent converges to an unstable critical point are a null set; and
a critical point that is no minimum is unstable at every step size, for it has a direction of negative curvature, unless
it is a degenerate saddle, as zero is from depth 3 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from replication.storage.table_schema import Column, Columns
from replication.studies.linear import cases
from replication.studies.linear.minimisers import least_sharpness, search_least_sharpness
from replication.studies.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# A loss above the least by more than this is that of a saddle.
_AT_MINIMUM = 1e-6
# Weights beyond this do not come back: a step multiplies them by eta times a power of them.
_DIVERGED = 1e6
# Steps between looks at which runs have ended.
_ROUND = 20

MINIMUM, SADDLE, DIVERGED, BOUNDED = "minimum", "saddle", "diverged", "bounded"


# Of linear/convergence.parquet.
COLUMNS: Columns = {
    **cases.COLUMNS,
    **cases.RATE,
    "critical": Column("number", "w² / L", "the rate at which the fraction is one"),
    "searched": Column("number", "w² / L", "the same with the smallest sharpness that a search finds"),
    "starts": Column("whole number", "", "from which gradient descent was run"),
    MINIMUM: Column("whole number", "", "of them, that end at a global minimum"),
    SADDLE: Column("whole number", "", "that end at a saddle"),
    DIVERGED: Column("whole number", "", "that diverge"),
    BOUNDED: Column("whole number", "", "that do neither"),
    "share": Column("number", "", "of the starts that end at a minimum or a saddle"),
    "low": Column("number", "", "lower end of its 95 % interval"),
    "high": Column("number", "", "upper end"),
}


def outcomes(
    network: LinearNetwork, starts: Floats, rates: Floats, *, gradient: float, quiet: int, steps: ArrayLike
) -> NDArray[np.str_]:
    """Run gradient descent from each row of ``starts`` and say what becomes of it.

    Args:
        starts: shape (n, P).
        rates: the step size of each, shape (n,).
        gradient, quiet: a run has converged if no entry of the gradient is above ``gradient`` for ``quiet`` steps in
            succession: an iterate that only passes near an unstable minimum leaves it again.
        steps: taken at most, of all runs or of each, shape (n,).

    Returns:
        ``minimum`` (converged to a global minimiser), ``saddle`` (to another critical point), ``diverged``, or
        ``bounded`` (neither within the steps), shape (n,).
    """
    found = np.full(len(starts), BOUNDED, dtype="<U8")
    row = np.arange(len(starts))
    layers = [np.moveaxis(layer, 0, -1).copy() for layer in network.layers(starts)]
    eta = np.asarray(rates, dtype=np.float64)
    still = np.zeros(len(row), dtype=np.int64)
    allowed = np.broadcast_to(np.asarray(steps), row.shape)
    last = int(allowed.max(initial=0))
    correlation = network.targets @ network.inputs.T / network.samples
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, last + 1):
            slopes = _gradients(layers, network.covariance, correlation)
            largest = np.max([np.abs(slope).max(axis=(0, 1)) for slope in slopes], axis=0)
            still = np.where(largest <= gradient, still + 1, 0)
            for layer, slope in zip(layers, slopes, strict=True):
                layer -= eta * slope
            if step % _ROUND and step < last:
                continue
            far = ~(np.max([np.abs(layer).max(axis=(0, 1)) for layer in layers], axis=0) <= _DIVERGED)
            converged = (still >= quiet) & ~far
            found[row[far]] = DIVERGED
            if converged.any():
                ended = network.flat([np.moveaxis(layer[..., converged], -1, 0) for layer in layers])
                above = network.loss(ended) - network.least_loss > _AT_MINIMUM
                found[row[converged]] = np.where(above, SADDLE, MINIMUM)
            going = ~(far | converged) & (step < allowed)
            row, eta, still, allowed = row[going], eta[going], still[going], allowed[going]
            layers = [layer[..., going] for layer in layers]
            if not len(row):
                break
    return found


def _times(left: Floats, right: Floats) -> Floats:
    """The products of matrices of shapes (i, j, n) and (j, k, n): small matrices, many of them."""
    return np.einsum("ijn,jkn->ikn", left, right)


def _gradients(layers: Sequence[Floats], covariance: Floats, correlation: Floats) -> list[Floats]:
    """The gradient of :class:`~replication.studies.linear.network.LinearNetwork`, networks along the last axis."""
    before = [layers[0]]  # B_2, ..., B_D, the product
    for layer in layers[1:]:
        before.append(_times(layer, before[-1]))
    upstream = np.einsum("ijn,jk->ikn", before[-1], covariance) - correlation[..., None]  # A_j^T G
    slopes = []
    for j in range(len(layers) - 1, 0, -1):
        slopes.append(np.einsum("ijn,kjn->ikn", upstream, before[j - 1]))
        upstream = np.einsum("jin,jkn->ikn", layers[j], upstream)
    return [upstream, *slopes[::-1]]


def wilson(successes: Floats, trials: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return Wilson's interval for a share, which is not empty where no trial or every one succeeds.

    >>> low, high = wilson(np.array([0, 5]), np.array([100, 10]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.237], [0.037, 0.763])
    """
    z = norm.ppf(0.5 + confidence / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # At the ends the interval ends there, but for rounding.
    low, high = np.where(successes == 0, 0.0, centre - half), np.where(successes == trials, 1.0, centre + half)
    return low, high


def table(
    *,
    networks: Sequence[Sequence[int]],
    singular_values: Sequence[float],
    fractions: Sequence[float],
    starts: int,
    deviation: float,
    seed: int,
    stop: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the share of starts that converge, as the configuration's ``linear.convergence`` has it.

    A row per network and rate, with ``COLUMNS``. The starts, the same at all rates, have Gaussian weights of
    standard deviation ``deviation / sqrt(d_{j-1})``.
    """
    import pandas as pd

    rows = []
    of_critical, count = np.array(fractions), starts
    for widths in networks:
        network = cases.diagonal_network(widths, singular_values)
        critical, searched = 2 / least_sharpness(network), 2 / search_least_sharpness(network, starts=1)
        w = np.tile(gaussian_starts(network, count, deviation, seed), (len(fractions), 1))
        ending = {**stop, "steps": np.repeat(_allowed(of_critical, stop["steps"]), count)}
        found = outcomes(network, w, np.repeat(of_critical * critical, count), **ending).reshape(-1, count)
        for fraction, ends in zip(of_critical, found, strict=True):
            counts = {kind: int(np.sum(ends == kind)) for kind in (MINIMUM, SADDLE, DIVERGED, BOUNDED)}
            converged = counts[MINIMUM] + counts[SADDLE]
            low, high = wilson(np.array(converged), np.array(count))
            rows.append(
                {
                    "network": cases.name(widths),
                    "depth": network.depth,
                    "fraction": fraction,
                    "learning_rate": fraction * critical,
                    "critical": critical,
                    "searched": searched,
                    "starts": count,
                    **counts,
                    "share": converged / count,
                    "low": float(low),
                    "high": float(high),
                }
            )
    return pd.DataFrame(rows)


def _allowed(fractions: Floats, steps: int) -> NDArray[np.int64]:
    """The steps allowed at fractions of the critical step size: just below it more, as the flattest minima contract by
    ``1 - fraction`` a step at the least; all runs there end, or are given up, alike."""
    below = np.where(fractions < 1, 1 - fractions, 1.0)
    return np.ceil(steps * np.maximum(1.0, 0.1 / below)).astype(np.int64)


def gaussian_starts(network: LinearNetwork, count: int, deviation: float, seed: int) -> Floats:
    """Draw weights of standard deviation ``deviation / sqrt(d_{j-1})`` in W_j, shape (count, P)."""
    generator = np.random.default_rng([seed, network.size])
    layers = [deviation / np.sqrt(shape[1]) * generator.normal(size=(count, *shape)) for shape in network.shapes]
    return network.flat(layers)
