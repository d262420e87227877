"""Panels that figures share: the loss and the sharpness along a run, the threshold, how a run ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replication.figures import style

# How the words of an experiment's name are written.
_WORDS = {
    "fc": "FC",
    "relu": "ReLU",
    "vgg11": "VGG-11",
    "resnet20": "ResNet-20",
    "cifar10": "CIFAR-10",
    "svhn": "SVHN",
}

# What the figures say where there is no gradient flow solution to show; of all else, that the flow is unfinished.
_MISSING = {
    "does not exist": "no solution",
    "certificate failed": "no certified solution",
    "overflow": "solution overflows",
    "not finite": "flow not finite",
}


def stacked_panels(rows: int, *, extra: int = 0) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure one column wide with panels above each other that share the axis of iterations.

    ``extra`` panels below them have an axis of their own.
    """
    count = rows + extra
    size = (style.COLUMN_WIDTH, style.PANEL_HEIGHT * count + 0.35 + 0.7 * extra)
    figure, axes = style.subplots(count, squeeze=False, size=size, height_ratios=[1.0] * rows + [1.5] * extra)
    panels = list(axes[:, 0])
    for panel in panels[: rows - 1]:
        panel.sharex(panels[rows - 1])
        panel.tick_params(labelbottom=False)
    panels[rows - 1].set_xlabel("gradient descent iteration")
    panels[rows - 1].xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    return figure, panels


def written_out(experiment: str) -> str:
    """Return an experiment's name in words, such as FC hardtanh CIFAR-10."""
    return " ".join(_WORDS.get(word, word) for word in experiment.split("-"))


def loss_panel(axes: Axes, run: pd.DataFrame, label: str = "training loss $L$") -> None:
    """Draw the loss on a logarithmic scale."""
    finite = run[(run["loss"] > 0) & np.isfinite(run["loss"])]
    axes.semilogy(finite["iteration"], finite["loss"], color=style.LOSS_COLOUR, linewidth=0.7)
    axes.set_ylabel(label)
    _mark_divergence(axes, run)


def sharpness_panel(axes: Axes, run: pd.DataFrame, *, markers: bool = False) -> None:
    """Draw sharpness, GFS sharpness and 2/eta; ``markers`` for GFS sharpness at some iterates only."""
    sharpness_lines(axes, run, markers=markers)
    threshold_line(axes, float(run["learning_rate"].iloc[0]))
    _mark_unfinished_flows(axes, run)
    _mark_divergence(axes, run)
    style.legend_above(axes, columns=3 if len(axes.get_legend_handles_labels()[0]) <= 3 else 2)


def sharpness_lines(axes: Axes, run: pd.DataFrame, *, markers: bool = False) -> None:
    """Draw sharpness and GFS sharpness with its error; ``markers`` for GFS sharpness at some iterates only."""
    measured = run.dropna(subset="sharpness")
    axes.plot(
        measured["iteration"],
        measured["sharpness"],
        color=style.SHARPNESS_COLOUR,
        linewidth=0.6,
        alpha=0.75,
        label="sharpness",
    )
    solutions = run.dropna(subset="gfs_sharpness")
    if "gfs_error" in solutions:
        # What is left of the error between values of one run at one loss, in the darker band.
        at_one_loss = solutions["gfs_error"] - solutions["stopping_error"]
        for error, colour in ((solutions["gfs_error"], style.ERROR_BAND), (at_one_loss, style.ERROR_AT_ONE_LOSS_BAND)):
            low, high = (solutions["gfs_sharpness"] + sign * error for sign in (-1, 1))
            axes.fill_between(solutions["iteration"], low, high, **colour)
    axes.plot(
        solutions["iteration"],
        solutions["gfs_sharpness"],
        color=style.GFS_COLOUR,
        linewidth=1.4,
        marker="o" if markers else "",
        markersize=2.6,
        label=r"GFS sharpness $\phi$",
    )
    axes.set_ylabel("sharpness")


def threshold_line(axes: Axes, learning_rate: float) -> None:
    """Draw the stability threshold 2/eta, the same in every figure."""
    label = rf"$2/\eta$ ($\eta = {learning_rate:.3g}$)"
    axes.axhline(2 / learning_rate, label=label, zorder=3, **style.THRESHOLD_LINE)


def threshold_mark(axes: Axes, learning_rate: float) -> None:
    """Draw the stability threshold across an axis of GFS sharpness in units of 2/eta."""
    label = rf"$2/\eta$ ($\eta = {learning_rate:.3g}$)"
    axes.axvline(1, label=label, zorder=3, **style.THRESHOLD_LINE)


def single_run(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first run of an experiment's table, in order of iteration."""
    first = table.iloc[0]
    same = table["learning_rate"] == first["learning_rate"]
    if not pd.isna(first["seed"]):
        same &= table["seed"] == first["seed"]
    return table[same].sort_values("iteration")


def _mark_unfinished_flows(axes: Axes, run: pd.DataFrame) -> None:
    unfinished = run[run["gfs_status"].notna() & (run["gfs_status"] != "converged")]
    if len(unfinished):
        kinds = dict.fromkeys(_MISSING.get(status, "flow unfinished") for status in unfinished["gfs_status"])
        axes.plot(
            unfinished["iteration"],
            [0.02] * len(unfinished),
            transform=axes.get_xaxis_transform(),
            color=style.GFS_COLOUR,
            marker="x",
            markersize=3.5,
            linestyle="",
            label=", ".join(kinds),
        )


def ending(run: pd.DataFrame) -> str:
    """Return how a run that diverged did so, in words; empty for any other."""
    last = run.iloc[-1]
    if last["status"] != "diverged":
        return ""
    if last["iteration"] > 0:
        return f"diverged at {last['iteration']}"
    return f"diverged at its start: loss {last['loss']:.3g}" if "loss" in run else "diverged at its start"


def note_ending(axes: Axes, run: pd.DataFrame, *, narrow: bool = False) -> None:
    """Say in a panel without an axis of iterations that its run diverged.

    ``narrow``: in shorter lines.
    """
    if said := ending(run):
        text = f"gradient descent\n{said}".replace(": ", ":\n") if narrow else f"gradient descent {said}"
        style.note(axes, text, corner="upper right", background="white")


def _mark_divergence(axes: Axes, run: pd.DataFrame) -> None:
    last = run.iloc[-1]
    if said := ending(run):
        if last["iteration"] == 0:
            axes.set_xlim(-1, 1)  # of one point alone there is no width
        axes.axvline(last["iteration"], color="0.5", linewidth=0.8)
        axes.annotate(
            said,
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
