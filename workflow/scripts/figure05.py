"""Rule figure05: squared regression; a one run, b eight runs, c changes over all runs, d from lazy to rich."""

import matplotlib.pyplot as plt
import numpy as np

import _job
from gfs import plotting
from gfs.regression.runs import eight, normalised_changes


def draw(table, runs, scales):
    figure, axes = plt.subplots(2, 2, figsize=(2 * plotting.COLUMN_WIDTH, 4.8))
    (a, b), (c, d) = axes
    plotting.sharpness_panel(a, plotting.single_run(table))
    eight_runs(b, runs)
    changes(c, figure, runs)
    lazy_to_rich(d, scales)
    for panel in axes.flat:
        panel.set_xlabel("gradient descent iteration")
    plotting.panel_letters(axes.flat)
    return figure


def eight_runs(axes, runs):
    shown = eight(runs)
    for i, run in enumerate(shown):
        axes.plot(
            run["iteration"], run["gfs_sharpness"] / run["threshold"], color=plt.get_cmap("tab10")(i), linewidth=0.9
        )
    axes.axhline(1, label=r"$2/\eta$", **plotting.THRESHOLD_LINE)
    axes.set_ylabel(r"GFS sharpness in units of $2/\eta$")
    axes.plot([], [], color="0.4", linewidth=0.9, label=f"{len(shown)} runs")
    plotting.legend_above(axes)


def changes(axes, figure, runs):
    points = normalised_changes(runs)
    units = points["gfs_sharpness"] / points["threshold"]
    # Drawn in an order that no run covers another by.
    order = np.random.default_rng(0).permutation(len(points))
    shown = axes.scatter(
        points["iteration"].to_numpy()[order],
        points["change"].to_numpy()[order],
        c=units.to_numpy()[order],
        s=0.4,
        linewidths=0,
        cmap="viridis",
        rasterized=True,
    )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    axes.set_yscale("symlog", linthresh=1e-8)
    largest = points["change"].max()
    axes.set_ylim(min(points["change"].min() * 2, -1e-7), max(2 * largest, 1e-7))
    axes.set_ylabel(r"change $\phi(w^{(t+1)}) / \phi(w^{(t)}) - 1$")
    axes.set_title(f"{points['run'].nunique()} runs, largest {largest:.1e}", fontsize=7)
    figure.colorbar(shown, ax=axes, label=r"$\phi$ in units of $2/\eta$")


def lazy_to_rich(axes, scales):
    values = scales["initial_scale"].unique()
    for i, value in enumerate(values):
        run = scales[scales["initial_scale"] == value]
        colour = plt.get_cmap("viridis")(0.9 * i / max(1, len(values) - 1))
        axes.plot(
            run["iteration"],
            run["gfs_sharpness"] / run["gfs_sharpness"].iloc[0],
            color=colour,
            linewidth=1.0,
            label=f"{value:g}",
        )
    start = scales["gfs_sharpness"].iloc[0] / scales["threshold"].iloc[0]
    axes.axhline(1 / start, label=r"$2/\eta$", **plotting.THRESHOLD_LINE)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    axes.set_ylabel(r"$\phi(w^{(t)}) / \phi(w^{(0)})$")
    plotting.legend_above(axes, columns=4)


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
