"""One style for all figures, and the panels that they are made of.

A figure is one journal column wide (3.25 in), in colours that the colour-blind can tell apart; the stability threshold
2/eta is the same dashed line everywhere, and text stays text in the vector formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from replication.storage.files import whole_file
from replication.studies.scalar.bifurcation import above_threshold, root_mean_square

Floats = NDArray[np.float64]

COLUMN_WIDTH = 3.25
PANEL_HEIGHT = 1.75

# Columns of any table that only repeat what others say.
_NOT_DRAWN = ("run", "residual", "gfs_loss", "flow_time", "gradient_evaluations", "hessian_vector_products")

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

PALETTE = sns.color_palette("colorblind")
SHARPNESS_COLOUR = PALETTE[0]
GFS_COLOUR = PALETTE[1]
ERROR_BAND: Any = {"color": GFS_COLOUR, "alpha": 0.2, "linewidth": 0}
ERROR_AT_ONE_LOSS_BAND: Any = {"color": GFS_COLOUR, "alpha": 0.35, "linewidth": 0}
THRESHOLD_LINE: Any = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 0.8}
DESCENT_COLOUR = PALETTE[0]
GPGD_COLOUR = "0.6"
ZHU_COLOUR = PALETTE[2]
INVARIANT_SET_COLOUR = PALETTE[9]
MONOTONE_COLOUR = PALETTE[8]
RISING_COLOUR = PALETTE[3]
DIVERGED_COLOUR = "0.88"
CHAOTIC_COLOUR = PALETTE[3]
LOSS_COLOUR = "0.25"
# Arora et al.'s methods: name, colour and, where colours mean step sizes, line.
ARORA_METHODS: Any = {
    "normalised": ("normalised GD", PALETTE[0], "-"),
    "sqrt": (r"GD on $\sqrt{L}$", PALETTE[1], (0, (3, 1))),
}
# The problems that they are held against their limiting flows on.
ARORA_MARKERS: Any = {"valley": "o", "scalar": "s", "regression": "^"}

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


def stacked_panels(rows: int, *, extra: int = 0) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure one column wide with panels above each other that share the axis of iterations.

    ``extra`` panels below them have an axis of their own.
    """
    count = rows + extra
    size = (COLUMN_WIDTH, PANEL_HEIGHT * count + 0.35 + 0.7 * extra)
    figure, axes = plt.subplots(count, 1, squeeze=False, figsize=size, height_ratios=[1.0] * rows + [1.5] * extra)
    panels = list(axes[:, 0])
    for panel in panels[: rows - 1]:
        panel.sharex(panels[rows - 1])
        panel.tick_params(labelbottom=False)
    panels[rows - 1].set_xlabel("gradient descent iteration")
    panels[rows - 1].xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    return figure, panels


def networks(table: pd.DataFrame) -> Figure:
    """Return a column per experiment: sharpness, GFS sharpness and 2/eta above the training loss."""
    names = table["experiment"].unique()
    size = (COLUMN_WIDTH + 2.2 * (len(names) - 1), 2 * PANEL_HEIGHT + 0.7)
    figure, axes = plt.subplots(2, len(names), squeeze=False, sharex="col", figsize=size)
    for column, name in zip(axes.T, names, strict=True):
        run = single_run(table[table["experiment"] == name])
        sharpness_panel(column[0], run, markers=True)
        _logarithmic(column[0])
        _limited_by_lines(column[0])
        loss_panel(column[1], run)
        # One legend for all panels: each of its own would be wider than its panel.
        column[0].get_legend().remove()
        column[0].set_title(rf"{_written_out(str(name))}, $\eta = {run['learning_rate'].iloc[0]:.3g}$")
        column[1].set_xlabel("gradient descent iteration")
        column[1].xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    panel_letters(axes[0])
    shown: dict[str, Any] = {}
    for panel in axes[0]:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            shown.setdefault(label.partition(" (")[0], handle)
    shown[r"error of $\phi$"] = Patch(**ERROR_BAND)
    # It lies on the other band.
    opacity = 1 - (1 - ERROR_BAND["alpha"]) * (1 - ERROR_AT_ONE_LOSS_BAND["alpha"])
    shown["error at one loss"] = Patch(**{**ERROR_AT_ONE_LOSS_BAND, "alpha": opacity})
    figure.legend([*shown.values()], [*shown], loc="outside upper center", ncols=min(len(shown), 2 * len(names)))
    return figure


