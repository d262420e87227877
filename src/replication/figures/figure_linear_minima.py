"""Figure linear minima: ranks at global minimisers, and the largest norms of stable minima that a search finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.figures import style

MARKERS = "osD^v<>"


def draw(ranks: pd.DataFrame, norms: pd.DataFrame) -> Figure:
    figure, (a, b, c) = style.subplots(1, 3, size=(2 * style.COLUMN_WIDTH, 2.7), width_ratios=[1.15, 1, 1])
    _codimensions(a, ranks)
    names = norms["network"].unique()
    # Smaller from one to the next: where two agree both can be seen.
    looks = zip(style.PALETTE, MARKERS, np.linspace(5.5, 2, len(names)), strict=False)
    styles = {
        name: {"color": colour, "marker": marker, "markersize": size}
        for name, (colour, marker, size) in zip(names, looks, strict=False)
    }
    _radii(b, norms[norms["search"] == "radius"], styles)
    _rates(c, norms[norms["search"] == "rate"], styles)
    handles = [b.plot([], [], label=name, **look)[0] for name, look in styles.items()]
    b.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.1), ncols=4, columnspacing=1.0, handletextpad=0.5
    ).set_in_layout(False)
    style.panel_letters([a, b, c])
    return figure


def _codimensions(axes: Axes, ranks: pd.DataFrame) -> None:
    """The ranks found at each network's minimisers, beside the predicted one; targets of deficient rank apart."""
    groups = [*ranks.groupby(["network", "full_rank"], sort=False)]
    for i, ((_, full), rows) in enumerate(groups):
        axes.plot([rows["codimension"].iloc[0]] * 2, [i - 0.35, i + 0.35], color="black", linewidth=1.6, zorder=1)
        colour = style.SHARPNESS_COLOUR if full else style.RISING_COLOUR
        found = np.unique(rows["rank"])
        axes.plot(found, [i] * len(found), "o", color=colour, markersize=4, zorder=2)
    axes.plot([], [], "|", color="black", markersize=7, markeredgewidth=1.6, label="predicted")
    axes.plot([], [], "o", color=style.SHARPNESS_COLOUR, markersize=4, label="found")
    axes.plot([], [], "o", color=style.RISING_COLOUR, markersize=4, label="target of rank 1")
    axes.set_yticks(range(len(groups)), [name for (name, _), _ in groups])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("rank at global minimisers")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.1), ncols=2, columnspacing=0.8, handletextpad=0.3)


def _radii(axes: Axes, norms: pd.DataFrame, styles: Mapping[Any, Any]) -> None:
    low, high = norms["radius"].min(), norms["radius"].max()
    axes.loglog([low, high], [low, high], **style.THRESHOLD_LINE)
    axes.annotate("radius", (high, high), xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=7)
    for name, rows in norms.groupby("network", sort=False):
        axes.loglog(rows["radius"], rows["norm"], **styles[name])
    axes.set_xlabel("radius of the search")
    axes.set_ylabel("largest norm found")
    style.note(axes, rf"$\eta = {norms['fraction'].iloc[0]:g}\,\eta_c$", corner="upper left")


def _rates(axes: Axes, norms: pd.DataFrame, styles: Mapping[Any, Any]) -> None:
    bounded = norms[norms["kind"] == "bounded"]
    for name, rows in bounded.groupby("network", sort=False):
        axes.semilogy(rows["fraction"], rows["norm"], **styles[name])
        axes.semilogy(rows["fraction"], rows["bound"], color=styles[name]["color"], linestyle=(0, (1, 1)))
    axes.plot([], [], color="0.4", linestyle=(0, (1, 1)), label="bound")
    axes.set_xlabel(r"$\eta / \eta_c$, with $\eta_c = 2 / \lambda_{\min}$")
    axes.set_ylabel("largest norm found")
    axes.legend(loc="upper right")
