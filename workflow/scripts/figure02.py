"""Rule figure02: a scalar network of depth 4; a the loss, b sharpness, GFS sharpness and 2/eta."""

import _job
from gfs import plotting


def draw(table):
    run = plotting.single_run(table)
    figure, axes = plotting.stacked_panels(2)
    plotting.loss_panel(axes[0], run, "loss $L$")
    plotting.sharpness_panel(axes[1], run)
    for panel, letter in zip(axes, "ab", strict=True):
        plotting.panel_letter(panel, letter)
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
