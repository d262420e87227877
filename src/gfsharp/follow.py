"""Gradient descent on a module of one's own with the GFS sharpness along it, in one call, as a table and a plot.

Of the library this module alone needs pandas for tables, matplotlib for plots and tqdm for progress bars, each when it
is used: ``pip install 'gfsharp[follow]'``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gfsharp.arguments import require_counts, require_flags, require_positive
from gfsharp.curvature import Loss, sharpness
from gfsharp.derivatives import loss_and_gradient
from gfsharp.descent import Iterate, Status, gradient_descent
from gfsharp.flow import GFSSharpness, gfs_sharpness
from gfsharp.monotonicity import above_least
from gfsharp.networks import flat_loss
from gfsharp.networks.losses import with_each_tensor
from gfsharp.precision import exact
from gfsharp.threads import fitting_threads

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Advance = Callable[[int, float], None]


@dataclass(frozen=True)
class Checkpoint:
    """What is known at one iterate.

    Attributes:
        iteration: its number, t.
        loss: ``L(w_t)``.
        sharpness: the largest Hessian eigenvalue at ``w_t``; NaN where it is not finite.
        gfs: the GFS sharpness of ``w_t`` with its status and errors; None where the iterate is not finite.
    """

    iteration: int
    loss: float
    sharpness: float
    gfs: GFSSharpness | None


@dataclass(frozen=True)
class Run:
    """Gradient descent at one learning rate.

    Attributes:
        learning_rate: eta.
        status: why it ended: ``converged``, ``out of iterations`` or ``diverged``.
        losses: the loss at every iterate, shape (T + 1,).
        checkpoints: at every so many iterates, and at the last.
    """

    learning_rate: float
    status: Status
    losses: NDArray[np.float64] = field(repr=False)
    checkpoints: tuple[Checkpoint, ...] = field(repr=False)

    @property
    def threshold(self) -> float:
        """``2/eta``, above which gradient descent is unstable on a quadratic loss."""
        return 2 / self.learning_rate

    @property
    def largest_rise(self) -> float:
        """By how much the GFS sharpness rises above an earlier value, relative to it, beyond the errors of both.

        At most zero where no rise is seen; NaN with fewer than two values.
        """
        known = [point.gfs for point in self.checkpoints if point.gfs is not None and point.gfs.status == "converged"]
        if len(known) < 2:
            return math.nan
        return float(above_least([gfs.value for gfs in known], [gfs.error for gfs in known]).max())


@dataclass(frozen=True)
class Followed:
    """Runs of gradient descent from one start, one for each learning rate."""

    runs: tuple[Run, ...]

    def table(self) -> pd.DataFrame:
        """Return a pandas table with a row for each checkpoint of each run.

        Columns: ``learning_rate``, ``iteration``, ``loss``, ``sharpness``, ``gfs_sharpness``, ``gfs_error`` and its
        parts ``integration_error``, ``stopping_error`` and ``residual``, ``gfs_status``, ``gradient_evaluations``. They
        are named as those of the workflow's tables.
        """
        import pandas as pd

        rows = []
        for run in self.runs:
            for point in run.checkpoints:
                row = {"learning_rate": run.learning_rate, "iteration": point.iteration, "loss": point.loss}
                row["sharpness"] = point.sharpness
                rows.append(row | _columns(point.gfs))
        return pd.DataFrame(rows)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw sharpness, GFS sharpness with its error, and 2/eta over the iterations, as the paper's figures do.

        One run has the colours of the paper's figures here: blue, orange, a dashed black threshold; of several each has
        a colour of its own. What has no GFS sharpness is said in the legend.

        Args:
            axes: where; new ones if not given.

        Returns:
            the axes.
        """
        if axes is None:
            axes = _figure().subplots()
        for place, run in enumerate(self.runs):
            _draw(axes, run, None if len(self.runs) == 1 else _COLOURS[place % len(_COLOURS)])
        axes.set_xlabel("iteration")
        axes.set_ylabel("sharpness")
        axes.legend(fontsize="small")
        return axes

    def save_plot(self, path: str | Path) -> None:
        """Write the plot to a file whose name ends in .png, .pdf or .svg."""
        figure = _figure()
        self.plot(figure.subplots())
        figure.savefig(path, dpi=200)


