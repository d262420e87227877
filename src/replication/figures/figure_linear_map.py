"""Figure linear map: near-singular points of gradient descent's map, and how many preimages points have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from replication.figures import style

COUNTS = {1: "0.93", 3: "0.72", 5: style.INVARIANT_SET_COLOUR}
DASHES: Any = ((), (3, 1), (1, 2), (1, 1))


def draw(table: pd.DataFrame, preimages: pd.DataFrame) -> Figure:
    figure, (a, b) = style.subplots(1, 2, size=(2 * style.COLUMN_WIDTH, 2.7), width_ratios=[1.25, 1])
    _shares(a, table)
    _counts(b, preimages)
    style.panel_letters([a, b])
    return figure


def _shares(axes: Axes, table: pd.DataFrame) -> None:
    """A colour per network, dashes by the step size; a slope of one is what a hypersurface has."""
    several = table[~table["control"]]
    networks, rates = several["network"].unique(), sorted(several["learning_rate"].unique())
    axes.set(xscale="log", yscale="log")
    sns.lineplot(
        several[several["share"] > 0],
        x="epsilon",
        y="share",
        hue="network",
        hue_order=networks,
        palette=style.PALETTE[: len(networks)],
        style="learning_rate",
        dashes=dict(zip(rates, DASHES, strict=False)),
        estimator=None,
        legend=False,
        ax=axes,
    )
    for name, colour in zip(networks, style.PALETTE, strict=False):
        axes.plot([], [], color=colour, label=name)
    control = table[table["control"]]
    axes.loglog(control["epsilon"], control["share"], color="black", linewidth=1.6, label="1 layer, singular")
    for rate, dashes in zip(rates, DASHES, strict=False):
        axes.plot([], [], color="0.4", dashes=dashes, label=rf"$\eta = {rate:g}$")
    # Below all that is shown.
    guide = table["epsilon"].max() * np.array([0.02, 0.2])
    level = 0.2 * (several["share"] / several["epsilon"])[several["share"] > 0].min()
    axes.loglog(guide, level * guide, color="0.5", linewidth=0.8)
    axes.annotate("slope 1", (guide[1], level * guide[1]), xytext=(3, -3), textcoords="offset points", fontsize=7)
    axes.set_ylim(top=2)
    axes.set_xlabel(r"$\varepsilon$")
    axes.set_ylabel(r"share with $\min_i |1 - \eta \lambda_i| \leq \varepsilon$")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.0, handletextpad=0.5)


def _counts(axes: Axes, preimages: pd.DataFrame) -> None:
    side = round(np.sqrt(len(preimages)))
    first, second = (np.unique(preimages[name]) for name in ("a", "b"))
    matrix = preimages["count"].to_numpy().reshape(side, side).T
    levels = sorted(COUNTS)
    axes.pcolormesh(
        first,
        second,
        np.searchsorted(levels, matrix),
        cmap=ListedColormap([COUNTS[level] for level in levels]),
        vmin=-0.5,
        vmax=len(levels) - 0.5,
        shading="nearest",
        rasterized=True,
    )
    axes.set_aspect("equal")
    axes.set_xlabel(r"target $a$")
    axes.set_ylabel(r"target $b$")
    found = [level for level in levels if (matrix == level).any()]
    handles = [Patch(color=COUNTS[level], label=f"{level}") for level in found]
    axes.legend(
        handles=handles,
        title=rf"preimages ($\eta = {preimages['learning_rate'].iloc[0]:g}$)",
        title_fontsize=7,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(found),
    )
