"""Figure 5: squared regression; a one run, b eight runs, c changes over all runs, d from lazy to rich."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.figures import panels, style
from replication.studies.regression import eight, normalised_changes

LINES: Any = ("-", (0, (3, 1)), ":")


def draw(table: pd.DataFrame, runs: pd.DataFrame, scales: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(2, 2, size=(2 * style.COLUMN_WIDTH, 4.8))
    (a, b), (c, d) = axes
    panels.sharpness_panel(a, panels.single_run(table))
    _eight_runs(b, runs)
    _changes(c, figure, runs)
    _lazy_to_rich(d, scales)
    for panel in axes.flat:
        panel.set_xlabel("gradient descent iteration")
    style.panel_letters(axes.flat)
    return figure


def _eight_runs(axes: Axes, runs: pd.DataFrame) -> None:
    """A colour per data set, dashes by the step size."""
    shown = eight(runs)
    seeds, fractions = ([*dict.fromkeys(run[key].iloc[0] for run in shown)] for key in ("seed", "fraction"))
    for run in shown:
        dashes = LINES[fractions.index(run["fraction"].iloc[0]) % len(LINES)]
        colour = mpl.colormaps["Set2"](seeds.index(run["seed"].iloc[0]))
        axes.plot(
            run["iteration"], run["gfs_sharpness"] / run["threshold"], color=colour, linestyle=dashes, linewidth=0.9
        )
    axes.axhline(1, label=r"$2/\eta$", **style.THRESHOLD_LINE)
    axes.set_ylabel(r"GFS sharpness in units of $2/\eta$")
    for fraction, dashes in zip(fractions, LINES, strict=False):
        axes.plot(
            [], [], color="0.4", linestyle=dashes, linewidth=0.9, label=rf"$\eta = {fraction:g} \cdot 2/S_{{flat}}$"
        )
    axes.legend(loc="upper right")


def _changes(axes: Axes, figure: Figure, runs: pd.DataFrame) -> None:
    points = normalised_changes(runs)
    units = points["gfs_sharpness"] / points["threshold"]
    # Drawn in an order that no run covers another by.
    order = np.random.default_rng(0).permutation(len(points))
    shown = axes.scatter(
        points["iteration"].to_numpy()[order],
        points["change"].to_numpy()[order],
        c=units.to_numpy()[order],
        s=0.4,
        linewidths=0,
        cmap="viridis",
        rasterized=True,
    )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    axes.set_yscale("symlog", linthresh=1e-8)
    axes.set_ylabel(r"change $\phi(w^{(t+1)}) / \phi(w^{(t)}) - 1$")
    axes.set_title("; ".join([f"{runs['run'].nunique()} runs", *_endings(runs), _largest_change(points)]), fontsize=7)
    if len(points):
        low, high = points["change"].min(), points["change"].max()
        axes.set_ylim(min(low * 2, -1e-7), max(2 * high, 1e-7))
    figure.colorbar(shown, ax=axes, label=r"$\phi$ in units of $2/\eta$")


def _endings(runs: pd.DataFrame) -> list[str]:
    """How many runs diverged, if any did."""
    diverged = (runs.groupby("run")["status"].last() == "diverged").sum()
    return [f"{diverged} diverged"] if diverged else []


def _largest_change(points: pd.DataFrame) -> str:
    largest = points["change"].max()
    if not (np.isfinite(largest) and largest):
        return "no change"
    exponent = math.floor(math.log10(abs(largest)))
    return rf"largest change ${largest / 10**exponent:.1f} \cdot 10^{{{exponent}}}$"


def _lazy_to_rich(axes: Axes, scales: pd.DataFrame) -> None:
    values = scales["initial_scale"].unique()
    for i, value in enumerate(values):
        run = scales[scales["initial_scale"] == value]
        colour = mpl.colormaps["viridis"](0.9 * i / max(1, len(values) - 1))
        phi = run["gfs_sharpness"] / run["threshold"]
        status = run["status"].iloc[-1]
        said = f" ({status})" if status in ("diverged", "not started") else ""
        axes.plot(run["iteration"], phi, color=colour, linewidth=1.0, label=f"{value:g}{said}")
        end = {"converged": "o", "diverged": "x"}.get(status, ">")
        last = phi.last_valid_index() if phi.notna().any() else phi.index[-1]
        axes.plot(run["iteration"][last], phi[last], end, color=colour, markersize=3)
    axes.axhline(1, label=r"$2/\eta$", **style.THRESHOLD_LINE)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    axes.set_ylabel(r"GFS sharpness in units of $2/\eta$")
    axes.legend(title=r"$u_\pm$ at the start", loc="lower left", fontsize=6, title_fontsize=6)