def _logarithmic(axes: Axes) -> None:
    """The GFS sharpness falls from many times 2/eta to it: both ends are to be seen."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _limited_by_lines(axes: Axes) -> None:
    """Show all lines, and of an error that is wider than a third of a value no more than fits: lines are to be read."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.75 * float(values.min())), min(high, 1.33 * float(values.max())))


def _written_out(experiment: str) -> str:
    return " ".join(_WORDS.get(word, word) for word in experiment.split("-"))


def loss_panel(axes: Axes, run: pd.DataFrame, label: str = "training loss $L$") -> None:
    """Draw the loss on a logarithmic scale."""
    finite = run[(run["loss"] > 0) & np.isfinite(run["loss"])]
    axes.semilogy(finite["iteration"], finite["loss"], color=LOSS_COLOUR, linewidth=0.7)
    axes.set_ylabel(label)
    _mark_divergence(axes, run)


def sharpness_panel(axes: Axes, run: pd.DataFrame, *, markers: bool = False) -> None:
    """Draw sharpness, GFS sharpness and 2/eta; ``markers`` for GFS sharpness at some iterates only."""
    sharpness_lines(axes, run, markers=markers)
    threshold_line(axes, float(run["learning_rate"].iloc[0]))
    _mark_unfinished_flows(axes, run)
    _mark_divergence(axes, run)
    legend_above(axes, columns=3 if len(axes.get_legend_handles_labels()[0]) <= 3 else 2)


def sharpness_lines(axes: Axes, run: pd.DataFrame, *, markers: bool = False) -> None:
    """Draw sharpness and GFS sharpness with its error; ``markers`` for GFS sharpness at some iterates only."""
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
    if "gfs_error" in solutions:
        # What is left of the error between values of one run at one loss, in the darker band.
        at_one_loss = solutions["gfs_error"] - solutions["stopping_error"]
        for error, colour in ((solutions["gfs_error"], ERROR_BAND), (at_one_loss, ERROR_AT_ONE_LOSS_BAND)):
            low, high = (solutions["gfs_sharpness"] + sign * error for sign in (-1, 1))
            axes.fill_between(solutions["iteration"], low, high, **colour)
    axes.plot(
        solutions["iteration"],
        solutions["gfs_sharpness"],
        color=GFS_COLOUR,
        linewidth=1.4,
        marker="o" if markers else "",
        markersize=2.6,
        label=r"GFS sharpness $\phi$",
    )
    axes.set_ylabel("sharpness")


