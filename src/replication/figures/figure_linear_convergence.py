"""Figure linear convergence: the share of starts from which gradient descent converges, or stays bounded."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from replication.figures import style

MARKERS = [*"osD^v<>"]


def draw(table: pd.DataFrame) -> Figure:
    figure, (a, b) = style.subplots(1, 2, size=(2 * style.COLUMN_WIDTH, 2.6), sharey=True)
    names = list(table["network"].unique())
    colours = dict(zip(names, style.PALETTE, strict=False))
    look: Any = {"x": "fraction", "hue": "network", "palette": colours, "style": "network", "style_order": names}
    look |= {
        "markers": MARKERS[: len(names)],
        "dashes": False,
        "markersize": 3.4,
        "markeredgewidth": 0,
        "estimator": None,
    }
    sns.lineplot(table, y="share", ax=a, **look)
    for name, rows in table.groupby("network"):
        rows = rows.sort_values("fraction")
        a.fill_between(rows["fraction"], rows["low"], rows["high"], color=colours[name], alpha=0.2, linewidth=0)
    sns.lineplot(table.assign(bounded=table["bounded"] / table["starts"]), y="bounded", legend=False, ax=b, **look)
    for axes in (a, b):
        axes.axvline(1, zorder=0, **style.THRESHOLD_LINE)
        axes.set_xlabel(r"$\eta / \eta_c$, with $\eta_c = 2 / \lambda_{\min}$")
        axes.set_ylim(-0.03, 1.03)
    a.set_ylabel("share that converges")
    b.set_ylabel("share that only stays bounded", visible=True)  # which seaborn hides on a shared axis
    b.tick_params(labelleft=True)
    a.get_legend().remove()
    figure.legend(loc="outside upper center", ncols=len(names), columnspacing=1.2, handletextpad=0.5)
    style.panel_letters([a, b])
    return figure
