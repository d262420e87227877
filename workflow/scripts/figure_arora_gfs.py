"""Rule figure_arora_gfs: GFS sharpness along the descents of Arora et al. (2022), a row each, a column per model.

Below: how far it rises along runs from many starts on small problems, each step looked at.
"""

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

import _job
from replication.figures import plotting
from replication.measures import largest_gfs_rise

COLUMNS = 3


def draw(table, rises):
    names = table["experiment"].unique()
    rows = -(-len(names) // COLUMNS)
    figure = plt.figure(figsize=(2 * plotting.COLUMN_WIDTH, 0.5 + 2.0 * (rows + 1)))
    grid = figure.add_gridspec(rows + 1, COLUMNS)
    panels = [figure.add_subplot(grid[divmod(i, COLUMNS)]) for i in range(len(names))]
    for panel, name in zip(panels, names, strict=True):
        run = plotting.single_run(table[table["experiment"] == name])
        plotting.sharpness_lines(panel, run, markers=run["gfs_sharpness"].notna().sum() < 100)
        panel.set_title(f"{plotting.descent_title(run)}, {rise(run)}")
        panel.set_xlabel("iteration")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True))
    for i, panel in enumerate(panels):
        if i % COLUMNS:
            panel.set_ylabel("")
    all_runs = figure.add_subplot(grid[rows, : COLUMNS - 1])
    of_many_starts(all_runs, rises)
    handles, labels = panels[0].get_legend_handles_labels()
    error = Patch(color=plotting.GFS_COLOUR, alpha=0.25, linewidth=0)
    figure.legend([*handles, error], [*labels, r"error of $\phi$"], loc="outside upper center", ncols=3)
    plotting.panel_letters([*panels, all_runs])
    return figure


def rise(run):
    largest = largest_gfs_rise(run)
    return r"$\phi$ never rises" if largest <= 0 else rf"$\phi$ rises by {100 * largest:.1g} %"


def of_many_starts(axes, rises):
    """A point per run; those that never rise on the axis."""
    places = [(problem, descent) for problem in plotting.ARORA_MARKERS for descent in plotting.ARORA_METHODS]
    for (problem, descent), runs in rises.groupby(["problem", "descent"]):
        shift = 1 + 0.03 * (places.index((problem, descent)) - (len(places) - 1) / 2)
        name, colour, _ = plotting.ARORA_METHODS[descent]
        points = {"marker": plotting.ARORA_MARKERS[problem], "linestyle": "", "markersize": 3, "color": colour}
        percent = 100 * runs["largest_rise"].clip(lower=0)
        axes.plot(runs["learning_rate"] * shift, percent, alpha=0.7, markeredgewidth=0, **points)
        axes.plot([], [], label=f"{problem}, {name}", **points)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1e-6)
    axes.set_ylim(-2e-7, 300 * max(rises["largest_rise"].max(), 1e-8))
    axes.set_xticks(sorted(rises["learning_rate"].unique()))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel(r"step size $\eta$")
    axes.set_ylabel(r"largest rise of $\phi$ (%)")
    # In the rest of the row, which it must not make wider.
    axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.0)).set_in_layout(False)


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
