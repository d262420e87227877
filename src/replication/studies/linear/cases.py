"""The networks that the stages examine, by their widths, and rows of tables about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gfsharp.errors import UserError
from replication.storage.table_schema import Column, Columns
from replication.studies.linear.network import LinearNetwork

# Of every table of linear networks.
COLUMNS: Columns = {
    "network": Column("text", "", "by its widths"),
    "depth": Column("whole number", "", "its layers"),
}
RATE: Columns = {
    "learning_rate": Column("number", "w² / L", "eta"),
    "fraction": Column("number", "", "the same in units of 2 over the smallest sharpness of a global minimiser"),
}


def gaussian_network(widths: Sequence[int], samples: int, seed: int) -> LinearNetwork:
    """Return a network on Gaussian inputs and targets that are independent: no weights fit them exactly.

    Raises:
        UserError: fewer samples than inputs.
    """
    if samples < widths[0]:
        raise UserError(f"{widths[0]} inputs need as many samples or more, found {samples}; raise samples")
    generator = np.random.default_rng([seed, *widths])
    inputs = generator.normal(size=(widths[0], samples))
    return LinearNetwork(tuple(widths), inputs, generator.normal(size=(widths[-1], samples)))


def diagonal_network(widths: Sequence[int], singular_values: Sequence[float]) -> LinearNetwork:
    """Return a network on whitened data, ``Y = M X`` with M diagonal: nothing else of M matters to gradient descent
    from starts whose distribution rotations do not change.

    Raises:
        UserError: fewer singular values than inputs or outputs.

    >>> diagonal_network((2, 2, 3), [2.0, 1.0, 0.5]).best_product.round(12).tolist()
    [[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    count = min(widths[0], widths[-1])
    if len(singular_values) < count:
        raise UserError(f"widths {list(widths)} need {count} singular values, found {list(singular_values)}")
    target = np.zeros((widths[-1], widths[0]))
    np.fill_diagonal(target, singular_values[:count])
    return LinearNetwork.whitened(widths, target)


def name(widths: Sequence[int]) -> str:
    """Return how tables and figures name a network.

    >>> name((2, 3, 2))
    '2-3-2'
    """
    return "-".join(map(str, widths))
