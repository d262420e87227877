"""Figure linear gfs: the GFS sharpness along gradient descent on linear networks, and by how much it rises."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.figures import style


def draw(table: pd.DataFrame) -> Figure:
    figure, (a, b) = style.subplots(1, 2, size=(2 * style.COLUMN_WIDTH, 2.6))
    palette = style.PALETTE
    styles = dict(zip(table["experiment"].unique(), [palette[i] for i in (0, 1, 2, 4, 3, 5)], strict=False))
    largest = 0.0
    for (name, _), run in table.groupby(["experiment", "run"], sort=False):
        run = run[run["gfs_sharpness"].notna()].sort_values("iteration")
        look = {"color": styles[name], "linewidth": 0.9}
        a.plot(run["iteration"], run["gfs_sharpness"] / run["threshold"], **look)
        a.plot(
            run["iteration"].iloc[-1], (run["gfs_sharpness"] / run["threshold"]).iloc[-1], "o", markersize=2.5, **look
        )
        phi = run["gfs_sharpness"].to_numpy()
        b.plot(run["iteration"], 100 * (phi / np.minimum.accumulate(phi) - 1), marker=".", markersize=2.5, **look)
        largest = max(largest, float((run["gfs_error"] / run["gfs_sharpness"]).max()))
    for name, colour in styles.items():
        a.plot([], [], color=colour, label=name)
    a.axhline(1, label=r"$2/\eta$", **style.THRESHOLD_LINE)
    a.set_ylabel(r"GFS sharpness $\phi$ in units of $2/\eta$")
    b.axhspan(0, 100 * largest, color="0.85", zorder=0, linewidth=0)
    b.set_ylabel(r"$\phi$ above its least so far (%)")
    style.note(b, rf"grey: largest estimated error, {100 * largest:.2g} %", corner="upper right")
    for axes in (a, b):
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlim(left=0)
        axes.set_xlabel("gradient descent iteration")
    figure.legend(loc="outside upper center", ncols=len(styles) + 1, columnspacing=1.2, handletextpad=0.5)
    style.panel_letters([a, b])
    return figure
