"""The GFS sharpness along gradient descent on a linear network, by the flow of :mod:`gfsharp.flow`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gfsharp import scalar
from gfsharp.curvature import Loss
from gfsharp.descent import gradient_descent
from gfsharp.errors import UserError
from gfsharp.flow import GFSSharpness, gfs_sharpness
from replication.storage.table_schema import Column, Columns, of_run
from replication.studies.linear import cases
from replication.studies.linear.minimisers import least_sharpness, sample
from replication.studies.linear.network import Floats, LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

# Minimisers that a start is chosen from.
_MOST_DRAWN = 200


# Of linear/gfs.parquet.
COLUMNS: Columns = {
    **of_run("iteration"),
    "loss": Column("number", "L", "above the least"),
    **of_run("status", "sharpness"),
    "closed_form": Column("number", "L / w²", "the GFS sharpness by its formula; empty where there is none"),
    **of_run("gfs_sharpness", "gfs_error", "gfs_status"),
    "balance_error": Column(
        "number",
        "",
        "of the balances, which gradient flow keeps, between iterate and GFS, relative to the larger squared norm",
    ),
    **of_run("learning_rate", "threshold", "seed"),
    "experiment": Column("text", "", "the network, by its widths"),
    "depth": cases.COLUMNS["depth"],
    "run": Column("text", "", "its name: the seed of the start"),
}


def torch_loss(network: LinearNetwork) -> Loss:
    """Return the loss in excess of the least as a function of a float64 tensor of shape (P,).

    >>> network = LinearNetwork((1, 1, 1), [[1.0]], [[1.0]])
    >>> float(torch_loss(network)(torch.tensor([2.0, 1.0], dtype=torch.float64)))
    0.5
    """
    inputs, best = torch.from_numpy(network.inputs), torch.from_numpy(network.best_product @ network.inputs)
    residual = torch.from_numpy(network.targets) - best
    sizes = [rows * columns for rows, columns in network.shapes]

    def loss(flat: Tensor) -> Tensor:
        outputs = inputs
        for part, shape in zip(torch.split(flat, sizes), network.shapes, strict=True):
            outputs = part.view(shape) @ outputs
        missed = outputs - best
        # |outputs - Y|^2 - |best - Y|^2, without the difference of large numbers.
        return 0.5 * (missed.square().sum() - 2 * (missed * residual).sum()) / network.samples

    return loss


def balance_error(network: LinearNetwork, w: Floats, solution: Floats) -> float:
    """Return by how much the balances of two points differ, relative to the larger squared norm: a gradient flow from
    one to the other keeps them."""
    pairs = zip(network.balances(w), network.balances(solution), strict=True)
    size = max(float(w @ w), float(solution @ solution))
    return max((float(np.abs(before - after).max()) for before, after in pairs), default=0.0) / size


def closed_form(network: LinearNetwork, w: Floats) -> float:
    """Return the GFS sharpness at width one, NaN on wider networks.

    With ``c = |x|^2 / N`` and the best product s the loss is ``c (pi - s)^2 / 2``. Of ``v_i = w_i / |s|^(1/D)``, and
    with one sign changed where s is negative, it is ``c s^2`` times that of a scalar network, so that the sharpness is
    ``c |s|^(2 - 2/D)`` times that of :func:`gfsharp.scalar.gfs_sharpness`.
    """
    if set(network.widths) != {1}:
        return float("nan")
    best, moment = float(network.best_product.item()), float(np.mean(network.inputs**2))
    scaled = w / abs(best) ** (1 / network.depth)
    scaled[0] *= np.sign(best)
    return moment * abs(best) ** (2 - 2 / network.depth) * float(scalar.gfs_sharpness(scaled))


def start(
    network: LinearNetwork,
    seed: int,
    *,
    spread: float,
    deviation: float,
    sharpness: Sequence[float],
    above: float,
    flow: Mapping[str, Any],
) -> tuple[Floats, float]:
    """Return weights near a minimiser and the learning rate at which their GFS sharpness is ``above`` times 2/eta.

    The minimiser is the first of :func:`replication.studies.linear.minimisers.sample` whose sharpness, in units of the
    smallest one of a global minimiser, is in the range ``sharpness``: where its lower end is above ``above``, there are
    stable minima for the run to go to. Gaussian weights of standard deviation ``deviation`` are added.

    Raises:
        UserError: none of the first draws is in the range, or the flow from the start does not end.
    """
    low, high = np.array(sharpness) * least_sharpness(network)
    minimisers = sample(network, _MOST_DRAWN, seed, spread=spread, idle=spread)
    sharpnesses = network.sharpness(minimisers)
    fits = np.flatnonzero((sharpnesses >= low) & (sharpnesses <= high))
    if not len(fits):
        raise UserError(
            f"no minimiser of network {cases.name(network.widths)} was drawn with a sharpness from {low:g} to "
            f"{high:g}; change linear.gfs.spread or widen linear.gfs.sharpness"
        )
    noise = np.random.default_rng([seed, network.size]).normal(size=network.size)
    w = minimisers[fits[0]] + deviation * noise
    found = gfs_sharpness(torch_loss(network), torch.from_numpy(w), **flow)
    if not np.isfinite(found.value):
        raise UserError(f"the flow from the start of network {cases.name(network.widths)} ended: {found.status}")
    return w, above * 2 / found.value


def run(
    network: LinearNetwork, w: Floats, eta: float, *, stop: Mapping[str, Any], flow: Mapping[str, Any]
) -> pd.DataFrame:
    """Return a row per iterate of gradient descent, with those of ``COLUMNS`` that do not name the run.

    Args:
        w: the start, shape (P,).
        stop: the ``loss`` at which it ends, and the most ``iterations``.
        flow: the options of the flow.
    """
    import pandas as pd

    loss = torch_loss(network)

    def loss_and_gradient(w: Floats) -> tuple[float, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):  # of an iterate that has diverged
            return float(loss(torch.from_numpy(w))), network.gradient(w)

    iterates = gradient_descent(
        loss_and_gradient, w, eta, loss_tolerance=stop["loss"], max_iterations=stop["iterations"]
    )
    rows = [
        {"iteration": iterate.iteration, "loss": iterate.loss, "status": iterate.status}
        | _measured(network, loss, iterate.weights, flow)
        for iterate in iterates
    ]
    return pd.DataFrame(rows).assign(learning_rate=eta, threshold=2 / eta)


def _measured(network: LinearNetwork, loss: Loss, w: Floats, flow: Mapping[str, Any]) -> dict[str, Any]:
    if not np.isfinite(w).all():
        return {"sharpness": np.nan, "gfs_sharpness": np.nan, "gfs_error": np.nan, "gfs_status": "not finite"}
    found: GFSSharpness = gfs_sharpness(loss, torch.from_numpy(w), **flow)
    return {
        "sharpness": float(network.sharpness(w)),
        "closed_form": closed_form(network, w),
        "gfs_sharpness": found.value,
        "gfs_error": found.error,
        "gfs_status": found.status,
        "balance_error": balance_error(network, w, found.solution.parameters.numpy()),
    }


def table(
    *,
    networks: Sequence[Sequence[int]],
    singular_values: Sequence[float],
    seeds: Sequence[int],
    spread: float,
    deviation: float,
    sharpness: Sequence[float],
    above: float,
    stop: Mapping[str, Any],
    flow: Mapping[str, Any],
) -> pd.DataFrame:
    """Return :func:`run` for each network and seed of the configuration's ``linear.gfs``, with the columns
    ``experiment`` (the network), ``depth``, ``run`` and ``seed``."""
    import pandas as pd

    tables = []
    for widths in networks:
        network = cases.diagonal_network(widths, singular_values)
        for seed in seeds:
            w, eta = start(
                network, seed, spread=spread, deviation=deviation, sharpness=sharpness, above=above, flow=flow
            )
            labels: dict[str, Any] = {
                "experiment": cases.name(widths),
                "depth": network.depth,
                "run": f"seed{seed}",
                "seed": seed,
            }
            tables.append(run(network, w, eta, stop=stop, flow=flow).assign(**labels))
    return pd.concat(tables, ignore_index=True)
