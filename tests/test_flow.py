"""Gradient flow by Runge-Kutta against closed forms."""

import math

import numpy as np
import pytest
import torch

from gfs import flow, scalar
from gfs.curvature import sharpness


def scalar_loss(w):
    return 0.5 * (w.prod() - 1) ** 2


@pytest.mark.parametrize("w", [[1.5, 0.8, 0.3], [2.0, -1.5, -0.4, 1.0], [1.2, 0.9, -0.3]])
def test_scalar_network_against_its_closed_form(w):
    start = torch.tensor(w, dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, loss_tolerance=1e-18, step_factor=0.2)
    assert solution.converged
    # RK4 at 0.2/sharpness over a flow of length of order one.
    np.testing.assert_allclose(solution.parameters.numpy(), scalar.gradient_flow_solution(w), atol=1e-4)
    top = sharpness(scalar_loss, solution.parameters).value
    assert top == pytest.approx(float(scalar.gfs_sharpness(w)), rel=5e-4)


def test_fourth_order_in_the_step():
    """The end of the flow against the closed form, for halved steps: the error falls by 2^4."""
    start = torch.tensor([1.5, 0.8, 0.3], dtype=torch.float64)
    exact = scalar.gradient_flow_solution(start.numpy())
    factors = [0.4, 0.2, 0.1]
    errors = []
    for factor in factors:
        # The balances measure the error whatever the time at which the loss was reached.
        end = flow.gradient_flow_solution(scalar_loss, start, loss_tolerance=1e-20, step_factor=factor).parameters
        errors.append(np.abs(scalar.balances(end.numpy()) - scalar.balances(exact)).max())
    order = np.polyfit(np.log(factors), np.log(errors), 1)[0]
    assert order == pytest.approx(4, abs=0.5)


def test_time_of_an_exponential():
    # L = w^2 from 1: w = e^{-2t}, so a loss of e^{-8} is reached at t = 2; the last step overshoots by at most 0.05.
    solution = flow.gradient_flow_solution(
        lambda w: w.square().sum(), torch.ones(1, dtype=torch.float64), loss_tolerance=math.exp(-8), step_factor=0.1
    )
    assert solution.time + 1e-6 >= 2
    assert solution.time <= 2 + 0.05 + 1e-6


def test_stiff_flow_is_stable():
    scales = torch.tensor([1.0, 1e3], dtype=torch.float64)
    solution = flow.gradient_flow_solution(
        lambda w: 0.5 * (scales * w.square()).sum(), torch.ones(2, dtype=torch.float64), loss_tolerance=1e-6
    )
    assert solution.converged
    assert solution.sharpness == pytest.approx(1e3, rel=1e-2)


def test_a_step_that_raises_the_loss_is_taken_again():
    # The sharpness grows thirtyfold on the way up from near zero, while it is estimated at the start alone.
    start = torch.tensor([0.1, 0.12, 0.11], dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, sharpness_every=1_000_000)
    assert solution.converged
    assert solution.sharpness > 10 * sharpness(scalar_loss, start).value
    top = sharpness(scalar_loss, solution.parameters).value
    assert top == pytest.approx(float(scalar.gfs_sharpness(start.numpy())), rel=0.05)


def test_budget_is_a_status():
    solution = flow.gradient_flow_solution(scalar_loss, torch.tensor([1.5, 0.8, 0.3]), max_gradients=9)
    assert solution.status == "budget"
    assert not solution.converged
    assert solution.gradient_evaluations <= 9


def test_overflow_is_a_status():
    start = torch.tensor([1e30, 1e30], dtype=torch.float32)
    assert flow.gradient_flow_solution(scalar_loss, start).status == "not finite"


def test_negative_curvature_is_a_status():
    solution = flow.gradient_flow_solution(lambda w: 5 - w.square().sum(), torch.ones(2, dtype=torch.float64))
    assert solution.status == "negative curvature"


def test_a_start_below_the_tolerance_is_its_own_solution():
    start = torch.tensor([1.0, 1.0])
    solution = flow.gradient_flow_solution(scalar_loss, start)
    assert solution.converged
    assert solution.steps == 0
    torch.testing.assert_close(solution.parameters, start)


def test_reports_run_from_none_to_all_of_the_way():
    reports = []
    start = torch.tensor([1.5, 0.8, 0.3], dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, report=lambda *values: reports.append(values))
    gradients, losses, shares = zip(*reports, strict=True)
    assert gradients[-1] == solution.gradient_evaluations
    assert list(losses) == sorted(losses, reverse=True)
    assert list(shares) == sorted(shares)
    assert shares[-1] == 1.0


def test_a_loss_of_exactly_zero_is_an_end():
    solution = flow.gradient_flow_solution(
        lambda w: (w - 1).clamp(min=0).square().sum(), torch.full((1,), 1.001), report=lambda *_: None
    )
    assert solution.converged


def test_the_start_is_left_unchanged():
    start = torch.tensor([1.5, 0.8])
    flow.gradient_flow_solution(scalar_loss, start)
    torch.testing.assert_close(start, torch.tensor([1.5, 0.8]))


@pytest.mark.parametrize(
    ("argument", "value"), [("method", "euler"), ("loss_tolerance", 0.0), ("step_factor", -1.0), ("max_gradients", 0)]
)
def test_bad_arguments_are_refused(argument, value):
    with pytest.raises(ValueError, match=argument if argument != "method" else "unknown flow method 'euler'"):
        flow.gradient_flow_solution(scalar_loss, torch.ones(2), **{argument: value})
