"""Figure 11: where gradient descent is chaotic, and that this is in the invariant set."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import bifurcation, style


def draw(iterates: pd.DataFrame, orbits: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(2, 1, size=(style.COLUMN_WIDTH, 4.2), sharex=True, height_ratios=[1.6, 1])
    bifurcation.bifurcation_panel(axes[0], iterates, orbits)
    axes[0].set_xlabel("")
    units = iterates["gfs_sharpness"] / iterates["threshold"]
    inside = units[iterates["in_set"]]
    chaotic = iterates["chaotic"]
    axes[0].plot(units[chaotic], iterates["product"][chaotic], ".", color=style.CHAOTIC_COLOUR, markersize=2,
                 markeredgewidth=0, rasterized=True)  # fmt: skip
    axes[0].plot([], [], ".", color=style.CHAOTIC_COLOUR, markersize=4, label="gradient descent, chaotic")
    for panel in axes if len(inside) else []:
        panel.axvspan(inside.min(), inside.max(), color=style.INVARIANT_SET_COLOUR, alpha=0.15, linewidth=0)
    axes[0].plot([], [], "s", color=style.INVARIANT_SET_COLOUR, alpha=0.3, markersize=5, label=r"in $S^D_\eta$")
    style.legend_above(axes[0])
    axes[1].plot(units, iterates["lyapunov"], ".", color="0.5", markersize=1.5, markeredgewidth=0, rasterized=True)
    axes[1].plot(units[chaotic], iterates["lyapunov"][chaotic], ".", color=style.CHAOTIC_COLOUR, markersize=2,
                 markeredgewidth=0, rasterized=True)  # fmt: skip
    axes[1].axhline(0, color="black", linewidth=0.6)
    axes[1].set_ylim(-1.0, 0.6)
    axes[1].set_ylabel("Lyapunov exponent")
    axes[1].set_xlabel(r"GFS sharpness $\phi(w^{(t)})$ in units of $2/\eta$")
    style.panel_letters(axes)
    return figure
