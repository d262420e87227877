"""Rule figure02: a scalar network of depth 4; a the loss, b the sharpness, c where the GFS sharpness is monotone."""

import numpy as np
from matplotlib.colors import ListedColormap

import _job
from replication.figures import plotting

CLASSES = [
    ("diverges", plotting.DIVERGED_COLOUR),
    ("rises at some step", plotting.RISING_COLOUR),
    ("never rises", plotting.MONOTONE_COLOUR),
    (r"never rises, start in $S^D_\eta$", plotting.INVARIANT_SET_COLOUR),
]


def draw(table, plane):
    run = plotting.single_run(table)
    figure, axes = plotting.stacked_panels(2, extra=1)
    plotting.loss_panel(axes[0], run, "loss $L$")
    plotting.sharpness_panel(axes[1], run)
    where_monotone(axes[2], plane)
    plotting.panel_letters(axes)
    return figure


def where_monotone(axes, plane):
    monotone = plane["rises"] == 0
    kinds = np.where(plane["status"] == "diverged", 0, np.where(~monotone, 1, np.where(plane["in_set"], 3, 2)))
    units, products, matrix = plotting.grid(plane.assign(kind=kinds), "kind")
    colours = ListedColormap([colour for _, colour in CLASSES])
    axes.pcolormesh(units, products, matrix, cmap=colours, vmin=-0.5, vmax=3.5, shading="nearest", rasterized=True)
    for name, colour in reversed(CLASSES):
        axes.plot([], [], "s", color=colour, markersize=5, label=name)
    plotting.threshold_mark(axes, 2 / plane["threshold"].iloc[0])
    plotting.plane_axes(axes)
    plotting.legend_above(axes)


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
