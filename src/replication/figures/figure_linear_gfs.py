"""Figure linear gfs: the GFS sharpness along gradient descent on linear networks, and by how much it rises."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from replication.figures import style


def draw(table: pd.DataFrame) -> Figure:
    figure, (a, b) = style.subplots(1, 2, size=(2 * style.COLUMN_WIDTH, 2.6))
    colours = dict(zip(table["experiment"].unique(), (style.PALETTE[i] for i in (0, 1, 2, 4, 3, 5)), strict=False))
    runs = table[table["gfs_sharpness"].notna()].sort_values(["experiment", "run", "iteration"])
    least = runs.groupby(["experiment", "run"])["gfs_sharpness"].cummin()
    runs = runs.assign(units=runs["gfs_sharpness"] / runs["threshold"], above=100 * (runs["gfs_sharpness"] / least - 1))
    look: Any = {"x": "iteration", "hue": "experiment", "hue_order": colours, "palette": colours}
    lines: Any = {**look, "units": "run", "estimator": None, "linewidth": 0.9}
    sns.lineplot(runs, y="units", ax=a, **lines)
    ends = runs.groupby(["experiment", "run"]).tail(1)
    sns.scatterplot(ends, y="units", s=8, linewidth=0, zorder=3, legend=False, ax=a, **look)
    sns.lineplot(runs, y="above", marker=".", markersize=3, markeredgewidth=0, legend=False, ax=b, **lines)
    largest = float((runs["gfs_error"] / runs["gfs_sharpness"]).max())
    a.axhline(1, label=r"$2/\eta$", **style.THRESHOLD_LINE)
    a.set_ylabel(r"GFS sharpness $\phi$ in units of $2/\eta$")
    b.axhspan(0, 100 * largest, color="0.85", zorder=0, linewidth=0)
    b.set_ylabel(r"$\phi$ above its least so far (%)")
    style.note(b, rf"grey: largest estimated error, {100 * largest:.2g} %", corner="upper right")
    for axes in (a, b):
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlim(left=0)
        axes.set_xlabel("gradient descent iteration")
    a.get_legend().remove()
    figure.legend(loc="outside upper center", ncols=len(colours) + 1, columnspacing=1.2, handletextpad=0.5)
    style.panel_letters([a, b])
    return figure
