"""Rule figure09: a run whose loss is large when its GFS sharpness crosses 2/eta, and that ends far below it."""

import _job
from replication.figures import plotting


def draw(table):
    run = plotting.single_run(table)
    figure, axes = plotting.stacked_panels(2)
    plotting.loss_panel(axes[0], run, "loss $L$")
    plotting.sharpness_panel(axes[1], run)
    below = run[run["gfs_sharpness"] <= run["threshold"]]
    if len(below):
        crossing = below.iloc[0]
        axes[0].plot(crossing["iteration"], crossing["loss"], "o", color=plotting.GFS_COLOUR, markersize=4)
        axes[0].annotate(
            rf"$\phi$ crosses $2/\eta$ at loss {crossing['loss']:.2g}",
            (crossing["iteration"], crossing["loss"]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    plotting.panel_letters(axes)
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
