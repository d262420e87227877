"""How often GFS sharpness values lie within their stated error: losses of many kinds whose solution is known.

Each case is a loss, a start and its true GFS sharpness: by a closed form, or from the flow integrated by scipy's LSODA,
an independent implicit method with the exact Hessian as its Jacobian, to a loss of 1e-16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.integrate import LSODA
from torch import Tensor, nn

from gfsharp import networks, scalar
from gfsharp.curvature import Loss
from gfsharp.flow import gfs_sharpness, gradient_flow_solution, loss_and_gradient
from gfsharp.flow.solution import FlowSolution
from gfsharp.regression import SquaredRegression
from replication.benchmarks.measuring import page, result

Floats = NDArray[np.float64]

# At this loss what is left of the flow changes the sharpness by some 1e-8 of itself, 1e-4 at degenerate minima.
_REFERENCE_LOSS = 1e-16
_REFERENCE_TOLERANCE = 1e-8
_LONGEST_FLOW = 1e30
_MOST_STEPS = 20_000
_FINE = (1e-5, 1e-6)
_SAME = 2e-3
# Starts of the kind "near the end": their losses, in units of the loss tolerance.
_NEAR = (0.1, 30.0)
_LOSS_TOLERANCE = 1e-5
_BUDGET = 200_000
_MOST_ITERATIONS = 4_000


@dataclass(frozen=True)
class Case:
    """A loss, the start of a flow, shape (P,) in float64, and the true GFS sharpness or how to find it."""

    kind: str
    name: str
    loss: Loss
    start: Tensor
    true: Callable[[], float]


def top_eigenvalue(loss: Loss, w: Tensor) -> float:
    """Return the largest eigenvalue of the dense Hessian at ``w``, shape (P,)."""
    return float(torch.linalg.eigvalsh(_hessian(loss, w))[-1])


def _hessian(loss: Loss, w: Tensor) -> Tensor:
    point = w.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(point), point, create_graph=True)
    if not gradient.requires_grad:
        return torch.zeros(len(w), len(w), dtype=w.dtype)
    unit = torch.eye(len(w), dtype=w.dtype)
    (hessian,) = torch.autograd.grad(gradient, point, unit, is_grads_batched=True, materialize_grads=True)
    return (hessian + hessian.T) / 2


def integrated(loss: Loss, start: Tensor) -> float:
    """Return the GFS sharpness by LSODA; NaN where it does not get to the end."""

    def velocity(_: float, w: Floats) -> Floats:
        return -loss_and_gradient(loss, torch.from_numpy(w))[1].numpy()

    def jacobian(_: float, w: Floats) -> Floats:
        return -_hessian(loss, torch.from_numpy(w)).numpy()

    scale = float(start.norm())
    solver = LSODA(
        velocity, 0.0, start.numpy(), _LONGEST_FLOW, jac=jacobian, rtol=_REFERENCE_TOLERANCE,
        atol=_REFERENCE_TOLERANCE * scale * 1e-3,
    )  # fmt: skip
    for _ in range(_MOST_STEPS):
        solver.step()
        w = torch.from_numpy(solver.y)
        if solver.status != "running" or float(loss(w)) <= _REFERENCE_LOSS:
            break
    value = float(loss(w))
    return top_eigenvalue(loss, w) if value <= 1e-14 else math.nan


def followed(loss: Loss, start: Tensor) -> float:
    """Return the GFS sharpness by our own flow at a fine tolerance, where kinks stop LSODA.

    NaN unless half the tolerance gives the same to ``_SAME``.
    """
    found = []
    for tolerance in _FINE:
        end = gradient_flow_solution(
            loss, start, tolerance=tolerance, loss_tolerance=1e-11, linear_steps=False, estimate_error=False,
            max_gradients=150_000,
        )  # fmt: skip
        if not end.converged:
            return math.nan
        found.append(top_eigenvalue(loss, end.parameters))
    return found[1] if abs(found[0] / found[1] - 1) <= _SAME else math.nan


def cases(seed: int) -> Iterator[Case]:
    """Yield the cases of all kinds, some 220, drawn by ``seed``."""
    makers: list[tuple[Callable[[np.random.Generator, int], Case], int]] = [
        (_scalar, 20),
        (_saddle, 24),
        (_degenerate, 18),
        (_factorisation, 20),
        (_regression, 24),
        (_curved, 20),
        (_perceptron, 40),
        (_batch_norm, 10),
        (_tied, 10),
        (_near_scalar, 18),
        (_near_perceptron, 18),
    ]
    for index, (make, count) in enumerate(makers):
        for i in range(count):
            yield make(np.random.default_rng([seed, index, i]), i)


def _scalar_loss(w: Tensor) -> Tensor:
    return (w.prod() - 1) ** 2 / 2


def _scalar(rng: np.random.Generator, i: int) -> Case:
    while True:
        depth = int(rng.integers(2, 9))
        w = rng.normal(size=depth) * rng.uniform(0.5, 1.5)
        if abs(w.prod()) < 5 and scalar.gfs_sharpness(w) < 1e3:
            break
    return Case(
        "scalar networks", f"depth {depth}", _scalar_loss, torch.from_numpy(w), lambda: float(scalar.gfs_sharpness(w))
    )


def _saddle(rng: np.random.Generator, i: int) -> Case:
    depth = int(rng.integers(2, 7))
    size = 10 ** rng.uniform(-6, -1)
    if i % 3 == 0:
        w = size * (1 + 0.2 * rng.uniform(size=depth))
    elif i % 3 == 1:  # past the saddle: the product is negative at first
        w = np.append(np.abs(rng.normal(1, 0.3, size=depth - 1)), -size)
    else:
        w = np.full(depth, size)
    return Case(
        "scalar, near saddles",
        f"depth {depth}, {size:.0e}",
        _scalar_loss,
        torch.from_numpy(w),
        lambda: float(scalar.gfs_sharpness(w)),
    )


def _degenerate(rng: np.random.Generator, i: int) -> Case:
    power = (4, 6, 8)[i % 3]
    growth, top, height = 10 ** rng.uniform(-1, 0.5), 10 ** rng.uniform(-0.5, 0.5), rng.uniform(0.3, 1.5)

    def plain(w: Tensor) -> Tensor:
        return top * (growth * w[1]).exp() * w[0] ** 2 / 2 + w[1:].abs().pow(power).sum()

    def turned(w: Tensor) -> Tensor:
        s, d = (w[0] + w[1]) / math.sqrt(2), (w[0] - w[1]) / math.sqrt(2)
        return plain(torch.stack([s, d]))

    w = torch.tensor([rng.uniform(0.2, 1), height], dtype=torch.float64)
    return Case("degenerate minima", f"y^{power}", turned if i % 2 else plain, w, lambda: top)


def _factorisation(rng: np.random.Generator, i: int) -> Case:
    rows, columns = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    rank = int(rng.integers(1, 3))
    inner = rank + int(rng.integers(0, 3))
    target = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) / math.sqrt(rank)
    goal = torch.from_numpy(target)

    def loss(w: Tensor) -> Tensor:
        left, right = w[: rows * inner].view(rows, inner), w[rows * inner :].view(inner, columns)
        return (left @ right - goal).square().sum() / 2

    start = torch.from_numpy(rng.normal(size=(rows + columns) * inner) * 10 ** rng.uniform(-1.5, 0))
    return Case("matrix factorisation", f"rank {rank} of {inner}", loss, start, lambda: integrated(loss, start))


def _regression(rng: np.random.Generator, i: int) -> Case:
    samples = int(rng.integers(5, 15))
    dimension = samples * int(rng.integers(1, 4)) + 1
    decay = rng.uniform(0.5, 1.5) if i % 4 else 0.0
    X = rng.normal(size=(samples, dimension)) * np.arange(1, dimension + 1) ** -decay
    X = X @ np.linalg.qr(rng.normal(size=(dimension, dimension)))[0] if i % 2 else X
    y = X @ rng.normal(size=dimension) / math.sqrt(dimension) * 2
    start = torch.from_numpy(np.full(2 * dimension, 10 ** rng.uniform(-1.5, 0)))
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def loss(w: Tensor) -> Tensor:
        return (inputs @ (w[:dimension] ** 2 - w[dimension:] ** 2) - targets).square().sum() / (2 * samples)

    def true() -> float:
        return float(SquaredRegression(X, y).gfs_sharpness(start.numpy()[:dimension], start.numpy()[dimension:]))

    return Case("squared regression, power law", f"N = {samples}, power {decay:.1f}", loss, start, true)


def _curved(rng: np.random.Generator, i: int) -> Case:
    count = int(rng.integers(4, 9))
    size = count + int(rng.integers(1, 6))
    left = np.linalg.qr(rng.normal(size=(count, count)))[0]
    right = np.linalg.qr(rng.normal(size=(size, size)))[0][:count]
    A = torch.from_numpy(left * np.geomspace(1, 10 ** -rng.uniform(0.5, 2), count) @ right)
    B = torch.from_numpy(rng.normal(size=(count, size, size)) * rng.uniform(0.01, 0.1))
    B = B * A.norm(dim=1)[:, None, None]

    def loss(w: Tensor) -> Tensor:
        return (A @ w + torch.einsum("kij,i,j->k", B, w, w)).square().sum() / 2

    start = torch.from_numpy(rng.normal(size=size))
    return Case(
        "ill-conditioned, curved", f"{count} residuals, {size} weights", loss, start, lambda: integrated(loss, start)
    )


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "relu": nn.ReLU,
    "hardtanh": nn.Hardtanh,
}


KINKS = ("relu", "hardtanh")


def _drawn(rng: np.random.Generator) -> Callable[[Callable[[], nn.Module]], nn.Module]:
    def build(make: Callable[[], nn.Module]) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            return make().double()

    return build


def _data(rng: np.random.Generator, samples: int, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(rng.normal(size=(samples, inputs))), torch.from_numpy(rng.normal(size=(samples, outputs)))


def _network(rng: np.random.Generator, activation: str) -> tuple[str, Loss, Tensor]:
    inputs, outputs, width = int(rng.integers(2, 7)), int(rng.integers(1, 3)), int(rng.integers(5, 11))
    samples = int(rng.integers(4, 4 + width // 2 + inputs)) if activation not in KINKS else int(rng.integers(3, 7))
    layers = 1 + int(rng.integers(2))
    act = ACTIVATIONS[activation]

    def module() -> nn.Module:
        hidden = [nn.Linear(width, width), act()] if layers == 2 else []
        return nn.Sequential(nn.Linear(inputs, width), act(), *hidden, nn.Linear(width, outputs))

    loss, start = networks.flat_loss(_drawn(rng)(module), *_data(rng, samples, inputs, outputs))
    return f"{inputs}-{'-'.join([str(width)] * layers)}-{outputs} {activation}, {samples} samples", loss, start


def _perceptron(rng: np.random.Generator, i: int) -> Case:
    activation = list(ACTIVATIONS)[i % len(ACTIVATIONS)]
    name, loss, start = _network(rng, activation)
    kinks = activation in KINKS
    return Case(
        f"perceptrons, {activation}", name, loss, start, lambda: (followed if kinks else integrated)(loss, start)
    )


def _batch_norm(rng: np.random.Generator, i: int) -> Case:
    inputs, width = int(rng.integers(3, 6)), int(rng.integers(5, 9))
    samples = int(rng.integers(5, 9))

    def module() -> nn.Module:
        first = nn.Linear(inputs, width, bias=False)
        return nn.Sequential(first, nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 1))

    loss, start = networks.flat_loss(_drawn(rng)(module), *_data(rng, samples, inputs, 1))
    return Case("batch norm", f"{inputs}-{width}-1, {samples} samples", loss, start, lambda: integrated(loss, start))


class _Tied(nn.Module):
    """One hidden layer whose weights lead out of it as well."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, inputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(width))
        self.offset = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.T + self.bias) @ self.weight + self.offset


