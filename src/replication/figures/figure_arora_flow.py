"""Figure arora flow: both methods beside their limiting flows; above the sharpness, below the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.figures import descents, style

PROBLEMS = {"valley": "valley", "scalar": "scalar network", "regression": "squared regression"}
FLOW: Any = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 0.8, "zorder": 4}
# So many gradient flow solutions are drawn apart.
SHOWN = 13


def draw(valley: pd.DataFrame, scalar: pd.DataFrame, regression: pd.DataFrame) -> Figure:
    tables = {"valley": valley, "scalar": scalar, "regression": regression}
    figure, axes = style.subplots(2, 3, size=(2 * style.COLUMN_WIDTH, 4.6), sharex=True)
    for (name, table), (above, below) in zip(tables.items(), axes.T, strict=True):
        first = table[table["start"] == 0].sort_values("tau")
        _sharpness(above, first)
        above.set_title(PROBLEMS[name])
        _errors(below, first)
        below.set_xlabel(r"time $\tau = \eta^2 t$")
    axes[0, 0].set_ylabel("sharpness")
    axes[1, 0].set_ylabel(r"error $|\mathrm{GFS}(w_t) - X(\tau)|$")
    style.panel_letters(axes.flat)
    rates = _step_sizes(valley)
    figure.legend(handles=_sharpness_legend(rates), loc="outside upper center", ncols=3)
    figure.legend(handles=_error_legend(rates), loc="outside lower center", ncols=4)
    return figure


def _step_sizes(table: pd.DataFrame) -> list[float]:
    return sorted(table["learning_rate"].unique(), reverse=True)


def _sharpness(axes: Axes, table: pd.DataFrame) -> None:
    """At the minima, by the flow and by the iterates, and at the iterates of phase two themselves."""
    rates = _step_sizes(table)
    for descent, (_, colour, _) in descents.METHODS.items():
        runs = table[table["descent"] == descent]
        coarse, middle, fine = (runs[runs["learning_rate"] == rate] for rate in _chosen(rates))
        oscillating = middle[middle["phase"] == 2]
        axes.plot(oscillating["tau"], oscillating["sharpness"], **_iterates(colour))
        apart = np.abs(coarse["tau"].to_numpy()[:, None] - np.linspace(0, coarse["tau"].max(), SHOWN)).argmin(axis=0)
        axes.plot(coarse["tau"].iloc[apart], coarse["gfs_sharpness"].iloc[apart], **_solutions(colour))
        axes.plot(fine["tau"], fine["gfs_sharpness"], **_finest(colour))
        axes.plot(fine["tau"], fine["flow_sharpness"], **FLOW)


def _chosen(rates: Sequence[float]) -> tuple[float, float, float]:
    """The largest step size, one between, the smallest."""
    return rates[0], rates[len(rates) // 2], rates[-1]


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    rates = _step_sizes(table)
    for descent, (_, _, line) in descents.METHODS.items():
        for rate in rates:
            rows = (table["descent"] == descent) & (table["learning_rate"] == rate) & (table["phase"] == 2)
            run = table[rows]
            axes.semilogy(run["tau"], run["error"], color=style.shade(rates, rate), linestyle=line, linewidth=0.9)


def _iterates(colour: Any) -> dict[str, Any]:
    return {"color": colour, "linestyle": "", "marker": "x", "markersize": 2.4, "markeredgewidth": 0.5, "alpha": 0.6}


def _solutions(colour: Any) -> dict[str, Any]:
    ring = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    return {"color": colour, "linestyle": "", "zorder": 3, **ring}


def _finest(colour: Any) -> dict[str, Any]:
    return {"color": colour, "linewidth": 2.6, "alpha": 0.5}


def _sharpness_legend(rates: Sequence[float]) -> list[Line2D]:
    coarse, middle, fine = (rf"$\eta = {rate:g}$" for rate in _chosen(rates))
    return [
        *(Line2D([], [], color=colour, label=name) for name, colour, _ in descents.METHODS.values()),
        Line2D([], [], label=f"at the iterates, {middle}", **_iterates("0.3")),
        Line2D([], [], label="limiting flow", **FLOW),
        Line2D([], [], label=f"GFS sharpness, {coarse}", **_solutions("0.3")),
        Line2D([], [], label=f"GFS sharpness, {fine}", **_finest("0.3")),
    ]


def _error_legend(rates: Sequence[float]) -> list[Line2D]:
    return [
        *(Line2D([], [], color="0.3", linestyle=line, label=name) for name, _, line in descents.METHODS.values()),
        *(Line2D([], [], color=style.shade(rates, rate), label=rf"$\eta = {rate:g}$") for rate in rates),
    ]
