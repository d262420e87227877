"""Gradient descent over the orbits that a map of products ends in (figures 4, 10 and 11)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from replication.figures import panels, style
from replication.studies.scalar.bifurcation import above_threshold, root_mean_square


def bifurcation_panel(
    axes: Axes,
    iterates: pd.DataFrame,
    orbits: pd.DataFrame,
    *,
    map_name: str = "gpgd",
    size: float = 0.9,
    narrow: bool = False,
) -> None:
    """Draw the products of gradient descent over those that the orbits of a map end in, against GFS sharpness.

    ``size`` is that of the orbits' points; larger where they are sparse. ``narrow``: what is said of a divergence is in
    shorter lines.
    """
    name, colour = {"gpgd": ("GPGD", style.GPGD_COLOUR), "zhu": ("Zhu et al. (2023)", style.ZHU_COLOUR)}[map_name]
    threshold = float(iterates["threshold"].iloc[0])
    ends = orbits[orbits["map"] == map_name]
    points: Any = {"marker": ".", "linestyle": "", "markeredgewidth": 0, "rasterized": True}
    axes.plot(ends["gfs_sharpness"] / threshold, ends["product"], color=colour, markersize=size, **points)
    axes.plot([], [], "s", color=colour, markersize=3, label=name)
    units = iterates["gfs_sharpness"] / threshold
    axes.plot(units, iterates["product"], color=style.DESCENT_COLOUR, markersize=max(1.6, 0.8 * size), **points)
    axes.plot([], [], ".", color=style.DESCENT_COLOUR, markersize=4, label="gradient descent")
    panels.threshold_mark(axes, 2 / threshold)
    panels.note_ending(axes, iterates, narrow=narrow)
    axes.set_xlabel(r"GFS sharpness $\phi(w^{(t)})$ in units of $2/\eta$")
    axes.set_ylabel(r"product $\pi(w^{(t)})$")


def distance_note(iterates: pd.DataFrame, *, prefix: str = "", narrow: bool = False) -> str:
    """Say how far the products above 2/eta are from those that the orbits end in, and two steps from two of the map.

    ``narrow``: in shorter lines.
    """
    above = above_threshold(iterates)
    if not len(above):
        return r"no iterate above $2/\eta$"
    if not np.isfinite(above[f"{prefix}distance"]).any():
        return r"above $2/\eta$ no" + ("\n" if narrow else " ") + "orbit stays bounded"
    # An orbit that leaves all bounds is infinitely far.
    median, far = above[f"{prefix}distance"].fillna(np.inf).quantile([0.5, 0.95], interpolation="higher")
    error = root_mean_square(above[f"{prefix}two_step_error"])
    typical, farthest, stepwise = (r"$\infty$" if np.isinf(x) else rf"{x:.2g}" for x in (median, far, error))
    if narrow:
        return (
            rf"above $2/\eta$: distance {typical}"
            "\n"
            rf"(median), {farthest} (95 %);"
            "\n"
            rf"rms two-step error {stepwise}"
        )
    return rf"above $2/\eta$: distance {typical} (median)," "\n" rf"{farthest} (95 %); two-step error {stepwise} (rms)"
