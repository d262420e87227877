"""Rule figure08: the end of figure 2b: the sharpness comes to rest slightly below 2/eta."""

import numpy as np

import _job
from replication.figures import plotting

# Of the run, from where the GFS sharpness last is this far from 2/eta.
CLOSE = 0.02


def draw(table):
    run = plotting.single_run(table)
    away = run.loc[(run["gfs_sharpness"] / run["threshold"] - 1).abs() > CLOSE, "iteration"]
    figure, axes = plotting.stacked_panels(1)
    plotting.sharpness_panel(axes[0], run[run["iteration"] > away.max()] if len(away) else run)
    threshold = run["threshold"].iloc[0]
    axes[0].set_ylim(threshold * (1 - 1.5 * CLOSE), threshold * (1 + 1.5 * CLOSE))
    final = run["gfs_sharpness"].iloc[-1]
    if np.isfinite(final):
        plotting.note(axes[0], rf"final sharpness {final / threshold:.4f} of $2/\eta$", corner="upper right")
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
