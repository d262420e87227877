"""Rule figure_linear_convergence: the share of starts from which gradient descent converges, or stays bounded."""

import matplotlib.pyplot as plt

import _job
from replication.figures import plotting

MARKERS = "osD^v<>"


def draw(table):
    figure, (a, b) = plt.subplots(1, 2, figsize=(2 * plotting.COLUMN_WIDTH, 2.6), sharey=True)
    for name, colour, marker in zip(table["network"].unique(), plotting.PALETTE, MARKERS, strict=False):
        rows = table[table["network"] == name].sort_values("fraction")
        look = {"color": colour, "marker": marker, "markersize": 2.8}
        a.fill_between(rows["fraction"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        a.plot(rows["fraction"], rows["share"], label=name, **look)
        b.plot(rows["fraction"], rows["bounded"] / rows["starts"], **look)
    for axes in (a, b):
        axes.axvline(1, zorder=0, **plotting.THRESHOLD_LINE)
        axes.set_xlabel(r"$\eta / \eta_c$, with $\eta_c = 2 / \lambda_{\min}$")
        axes.set_ylim(-0.03, 1.03)
    a.set_ylabel("share that converges")
    b.set_ylabel("share that only stays bounded")
    b.tick_params(labelleft=True)
    figure.legend(loc="outside upper center", ncols=table["network"].nunique(), columnspacing=1.2, handletextpad=0.5)
    plotting.panel_letters([a, b])
    return figure


if "snakemake" in globals():
    _job.run_figure(draw, snakemake)
