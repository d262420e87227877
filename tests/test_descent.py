"""Gradient descent on a quadratic, whose iterates are known."""

import numpy as np
import pytest

from gfs.descent import gradient_descent


def quadratic(w):
    return float(0.5 * w @ w), w


def run(learning_rate, **settings):
    return list(gradient_descent(quadratic, np.array([1.0, 2.0]), learning_rate, **settings))


def test_iterates_of_a_quadratic():
    iterates = run(0.1, loss_tolerance=1e-12, max_iterations=50)
    assert [i.iteration for i in iterates] == list(range(51))
    for k in (0, 7, 50):
        np.testing.assert_allclose(iterates[k].weights, 0.9**k * np.array([1.0, 2.0]))
    assert {i.status for i in iterates[:-1]} == {"running"}
    assert iterates[-1].status == "out of iterations"


def test_stops_at_the_loss_tolerance():
    iterates = run(0.5, loss_tolerance=1e-3, max_iterations=1000)
    assert iterates[-1].status == "converged"
    assert iterates[-1].loss <= 1e-3 < iterates[-2].loss


def test_divergence_is_a_result():
    iterates = run(3.0, loss_tolerance=1e-3, max_iterations=10_000)
    assert iterates[-1].status == "diverged"
    assert len(iterates) < 100


def test_a_loss_that_is_nan_is_divergence():
    iterates = list(gradient_descent(lambda w: (float("nan"), w), 1.0, 0.1, loss_tolerance=1e-3, max_iterations=5))
    assert [i.status for i in iterates] == ["diverged"]


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_learning_rates_that_make_no_sense_are_refused(rate):
    with pytest.raises(ValueError, match="learning rate"):
        run(rate, loss_tolerance=1e-3, max_iterations=5)
