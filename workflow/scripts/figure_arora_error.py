"""Rule figure_arora_error: a the error against the step size, b the two phases, c, d alignment."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

import _job
from replication.figures import plotting
from replication.studies.arora import summary

NAMES = {"valley": "valley", "scalar": "scalar network", "regression": "regression"}
LINE = {"markersize": 4, "linewidth": 0.8}
GUIDE = {"color": "black", "linestyle": ":", "linewidth": 0.8}


def draw(valley, scalar, regression):
    figure, axes = plt.subplots(2, 2, figsize=(2 * plotting.COLUMN_WIDTH, 5.2))
    (a, b), (c, d) = axes
    errors(a, pd.concat([valley, scalar, regression], ignore_index=True))
    phases(b, regression)
    angles(c, regression)
    median_angles(d, regression)
    plotting.panel_letters(axes.flat)
    handles = [Line2D([], [], color=colour, label=name) for name, colour, _ in plotting.ARORA_METHODS.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def errors(axes, table):
    """The largest over the starts, with the observed order."""
    worst, orders = summary.over_starts(table, "error"), summary.orders(table, "error")
    handles = []
    for problem, marker in plotting.ARORA_MARKERS.items():
        for descent, (_, colour, _) in plotting.ARORA_METHODS.items():
            chosen = worst[(worst["problem"] == problem) & (worst["descent"] == descent)]
            axes.loglog(chosen["learning_rate"], chosen["error"], marker=marker, color=colour, **LINE)
        found = orders[orders["problem"] == problem].set_index("descent")["order"]
        label = f"{NAMES[problem]}: {found['normalised']:.2f}, {found['sqrt']:.2f}"
        handles.append(Line2D([], [], color="0.4", marker=marker, label=label, **LINE))
    guide(axes, worst["learning_rate"], 0.4 * worst["error"].min() / worst["learning_rate"].min())
    handles.append(Line2D([], [], label=r"in proportion to $\eta$", **GUIDE))
    axes.legend(handles=handles, loc="upper left", title=r"orders: normalised GD, GD on $\sqrt{L}$", title_fontsize=7)
    # Room for the legend.
    axes.set_ylim(top=60 * worst["error"].max())
    axes.set(xlabel=r"step size $\eta$", ylabel=r"largest error $|\mathrm{GFS}(w_t) - X(\tau)|$")


def phases(axes, table):
    """The root of the loss, about the distance from the minima, in the time of phase one."""
    rates = sorted(table["learning_rate"].unique())
    for rate in dict.fromkeys((rates[0], rates[len(rates) // 2])):
        for descent, (_, colour, _) in plotting.ARORA_METHODS.items():
            chosen = (table["start"] == 0) & (table["descent"] == descent) & (table["learning_rate"] == rate)
            run = table[chosen & (table["iteration"] > 0)].sort_values("iteration")
            time = run["iteration"] * rate / run["approach"]
            axes.loglog(time, np.sqrt(run["loss"]), ".", color=colour, markersize=2.5, markeredgewidth=0)
        after = (table["start"] == 0) & (table["learning_rate"] == rate) & (table["phase"] == 2)
        level = np.sqrt(table.loc[after, "loss"].median())
        axes.annotate(rf"$\eta = {rate:g}$", (0.5, level), ha="right", va="center", fontsize=7)
    axes.axvline(1, **plotting.THRESHOLD_LINE)
    axes.set(xlabel=r"time $\eta t$ in units of that of gradient flow", ylabel=r"root of the loss $\sqrt{L(w_t)}$")


def angles(axes, table):
    smallest = summary.at_smallest_step(table)
    for descent, (_, colour, _) in plotting.ARORA_METHODS.items():
        run = smallest[(smallest["descent"] == descent) & (smallest["phase"] == 2)]
        axes.semilogy(run["tau"], run["angle"], ".", color=colour, markersize=2.5, markeredgewidth=0)
    axes.set(xlabel=r"time $\tau = \eta^2 t$", ylabel="angle to top eigenvector (rad)")


def median_angles(axes, table):
    median, orders = summary.over_starts(table, "angle", of_run="median"), summary.orders(table, "angle", "median")
    for descent, (_, colour, _) in plotting.ARORA_METHODS.items():
        chosen = median[median["descent"] == descent]
        order = orders.set_index("descent")["order"][descent]
        axes.loglog(
            chosen["learning_rate"], chosen["angle"], marker="^", color=colour, label=f"order {order:.2f}", **LINE
        )
    guide(axes, median["learning_rate"], 0.4 * (median["angle"] / median["learning_rate"]).min())
    axes.plot([], [], label=r"in proportion to $\eta$", **GUIDE)
    axes.legend(loc="upper left")
    axes.set(xlabel=r"step size $\eta$", ylabel="median angle (rad)")


def guide(axes, rates, slope):
    ends = np.array([rates.min(), rates.max()])
    axes.loglog(ends, slope * ends, **GUIDE)


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
