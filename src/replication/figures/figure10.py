"""Figure 10: gradient descent over the diagrams of a the approximation of Zhu et al. and b GPGD, with zooms.

A column for each experiment, and after the first one a zoom of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from replication.figures import bifurcation, style

# What the zooms show, in units of 2/eta and as products: the first bifurcations.
ZOOM: Any = {"xlim": (0.99, 1.31), "ylim": (0.32, 1.75)}
# Room for the notes below the products of the approximation, which are none of negative weights.
PRODUCTS = (-0.75, 2.35)
MAPS = {"zhu": "Zhu et al.", "gpgd": "GPGD"}


def draw(iterates: pd.DataFrame, orbits: pd.DataFrame) -> Figure:
    experiments = list(iterates["experiment"].unique())
    shown = [(experiments[0], False), (experiments[0], True), *((name, False) for name in experiments[1:])]
    size = ((0.2 + 0.6 * len(shown)) * style.COLUMN_WIDTH, 5.0)
    figure, axes = style.subplots(len(MAPS), len(shown), size=size, squeeze=False)
    for row, map_name in zip(axes, MAPS, strict=True):
        for panel, (experiment, zoom) in zip(row, shown, strict=True):
            run = iterates[iterates["experiment"] == experiment]
            _draw_panel(panel, run, orbits[orbits["experiment"] == experiment], map_name, zoom=zoom)
            panel.set_ylabel(panel.get_ylabel() if panel is row[0] else "")
        _mark_zoom(row[0])
    figure.supxlabel(axes[0, 0].get_xlabel(), fontsize=8)
    for panel in axes.flat:
        panel.set_xlabel("")
    style.panel_letters(axes[:, 0])
    _legend(figure, axes[:, 0])
    return figure


def _draw_panel(panel: Axes, iterates: pd.DataFrame, orbits: pd.DataFrame, map_name: str, *, zoom: bool) -> None:
    bifurcation.bifurcation_panel(panel, iterates, orbits, map_name=map_name, size=2.0, narrow=True)
    name, eta = MAPS[map_name], 2 / iterates["threshold"].iloc[0]
    panel.set_title(rf"{name}, $\eta = {eta:.3g}$" + (", detail" if zoom else ""))
    if zoom:
        panel.set(**ZOOM)
        return
    panel.set_ylim(PRODUCTS)
    prefix = "zhu_" if map_name == "zhu" else ""
    # Where there is no iterate the threshold is in the middle, and nothing is hidden but a part of its line.
    background = "none" if iterates["product"].notna().any() else "white"
    style.note(panel, bifurcation.distance_note(iterates, prefix=prefix, narrow=True), background=background)


def _legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """One for all panels: the maps, then what is the same in each."""
    labels = [panel.get_legend_handles_labels() for panel in panels]
    maps = [(handles[0], names[0]) for handles, names in labels]
    same = [(handle, name.partition(" ($")[0]) for handle, name in zip(*labels[0], strict=True)][1:]
    figure.legend(*zip(*maps, *same, strict=True), loc="outside upper center", ncols=len(maps) + len(same))


def _mark_zoom(axes: Axes) -> None:
    (left, right), (low, high) = ZOOM["xlim"], ZOOM["ylim"]
    frame = Rectangle((left, low), right - left, high - low, fill=False, edgecolor="0.4", linewidth=0.6)
    axes.add_patch(frame)
