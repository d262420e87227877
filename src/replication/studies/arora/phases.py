"""Runs of both methods beside their limiting flow: what happens in phase one and in phase two.

The flow begins at ``GFS(w_0)`` at ``tau = 0``. Phase one takes some ``1/eta`` steps, an ``eta`` of the time tau, in
which the iterates follow gradient flow to order eta; what it adds to the error is seen beside a second flow, which
begins at the GFS of the iterate that ends phase one, at its tau.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfsharp.descent import Descent, effective_learning_rate
from gfsharp.errors import UserError
from gfsharp.monotonicity import above_least
from replication.storage.table_schema import Column, Columns
from replication.studies.arora.descending import Iterates, Run, descend
from replication.studies.arora.problem import Problem, build

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

METHODS: tuple[Descent, ...] = ("normalised", "sqrt")

# What is left of the loss, relative to that of the start, where its gradient flow has as good as ended: of the length
# the root of it, 1e-11.
_ENDED = 1e-22


_STARTED: Columns = {
    "problem": Column("text", "", "`valley`, `scalar` or `regression`"),
    "descent": Column("text", "", "`normalised` or `sqrt`"),
    "start": Column("whole number", "", "its place among the starts"),
    "learning_rate": Column("number", "w (normalised), w² / √L (sqrt)", "eta"),
}

# Of arora/<problem>.parquet.
COLUMNS: Columns = {
    **_STARTED,
    "iteration": Column("whole number", "steps", "of the method"),
    "tau": Column("number", "", "time of the limiting flow, eta² times the iteration"),
    "turn": Column("whole number", "steps", "the iterate that ends phase one; -1: none did"),
    "phase": Column("whole number", "", "1 before it, 2 from it on"),
    "approach": Column("number", "", "by gradient flow, the limit of eta times the turn"),
    "loss": Column("number", "L", "at the iterate"),
    "sharpness": Column("number", "L / w²", "at the iterate, of L"),
    "edge": Column(
        "number",
        "",
        "1 over the effective learning rate times the top eigenvalue at the GFS; at the edge of stability its mean "
        "over the oscillation is 1/2",
    ),
    "angle": Column("number", "rad", "between gradient and top eigenvector at the GFS, 0 to pi/2"),
    "gfs_sharpness": Column("number", "L / w²", "at the GFS of the iterate"),
    "flow_sharpness": Column("number", "L / w²", "on the limiting flow at tau"),
    "error": Column("number", "w", "distance of the GFS from the limiting flow at tau"),
    "error_from_turn": Column("number", "w", "the same with the flow from the end of phase one; empty before it"),
    "distance": Column("number", "w", "of the iterate from the limiting flow at tau"),
    "travelled": Column("number", "w", "from the limiting flow's start to its end"),
}

# Of arora/rises/<problem>.parquet.
RISES: Columns = {
    **_STARTED,
    "steps": Column("whole number", "steps", "of the run"),
    "largest_rise": Column(
        "number",
        "",
        "of the GFS sharpness above its least so far, relative to that; empty where an iterate has no gradient flow "
        "solution",
    ),
    "tau": Column("number", "", "when it is reached"),
}


def table(name: str, settings: Mapping[str, Any], methods: Sequence[Descent] = METHODS) -> pd.DataFrame:
    """Return a row per kept iterate of the runs of one problem, from each start with each step size and method.

    Its columns are ``COLUMNS``.

    Args:
        name: of a problem, see :func:`replication.studies.arora.build`.
        settings: those of the problem; ``learning_rates``; ``tau``, the end of the runs; ``points``, so many times are
            spread evenly over tau, and as many evenly over the logarithm of the iteration; ``consecutive``, so many
            iterates are kept from each of them on: an even number, to see both sides of the oscillation.
        methods: those to run. A method without a limiting flow, ``plain``, is held against that of ``normalised``.

    Raises:
        UserError: a start from which the limiting flow does not go on to ``tau``.
    """
    import pandas as pd

    problem, starts = build(name, settings)
    keys = [
        (descent, number, float(rate))
        for descent in methods
        for number in range(len(starts))
        for rate in settings["learning_rates"]
    ]
    runs = [
        Run(
            descent,
            rate,
            starts[number],
            kept_iterates(rate, settings["tau"], settings["points"], settings["consecutive"]),
        )
        for descent, number, rate in keys
    ]
    lengths = {(descent, number): approach(problem, starts[number], descent) for descent, number, _ in keys}
    tables = []
    for (descent, number, _), run, iterates in zip(keys, runs, descend(problem, runs), strict=True):
        columns: dict[str, Any] = {"problem": name, "descent": descent, "start": number}
        columns["approach"] = lengths[descent, number]
        try:
            tables.append(_measured(problem, run, iterates).assign(**columns))
        except ValueError as error:
            raise UserError(f"{name}, start {number}, {descent}: {error}; choose other starts or data") from error
    return pd.concat(tables, ignore_index=True)


def rises(name: str, settings: Mapping[str, Any], methods: Sequence[Descent] = METHODS) -> pd.DataFrame:
    """Return how far the GFS sharpness rises along each run of one problem, looked at after every step.

    Its columns are ``RISES``.

    Args:
        name: of a problem, see :func:`replication.studies.arora.build`.
        settings: those of the problem, ``gfs_learning_rates`` and ``gfs_tau``, the end of the runs.
        methods: those to run.
    """
    import pandas as pd

    problem, starts = build(name, settings)
    runs = [
        (number, Run(descent, float(rate), start, np.arange(round(settings["gfs_tau"] / rate**2) + 1)))
        for descent in methods
        for number, start in enumerate(starts)
        for rate in settings["gfs_learning_rates"]
    ]
    rows = []
    for (number, run), iterates in zip(runs, descend(problem, [run for _, run in runs]), strict=True):
        phi = problem.top(problem.gradient_flow_solution(iterates.weights))[0]
        above = above_least(phi)
        at = int(np.argmax(above)) + 1
        row = {"problem": name, "descent": run.descent, "start": number, "learning_rate": run.learning_rate}
        row |= {"steps": len(above), "largest_rise": above[at - 1], "tau": at * run.learning_rate**2}
        rows.append(row)
    return pd.DataFrame(rows)


def kept_iterates(learning_rate: float, tau: float, points: int, consecutive: int) -> Integers:
    """Return which iterates are kept: up to two times ``points`` groups, the last with the iterate ``tau / eta^2``.

    Groups begin at multiples of their length, so that none overlaps another and each has both sides of an oscillation.

    >>> kept_iterates(0.1, 1.0, 3, 2).tolist()
    [0, 1, 10, 11, 50, 51, 100, 101]
    """
    end = max(1, round(tau / learning_rate**2))
    even, logarithmic = np.linspace(0, end, points), np.geomspace(1, end, points)
    firsts = np.unique(np.rint(np.concatenate([even, logarithmic])).astype(np.int64) // consecutive * consecutive)
    return np.unique(firsts[:, None] + np.arange(consecutive))


def approach(problem: Problem, start: Floats, descent: Descent) -> float:
    """Return how long gradient flow takes to the minima if it steps as a method does, in units of ``eta`` per step.

    That is its length for ``normalised``, ``int 2 sqrt(L) dt`` for ``sqrt`` (so long takes gradient flow of
    ``sqrt(L)``) and infinite for ``plain``: phase one takes this over eta steps as eta goes to zero. By LSODA.
    """
    from scipy.integrate import solve_ivp

    if descent == "plain":
        return float("inf")

    def field(_: float, state: Floats) -> Floats:
        loss, gradient = problem.loss_and_gradient(state[None, :-1])
        speed = np.linalg.norm(gradient) if descent == "normalised" else 2 * np.sqrt(loss[0])
        return np.append(-gradient[0], speed)

    begin = float(problem.loss_and_gradient(start[None])[0][0])

    def ended(_: float, state: Floats) -> float:
        return float(np.log(problem.loss_and_gradient(state[None, :-1])[0][0] / begin / _ENDED))

    ended.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(field, (0, 1e6), np.append(start, 0.0), "LSODA", events=ended, rtol=1e-10, atol=1e-13)
    return float(found.y[-1, -1])


def _measured(problem: Problem, run: Run, iterates: Iterates) -> pd.DataFrame:
    import pandas as pd

    w = iterates.weights
    tau: Floats = np.asarray(run.learning_rate**2 * run.kept, dtype=np.float64)
    flowing: Descent = "normalised" if run.descent == "plain" else run.descent
    loss, gradient = problem.loss_and_gradient(w)
    solutions = problem.gradient_flow_solution(w)
    largest, eigenvectors = problem.top(solutions)
    sizes = np.linalg.norm(gradient, axis=1)
    rates = [
        effective_learning_rate(run.descent, run.learning_rate, *at) for at in zip(loss.tolist(), gradient, strict=True)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.abs(np.sum(gradient * eigenvectors, axis=1)) / sizes
        edge = 1 / (np.array(rates) * largest)
    flow = problem.limiting_flow(flowing, problem.gradient_flow_solution(run.start[None])[0], tau)
    after = (iterates.turn >= 0) & (run.kept >= iterates.turn)
    from_turn = np.full(len(w), np.nan)
    if after.any():
        turned = problem.gradient_flow_solution(iterates.turned[None])[0]
        times: Floats = np.asarray(run.learning_rate**2 * (run.kept[after] - iterates.turn), dtype=np.float64)
        second = problem.limiting_flow(flowing, turned, times)
        from_turn[after] = np.linalg.norm(solutions[after] - second, axis=1)
    return pd.DataFrame(
        {
            "learning_rate": run.learning_rate,
            "iteration": run.kept,
            "tau": tau,
            "turn": iterates.turn,
            "phase": np.where(after, 2, 1),
            "loss": loss,
            "sharpness": problem.sharpness(w),
            "edge": edge,
            "angle": np.arccos(np.minimum(cosines, 1.0)),
            "gfs_sharpness": largest,
            "flow_sharpness": problem.top(flow)[0],
            "error": np.linalg.norm(solutions - flow, axis=1),
            "error_from_turn": from_turn,
            "distance": np.linalg.norm(w - flow, axis=1),
            "travelled": float(np.linalg.norm(flow[-1] - flow[0])),
        }
    )