def _tied(rng: np.random.Generator, i: int) -> Case:
    inputs, width, samples = int(rng.integers(2, 5)), int(rng.integers(8, 13)), int(rng.integers(3, 6))
    module = _drawn(rng)(lambda: _Tied(inputs, width))
    x, _ = _data(rng, samples, inputs, 1)
    loss, start = networks.flat_loss(module, x, 0.7 * torch.from_numpy(rng.normal(size=x.shape)))
    return Case(
        "tied weights", f"{inputs}-{width}-{inputs}, {samples} samples", loss, start, lambda: integrated(loss, start)
    )


def _descended(loss: Loss, w: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
    """Return the iterate of gradient descent at which the loss first is below one near the loss tolerance."""
    wanted = _LOSS_TOLERANCE * math.exp(rng.uniform(math.log(_NEAR[0]), math.log(_NEAR[1])))
    for _ in range(_MOST_ITERATIONS):
        value, gradient = loss_and_gradient(loss, w)
        if not value > wanted:
            break
        w = w - rate * gradient
    return w


def _near_scalar(rng: np.random.Generator, i: int) -> Case:
    while True:
        depth = int(rng.integers(2, 6))
        w = np.abs(rng.normal(size=depth)) + 0.3
        top = float(scalar.gfs_sharpness(w))
        if not (w.prod() < 2 and top < 50):
            continue
        end = _descended(_scalar_loss, torch.from_numpy(w), rng.uniform(0.3, 1.9) / top, rng).numpy()
        if np.isfinite(end).all() and scalar.loss(end) < 1e-3:
            break
    return Case(
        "near the end, scalar",
        f"depth {depth}",
        _scalar_loss,
        torch.from_numpy(end),
        lambda: float(scalar.gfs_sharpness(end)),
    )


def _near_perceptron(rng: np.random.Generator, i: int) -> Case:
    while True:
        name, loss, start = _network(rng, ("tanh", "gelu", "softplus")[i % 3])
        end = _descended(loss, start, rng.uniform(0.05, 0.3), rng)
        if float(loss(end)) < 40 * _LOSS_TOLERANCE:
            break
    return Case("near the end, perceptrons", name, loss, end, lambda: integrated(loss, end))


def measure(seed: int) -> pd.DataFrame:
    """Return a row per case of :func:`cases`: value, error, truth and cost, by default options.

    ``true`` is NaN where no reference was found (the loss does not fall to zero, or a fine flow does not agree with a
    finer one); ``value`` is where the flow did not converge. Gradients include Hessian-vector products.
    """
    rows = []
    for case in cases(seed):
        true = case.true()
        found = gfs_sharpness(case.loss, case.start, max_gradients=_BUDGET)
        alone = gradient_flow_solution(case.loss, case.start, estimate_error=False, max_gradients=_BUDGET)
        rows.append(
            {
                "kind": case.kind,
                "case": case.name,
                "status": found.status,
                "true": true,
                "value": found.value,
                "error": found.error,
                "integration_error": found.integration_error,
                "stopping_error": found.stopping_error,
                "distance": abs(found.value - true),
                "gradients": _work(found.solution),
                "alone": _work(alone),
            }
        )
        print(*rows[-1].values(), flush=True)
    return pd.DataFrame(rows)


def _work(solution: FlowSolution) -> int:
    return solution.gradient_evaluations + solution.hessian_vector_products


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of :func:`measure` that have a value and a reference."""
    return table[table["true"].notna() & table["value"].notna()]


def by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per kind: how many are within the error, the errors over the distances, and the cost."""
    rows = []
    for kind, part in table.groupby("kind", sort=False):
        some = judged(part)
        share = some["error"] / some["distance"].clip(lower=1e-300)
        rows.append(
            {
                "kind": kind,
                "cases": len(part),
                "judged": len(some),
                "within": int((some["distance"] <= some["error"]).sum()),
                "worst": float((1 / share).max()) if len(some) else math.nan,
                "median": float(share.median()) if len(some) else math.nan,
                "relative_error": float((some["error"] / some["true"]).median()) if len(some) else math.nan,
                "cost": float((some["gradients"] / some["alone"].clip(lower=1)).median()) if len(some) else math.nan,
            }
        )
    return pd.DataFrame(rows)


def comparison(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what was wanted, as rows for :func:`replication.benchmarks.measuring.page`."""
    some = judged(table)
    within = float((some["distance"] <= some["error"]).mean())
    median = float((some["error"] / some["distance"].clip(lower=1e-300)).median())
    cost = float((some["gradients"] / some["alone"].clip(lower=1)).median())
    return [
        result("values within their stated error, of 100", 100 * within, "", ">= 99"),
        result("... the stated error over the true one, median", median, "times", "<= 4"),
        result("... gradients with the errors over those of the flow alone, median", cost, "times", ""),
        result("cases that were judged", len(some), "", ""),
    ]


def markdown(table: pd.DataFrame, seed: int, machine: str) -> str:
    """Return the measurements as a page."""
    lines = [
        *page("how often the stated errors hold", machine, comparison(table)),
        f"`gfs_sharpness` by default options on cases drawn by seed {seed}, in float64 "
        "([coverage.py](../../src/replication/benchmarks/coverage.py)). True values are closed forms (scalar networks, "
        "degenerate minima, squared regression), or of flows that scipy's LSODA integrated to a loss of 1e-16, at "
        f"kinks (ReLU, hardtanh) of flows of ours at tolerances of 1e-5 and 1e-6 that agree to {_SAME:g}. Cases "
        "without a value (the status says so) or without a reference are not judged. *worst* is the true error over "
        "the stated one, at most 1 where all hold; *median* the stated over the true one; *cost* the gradients and "
        "Hessian-vector products over those of the flow alone.",
        "",
        "| kind | cases | judged | within | worst | median | stated error over value | cost |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['kind']} | {row['cases']} | {row['judged']} | {row['within']} | {row['worst']:.2f} "
            f"| {row['median']:.1f} | {row['relative_error']:.1e} | {row['cost']:.1f} |"
            for row in by_kind(table).to_dict("records")
        ),
    ]
    return "\n".join(lines) + "\n"
