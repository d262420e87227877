"""Figure 1: gradient descent in the plane of two weights, gradient flow from its iterates, and where that ends."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gfsharp import scalar
from replication.figures import panels, style

# Products along the gradient flow trajectories that are drawn, from below the iterates to the solution.
POINTS = 200


def draw(iterates: pd.DataFrame) -> Figure:
    w = iterates[["w1", "w2"]].dropna().to_numpy()
    solutions = scalar.gradient_flow_solution(w)
    there = np.isfinite(solutions).all(axis=1)
    w, solutions = w[there], solutions[there]
    learning_rate = 2 / iterates["threshold"].iloc[0]
    figure, axes = style.subplots(size=(style.COLUMN_WIDTH, 3.1))
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, shown := min(len(w), 12)))
    drawn = np.concatenate([solutions[:, 0], w[:, 0], [] if len(w) else [0.5, 2]])  # of no iterate, some minima
    edge = np.linspace(0.9 * drawn[: len(w) or None].min(), 1.06 * drawn.max(), POINTS)
    axes.plot(edge, 1 / edge, color="black", linewidth=1.0, label="minima, $w_1 w_2 = 1$")
    stable = edge[edge**2 + edge**-2 <= 2 / learning_rate]
    axes.plot(stable, 1 / stable, color=style.GFS_COLOUR, linewidth=3.5, alpha=0.35, solid_capstyle="butt",
              label=rf"sharpness $\leq 2/\eta$ ($\eta = {learning_rate:.3g}$)")  # fmt: skip
    axes.plot(*w.T, color=style.DESCENT_COLOUR, linewidth=0.5, marker="o", markersize=2.4, label="gradient descent")
    for start, end, colour in zip(w[:shown], solutions[:shown], colours, strict=True):
        path = scalar.gradient_flow_point(np.broadcast_to(start, (POINTS, 2)), np.linspace(np.prod(start), 1, POINTS))
        axes.plot(*path.T, color=colour, linewidth=0.8)
        axes.plot(*end, "D", color=colour, markersize=3.2, zorder=4)
    axes.plot([], [], color="0.4", linewidth=0.8, label="gradient flow from each")
    axes.plot([], [], "D", color="0.4", markersize=3.2, linestyle="", label="gradient flow solution")
    axes.set(xlabel="$w_1$", ylabel="$w_2$")
    panels.note_ending(axes, iterates)
    style.legend_above(axes)
    return figure
