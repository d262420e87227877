"""Many runs on squared regression, the GFS sharpness at every iterate (Section 4.1; figure 5b, c, d)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfsharp.regression.flattest import flattest_sharpness
from replication import data
from replication.storage.table_schema import RUN, Column, Columns, of_run
from replication.training import trajectory
from replication.training.models import GFSPoint, SquaredRegressionRun

if TYPE_CHECKING:
    import pandas as pd

# Projections, about a second of them, after which the semidefinite program takes over.
_ROUNDS = 40_000


_FOLLOWED: Columns = {
    **of_run("experiment", "iteration", "loss", "gfs_sharpness", "gfs_status", "learning_rate", "threshold", "seed"),
    "status": Column("text", "", f"{RUN['status'].meaning}; `not started` where the start has no GFS sharpness"),
    "run": Column("text", "", "its name: what tells it from the others"),
}

# Of regression/runs/<part>.parquet.
RUNS: Columns = {
    **_FOLLOWED,
    "fraction": Column("number", "", "the learning rate in units of 2 over the sharpness of the flattest interpolator"),
}

# Of regression/scales.parquet.
SCALES: Columns = {**_FOLLOWED, "initial_scale": Column("number", "w", "every weight of the start")}


def tensors(settings: Mapping[str, Any], seed: int) -> dict[str, NDArray[Any]]:
    """Return the ``X`` (N, d), ``y`` (N,) and ``flattest_sharpness`` that the settings of a data set ask for."""
    X, y = data.gaussian(**data.gaussian_arguments(settings), seed=seed)
    return {"X": X, "y": y, "flattest_sharpness": np.asarray(flattest_sharpness(X, y), dtype=np.float64)}


def seeds_and_rates(
    data_set: Mapping[str, Any],
    seeds: Sequence[int],
    fractions: Sequence[float],
    initial_scale: float,
    stop: Mapping[str, Any],
) -> Iterator[pd.DataFrame]:
    """Yield a table per seed and learning rate, the latter in units of ``2 / S_flat`` of the seed's data.

    Args:
        data_set: arguments of :func:`replication.data.gaussian` but the seed.
        stop: ``loss`` and ``iterations`` at which a run ends.
    """
    for seed in seeds:
        X, y = data.gaussian(**data_set, seed=seed)
        flattest = _flattest(X, y)
        for fraction in fractions:
            table = follow({"X": X, "y": y}, initial_scale, fraction * 2 / flattest, stop)
            yield table.assign(run=f"seed{seed}-fraction{fraction!r}", seed=seed, fraction=fraction)


def _flattest(X: NDArray[Any], y: NDArray[Any]) -> float:
    """By the projections, which are mostly far faster, or, where they creep, by the semidefinite program."""
    try:
        return flattest_sharpness(X, y, "dykstra", max_rounds=_ROUNDS)
    except ValueError:
        return flattest_sharpness(X, y)


def scales(
    data_set: Mapping[str, Any], seed: int, values: Sequence[float], start: float, stop: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    """Yield a table per initialisation scale; the step size makes the GFS sharpness begin at ``start`` times 2/eta.

    Where the start has no GFS sharpness there is no step size either: its table is that start, ``not started``.
    """
    X, y = data.gaussian(**data_set, seed=seed)
    for value in values:
        model = SquaredRegressionRun({"X": X, "y": y}, value)
        (point,) = model.gfs(model.initial[None])
        if math.isfinite(point.gfs_sharpness):
            table = follow({"X": X, "y": y}, value, start * 2 / point.gfs_sharpness, stop)
        else:
            table = _not_started(model, point)
        yield table.assign(run=f"scale{value!r}", seed=seed, initial_scale=value)


def follow(
    arrays: Mapping[str, NDArray[Any]], initial_scale: float, learning_rate: float, stop: Mapping[str, Any]
) -> pd.DataFrame:
    """Return a row per iterate: ``iteration``, ``loss``, ``gfs_sharpness``, ``gfs_status`` and ``status``.

    The last iterate of a run that diverged has none of the GFS columns.
    """
    import pandas as pd

    model = SquaredRegressionRun(arrays, initial_scale)
    iterates = list(trajectory.follow(model, learning_rate, trajectory.Plan(stop["loss"], stop["iterations"])))
    usable = [iterate.weights for iterate in iterates if iterate.is_checkpoint]
    points = model.gfs(np.array(usable)) if usable else []
    missing = len(iterates) - len(points)
    return pd.DataFrame(
        {
            "experiment": "regression",
            "iteration": [iterate.iteration for iterate in iterates],
            "loss": [iterate.loss for iterate in iterates],
            "gfs_sharpness": [point.gfs_sharpness for point in points] + [np.nan] * missing,
            "gfs_status": [point.status for point in points] + [None] * missing,
            "status": [iterate.status for iterate in iterates],
            "learning_rate": learning_rate,
            "threshold": 2 / learning_rate,
        }
    )


def _not_started(model: SquaredRegressionRun, point: GFSPoint) -> pd.DataFrame:
    import pandas as pd

    row = {"experiment": "regression", "iteration": 0, "loss": model.loss_and_gradient(model.initial)[0]}
    row |= {"gfs_sharpness": math.nan, "gfs_status": point.status, "status": "not started"}
    return pd.DataFrame([row | {"learning_rate": math.nan, "threshold": math.nan}])


def eight(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the tables of the first eight runs: those of figure 5b."""
    return [table[table["run"] == name] for name in table["run"].unique()[:8]]


def normalised_changes(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``(phi(t + 1) - phi(t)) / phi(t)`` as the column ``change`` of all rows but the last of each run.

    >>> import pandas as pd
    >>> run = pd.DataFrame({"run": "a", "gfs_sharpness": [8.0, 4.0, 3.0]})
    >>> normalised_changes(run)["change"].tolist()
    [-0.5, -0.25]
    """
    following = table.groupby("run", sort=False)["gfs_sharpness"].shift(-1)
    return table.assign(change=following / table["gfs_sharpness"] - 1).dropna(subset=["change"])
