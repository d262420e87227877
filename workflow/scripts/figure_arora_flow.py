"""Rule figure_arora_flow: both methods beside their limiting flows; above the sharpness, below the error."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

import _job
from replication.figures import plotting

PROBLEMS = {"valley": "valley", "scalar": "scalar network", "regression": "squared regression"}
FLOW = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 0.8, "zorder": 4}
# So many gradient flow solutions are drawn apart.
SHOWN = 13


def draw(valley, scalar, regression):
    tables = {"valley": valley, "scalar": scalar, "regression": regression}
    figure, axes = plt.subplots(2, 3, figsize=(2 * plotting.COLUMN_WIDTH, 4.6), sharex=True)
    for (name, table), (above, below) in zip(tables.items(), axes.T, strict=True):
        first = table[table["start"] == 0].sort_values("tau")
        sharpness(above, first)
        above.set_title(PROBLEMS[name])
        errors(below, first)
        below.set_xlabel(r"time $\tau = \eta^2 t$")
    axes[0, 0].set_ylabel("sharpness")
    axes[1, 0].set_ylabel(r"error $|\mathrm{GFS}(w_t) - X(\tau)|$")
    plotting.panel_letters(axes.flat)
    rates = step_sizes(valley)
    figure.legend(handles=sharpness_legend(rates), loc="outside upper center", ncols=3)
    figure.legend(handles=error_legend(rates), loc="outside lower center", ncols=4)
    return figure


def step_sizes(table):
    return sorted(table["learning_rate"].unique(), reverse=True)


def sharpness(axes, table):
    """At the minima, by the flow and by the iterates, and at the iterates of phase two themselves."""
    rates = step_sizes(table)
    for descent, (_, colour, _) in plotting.ARORA_METHODS.items():
        runs = table[table["descent"] == descent]
        coarse, middle, fine = (runs[runs["learning_rate"] == rate] for rate in chosen(rates))
        oscillating = middle[middle["phase"] == 2]
        axes.plot(oscillating["tau"], oscillating["sharpness"], **iterates(colour))
        apart = np.abs(coarse["tau"].to_numpy()[:, None] - np.linspace(0, coarse["tau"].max(), SHOWN)).argmin(axis=0)
        axes.plot(coarse["tau"].iloc[apart], coarse["gfs_sharpness"].iloc[apart], **solutions(colour))
        axes.plot(fine["tau"], fine["gfs_sharpness"], **finest(colour))
        axes.plot(fine["tau"], fine["flow_sharpness"], **FLOW)


def chosen(rates):
    """The largest step size, one between, the smallest."""
    return rates[0], rates[len(rates) // 2], rates[-1]


def errors(axes, table):
    rates = step_sizes(table)
    for descent, (_, _, line) in plotting.ARORA_METHODS.items():
        for rate in rates:
            rows = (table["descent"] == descent) & (table["learning_rate"] == rate) & (table["phase"] == 2)
            run = table[rows]
            axes.semilogy(run["tau"], run["error"], color=plotting.shade(rates, rate), linestyle=line, linewidth=0.9)


def iterates(colour):
    return {"color": colour, "linestyle": "", "marker": "x", "markersize": 2.4, "markeredgewidth": 0.5, "alpha": 0.6}


def solutions(colour):
    ring = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    return {"color": colour, "linestyle": "", "zorder": 3, **ring}


def finest(colour):
    return {"color": colour, "linewidth": 2.6, "alpha": 0.5}


def sharpness_legend(rates):
    coarse, middle, fine = (rf"$\eta = {rate:g}$" for rate in chosen(rates))
    return [
        *(Line2D([], [], color=colour, label=name) for name, colour, _ in plotting.ARORA_METHODS.values()),
        Line2D([], [], label=f"at the iterates, {middle}", **iterates("0.3")),
        Line2D([], [], label="limiting flow", **FLOW),
        Line2D([], [], label=f"GFS sharpness, {coarse}", **solutions("0.3")),
        Line2D([], [], label=f"GFS sharpness, {fine}", **finest("0.3")),
    ]


def error_legend(rates):
    return [
        *(Line2D([], [], color="0.3", linestyle=line, label=name) for name, _, line in plotting.ARORA_METHODS.values()),
        *(Line2D([], [], color=plotting.shade(rates, rate), label=rf"$\eta = {rate:g}$") for rate in rates),
    ]


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