@exact()
def follow(
    module: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    learning_rates: Sequence[float],
    criterion: Any = "mean_squared_error",
    every: int = 100,
    loss_tolerance: float = 1e-4,
    max_iterations: int = 10_000,
    device: torch.device | str | None = None,
    flow: Mapping[str, Any] | None = None,
    progress: bool = True,
    seed: int = 0,
) -> Followed:
    """Train ``module`` by gradient descent and return the sharpness and the GFS sharpness on the way.

    The module is not touched: every learning rate starts from its weights. Torch uses as many threads as the loss has
    work for (:func:`gfsharp.threads.fitting_threads`), and those of before afterwards.

    Args:
        module, inputs, targets, criterion: as for :func:`gfsharp.networks.flat_loss`.
        learning_rates: eta, one run for each. For the edge of stability 2/eta has to lie below the GFS sharpness of the
            start.
        every: iterates between checkpoints.
        loss_tolerance: the training loss at which a run ends: above that of the flow, or the last flows end where they
            begin.
        max_iterations: the most steps of a run.
        device: where to compute; where the module is if not given.
        flow: options of :func:`gfsharp.flow.gfs_sharpness`, such as ``{"tolerance": 1e-4}``.
        progress: whether bars are shown, if tqdm is there.
        seed: of the random vectors of eigenvalue searches.

    Raises:
        LossError, TypeError, ValueError: as for :func:`gfsharp.networks.flat_loss`; a learning rate that is no positive
            number.

    A scalar network of depth 2:

    >>> module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    >>> with torch.no_grad():
    ...     _ = module[0].weight.fill_(1.9), module[1].weight.fill_(0.8)
    >>> ones = torch.ones(1, 1, dtype=torch.float64)
    >>> found = follow(module, ones, ones, learning_rates=[0.58], every=9, progress=False)
    >>> [round(point.gfs.value, 1) for point in found.runs[0].checkpoints]  # 2/eta is 3.4
    [3.6, 2.8, 2.8]
    >>> found.runs[0].largest_rise < 0
    True
    """
    require_counts(every=every, max_iterations=max_iterations)
    require_positive(loss_tolerance=loss_tolerance)
    require_flags(progress=progress)
    rates = [learning_rates] if isinstance(learning_rates, int | float) else list(learning_rates)
    if not rates:
        raise ValueError("learning_rates must have at least one")
    for rate in rates:
        require_positive(learning_rate=rate)
    if device is not None:
        module = copy.deepcopy(module).to(device)
        inputs, targets = (with_each_tensor(data, lambda x: x.to(device)) for data in (inputs, targets))
    loss, start = flat_loss(module, inputs, targets, criterion=criterion)
    options = {"seed": seed, **(flow or {})}
    runs = []
    with fitting_threads(loss, start):
        for rate in rates:
            with _bar(f"learning rate {rate:g}", max_iterations, progress) as advance:
                descent = gradient_descent(
                    lambda w: loss_and_gradient(loss, w),
                    start,
                    float(rate),
                    loss_tolerance=loss_tolerance,
                    max_iterations=max_iterations,
                )
                runs.append(_followed(loss, descent, float(rate), every, options, advance))
    return Followed(tuple(runs))


def _followed(
    loss: Loss,
    descent: Iterator[Iterate[Tensor]],
    rate: float,
    every: int,
    options: dict[str, Any],
    advance: Advance,
) -> Run:
    losses, checkpoints = [], []
    top: Tensor | None = None
    for iterate in descent:
        losses.append(iterate.loss)
        advance(iterate.iteration, iterate.loss)
        if iterate.iteration % every == 0 or iterate.status != "running":
            point, top = _checkpoint(loss, iterate, top, options)
            checkpoints.append(point)
    return Run(rate, iterate.status, np.array(losses), tuple(checkpoints))


def _checkpoint(
    loss: Loss, iterate: Iterate[Tensor], top: Tensor | None, options: dict[str, Any]
) -> tuple[Checkpoint, Tensor | None]:
    try:
        found = sharpness(loss, iterate.weights, start=top, seed=options["seed"])
    except FloatingPointError:
        return Checkpoint(iterate.iteration, iterate.loss, math.nan, None), top
    gfs = gfs_sharpness(loss, iterate.weights, **options)
    return Checkpoint(iterate.iteration, iterate.loss, found.value, gfs), found.vector


def _columns(gfs: GFSSharpness | None) -> dict[str, Any]:
    if gfs is None:
        return {"gfs_sharpness": math.nan, "gfs_error": math.nan, "gfs_status": "not finite"}
    return {
        "gfs_sharpness": gfs.value,
        "gfs_error": gfs.error,
        "integration_error": gfs.integration_error,
        "stopping_error": gfs.stopping_error,
        "residual": gfs.eigenvalue_error,
        "gfs_status": gfs.status,
        "gradient_evaluations": gfs.solution.gradient_evaluations,
    }


def _figure() -> Figure:
    """Return a figure that is no business of pyplot's, whose backend is not touched."""
    from matplotlib.figure import Figure

    return Figure(figsize=(5, 3.2), layout="constrained")


# The colour-blind palette of seaborn.
_COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#56b4e9")


def _draw(axes: Axes, run: Run, colour: str | None) -> None:
    eta = rf"$\eta = {run.learning_rate:.3g}$"
    of_run = "" if colour is None else f", {eta}"
    iterations = [point.iteration for point in run.checkpoints]
    axes.plot(
        iterations,
        [point.sharpness for point in run.checkpoints],
        color=colour or _COLOURS[0],
        linewidth=0.8,
        alpha=0.75,
        label=None if colour else "sharpness",
    )
    known = [(point.iteration, point.gfs) for point in run.checkpoints if point.gfs is not None]
    solved = [(iteration, gfs) for iteration, gfs in known if gfs.status == "converged"]
    missing = sorted({gfs.status for _, gfs in known} - {"converged"})
    label = rf"GFS sharpness $\phi${of_run}"
    if missing:
        label += f" ({len(known) - len(solved)} of {len(known)}: {', '.join(missing)})"
    at = [iteration for iteration, _ in solved]
    values, errors = np.array([gfs.value for _, gfs in solved]), np.array([gfs.error for _, gfs in solved])
    gfs_colour = colour or _COLOURS[1]
    axes.fill_between(at, values - errors, values + errors, color=gfs_colour, alpha=0.2, linewidth=0)
    axes.plot(at, values, color=gfs_colour, linewidth=1.4, marker="o", markersize=3, label=label)
    threshold = None if colour else rf"$2/\eta$ ({eta})"
    axes.axhline(run.threshold, color=colour or "black", linestyle=(0, (4, 2)), linewidth=0.8, label=threshold)


@contextmanager
def _bar(description: str, total: int, shown: bool) -> Iterator[Advance]:
    """Yield what is told the iterate and its loss; a progress bar shows them if tqdm is there."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        shown = False
    if not shown:
        yield lambda iteration, loss: None
        return
    with tqdm(total=total, desc=description, unit="step") as bar:

        def advance(iteration: int, loss: float) -> None:
            bar.update(iteration - bar.n)
            bar.set_postfix_str(f"loss {loss:.3g}", refresh=False)

        yield advance
