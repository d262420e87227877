"""Null controls of the claims: tables of which something is wrong, made of right ones.

Each claim fails on its control. What comes out is printed beside it, of the results at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from replication.claims.claim import Control
from replication.measures import at_edge

_RUN = ["experiment", "run"]


def _by_run(
    table: pd.DataFrame, columns: list[str], keys: list[str], order: Callable[[int], np.ndarray]
) -> pd.DataFrame:
    """Return the table with its columns in another order within each run, where they have values."""
    changed = table.copy()
    for _, run in table[table[columns[0]].notna()].groupby(keys, sort=False):
        changed.loc[run.index, columns] = run[columns].to_numpy()[order(len(run))]
    return changed


def _shuffled(table: pd.DataFrame) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return _by_run(table, _gfs_columns(table), _RUN, lambda count: generator.permutation(count))


def _backwards(table: pd.DataFrame) -> pd.DataFrame:
    return _by_run(table, _gfs_columns(table), _RUN, lambda count: np.arange(count)[::-1])


def _gfs_columns(table: pd.DataFrame) -> list[str]:
    """The GFS sharpness, with its error where it has one."""
    return [name for name in ("gfs_sharpness", "gfs_error") if name in table]


def _gradient_flow(table: pd.DataFrame) -> pd.DataFrame:
    """The losses of each run sorted: none rises."""
    changed = table.copy()
    for _, run in table.groupby(_RUN, sort=False):
        changed.loc[run.index, "loss"] = -np.sort(-run["loss"].to_numpy())
    return changed


def scaled(column: str, factor: float, words: str) -> Control:
    """Return a control with a column times a factor."""
    return Control(words, lambda table: table.assign(**{column: factor * table[column]}))


def replaced(words: str, **columns: Any) -> Control:
    """Return a control with columns in the place of others, each a value or what makes it of the table."""
    return Control(words, lambda table: table.assign(**columns))


def _at_edge(table: pd.DataFrame) -> np.ndarray:
    """Which rows are at the edge of stability."""
    runs = (run.sort_values("iteration") for _, run in table.groupby(_RUN, sort=False))
    return np.isin(table.index, [index for run in runs for index in at_edge(run).index])


# Of training runs.
SHUFFLED = Control("the checkpoints in disorder", _shuffled)
BACKWARDS = Control("the checkpoints from the last to the first", _backwards)
SHARPER = scaled("gfs_sharpness", 1.5, "the GFS sharpness of a model half as sharp again")
FLATTER = scaled("gfs_sharpness", 0.03, "the GFS sharpness of a model a thirtieth as sharp")
SMALL_STEPS = scaled("threshold", 30.0, "a step size a thirtieth as large")
EDGE_HIGH = Control(
    "a sharpness half as large again at the edge",
    lambda table: table.assign(sharpness=table["sharpness"] * (1 + 0.5 * _at_edge(table))),
)
EIGENVALUE = scaled("sharpness", 1.5, "a sharpness half as large again")
GRADIENT_FLOW = Control("the losses of gradient flow, which never rise", _gradient_flow)
STUCK = replaced("a loss that stays as it is", loss=1.0)


def _reversed_sharpness(table: pd.DataFrame) -> pd.DataFrame:
    return _by_run(table, ["sharpness"], _RUN, lambda count: np.arange(count)[::-1])


SHARPNESS_BACKWARDS = Control("the sharpness from the last to the first", _reversed_sharpness)


def _falls_too_early(table: pd.DataFrame) -> pd.DataFrame:
    changed = table.copy()
    for _, run in table[table["gfs_sharpness"].notna()].groupby(_RUN, sort=False):
        phi = run["gfs_sharpness"]
        changed.loc[run.index, "gfs_sharpness"] = np.linspace(phi.iloc[0], phi.iloc[-1], len(run))
    return changed


FALLS_AT_ONCE = Control("a GFS sharpness that falls at a constant rate from the start", _falls_too_early)


def _power_law(table: pd.DataFrame) -> pd.DataFrame:
    changed = table.astype({"loss": float})
    for _, run in table.groupby(_RUN, sort=False):
        changed.loc[run.index, "loss"] = (1.0 + np.arange(len(run))) ** -4
    return changed


POWER_LAW = Control("a loss that falls like the fourth power of the iteration", _power_law)
SPREAD_CHANGES = Control(
    "a GFS sharpness that rises and falls by a thousandth by turns",
    lambda table: table.assign(gfs_sharpness=table["gfs_sharpness"] * (1 + 1e-3 * (-1.0) ** table["iteration"])),
)
ENDS_HIGH = Control(
    "the last GFS sharpness of each run a tenth higher",
    lambda table: table.assign(
        gfs_sharpness=table["gfs_sharpness"].where(
            table["iteration"] < table.groupby(_RUN)["iteration"].transform("max"), 1.1 * table["gfs_sharpness"]
        )
    ),
)


# Of the runs of Arora et al.'s methods beside their limiting flows.
_ARORA_RUN = ["problem", "descent", "start", "learning_rate"]
ARORA_BACKWARDS = Control(
    "the GFS sharpness from the last iterate to the first",
    lambda table: _by_run(table, ["gfs_sharpness"], _ARORA_RUN, lambda count: np.arange(count)[::-1]),
)


def of_kind(kind: str) -> Control:
    """Return a control in which the norms that a search finds are its radius, on networks of a kind."""
    return Control(
        "a search that finds minima as far out as it looks",
        lambda table: table.assign(norm=table["norm"].where(table["kind"] != kind, table["radius"])),
    )


def _rising(table: pd.DataFrame, column: str) -> pd.DataFrame:
    bumps = 1 + 0.1 * np.sin(table["iteration"] / 5)
    return table.assign(**{column: table[column] * bumps})


RISING = Control("a GFS sharpness that rises by a tenth and falls again", lambda table: _rising(table, "gfs_sharpness"))
RISING_CLOSED_FORM = Control(
    "a GFS sharpness that rises by a tenth and falls again",
    lambda table: _rising(table, "closed_form") if "closed_form" in table else table,
)

# Of the plane of starts and of iterates beside GPGD.
ONE_START = Control(
    "one start alone in the set",
    lambda table: table.assign(in_set=table["in_set"] & (table["in_set"].cumsum() == 1)),
)
FARTHEST_PRODUCT = replaced(
    "the product farthest from 1 at each iterate",
    product=lambda table: table["product"].iloc[(table["product"] - 1).abs().to_numpy().argmax()],
)
OTHER_ORBITS = replaced("the periodic points of other iterates", distance=lambda table: table["shuffled_distance"])
_PAIRS = [("two_step_error", "zhu_two_step_error"), ("distance", "zhu_distance")]
_EXCHANGED = {**dict(_PAIRS), **{theirs: ours for ours, theirs in _PAIRS}}
EXCHANGED = Control(
    "GPGD and the approximation exchanged",
    lambda table: table.assign(**{to: table[name] for to, name in _EXCHANGED.items()}),
)
ARORA_SLOWER = replaced(
    "errors larger by one over the root of eta", error=lambda table: table["error"] / np.sqrt(table["learning_rate"])
)
ARORA_ERRORS = replaced("errors of a twentieth of the way", error=lambda table: 0.05 * table["travelled"])
ENDS_NEAR = Control(
    "a GFS sharpness that stays above 0.95 of 2/eta",
    lambda table: table.assign(gfs_sharpness=np.maximum(table["gfs_sharpness"], 0.95 * table["threshold"])),
)
