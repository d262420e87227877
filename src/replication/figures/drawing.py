"""Any figure by the name of its module, and what is written of it: pictures, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from replication.storage.files import whole_file

# Columns of any table that only repeat what others say.
_NOT_DRAWN = ("run", "residual", "gfs_loss", "flow_time", "gradient_evaluations", "hessian_vector_products")


def draw(module: str, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Return a figure, drawn by ``replication.figures.<module>`` from tables that its ``draw`` takes by name.

    The module is imported only here, so that what depends on a figure does not depend on all.
    """
    return import_module(f"replication.figures.{module}").draw(**tables)


def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure to each path, in the format of its suffix and without a date."""
    undated = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}
    for path in paths:
        suffix = Path(path).suffix
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=undated[suffix])


def numbers(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what a figure is drawn from as one table; of several, its column ``table`` says from which each row is."""
    drawn = {name: table.drop(columns=[*{*_NOT_DRAWN} & {*table}]) for name, table in tables.items()}
    if len(drawn) > 1:
        drawn = {name: table.assign(table=name) for name, table in drawn.items()}
    return pd.concat(drawn.values(), ignore_index=True)
