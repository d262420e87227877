"""Rule figure05: one squared-regression run with the GFS sharpness at every iteration (panel a)."""

import _job
from gfs import plotting


def draw(table):
    figure, axes = plotting.stacked_panels(1)
    plotting.sharpness_panel(axes[0], plotting.single_run(table))
    plotting.panel_letter(axes[0], "a")
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
