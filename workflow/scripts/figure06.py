"""Rule figure06: a fully connected network; sharpness, GFS sharpness and 2/eta above the training loss."""

import _job
from gfs import plotting


def draw(table):
    run = plotting.single_run(table)
    figure, axes = plotting.stacked_panels(2)
    plotting.title(figure, run)
    plotting.sharpness_panel(axes[0], run, markers=True)
    plotting.loss_panel(axes[1], run)
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
