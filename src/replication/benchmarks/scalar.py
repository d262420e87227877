"""Speed of the GFS sharpness of scalar networks against bisection and brentq, by size and depth, and of figure 3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from gfsharp.scalar import gfs_sharpness
from gfsharp.scalar.columns import Floats
from replication.benchmarks.measuring import best_of, memory_bandwidth, page
from replication.markdown import markdown_table
from replication.studies.scalar import plane

_BISECTIONS = 200
_BRENTQ_POINTS = 2_000
_EXACT_POINTS = 300


def weights(points: int, depth: int, seed: int = 0) -> Floats:
    """Return positive weights of order one, shape (points, depth)."""
    return np.exp(np.random.default_rng(seed).normal(size=(points, depth)))


def by_bisection(w: Floats) -> Floats:
    """Return the GFS sharpness by 200 bisections for c in ``prod_i (w_i^2 + c) = 1``, in plain vectorised NumPy."""
    squares = w**2
    low, high = -squares.min(axis=-1), np.ones(len(w))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = np.prod(squares + middle[:, None], axis=-1) < 1
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.sum(1 / (squares + high[:, None]), axis=-1)


def by_brentq(w: Floats) -> Floats:
    """Return the GFS sharpness by ``scipy.optimize.brentq``, a row at a time."""
    values = np.empty(len(w))
    for i, row in enumerate(w):
        squares = row**2
        c = brentq(lambda c, squares=squares: np.prod(squares + c) - 1, -squares.min(), 1.0, xtol=1e-15, rtol=1e-15)
        values[i] = np.sum(1 / (squares + c))
    return values


def largest_error(w: Floats) -> float:
    """Return the largest relative error against 50 digits."""
    return max(abs(float(value / exact(row) - 1)) for value, row in zip(gfs_sharpness(w), w, strict=True))


def exact(w: Floats) -> Any:
    """Return the GFS sharpness of one network at 50 digits, by bisection for the logarithm of the smallest square."""
    import mpmath

    with mpmath.workdps(50):
        squares = [mpmath.mpf(float(x)) ** 2 for x in w]
        above = [square - min(squares) for square in squares]
        low, high = mpmath.mpf(-2000), mpmath.mpf(0)
        for _ in range(180):
            middle = (low + high) / 2
            below = mpmath.fsum(mpmath.log(v + mpmath.exp(middle)) for v in above) < 0
            low, high = (middle, high) if below else (low, middle)
        return mpmath.fsum(1 / (v + mpmath.exp(high)) for v in above)


def against_others(points: int = 1_000_000, depth: int = 4) -> list[dict[str, Any]]:
    """Compare with bisection on all points and with brentq on some; a row per quantity."""
    w = weights(points, depth)
    few = w[:_BRENTQ_POINTS]
    ours = best_of(5, lambda: gfs_sharpness(w))
    bisection = best_of(1, lambda: by_bisection(w))
    per_point = best_of(1, lambda: by_brentq(few)) / len(few)
    ours = min(ours, best_of(5, lambda: gfs_sharpness(w)))  # before and after, lest one part of the run was noisier
    name = f"GFS sharpness of {points:,} points, depth {depth}"
    return [
        {"what": name, "measured": ours, "unit": "s", "wanted": ""},
        {"what": f"{_BISECTIONS} vectorised bisections, same points", "measured": bisection, "unit": "s", "wanted": ""},
        {"what": "scipy.optimize.brentq in a loop, per point", "measured": per_point, "unit": "s", "wanted": ""},
        {"what": "ratio to bisection", "measured": bisection / ours, "unit": "", "wanted": ">= 30"},
        {"what": "ratio to brentq, per point", "measured": per_point * points / ours, "unit": "", "wanted": ">= 500"},
        {
            "what": f"largest relative error against 50 digits, {_EXACT_POINTS} points",
            "measured": largest_error(w[:_EXACT_POINTS]),
            "unit": "",
            "wanted": "< 1e-13",
        },
    ]


def figure_3(settings: Mapping[str, Any], *, points: int = 500, threads: int = 2) -> list[dict[str, Any]]:
    """Time gradient descent from the starts of figure 3, as the configuration's ``scalar.plane`` has them."""
    eta = settings["learning_rate"]
    (low, high), (lowest, largest) = settings["gfs_sharpness"], settings["products"]
    phi, product = np.meshgrid(np.linspace(low, high, points) * 2 / eta, np.linspace(lowest, largest, points))
    rows = []
    for track, name in ((False, "final sharpness alone"), (True, "GFS sharpness at every step as well")):
        started = time.perf_counter()
        w = plane.starts(settings["direction"], phi.ravel(), product.ravel())
        found = plane.descend(
            w,
            eta,
            loss_tolerance=settings["stop"]["loss"],
            max_iterations=20_000,
            track=track,
            threads=threads,
        )
        seconds = time.perf_counter() - started
        steps = f"{found.steps.sum():.3g} steps, {threads} thread{'s' if threads > 1 else ''}"
        what = f"figure 3, {points} x {points} starts, {name} ({steps})"
        rows.append({"what": what, "measured": seconds, "unit": "s", "wanted": "" if track else "< 20 s"})
    return rows


def scaling(depths: Sequence[int], counts: Sequence[int], largest: int = 80_000_000) -> pd.DataFrame:
    """Return the time per point by depth and number of points, beside that of reading the weights once.

    Args:
        largest: sizes of more weights than this are left out.
    """
    bandwidth = memory_bandwidth()
    rows = []
    for depth in depths:
        for points in counts:
            if points * depth > largest:
                continue
            w = weights(points, depth)
            seconds = best_of(max(1, min(20, 10_000_000 // (points * depth))), partial(gfs_sharpness, w))
            rows.append(
                {
                    "depth": depth,
                    "points": points,
                    "seconds_per_point": seconds / points,
                    "reading_seconds_per_point": 8 * depth / bandwidth,
                }
            )
    return pd.DataFrame(rows)


def markdown(rows: Sequence[Mapping[str, Any]], scaled: pd.DataFrame, machine: str) -> str:
    """Return the measurements as a page."""
    counts = sorted(scaled["points"].unique())
    cells = []
    for depth, group in scaled.groupby("depth"):
        times = group.set_index("points")["seconds_per_point"] * 1e9
        reading = group["reading_seconds_per_point"].iloc[0] * 1e9
        shown = [f"{times[count]:.0f}" if count in times.index else "" for count in counts]
        cells.append([depth, *shown, f"{reading:.1f}"])
    lines = [
        *page("scalar networks", machine, rows),
        "Nanoseconds per point of the GFS sharpness, by depth and number of points (picture: `scalar.png`; sizes "
        "beyond 80 million weights are left out); the last column is what reading the weights from memory once takes.",
        "",
        *markdown_table(["depth", *(f"{count:,}" for count in counts), "reading"], cells),
    ]
    return "\n".join(lines) + "\n"
