"""Networks: sharpness, GFS sharpness and 2/eta above the training loss, a column per experiment (figures 6, 12, 13)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from replication.figures import panels, style


def draw(table: pd.DataFrame) -> Figure:
    """Return a column per experiment: sharpness, GFS sharpness and 2/eta above the training loss."""
    names = table["experiment"].unique()
    size = (style.COLUMN_WIDTH + 2.2 * (len(names) - 1), 2 * style.PANEL_HEIGHT + 0.7)
    figure, axes = style.subplots(2, len(names), squeeze=False, sharex="col", size=size)
    for column, name in zip(axes.T, names, strict=True):
        run = panels.single_run(table[table["experiment"] == name])
        panels.sharpness_panel(column[0], run, markers=True)
        _logarithmic(column[0])
        _limited_by_lines(column[0])
        panels.loss_panel(column[1], run)
        # One legend for all panels: each of its own would be wider than its panel.
        column[0].get_legend().remove()
        column[0].set_title(rf"{panels.written_out(str(name))}, $\eta = {run['learning_rate'].iloc[0]:.3g}$")
        column[1].set_xlabel("gradient descent iteration")
        column[1].xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    style.panel_letters(axes[0])
    shown: dict[str, Any] = {}
    for panel in axes[0]:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            shown.setdefault(label.partition(" (")[0], handle)
    shown[r"error of $\phi$"] = Patch(**style.ERROR_BAND)
    # It lies on the other band.
    opacity = 1 - (1 - style.ERROR_BAND["alpha"]) * (1 - style.ERROR_AT_ONE_LOSS_BAND["alpha"])
    shown["error at one loss"] = Patch(**{**style.ERROR_AT_ONE_LOSS_BAND, "alpha": opacity})
    figure.legend([*shown.values()], [*shown], loc="outside upper center", ncols=min(len(shown), 2 * len(names)))
    return figure


def _logarithmic(axes: Axes) -> None:
    """The GFS sharpness falls from many times 2/eta to it: both ends are to be seen."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _limited_by_lines(axes: Axes) -> None:
    """Show all lines, and of an error that is wider than a third of a value no more than fits: lines are to be read."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.75 * float(values.min())), min(high, 1.33 * float(values.max())))
