"""Figure 9: a run whose loss is large when its GFS sharpness crosses 2/eta, and that ends far below it."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import panels, style


def draw(table: pd.DataFrame) -> Figure:
    run = panels.single_run(table)
    figure, axes = panels.stacked_panels(2)
    panels.loss_panel(axes[0], run, "loss $L$")
    panels.sharpness_panel(axes[1], run)
    below = run[run["gfs_sharpness"] <= run["threshold"]]
    if len(below):
        crossing = below.iloc[0]
        axes[0].plot(crossing["iteration"], crossing["loss"], "o", color=style.GFS_COLOUR, markersize=4)
        axes[0].annotate(
            rf"$\phi$ crosses $2/\eta$ at loss {crossing['loss']:.2g}",
            (crossing["iteration"], crossing["loss"]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    style.panel_letters(axes)
    return figure
