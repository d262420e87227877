"""Figure arora error: a the error against the step size, b the two phases, c, d alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replication.figures import descents, style
from replication.studies.arora import summary

NAMES = {"valley": "valley", "scalar": "scalar network", "regression": "regression"}
LINE: Any = {"markersize": 4, "linewidth": 0.8}
GUIDE: Any = {"color": "black", "linestyle": ":", "linewidth": 0.8}


def draw(valley: pd.DataFrame, scalar: pd.DataFrame, regression: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(2, 2, size=(2 * style.COLUMN_WIDTH, 5.2))
    (a, b), (c, d) = axes
    _errors(a, pd.concat([valley, scalar, regression], ignore_index=True))
    _phases(b, regression)
    _angles(c, regression)
    _median_angles(d, regression)
    style.panel_letters(axes.flat)
    handles = [Line2D([], [], color=colour, label=name) for name, colour, _ in descents.METHODS.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    """The largest over the starts, with the observed order."""
    worst, orders = summary.over_starts(table, "error"), summary.orders(table, "error")
    handles = []
    for problem, marker in descents.MARKERS.items():
        for descent, (_, colour, _) in descents.METHODS.items():
            chosen = worst[(worst["problem"] == problem) & (worst["descent"] == descent)]
            axes.loglog(chosen["learning_rate"], chosen["error"], marker=marker, color=colour, **LINE)
        found = orders[orders["problem"] == problem].set_index("descent")["order"]
        label = f"{NAMES[problem]}: {found['normalised']:.2f}, {found['sqrt']:.2f}"
        handles.append(Line2D([], [], color="0.4", marker=marker, label=label, **LINE))
    _guide(axes, worst["learning_rate"], 0.4 * worst["error"].min() / worst["learning_rate"].min())
    handles.append(Line2D([], [], label=r"in proportion to $\eta$", **GUIDE))
    axes.legend(handles=handles, loc="upper left", title=r"orders: normalised GD, GD on $\sqrt{L}$", title_fontsize=7)
    # Room for the legend.
    axes.set_ylim(top=60 * worst["error"].max())
    axes.set(xlabel=r"step size $\eta$", ylabel=r"largest error $|\mathrm{GFS}(w_t) - X(\tau)|$")


def _phases(axes: Axes, table: pd.DataFrame) -> None:
    """The root of the loss, about the distance from the minima, in the time of phase one."""
    rates = sorted(table["learning_rate"].unique())
    for rate in dict.fromkeys((rates[0], rates[len(rates) // 2])):
        for descent, (_, colour, _) in descents.METHODS.items():
            chosen = (table["start"] == 0) & (table["descent"] == descent) & (table["learning_rate"] == rate)
            run = table[chosen & (table["iteration"] > 0)].sort_values("iteration")
            time = run["iteration"] * rate / run["approach"]
            axes.loglog(time, np.sqrt(run["loss"]), ".", color=colour, markersize=2.5, markeredgewidth=0)
        after = (table["start"] == 0) & (table["learning_rate"] == rate) & (table["phase"] == 2)
        level = np.sqrt(table.loc[after, "loss"].median())
        axes.annotate(rf"$\eta = {rate:g}$", (0.5, level), ha="right", va="center", fontsize=7)
    axes.axvline(1, **style.THRESHOLD_LINE)
    axes.set(xlabel=r"time $\eta t$ in units of that of gradient flow", ylabel=r"root of the loss $\sqrt{L(w_t)}$")


def _angles(axes: Axes, table: pd.DataFrame) -> None:
    smallest = summary.at_smallest_step(table)
    for descent, (_, colour, _) in descents.METHODS.items():
        run = smallest[(smallest["descent"] == descent) & (smallest["phase"] == 2)]
        axes.semilogy(run["tau"], run["angle"], ".", color=colour, markersize=2.5, markeredgewidth=0)
    axes.set(xlabel=r"time $\tau = \eta^2 t$", ylabel="angle to top eigenvector (rad)")


def _median_angles(axes: Axes, table: pd.DataFrame) -> None:
    """The largest over the starts, with the observed order; the band reaches down to the smallest."""
    medians = summary.by_run(table, "angle", "median")
    axes.set(xscale="log", yscale="log")
    sns.lineplot(
        medians,
        x="learning_rate",
        y="angle",
        hue="descent",
        palette={descent: colour for descent, (_, colour, _) in descents.METHODS.items()},
        estimator="max",
        errorbar=("pi", 100),
        marker="^",
        markeredgewidth=0,
        legend=False,
        ax=axes,
        **LINE,
    )
    orders = summary.orders(table, "angle", "median").set_index("descent")["order"]
    for descent, (_, colour, _) in descents.METHODS.items():
        axes.plot([], [], marker="^", color=colour, label=f"order {orders[descent]:.2f}", **LINE)
    _guide(axes, medians["learning_rate"], 0.4 * (medians["angle"] / medians["learning_rate"]).min())
    axes.plot([], [], label=r"in proportion to $\eta$", **GUIDE)
    axes.legend(loc="upper left")
    axes.set(xlabel=r"step size $\eta$", ylabel="median angle (rad)")


def _guide(axes: Axes, rates: pd.Series[float], slope: float) -> None:
    ends = np.array([rates.min(), rates.max()])
    axes.loglog(ends, slope * ends, **GUIDE)
