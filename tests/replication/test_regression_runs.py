"""Many runs of squared regression against the stages that one run goes through."""

import numpy as np
import pandas as pd
import pytest

from gfsharp.regression import SquaredRegression, flattest_sharpness
from replication import data
from replication.studies import regression

DATA = {"samples": 5, "dimension": 10, "mean": 1.0, "deviation": 1.0, "label_deviation": 1.0}
STOP = {"loss": 1e-3, "iterations": 300}


def test_a_run_follows_gradient_descent_with_the_gfs_at_every_iterate():
    (table,) = regression.seeds_and_rates(DATA, [3], [0.8], 0.1, STOP)
    X, y = data.gaussian(**DATA, seed=3)
    model = SquaredRegression(X, y)
    eta = table["learning_rate"].iloc[0]
    assert eta == pytest.approx(0.8 * 2 / flattest_sharpness(X, y), rel=1e-4)
    plus = minus = np.full(10, 0.1)
    for _, row in table.iterrows():
        assert row["loss"] == pytest.approx(float(model.loss(plus, minus)), rel=1e-8)
        assert row["gfs_sharpness"] == pytest.approx(float(model.gfs_sharpness(plus, minus)), rel=1e-8)
        slopes = model.gradient(plus, minus)
        plus, minus = plus - eta * slopes[0], minus - eta * slopes[1]
    assert table["status"].iloc[-1] == "converged"
    assert set(table["status"].iloc[:-1]) == {"running"}


def test_divergence_is_a_row_without_gfs():
    X, y = data.gaussian(**DATA, seed=0)
    table = regression.follow({"X": X, "y": y}, 0.1, 100.0, STOP)
    assert table["status"].iloc[-1] == "diverged"
    assert np.isnan(table["gfs_sharpness"].iloc[-1])
    assert table["gfs_sharpness"].iloc[0] > 0


def test_scales_begin_at_the_same_multiple_of_the_threshold():
    tables = pd.concat(regression.scales(DATA, 0, [0.1, 1.0], 1.05, STOP))
    first = tables.groupby("initial_scale").first()
    np.testing.assert_allclose(first["gfs_sharpness"] / first["threshold"], 1.05, rtol=1e-9)
    assert list(first.index) == [0.1, 1.0]


def test_normalised_changes_stay_within_a_run():
    table = pd.DataFrame({"run": ["a", "a", "a", "b", "b"], "gfs_sharpness": [4.0, 2.0, 3.0, 8.0, 8.0]})
    assert regression.normalised_changes(table)["change"].tolist() == [-0.5, 0.5, 0.0]
