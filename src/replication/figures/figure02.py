"""Figure 2: a scalar network of depth 4; a the loss, b the sharpness, c where the GFS sharpness is monotone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from replication.figures import panels, planes, style

CLASSES = [
    ("diverges", style.DIVERGED_COLOUR),
    ("rises at some step", style.RISING_COLOUR),
    ("never rises", style.MONOTONE_COLOUR),
    (r"never rises, start in $S^D_\eta$", style.INVARIANT_SET_COLOUR),
]


def draw(table: pd.DataFrame, plane: pd.DataFrame) -> Figure:
    run = panels.single_run(table)
    figure, axes = panels.stacked_panels(2, extra=1)
    panels.loss_panel(axes[0], run, "loss $L$")
    panels.sharpness_panel(axes[1], run)
    _where_monotone(axes[2], plane)
    style.panel_letters(axes)
    return figure


def _where_monotone(axes: Axes, plane: pd.DataFrame) -> None:
    monotone = plane["rises"] == 0
    kinds = np.where(plane["status"] == "diverged", 0, np.where(~monotone, 1, np.where(plane["in_set"], 3, 2)))
    units, products, matrix = planes.grid(plane.assign(kind=kinds), "kind")
    colours = ListedColormap([colour for _, colour in CLASSES])
    axes.pcolormesh(units, products, matrix, cmap=colours, vmin=-0.5, vmax=3.5, shading="nearest", rasterized=True)
    for name, colour in reversed(CLASSES):
        axes.plot([], [], "s", color=colour, markersize=5, label=name)
    panels.threshold_mark(axes, 2 / plane["threshold"].iloc[0])
    planes.label(axes)
    style.legend_above(axes)