def threshold_line(axes: Axes, learning_rate: float) -> None:
    """Draw the stability threshold 2/eta, the same in every figure."""
    label = rf"$2/\eta$ ($\eta = {learning_rate:.3g}$)"
    axes.axhline(2 / learning_rate, label=label, zorder=3, **THRESHOLD_LINE)


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns that no figure draws from."""
    return table.drop(columns=[name for name in _NOT_DRAWN if name in table])


def grid(table: pd.DataFrame, value: str) -> tuple[Floats, Floats, Floats]:
    """Return the plane's GFS sharpness in units of 2/eta, its products, and a column as a matrix over both.

    Rows of the matrix are products, columns GFS sharpness.
    """
    products = np.unique(table["product"])
    shape = (len(products), len(table) // len(products))
    units = (table["initial_gfs"] / table["threshold"]).to_numpy().reshape(shape)
    return units.mean(axis=0), products, table[value].to_numpy().reshape(shape)


def plane_axes(axes: Axes) -> None:
    """Label the plane of GFS sharpness and product."""
    axes.set_xlabel(r"initial GFS sharpness $\phi(w^{(0)})$ in units of $2/\eta$")
    axes.set_ylabel(r"initial product $\pi(w^{(0)})$")


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
    name, colour = {"gpgd": ("GPGD", GPGD_COLOUR), "zhu": ("Zhu et al. (2023)", ZHU_COLOUR)}[map_name]
    threshold = float(iterates["threshold"].iloc[0])
    ends = orbits[orbits["map"] == map_name]
    points: Any = {"marker": ".", "linestyle": "", "markeredgewidth": 0, "rasterized": True}
    axes.plot(ends["gfs_sharpness"] / threshold, ends["product"], color=colour, markersize=size, **points)
    axes.plot([], [], "s", color=colour, markersize=3, label=name)
    units = iterates["gfs_sharpness"] / threshold
    axes.plot(units, iterates["product"], color=DESCENT_COLOUR, markersize=max(1.6, 0.8 * size), **points)
    axes.plot([], [], ".", color=DESCENT_COLOUR, markersize=4, label="gradient descent")
    threshold_mark(axes, 2 / threshold)
    note_ending(axes, iterates, narrow=narrow)
    axes.set_xlabel(r"GFS sharpness $\phi(w^{(t)})$ in units of $2/\eta$")
    axes.set_ylabel(r"product $\pi(w^{(t)})$")


def note(axes: Axes, text: str, *, corner: str = "lower left", background: str = "none") -> None:
    """Write the number that a panel shows into a corner of it."""
    box = {"facecolor": background, "edgecolor": "none", "pad": 1.0}
    vertical, horizontal = corner.split()
    place = (0.08 if horizontal == "left" else 0.97, 0.04 if vertical == "lower" else 0.96)
    alignment: Any = {"ha": horizontal, "va": {"lower": "bottom", "upper": "top"}[vertical]}
    axes.annotate(text, place, xycoords="axes fraction", fontsize=7, bbox=box, **alignment)


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


def threshold_mark(axes: Axes, learning_rate: float) -> None:
    """Draw the stability threshold across an axis of GFS sharpness in units of 2/eta."""
    label = rf"$2/\eta$ ($\eta = {learning_rate:.3g}$)"
    axes.axvline(1, label=label, zorder=3, **THRESHOLD_LINE)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Put the legend above the panel, where nothing can run into it."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.0, handletextpad=0.5)


def shade(values: Sequence[float], value: float) -> Any:
    """Return the colour of one of several values in order, such as step sizes."""
    return plt.get_cmap("viridis")(0.9 * list(values).index(value) / max(1, len(values) - 1))


def title(figure: Figure, run: pd.DataFrame) -> None:
    """Name the run's experiment above the figure."""
    figure.suptitle(str(run["experiment"].iloc[0]).replace("-", " "), fontsize=8)


def descent_title(run: pd.DataFrame) -> str:
    """Return what a panel of a run under another descent than the plain one is called: model and descent, then eta."""
    descent = str(run["descent"].iloc[0])
    model = str(run["experiment"].iloc[0]).removeprefix("arora-").removesuffix(f"-{descent}")
    return f"{_written_out(model)}, {ARORA_METHODS[descent][0]}\n" rf"$\eta = {run['learning_rate'].iloc[0]:.2g}$"


def panel_letters(panels: Iterable[Axes]) -> None:
    """Write a, b, ... at the upper left of the panels, outside their axes."""
    place: Any = {"xytext": (-30, 4), "xycoords": "axes fraction", "textcoords": "offset points"}
    for axes, letter in zip(panels, ascii_lowercase, strict=False):
        axes.annotate(letter, (0, 1), weight="bold", fontsize=9, **place)


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
        kinds = dict.fromkeys(_MISSING.get(status, "flow unfinished") for status in unfinished["gfs_status"])
        axes.plot(
            unfinished["iteration"],
            [0.02] * len(unfinished),
            transform=axes.get_xaxis_transform(),
            color=GFS_COLOUR,
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
        note(axes, text, corner="upper right", background="white")


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
