"""Rule figure_arora_networks: loss, sharpness and stableness of networks under the descents of Arora et al. (2022)."""

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

import _job
from replication.figures import plotting


def draw(table):
    names = table["experiment"].unique()
    size = (max(2.4 * len(names) + 0.6, plotting.COLUMN_WIDTH), 5.0)
    figure, axes = plt.subplots(3, len(names), squeeze=False, sharex="col", sharey="row", figsize=size)
    for column, name in zip(axes.T, names, strict=True):
        run = plotting.single_run(table[table["experiment"] == name])
        column[0].set_title(plotting.descent_title(run))
        plotting.loss_panel(column[0], run)
        plotting.sharpness_lines(column[1], run, markers=True)
        stableness(column[2], run)
        column[2].set_xlabel("iteration")
        column[2].xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    axes[1, 0].legend(loc="lower left")
    axes[2, 0].legend(loc="lower right")
    plotting.panel_letters(axes.flat)
    return figure


def stableness(axes, run):
    measured = run.dropna(subset="sharpness")
    axes.plot(measured["iteration"], 2 * measured["sharpness"] / measured["threshold"], color=plotting.SHARPNESS_COLOUR)
    axes.axhline(2, label="edge of stability", zorder=3, **plotting.THRESHOLD_LINE)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(r"stableness $\eta_t \lambda_1$")


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
