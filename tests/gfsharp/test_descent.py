"""Gradient descent on a quadratic, whose iterates are known."""

import numpy as np
import pytest
import torch

from gfsharp.descent import effective_learning_rate, gradient_descent


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


@pytest.mark.parametrize("make", [np.array, lambda values: torch.tensor(values, dtype=torch.float64)])
def test_steps_of_the_kin_are_those_of_their_definitions(make):
    def loss_and_gradient(w):
        return float((w**4).sum() + (w**2).sum()), 4 * w**3 + 2 * w

    for descent, loss_of in (("normalised", None), ("sqrt", lambda w: float(((w**4).sum() + (w**2).sum()) ** 0.5))):
        w0, w1 = (
            iterate.weights
            for iterate in gradient_descent(
                loss_and_gradient,
                make([0.7, -0.4, 0.2]),
                0.05,
                loss_tolerance=0.0,
                max_iterations=1,
                descent=descent,
            )
        )
        step = np.asarray(w0 - w1) / 0.05
        if loss_of is None:
            assert np.linalg.norm(step) == pytest.approx(1, rel=1e-6)
            gradient = np.asarray(loss_and_gradient(w0)[1])
            np.testing.assert_allclose(step, gradient / np.linalg.norm(gradient), rtol=1e-6)
        else:
            w = np.asarray(w0, dtype=np.float64)
            differences = [(loss_of(w + h) - loss_of(w - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
            np.testing.assert_allclose(step, differences, rtol=1e-6)


def test_plain_steps_report_the_learning_rate_and_the_others_the_effective_one():
    settings = {"loss_tolerance": 0.0, "max_iterations": 3}
    assert {i.learning_rate for i in run(0.1, **settings)} == {0.1}
    for descent, factor in (("normalised", lambda i: np.linalg.norm(i.weights)), ("sqrt", lambda i: 2 * i.loss**0.5)):
        for iterate in run(0.1, **settings, descent=descent):
            assert iterate.learning_rate == pytest.approx(0.1 / factor(iterate), rel=1e-12)


def test_a_normalised_step_from_a_critical_point_goes_nowhere():
    iterates = list(
        gradient_descent(
            lambda w: (1.0, 0 * w), np.ones(2), 0.1, loss_tolerance=0.0, max_iterations=2, descent="normalised"
        )
    )
    assert [i.weights.tolist() for i in iterates] == [[1.0, 1.0]] * 3


def test_what_cannot_be_is_refused():
    settings = {"loss_tolerance": 0.0, "max_iterations": 2}
    with pytest.raises(ValueError, match="iterate 0: its root"):
        list(gradient_descent(lambda w: (-1.0, w), np.ones(2), 0.1, **settings, descent="sqrt"))
    with pytest.raises(ValueError, match="unknown descent 'signed'"):
        run(0.1, **settings, descent="signed")


def test_the_root_is_of_what_is_above_the_least_loss():
    def above(least):
        return lambda w: (float(w @ w) + least, 2 * w)

    settings = {"loss_tolerance": 0.0, "max_iterations": 20, "descent": "sqrt"}
    plain, lifted = (
        [i.weights for i in gradient_descent(above(least), np.array([1.0, 0.5]), 0.1, **settings, least_loss=least)]
        for least in (0.0, 8.0)
    )
    np.testing.assert_allclose(lifted, plain, rtol=1e-9)


@pytest.mark.parametrize("descent", ["normalised", "sqrt"])
def test_there_is_no_step_from_a_minimum(descent):
    settings = {"loss_tolerance": 0.0, "max_iterations": 2, "descent": descent, "least_loss": 1.0}
    iterates = list(gradient_descent(lambda w: (float(w @ w) + 1.0, 2 * w), np.zeros(2), 0.1, **settings))
    assert [i.weights.tolist() for i in iterates] == [[0.0, 0.0]] * 3
    assert {i.learning_rate for i in iterates} == {0.0}


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1.0, 1e160])
@pytest.mark.parametrize("kind", [np.array, lambda values: torch.tensor(values, dtype=torch.float64), None])
def test_the_norm_of_a_gradient_neither_underflows_nor_overflows(scale, kind):
    gradient = 5 * scale if kind is None else kind([3 * scale, -4 * scale])
    rate = effective_learning_rate("normalised", 0.5, 1.0, gradient)
    assert rate == pytest.approx(0.5 / (5 * scale), rel=1e-14)


def test_the_norm_of_a_gradient_of_millions_in_float32():
    gradient = torch.full((4_000_000,), 0.1)
    rate = effective_learning_rate("normalised", 0.5, 1.0, gradient)
    assert rate == pytest.approx(0.5 / (2000 * float(gradient[0])), rel=1e-12)
