"""Rule figure10: gradient descent over the periodic points of a Zhu et al.'s approximation and b GPGD, with zooms."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

import _job
from gfs import plotting

# What the zooms show, in units of 2/eta and as products: the first bifurcation and the branch that follows.
ZOOM = {"xlim": (0.98, 1.26), "ylim": (0.97, 1.37)}


def draw(iterates, orbits):
    figure, axes = plt.subplots(2, 2, figsize=(2 * plotting.COLUMN_WIDTH, 5.0), width_ratios=[1.3, 1])
    for row, map_name in zip(axes, ("zhu", "gpgd"), strict=True):
        for panel in row:
            plotting.bifurcation_panel(panel, iterates, orbits, map_name=map_name, size=2.5)
        row[0].set_ylim(-0.1, 1.6)
        plotting.note(row[0], plotting.distance_note(iterates, prefix="zhu_" if map_name == "zhu" else ""))
        row[1].set(**ZOOM)
        mark_zoom(row[0])
        plotting.legend_above(row[0], columns=3)
    plotting.panel_letters(axes[:, 0])
    return figure


def mark_zoom(axes):
    (left, right), (low, high) = ZOOM["xlim"], ZOOM["ylim"]
    frame = Rectangle((left, low), right - left, high - low, fill=False, edgecolor="0.4", linewidth=0.6)
    axes.add_patch(frame)


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
