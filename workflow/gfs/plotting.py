"""One style for all figures, and the panels that they are made of.

A figure is one journal column wide (3.25 in), in colours that the colour-blind can tell apart; the stability threshold
2/eta is the same dashed line everywhere, and text stays text in the vector formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gfs.files import whole_file

COLUMN_WIDTH = 3.25
PANEL_HEIGHT = 1.75

# Columns of an experiment's table that figures draw from.
COLUMNS = [
    "experiment",
    "seed",
    "learning_rate",
    "threshold",
    "iteration",
    "loss",
    "sharpness",
    "gfs_sharpness",
    "status",
    "gfs_status",
]

_PALETTE = sns.color_palette("colorblind")
SHARPNESS_COLOUR = _PALETTE[0]
GFS_COLOUR = _PALETTE[1]
THRESHOLD_COLOUR = "black"
LOSS_COLOUR = "0.25"

_STYLE: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "gfs",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style within the block."""
    with plt.rc_context(_STYLE):
        yield


def stacked_panels(rows: int) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure one column wide with panels above each other that share the axis of iterations."""
    figure, axes = plt.subplots(rows, 1, sharex=True, squeeze=False, figsize=(COLUMN_WIDTH, PANEL_HEIGHT * rows + 0.35))
    axes[-1, 0].set_xlabel("gradient descent iteration")
    axes[-1, 0].xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    return figure, list(axes[:, 0])


def loss_panel(axes: Axes, run: pd.DataFrame, label: str = "training loss $L$") -> None:
    """Draw the loss on a logarithmic scale."""
    finite = run[run["loss"] > 0]
    axes.semilogy(finite["iteration"], finite["loss"], color=LOSS_COLOUR, linewidth=0.7)
    axes.set_ylabel(label)
    _mark_divergence(axes, run)


def sharpness_panel(axes: Axes, run: pd.DataFrame, *, markers: bool = False) -> None:
    """Draw sharpness, GFS sharpness and 2/eta; ``markers`` for GFS sharpness at some iterates only."""
    measured = run.dropna(subset="sharpness")
    axes.plot(
        measured["iteration"],
        measured["sharpness"],
        color=SHARPNESS_COLOUR,
        linewidth=0.6,
        alpha=0.75,
        label="sharpness",
    )
    solutions = run.dropna(subset="gfs_sharpness")
    axes.plot(
        solutions["iteration"],
        solutions["gfs_sharpness"],
        color=GFS_COLOUR,
        linewidth=1.4,
        marker="o" if markers else "",
        markersize=2.6,
        label=r"GFS sharpness $\phi$",
    )
    threshold_line(axes, float(run["learning_rate"].iloc[0]))
    _mark_unfinished_flows(axes, run)
    _mark_divergence(axes, run)
    axes.set_ylabel("sharpness")
    # Above the panel, where no curve can run into it.
    columns = 3 if len(axes.get_legend_handles_labels()[0]) <= 3 else 2
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.0, handletextpad=0.5)


def threshold_line(axes: Axes, learning_rate: float) -> None:
    """Draw the stability threshold 2/eta, the same in every figure."""
    label = rf"$2/\eta$ ($\eta = {learning_rate:.3g}$)"
    axes.axhline(2 / learning_rate, color=THRESHOLD_COLOUR, linestyle=(0, (4, 2)), linewidth=0.8, label=label, zorder=3)


def title(figure: Figure, run: pd.DataFrame) -> None:
    """Name the run's experiment above the figure."""
    figure.suptitle(str(run["experiment"].iloc[0]).replace("-", " "), fontsize=8)


def panel_letter(axes: Axes, letter: str) -> None:
    """Write the panel's letter at its upper left, outside the axes."""
    axes.annotate(
        letter, (0, 1), xytext=(-30, 4), xycoords="axes fraction", textcoords="offset points", weight="bold", fontsize=9
    )


def single_run(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first run of an experiment's table, in order of iteration."""
    first = table.iloc[0]
    same = table["learning_rate"] == first["learning_rate"]
    if not pd.isna(first["seed"]):
        same &= table["seed"] == first["seed"]
    return table[same].sort_values("iteration")


def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure to each path, in the format of its suffix and without a date, then close it."""
    undated = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}
    for path in paths:
        suffix = Path(path).suffix
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=undated[suffix])
    plt.close(figure)


def _mark_unfinished_flows(axes: Axes, run: pd.DataFrame) -> None:
    unfinished = run[run["gfs_status"].notna() & (run["gfs_status"] != "converged")]
    if len(unfinished):
        axes.plot(
            unfinished["iteration"],
            [0.02] * len(unfinished),
            transform=axes.get_xaxis_transform(),
            color=GFS_COLOUR,
            marker="x",
            markersize=3.5,
            linestyle="",
            label="flow unfinished",
        )


def _mark_divergence(axes: Axes, run: pd.DataFrame) -> None:
    last = run.iloc[-1]
    if last["status"] == "diverged":
        axes.axvline(last["iteration"], color="0.5", linewidth=0.8)
        axes.annotate(
            f"diverged at {last['iteration']}",
            (last["iteration"], 0.5),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="center",
            fontsize=7,
            color="0.4",
        )
