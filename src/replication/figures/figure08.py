"""Figure 8: the end of figure 2b: the sharpness comes to rest slightly below 2/eta."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.figures import panels, style

# Of the run, from where the GFS sharpness last is this far from 2/eta.
CLOSE = 0.02


def draw(table: pd.DataFrame) -> Figure:
    run = panels.single_run(table)
    away = run.loc[(run["gfs_sharpness"] / run["threshold"] - 1).abs() > CLOSE, "iteration"]
    figure, axes = panels.stacked_panels(1)
    panels.sharpness_panel(axes[0], run[run["iteration"] > away.max()] if len(away) else run)
    threshold = run["threshold"].iloc[0]
    axes[0].set_ylim(threshold * (1 - 1.5 * CLOSE), threshold * (1 + 1.5 * CLOSE))
    final = run["gfs_sharpness"].iloc[-1]
    if np.isfinite(final):
        style.note(axes[0], rf"final sharpness {final / threshold:.4f} of $2/\eta$", corner="upper right")
    return figure
