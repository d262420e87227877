"""Figure 7: the stable set of Damian et al. at depth 3: a where it is, b how far from it each product stays."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import style


def draw(points: pd.DataFrame, products: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(2, 1, size=(style.COLUMN_WIDTH, 4.2), sharex=True)
    threshold = 2 / points["learning_rate"].iloc[0]
    axes[0].plot(points["product"], points["sharpness"] / threshold, ".", color=style.DESCENT_COLOUR, markersize=1.5,
                 markeredgewidth=0, rasterized=True)  # fmt: skip
    axes[0].plot([], [], ".", color=style.DESCENT_COLOUR, label=r"$\langle\nabla L, u\rangle = 0$, loss above 0")
    # The minima of depth 3 have sharpness 3 and above.
    axes[0].plot([1, 1], [3 / threshold, 1], color=style.GFS_COLOUR, linewidth=2, solid_capstyle="butt",
                 label="stable minima")  # fmt: skip
    label = rf"$2/\eta$ ($\eta = {2 / threshold:.3g}$)"
    axes[0].axhline(1, label=label, **style.THRESHOLD_LINE)
    axes[0].set_ylabel(r"sharpness in units of $2/\eta$")
    lowest, largest = points["product"].min(), points["product"].max()
    for panel in axes:
        panel.axvspan(lowest, largest, color=style.DESCENT_COLOUR, alpha=0.1, linewidth=0,
                      label=f"products {lowest:.2g} to {largest:.2g}")  # fmt: skip
    style.legend_above(axes[0])
    axes[1].plot(products["product"], products["least_cosine"], ".-", color=style.DESCENT_COLOUR, markersize=2.5)
    axes[1].set_ylabel(r"least $|\cos(\nabla L, u)|$ of stable $w$")
    axes[1].set_xlabel(r"product $\pi(w)$")
    style.panel_letters(axes)
    return figure
