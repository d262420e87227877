"""Speed of the gradient flow solution of networks, against RK4 and general integrators at equal accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from gfsharp import networks
from gfsharp.curvature import Loss, sharpness
from gfsharp.flow import gradient_flow_solution, loss_and_gradient
from replication import data
from replication.benchmarks.measuring import best_of, page, result
from replication.training import architectures

# Relative error of the GFS sharpness at which methods are compared.
ACCURACY = 1e-3
_LOSS_TOLERANCE = 1e-5
_TOLERANCES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
_PLAIN = "rkc without linear steps"
_STEP_FACTORS = (2.0, 1.0)
_GENERAL: dict[str, tuple[float, ...]] = {"dopri5": (1e-2, 1e-4), "bosh3": (1e-2, 1e-4)}
_STIFF: dict[str, tuple[float, ...]] = {"BDF": (1e-2, 1e-3), "LSODA": (1e-2, 1e-3)}


class _GivenUpError(Exception):
    def __init__(self, gradients: int) -> None:
        self.gradients = gradients


@dataclass(frozen=True)
class Case:
    """A network and the iterate of its training at which flows start: ``loss`` in float32, ``exact`` in float64."""

    name: str
    loss: Loss
    exact: Loss
    start: Tensor


def cases(sizes: Mapping[str, Mapping[str, Any]]) -> Iterator[Case]:
    """Yield the cases by name.

    They are parameters of :func:`replication.training.architectures.build`, ``images``, ``learning_rate``, ``steps``.
    """
    for name, size in sizes.items():
        pixels, classes, _ = data.images("digits", size["images"])
        exact, start = _flat(size, torch.from_numpy(pixels).double(), torch.from_numpy(classes).double())
        loss, _ = _flat(size, torch.from_numpy(pixels), torch.from_numpy(classes))
        for _ in range(size["steps"]):
            start = start - size["learning_rate"] * loss_and_gradient(exact, start)[1]
        yield Case(name, loss, exact, start)


def _flat(parameters: Mapping[str, Any], inputs: Tensor, targets: Tensor) -> tuple[Loss, Tensor]:
    module, seen = architectures.build({"seed": 0, **parameters}, inputs, targets)
    return networks.flat_loss(module, seen, targets)


def work_and_precision(case: Case, *, stiff: bool = False) -> pd.DataFrame:
    """Return gradients, seconds and relative error of the GFS sharpness by method and setting.

    Hessian-vector products of linear steps count as gradients, though they take up to twice as long.
    The reference is RK4 at half of 1/sharpness in float64, the rest is in float32. General integrators are told the
    reference's length of the flow, as they know nothing of a loss at which to stop; Jacobians of the stiff ones are
    by finite differences, whose gradients count. They are given up where they take more gradients than RK4 at
    2/sharpness, as some never end at kinks: then there is no error (NaN), and no smaller tolerance is tried.
    """
    reference = gradient_flow_solution(
        case.exact, case.start, method="rk4", step_factor=0.5, loss_tolerance=_LOSS_TOLERANCE, estimate_error=False
    )
    if not reference.converged:
        raise RuntimeError(f"{case.name}: the reference ended as {reference.status!r}")
    exact = _sharpness(case, reference.parameters)
    start = case.start.float()
    rows: list[dict[str, Any]] = []

    def measure(method: str, setting: float, solve: Callable[[], tuple[Tensor, int, float]]) -> None:
        began = time.perf_counter()
        try:
            end, gradients, reach = solve()
        except _GivenUpError as given_up:
            end, gradients, reach = None, given_up.gradients, math.nan
        seconds = time.perf_counter() - began
        error = math.nan if end is None else abs(_sharpness(case, end.double()) / exact - 1)
        print(f"{case.name}, {method} {setting:g}: {gradients} gradients, {seconds:.1f} s, error {error:.1g}")
        rows.append(
            {
                "case": case.name,
                "method": method,
                "setting": setting,
                "gradients": gradients,
                "seconds": seconds,
                "error": error,
                "floor": math.sqrt(reach / 2),
            }
        )

    ours = partial(gradient_flow_solution, case.loss, start, loss_tolerance=_LOSS_TOLERANCE, estimate_error=False)

    def by_us(**options: Any) -> tuple[Tensor, int, float]:
        found = ours(**options)
        # Those of RK4 are its sharpness estimates', which could be had for less.
        products = 0 if options.get("method") == "rk4" else found.hessian_vector_products
        if not found.converged:
            raise _GivenUpError(found.gradient_evaluations + products)
        return found.parameters, found.gradient_evaluations + products, found.reach

    for tolerance in _TOLERANCES:
        measure("rkc", tolerance, partial(by_us, tolerance=tolerance))
    for tolerance in _TOLERANCES:
        measure(_PLAIN, tolerance, partial(by_us, tolerance=tolerance, linear_steps=False))
    for factor in _STEP_FACTORS:
        measure("rk4", factor, partial(by_us, method="rk4", step_factor=factor))
    budget = min(row["gradients"] for row in rows if row["method"] == "rk4")
    others = [(method, case.loss, start, _torchdiffeq, settings) for method, settings in _GENERAL.items()]
    others += [(method, case.exact, case.start, _scipy, settings) for method, settings in _STIFF.items() if stiff]
    for method, loss, begin, solve, settings in others:
        for tolerance in settings:
            velocity = _Velocity(loss, budget)
            measure(method, tolerance, partial(solve, velocity, begin, reference.time, method, tolerance))
            if math.isnan(rows[-1]["error"]):
                break
    return pd.DataFrame(rows)


def _sharpness(case: Case, w: Tensor) -> float:
    return sharpness(case.exact, w, tolerance=1e-6).value


class _Velocity:
    """``-grad L`` as integrators call it, counted, until the budget is used up."""

    def __init__(self, loss: Loss, budget: int) -> None:
        self.loss = loss
        self.budget = budget
        self.count = 0

    def __call__(self, time: Any, w: Tensor) -> Tensor:
        if self.count == self.budget:
            raise _GivenUpError(self.count)
        self.count += 1
        return -loss_and_gradient(self.loss, w)[1]


def _torchdiffeq(
    velocity: _Velocity, start: Tensor, length: float, method: str, tolerance: float
) -> tuple[Tensor, int, float]:
    from torchdiffeq import odeint

    times = torch.tensor([0.0, length])
    try:
        end = odeint(velocity, start, times, method=method, rtol=tolerance, atol=tolerance * 1e-2)[-1]
    except AssertionError as error:  # its steps became too short for the time to change
        raise _GivenUpError(velocity.count) from error
    return end, velocity.count, math.nan


def _scipy(
    velocity: _Velocity, start: Tensor, length: float, method: str, tolerance: float
) -> tuple[Tensor, int, float]:
    def of_array(time: float, w: Any) -> Any:
        return velocity(time, torch.from_numpy(w)).numpy()

    found = solve_ivp(of_array, (0, length), start.numpy(), method, rtol=tolerance, atol=tolerance * 1e-2)
    if not found.success:
        raise _GivenUpError(velocity.count)
    return torch.from_numpy(found.y[:, -1].copy()), velocity.count, math.nan


def reachable_accuracy(table: pd.DataFrame) -> float:
    """Return ``ACCURACY`` or, where kinks keep RK4 at 1/sharpness from it, what that reaches."""
    return max(ACCURACY, table.loc[(table["method"] == "rk4") & (table["setting"] == 1.0), "error"].max())


def cheapest(table: pd.DataFrame, method: str) -> pd.Series:
    """Return the run of a method with the fewest gradients within that, or, if none is, the most accurate one."""
    rows = table[table["method"] == method]
    good = rows[rows["error"] <= reachable_accuracy(table)]
    return good.sort_values("gradients").iloc[0] if len(good) else rows.sort_values("error").iloc[0]


def by_size(images: Sequence[int], widths: Sequence[int]) -> pd.DataFrame:
    """Return the cost of a flow from the start of training by number of images and of parameters."""
    rows = []
    for count in images:
        pixels, classes, _ = data.images("digits", count)
        for width in widths:
            settings = {"architecture": "fully_connected", "activation": "tanh", "widths": (width, width)}
            loss, start = _flat(settings, torch.from_numpy(pixels), torch.from_numpy(classes))
            began = time.perf_counter()
            found = gradient_flow_solution(loss, start, estimate_error=False)
            rows.append(
                {
                    "images": count,
                    "parameters": start.numel(),
                    "gradients": found.gradient_evaluations + found.hessian_vector_products,
                    "seconds": time.perf_counter() - began,
                    "floor": math.sqrt(found.reach / 2),
                }
            )
    return pd.DataFrame(rows)


def gradient_rate(images: int = 1000, pixels: int = 3072) -> list[dict[str, Any]]:
    """Return the rate of a gradient of the paper's network, in FLOP/s, beside that of a matrix product of its size."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(images, pixels, generator=generator)
    targets = torch.randn(images, 10, generator=generator)
    module = networks.fully_connected(pixels, 10)
    loss, start = networks.flat_loss(module, inputs, targets)
    reduced = networks.flat_loss(*networks.in_span_of_inputs(module, inputs), targets)
    seconds = best_of(10, partial(loss_and_gradient, loss, start))
    spanned = best_of(10, partial(loss_and_gradient, *reduced))
    # Two per weight and image forward, two for the weights' gradient, two for the inputs' but of the first layer.
    first, later = pixels * 200, 200 * 200 + 200 * 10
    operations = images * (4 * first + 6 * later)
    weights = torch.randn(pixels, 200, generator=generator)
    product = best_of(20, partial(torch.mm, inputs, weights))
    rate = 2 * images * first / product
    return [
        result(f"a gradient of the paper's network, {images} images: share of the matrix product's rate, "
             f"{rate / 1e9:.0f} GFLOP/s", operations / seconds / rate, ""),
        result("... the same in the span of the images: ratio of times", seconds / spanned, ""),
    ]  # fmt: skip


