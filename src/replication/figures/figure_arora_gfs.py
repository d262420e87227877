"""Figure arora gfs: GFS sharpness along the descents of Arora et al. (2022), a row each, a column per model.

Below: how far it rises along runs from many starts on small problems, each step looked at.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from replication.figures import descents, panels, style
from replication.measures import largest_gfs_rise

COLUMNS = 3


def draw(table: pd.DataFrame, rises: pd.DataFrame) -> Figure:
    names = table["experiment"].unique()
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2 * style.COLUMN_WIDTH, 0.5 + 2.0 * (rows + 1)))
    grid = figure.add_gridspec(rows + 1, COLUMNS)
    shown = [figure.add_subplot(grid[divmod(i, COLUMNS)]) for i in range(len(names))]
    for panel, name in zip(shown, names, strict=True):
        run = panels.single_run(table[table["experiment"] == name])
        panels.sharpness_lines(panel, run, markers=run["gfs_sharpness"].notna().sum() < 100)
        panel.set_title(f"{descents.descent_title(run)}, {_rise(run)}")
        panel.set_xlabel("iteration")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True))
    for i, panel in enumerate(shown):
        if i % COLUMNS:
            panel.set_ylabel("")
    all_runs = figure.add_subplot(grid[rows, : COLUMNS - 1])
    _of_many_starts(all_runs, rises)
    handles, labels = shown[0].get_legend_handles_labels()
    error = Patch(color=style.GFS_COLOUR, alpha=0.25, linewidth=0)
    figure.legend([*handles, error], [*labels, r"error of $\phi$"], loc="outside upper center", ncols=3)
    style.panel_letters([*shown, all_runs])
    return figure


def _rise(run: pd.DataFrame) -> str:
    largest = largest_gfs_rise(run)
    return r"$\phi$ never rises" if largest <= 0 else rf"$\phi$ rises by {100 * largest:.1g} %"


def _of_many_starts(axes: Axes, rises: pd.DataFrame) -> None:
    """A point per run; those that never rise on the axis."""
    places = [(problem, descent) for problem in descents.MARKERS for descent in descents.METHODS]
    place = np.array([places.index(pair) for pair in zip(rises["problem"], rises["descent"], strict=True)])
    shift = 1 + 0.03 * (place - (len(places) - 1) / 2)
    names = {descent: name for descent, (name, _, _) in descents.METHODS.items()}
    sns.scatterplot(
        rises.assign(descent=rises["descent"].map(names)),
        x=rises["learning_rate"] * shift,
        y=100 * rises["largest_rise"].clip(lower=0),
        hue="descent",
        palette={name: colour for name, colour, _ in descents.METHODS.values()},
        style="problem",
        markers=descents.MARKERS,
        s=11,
        linewidth=0,
        ax=axes,
    )
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1e-6)
    axes.set_ylim(-2e-7, 300 * max(rises["largest_rise"].max(), 1e-8))
    axes.set_xticks(sorted(rises["learning_rate"].unique()))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel(r"step size $\eta$")
    axes.set_ylabel(r"largest rise of $\phi$ (%)")
    # In the rest of the row, which it must not make wider.
    axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.0)).set_in_layout(False)
