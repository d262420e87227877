"""Rule figure04: GPGD's bifurcation diagram with the trajectory of gradient descent on top."""

import matplotlib.pyplot as plt

import _job
from replication.figures import plotting


def draw(iterates, orbits):
    figure, axes = plt.subplots(figsize=(plotting.COLUMN_WIDTH, 2.6))
    plotting.bifurcation_panel(axes, iterates, orbits)
    axes.set_ylim(bottom=-0.15)
    plotting.note(axes, plotting.distance_note(iterates))
    plotting.legend_above(axes)
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
