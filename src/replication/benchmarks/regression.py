"""Speed of gradient flow solutions of squared regression along a run, against cvxpy and scipy.optimize, and by size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gfsharp.descent import gradient_descent
from gfsharp.regression import SquaredRegression, flattest_sharpness
from gfsharp.regression.convex import minimise_potential
from replication import data
from replication.benchmarks.measuring import best_of, page, result
from replication.training.models import SquaredRegressionRun

Floats = NDArray[np.float64]

# Iterates that the general solvers are timed on.
_FEW = 20


def along_a_run(data_set: Mapping[str, Any], fraction: float, initial_scale: float) -> list[dict[str, Any]]:
    """Compare Newton's method along every iterate of a run with general solvers on some of them."""
    X, y = data.gaussian(**data_set, seed=0)
    run = SquaredRegressionRun({"X": X, "y": y}, initial_scale)
    eta = fraction * 2 / flattest_sharpness(X, y)
    iterates = gradient_descent(run.loss_and_gradient, run.initial, eta, loss_tolerance=1e-5, max_iterations=50_000)
    weights = np.array([iterate.weights for iterate in iterates])
    plus, minus = weights[:, : len(X.T)], weights[:, len(X.T) :]
    model = run.model
    ours = best_of(3, partial(model.gradient_flow_solution, plus, minus, trajectory=True)) / len(plus)
    cold = best_of(3, partial(model.gradient_flow_solution, plus, minus)) / len(plus)
    exact = model.gfs_sharpness(plus, minus)
    chosen = np.linspace(0, len(plus) - 1, _FEW).astype(int)
    starts = [(plus[i], minus[i]) for i in chosen]
    alone = best_of(3, partial(_solve_all, model.gradient_flow_solution, starts)) / _FEW
    model.gradient_flow_solution(plus[:1], minus[:1], "cvxpy")  # compiled outside the time
    where = f"N = {len(X)}, d = {len(X.T)}"
    followed = model.gradient_flow_solution(plus, minus, trajectory=True)
    error = np.max(np.abs(model.sharpness_at_interpolator(followed.u_plus, followed.u_minus) / exact - 1))
    eigenvalue = best_of(3, partial(model.sharpness_at_interpolator, followed.u_plus, followed.u_minus)) / len(plus)
    rows = [
        result(f"Newton along a run, {len(plus)} iterates, {where}: solution and certificate, per iterate", ours, "s"),
        result("... the eigenvalue there, which comes to every solver's time, per iterate", eigenvalue, "s"),
        result("... largest difference of GFS sharpness from each iterate alone", error, "", "< 1e-8"),
        result("Newton in one batch, from a cold start each: ratio", cold / ours, ""),
        result("Newton, one call per iterate: ratio", alone / ours, ""),
    ]
    for name, solve in _general_solvers(model).items():
        seconds = best_of(2, partial(_solve_all, solve, starts)) / _FEW
        values = np.array([_sharpness(model, *solve(*start)) for start in starts])
        worst = np.max(np.abs(values / exact[chosen] - 1))
        rows.append(
            result(
                f"{name}: solution, ratio per iterate (GFS sharpness off by up to {worst:.0e})",
                seconds / ours,
                "",
                ">= 100",
            )
        )
    return rows


def by_size(samples: Sequence[int], factors: Sequence[int], repeats: int = 3) -> pd.DataFrame:
    """Return the time of one solution from a cold start by N and d, beside that of a Cholesky factorisation."""
    rows = []
    for count in samples:
        for factor in factors:
            X, y = data.gaussian(count, factor * count, 1.0, 1.0, 1.0, seed=0)
            model = SquaredRegression(X, y)
            start = np.full(factor * count, 0.1)
            model.gradient_flow_solution(start, start)  # the basis of the rows is made once
            gram = X @ X.T
            rows.append(
                {
                    "samples": count,
                    "dimension": factor * count,
                    "seconds": best_of(repeats, partial(model.gradient_flow_solution, start, start)),
                    "cholesky_seconds": best_of(repeats, partial(np.linalg.cholesky, gram)),
                }
            )
    return pd.DataFrame(rows)


def markdown(rows: Sequence[Mapping[str, Any]], sizes: pd.DataFrame, machine: str) -> str:
    """Return the measurements as a page."""
    lines = [
        *page("squared regression", machine, rows),
        "One solution from a cold start (u = 0.1), by size:",
        "",
        "| N | d | Newton (ms) | one Cholesky factorisation (ms) |",
        "|---|---|---|---|",
        *(
            f"| {row['samples']} | {row['dimension']} | {row['seconds'] * 1e3:.3g} "
            f"| {row['cholesky_seconds'] * 1e3:.3g} |"
            for row in sizes.to_dict("records")
        ),
    ]
    return "\n".join(lines) + "\n"


Solve = Callable[[Floats, Floats], Any]


def _general_solvers(model: SquaredRegression) -> dict[str, Solve]:
    def cvxpy(plus: Floats, minus: Floats) -> tuple[Floats, Floats]:
        solution = model.gradient_flow_solution(plus, minus, "cvxpy")
        return solution.u_plus, solution.u_minus

    system = model.interpolation()

    def scipy(method: str, plus: Floats, minus: Floats) -> tuple[Floats, Floats]:
        grown, shrunk, _ = minimise_potential(system.rows, system.targets, plus**2, minus**2, method)
        return np.sqrt(grown), np.sqrt(shrunk)

    return {
        "cvxpy (Clarabel)": cvxpy,
        "scipy SLSQP": partial(scipy, "SLSQP"),
        "scipy trust-constr": partial(scipy, "trust-constr"),
    }


def _solve_all(solve: Solve, starts: Sequence[tuple[Floats, Floats]]) -> None:
    for start in starts:
        solve(*start)


def _sharpness(model: SquaredRegression, plus: Floats, minus: Floats) -> float:
    return float(model.sharpness_at_interpolator(plus, minus))
