"""Figure 3: sharpness at convergence, by where gradient descent started."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import panels, planes, style


def draw(plane: pd.DataFrame) -> Figure:
    # A start at a minimum stays there however sharp it is; what is not done yet has a GFS sharpness near its last one.
    moved = (plane["status"] != "diverged") & (plane["steps"] > 0)
    final = (plane["final_gfs"] / plane["threshold"]).where(moved)
    units, products, matrix = planes.grid(plane.assign(final=final), "final")
    figure, axes = style.subplots(size=(style.COLUMN_WIDTH, 2.6))
    axes.set_facecolor(style.DIVERGED_COLOUR)
    mesh = axes.pcolormesh(units, products, matrix, cmap="viridis", vmax=1.0, shading="nearest", rasterized=True)
    beyond = "max" if (matrix > 1).any() else "neither"
    figure.colorbar(mesh, extend=beyond, label=r"final sharpness in units of $2/\eta$")
    axes.plot([], [], "s", color=style.DIVERGED_COLOUR, markersize=5, label="diverges")
    panels.threshold_mark(axes, 2 / plane["threshold"].iloc[0])
    planes.label(axes)
    style.legend_above(axes)
    return figure
