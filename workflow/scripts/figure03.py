"""Rule figure03: sharpness at convergence, by where gradient descent started."""

import matplotlib.pyplot as plt

import _job
from replication.figures import plotting


def draw(plane):
    # A start at a minimum stays there however sharp it is; what is not done yet has a GFS sharpness near its last one.
    moved = (plane["status"] != "diverged") & (plane["steps"] > 0)
    final = (plane["final_gfs"] / plane["threshold"]).where(moved)
    units, products, matrix = plotting.grid(plane.assign(final=final), "final")
    figure, axes = plt.subplots(figsize=(plotting.COLUMN_WIDTH, 2.6))
    axes.set_facecolor(plotting.DIVERGED_COLOUR)
    mesh = axes.pcolormesh(units, products, matrix, cmap="viridis", vmax=1.0, shading="nearest", rasterized=True)
    beyond = "max" if (matrix > 1).any() else "neither"
    figure.colorbar(mesh, extend=beyond, label=r"final sharpness in units of $2/\eta$")
    axes.plot([], [], "s", color=plotting.DIVERGED_COLOUR, markersize=5, label="diverges")
    plotting.threshold_mark(axes, 2 / plane["threshold"].iloc[0])
    plotting.plane_axes(axes)
    plotting.legend_above(axes)
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
