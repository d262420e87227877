"""One style for all figures: sizes, colours, and what text and legends look like.

A figure is one journal column wide (3.25 in), in colours that the colour-blind can tell apart; the stability threshold
2/eta is the same dashed line everywhere, and text stays text in the vector formats. Figures are made without pyplot, so
that none stays open and no window system is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN_WIDTH = 3.25
PANEL_HEIGHT = 1.75

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
def applied() -> Iterator[None]:
    """Draw in the project's style within the block."""
    with mpl.rc_context(_STYLE):
        yield


def subplots(rows: int = 1, columns: int = 1, *, size: tuple[float, float], **arguments: Any) -> tuple[Figure, Any]:
    """Return a figure of a size in inches and its panels, as :meth:`matplotlib.figure.Figure.subplots` does."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **arguments)


def note(axes: Axes, text: str, *, corner: str = "lower left", background: str = "none") -> None:
    """Write the number that a panel shows into a corner of it."""
    box = {"facecolor": background, "edgecolor": "none", "pad": 1.0}
    vertical, horizontal = corner.split()
    place = (0.08 if horizontal == "left" else 0.97, 0.04 if vertical == "lower" else 0.96)
    alignment: Any = {"ha": horizontal, "va": {"lower": "bottom", "upper": "top"}[vertical]}
    axes.annotate(text, place, xycoords="axes fraction", fontsize=7, bbox=box, **alignment)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Put the legend above the panel, where nothing can run into it."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.0, handletextpad=0.5)


def shade(values: Sequence[float], value: float) -> Any:
    """Return the colour of one of several values in order, such as step sizes."""
    return mpl.colormaps["viridis"](0.9 * list(values).index(value) / max(1, len(values) - 1))


def panel_letters(panels: Iterable[Axes]) -> None:
    """Write a, b, ... at the upper left of the panels, outside their axes."""
    place: Any = {"xytext": (-30, 4), "xycoords": "axes fraction", "textcoords": "offset points"}
    for axes, letter in zip(panels, ascii_lowercase, strict=False):
        axes.annotate(letter, (0, 1), weight="bold", fontsize=9, **place)
