"""Figure linear convergence: the share of starts from which gradient descent converges, or stays bounded."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import style

MARKERS = "osD^v<>"


def draw(table: pd.DataFrame) -> Figure:
    figure, (a, b) = style.subplots(1, 2, size=(2 * style.COLUMN_WIDTH, 2.6), sharey=True)
    for name, colour, marker in zip(table["network"].unique(), style.PALETTE, MARKERS, strict=False):
        rows = table[table["network"] == name].sort_values("fraction")
        look = {"color": colour, "marker": marker, "markersize": 2.8}
        a.fill_between(rows["fraction"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        a.plot(rows["fraction"], rows["share"], label=name, **look)
        b.plot(rows["fraction"], rows["bounded"] / rows["starts"], **look)
    for axes in (a, b):
        axes.axvline(1, zorder=0, **style.THRESHOLD_LINE)
        axes.set_xlabel(r"$\eta / \eta_c$, with $\eta_c = 2 / \lambda_{\min}$")
        axes.set_ylim(-0.03, 1.03)
    a.set_ylabel("share that converges")
    b.set_ylabel("share that only stays bounded")
    b.tick_params(labelleft=True)
    figure.legend(loc="outside upper center", ncols=table["network"].nunique(), columnspacing=1.2, handletextpad=0.5)
    style.panel_letters([a, b])
    return figure