def comparison(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what was wanted of each case, as rows for :func:`replication.benchmarks.measuring.page`."""
    rows = []
    for name, runs in table.groupby("case", sort=False):
        ours, paper_s = cheapest(runs, "rkc"), _paper_s(runs)
        gradients, seconds = (">= 15", ">= 10") if "batch norm" in str(name) else (">= 30", ">= 20")
        rows += [
            result(
                f"{name}: gradients, RK4 at 1/sharpness over ours",
                paper_s["gradients"] / ours["gradients"],
                "times",
                gradients,
            ),
            result("... wall time", paper_s["seconds"] / ours["seconds"], "times", seconds),
            result(
                "... our gradients over the floor sqrt(sharpness x length / 2)",
                ours["gradients"] / ours["floor"],
                "",
                "<= 4",
            ),
        ]
    return rows


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Return each method's :func:`cheapest` run per case, and what it takes in units of ours: ``more_gradients`` ..."""
    parts = []
    for _, runs in table.groupby("case", sort=False):
        chosen = [cheapest(runs, str(method)) for method in runs["method"].unique()]
        part = pd.DataFrame([*chosen, _paper_s(runs)]).drop_duplicates(["method", "setting"])
        ours = part.iloc[0]
        parts.append(
            part.assign(
                more_gradients=part["gradients"] / ours["gradients"],
                more_seconds=part["seconds"] / ours["seconds"],
            )
        )
    return pd.concat(parts, ignore_index=True)


def _paper_s(runs: pd.DataFrame) -> pd.Series:
    """Return the paper's method in a case: RK4 at 1/sharpness."""
    return runs[(runs["method"] == "rk4") & (runs["setting"] == 1.0)].iloc[0]


def markdown(table: pd.DataFrame, rates: Sequence[Mapping[str, Any]], sizes: pd.DataFrame, machine: str) -> str:
    """Return the measurements as a page.

    Args:
        table: :func:`work_and_precision` of all cases.
        rates: of :func:`gradient_rate`.
        sizes: of :func:`by_size`.
        machine: in words.
    """
    lines = [
        *page("networks", machine, [*comparison(table), *rates]),
        f"Each method at its cheapest setting whose error in GFS sharpness is at most {ACCURACY:g}, or, where kinks "
        "keep RK4 at 1/sharpness from that, at most what that reaches; where none is, its most accurate one (picture: "
        "`networks.png`). The reference is RK4 at half of 1/sharpness in float64. Gradients include the Hessian-vector "
        "products of linear steps, which take up to twice as long, and leave out RK4's for its sharpness. At kinks "
        "(all but tanh) no linear steps are taken, and it is chance that moves an error by some 1e-3. "
        "Those that know no sharpness are given up where they take more gradients than RK4 at 2/sharpness, or where "
        "their steps become too short for the time to change.",
        "",
        "| network | method | setting | error | gradients | over ours | seconds | over ours |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['case']} | {row['method']} | {row['setting']:g} | {_error(row['error'])} | {row['gradients']:,} "
            f"| {row['more_gradients']:.3g} | {row['seconds']:.2g} | {row['more_seconds']:.3g} |"
            for row in side_by_side(table).to_dict("records")
        ),
        "",
        "A gradient flow solution from the start of training, tanh, by size:",
        "",
        "| images | parameters | gradients | over the floor | seconds |",
        "|---|---|---|---|---|",
        *(
            f"| {row['images']} | {row['parameters']:,} | {row['gradients']:,} | {row['gradients'] / row['floor']:.1f} "
            f"| {row['seconds']:.2g} |"
            for row in sizes.to_dict("records")
        ),
    ]
    return "\n".join(lines) + "\n"


def _error(value: float) -> str:
    return "given up" if math.isnan(value) else f"{value:.1g}"
