"""Rule figure_arora_gfs: GFS sharpness along the descents of Arora et al. (2022), a row each, a column per model."""

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

import _job
from gfs import plotting
from gfs.claims.measures import largest_gfs_rise

COLUMNS = 3


def draw(table):
    names = table["experiment"].unique()
    rows = -(-len(names) // COLUMNS)
    size = (2 * plotting.COLUMN_WIDTH, 0.5 + 2.0 * rows)
    figure, axes = plt.subplots(rows, COLUMNS, squeeze=False, figsize=size)
    for panel, name in zip(axes.flat, names, strict=False):
        run = plotting.single_run(table[table["experiment"] == name])
        plotting.sharpness_lines(panel, run, markers=run["gfs_sharpness"].notna().sum() < 100)
        panel.set_title(f"{plotting.descent_title(run)}, {rise(run)}")
        panel.set_xlabel("iteration")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True))
    for panel in axes.flat[len(names) :]:
        panel.remove()
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    error = Patch(color=plotting.GFS_COLOUR, alpha=0.25, linewidth=0)
    figure.legend([*handles, error], [*labels, r"error of $\phi$"], loc="outside upper center", ncols=3)
    plotting.panel_letters(axes.flat[: len(names)])
    return figure


def rise(run):
    largest = largest_gfs_rise(run)
    return r"$\phi$ never rises" if largest <= 0 else rf"$\phi$ rises by {100 * largest:.1g} %"


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
