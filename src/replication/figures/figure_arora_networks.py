"""Figure arora networks: loss, sharpness and stableness of networks under the descents of Arora et al. (2022)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replication.figures import descents, panels, style


def draw(table: pd.DataFrame) -> Figure:
    names = table["experiment"].unique()
    size = (max(2.4 * len(names) + 0.6, style.COLUMN_WIDTH), 5.0)
    figure, axes = style.subplots(3, len(names), squeeze=False, sharex="col", sharey="row", size=size)
    for column, name in zip(axes.T, names, strict=True):
        run = panels.single_run(table[table["experiment"] == name])
        column[0].set_title(descents.descent_title(run))
        panels.loss_panel(column[0], run)
        panels.sharpness_lines(column[1], run, markers=True)
        _stableness(column[2], run)
        column[2].set_xlabel("iteration")
        column[2].xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    axes[1, 0].legend(loc="lower left")
    axes[2, 0].legend(loc="lower right")
    style.panel_letters(axes.flat)
    return figure


def _stableness(axes: Axes, run: pd.DataFrame) -> None:
    measured = run.dropna(subset="sharpness")
    axes.plot(measured["iteration"], 2 * measured["sharpness"] / measured["threshold"], color=style.SHARPNESS_COLOUR)
    axes.axhline(2, label="edge of stability", zorder=3, **style.THRESHOLD_LINE)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(r"stableness $\eta_t \lambda_1$")
