"""Gradient flow by Runge-Kutta against closed forms."""

import math

import numpy as np
import pytest
import torch

from gfsharp import flow, scalar
from gfsharp.curvature import sharpness


def scalar_loss(w):
    return 0.5 * (w.prod() - 1) ** 2


METHODS = [{"method": "rk4", "step_factor": 0.2}, {"method": "rkc", "tolerance": 3e-6}]


@pytest.mark.parametrize("options", METHODS, ids=["rk4", "rkc"])
@pytest.mark.parametrize("w", [[1.5, 0.8, 0.3], [2.0, -1.5, -0.4, 1.0], [1.2, 0.9, -0.3]])
def test_scalar_network_against_its_closed_form(w, options):
    start = torch.tensor(w, dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, loss_tolerance=1e-18, **options)
    assert solution.converged
    assert solution.loss == pytest.approx(1e-18, rel=1e-2)
    # RK4 at 0.2/sharpness, or local errors of 3e-6, over a flow of length of order one.
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
        end = flow.gradient_flow_solution(
            scalar_loss, start, method="rk4", loss_tolerance=1e-20, step_factor=factor, estimate_error=False
        ).parameters
        errors.append(np.abs(scalar.balances(end.numpy()) - scalar.balances(exact)).max())
    order = np.polyfit(np.log(factors), np.log(errors), 1)[0]
    assert order == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("options", METHODS, ids=["rk4", "rkc"])
def test_time_of_an_exponential(options):
    # L = w^2 from 1: w = e^{-2t}, so a loss of e^{-8} is reached at t = 2, to which the last step is interpolated.
    solution = flow.gradient_flow_solution(
        lambda w: w.square().sum(), torch.ones(1, dtype=torch.float64), loss_tolerance=math.exp(-8), **options
    )
    assert solution.time == pytest.approx(2, rel=1e-3)
    assert solution.loss == pytest.approx(math.exp(-8), rel=1e-3)
    assert solution.error_estimate < 1e-2


def test_losses_that_are_passed():
    solution = flow.gradient_flow_solution(
        lambda w: w.square().sum(),
        torch.ones(1, dtype=torch.float64),
        tolerance=1e-6,
        loss_tolerance=1e-4,
        passing=[1e-2, 4.0, 1e-3],
    )
    # The flow starts at a loss of 1, below 4.
    np.testing.assert_allclose([float(w) ** 2 for w in solution.passed], [1.0, 1e-2, 1e-3], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_stiff_flow_is_stable(method):
    scales = torch.tensor([1.0, 1e3], dtype=torch.float64)
    solution = flow.gradient_flow_solution(
        lambda w: 0.5 * (scales * w.square()).sum(),
        torch.ones(2, dtype=torch.float64),
        loss_tolerance=1e-6,
        method=method,
    )
    assert solution.converged
    assert solution.sharpness == pytest.approx(1e3, rel=1e-2)
    # The end is (1e-3 sqrt 2, 0).
    np.testing.assert_allclose(solution.parameters.numpy(), [1e-3 * math.sqrt(2), 0], atol=2e-5)


def test_a_step_that_raises_the_loss_is_taken_again():
    # The sharpness grows thirtyfold on the way up from near zero, while it is estimated at the start alone.
    start = torch.tensor([0.1, 0.12, 0.11], dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, method="rk4", sharpness_every=1_000_000)
    assert solution.converged
    assert solution.sharpness > 10 * sharpness(scalar_loss, start).value
    top = sharpness(scalar_loss, solution.parameters).value
    assert top == pytest.approx(float(scalar.gfs_sharpness(start.numpy())), rel=0.05)


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_budget_is_a_status(method):
    start = torch.tensor([1.5, 0.8, 0.3])
    solution = flow.gradient_flow_solution(scalar_loss, start, method=method, max_gradients=9)
    assert solution.status == "budget"
    assert not solution.converged
    assert solution.gradient_evaluations <= 9


@pytest.mark.parametrize("method", ["rk4", "rkc"])
@pytest.mark.parametrize("budget", [1, 2, 9, 14, 30])
def test_the_budget_holds_for_gradients_and_products(method, budget):
    start = torch.tensor([1.5, 0.8, 0.3])
    solution = flow.gradient_flow_solution(
        scalar_loss, start, method=method, max_gradients=budget, loss_tolerance=1e-12, estimate_error=False
    )
    assert solution.gradient_evaluations + solution.hessian_vector_products <= budget


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_overflow_is_a_status(method):
    start = torch.tensor([1e30, 1e30], dtype=torch.float32)
    assert flow.gradient_flow_solution(scalar_loss, start, method=method).status == "not finite"


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_a_gradient_that_overflows_is_a_status(method):
    solution = flow.gradient_flow_solution(lambda w: (w - 1).abs().sqrt().sum(), torch.ones(1), method=method)
    assert solution.status in ("not finite", "converged")
    solution = flow.gradient_flow_solution(lambda w: w.sum() * torch.inf, torch.ones(1), method=method)
    assert solution.status == "not finite"


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_negative_curvature_where_the_loss_is_reached_is_a_status(method):
    start = torch.full((2,), 0.3, dtype=torch.float64)
    solution = flow.gradient_flow_solution(lambda w: 3 + w.cos().sum(), start, method=method, loss_tolerance=4.5)
    assert solution.status == "negative curvature"


@pytest.mark.parametrize("method", ["rk4", "rkc"])
@pytest.mark.parametrize(
    "loss",
    [
        lambda w: 5 - w.square().sum(),
        lambda w: 1 + 50 * w[0] ** 2 - 0.5 * w[1] ** 2,
        lambda w: w.sum(),
        lambda w: 1 - w.sum(),
    ],
    ids=["concave", "saddle", "straight", "negative from the start"],
)
def test_a_loss_that_falls_below_zero_is_a_status(method, loss):
    solution = flow.gradient_flow_solution(loss, torch.tensor([1.0, 0.1], dtype=torch.float64), method=method)
    assert solution.status == "negative loss"


@pytest.mark.parametrize("method", ["rk4", "rkc"])
@pytest.mark.parametrize("start", [0.72, 0.8])
@pytest.mark.parametrize("curvature", [10.0, 40.0])
def test_a_flow_ends_in_its_own_valley(method, start, curvature):
    """Minima at -1 and 2, a maximum at 0.694 between, beside a direction that alone would allow far longer steps."""

    def loss(w):
        x = w[0]
        return 0.5 * curvature * ((x + 1) * (x - 2) * (1 + 0.2 * x) / 3) ** 2 + 0.5 * w[1] ** 2

    found = flow.gfs_sharpness(loss, torch.tensor([start, 1.0], dtype=torch.float64), method=method)
    assert found.status == "converged"
    assert found.value == pytest.approx(1.96 * curvature, rel=5e-3)


@pytest.mark.parametrize("method", ["rk4", "rkc"])
@pytest.mark.parametrize("w", [[0.1] * 6, [0.05, 0.06, 0.055, 0.04], [0.05] * 4, [0.01] * 4, [0.015] * 4])
def test_from_near_a_saddle_where_the_loss_is_flat(method, w):
    start = torch.tensor(w, dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, method=method, loss_tolerance=1e-10)
    assert solution.converged
    exact = scalar.gradient_flow_solution(np.array(w))
    np.testing.assert_allclose(solution.parameters.numpy(), exact, atol=2e-4)


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_small_units_change_nothing(method):
    solution = flow.gradient_flow_solution(
        lambda w: 0.5e-10 * w.square().sum(), torch.tensor([1e4], dtype=torch.float64), method=method
    )
    assert solution.converged
    assert float(solution.parameters) == pytest.approx(math.sqrt(2e5), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_weights_changes_nothing(scale):
    start = torch.tensor([0.3, 0.5, 1.5], dtype=torch.float64)
    found = flow.gradient_flow_solution(lambda w: scalar_loss(w / scale), start * scale)
    plain = flow.gradient_flow_solution(scalar_loss, start)
    assert found.gradient_evaluations == plain.gradient_evaluations
    torch.testing.assert_close(found.parameters / scale, plain.parameters)


def huber(w):
    return torch.where(w.abs() <= 1, 0.5 * w * w, w.abs() - 0.5).sum()


@pytest.mark.parametrize("loss", [huber, lambda w: w.abs().sum(), lambda w: (w - 1).clamp(min=0).square().sum()])
def test_where_the_loss_is_straight_the_flow_goes_on(loss):
    solution = flow.gradient_flow_solution(loss, torch.tensor([10.0], dtype=torch.float64))
    assert solution.status == "converged"
    assert float(loss(solution.parameters)) == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_where_the_gradient_vanishes_above_the_tolerance(method):
    """The curvature jumps from one to nothing where the flow ends."""
    solution = flow.gradient_flow_solution(
        lambda w: 0.5 + 0.5 * (w - 1).clamp(min=0).square().sum(),
        torch.tensor([3.0], dtype=torch.float64),
        method=method,
    )
    assert solution.status == "stationary"


@pytest.mark.parametrize("method", ["rk4", "rkc"])
def test_converged_means_that_the_loss_is_the_tolerance(method):
    """At 100 float32 weights change the loss by far more than the tolerance from one to the next."""
    for start in ([101.0, 99.3], [101.0, 99.9], [107.0, 95.0]):
        solution = flow.gradient_flow_solution(
            lambda w: 0.5e6 * (w - 100).square().sum(), torch.tensor(start), method=method
        )
        assert solution.converged
        assert solution.loss <= 1.01e-5


def test_a_step_over_which_the_curvature_grows_is_taken_again():
    """A wall that the curvature at the start knows nothing of: without the check the flow would end behind it."""

    def loss(w):
        return 0.05 * w[0] ** 2 + 1e6 * (0.5 - w[0]).clamp(min=0) ** 2 + 1e-9

    solution = flow.gradient_flow_solution(
        loss, torch.tensor([3.0], dtype=torch.float64), loss_tolerance=0.02, estimate_error=False
    )
    assert solution.converged
    assert solution.loss == pytest.approx(0.02, rel=1e-3)
    assert float(solution.parameters) == pytest.approx(math.sqrt(0.02 / 0.05), abs=0.5)
    assert float(solution.parameters) > 0.499


def test_rk4_looks_at_the_sharpness_as_often_as_told():
    start = torch.tensor([2.0, 0.3, 0.7], dtype=torch.float64)
    often, seldom = (
        flow.gradient_flow_solution(scalar_loss, start, method="rk4", step_factor=0.1, sharpness_every=every)
        for every in (2, 1000)
    )
    assert often.hessian_vector_products > 5 * seldom.hessian_vector_products


def test_a_loss_to_be_passed_lies_above_the_end():
    with pytest.raises(ValueError, match="passing must be above loss_tolerance"):
        flow.gradient_flow_solution(scalar_loss, torch.ones(2), passing=[1e-7])


@pytest.mark.parametrize("below", [4e-3, 1.5e-3, 1.05e-3, 1.0e-3, 0.9e-3])
def test_the_stopping_error_of_a_flow_that_starts_near_its_end(below):
    start = torch.tensor([2.0, 0.3, 0.7], dtype=torch.float64)
    exact = float(scalar.gfs_sharpness(start.numpy()))
    near = flow.gradient_flow_solution(scalar_loss, start, loss_tolerance=below, tolerance=1e-6).parameters
    found = flow.gfs_sharpness(scalar_loss, near, loss_tolerance=1e-3, tolerance=1e-6)
    # Nearly all of it is seen, and told with a margin of a twentieth.
    assert found.stopping_error == pytest.approx(1.05 * abs(found.value - exact), rel=0.02)


@pytest.mark.parametrize("method", ["rk4", "rkc"])
@pytest.mark.parametrize("start", [[0.0, 0.0], [1.0, 1.0]])
def test_a_minimum_above_the_tolerance_is_a_status(method, start):
    start = torch.tensor(start, dtype=torch.float64)
    solution = flow.gradient_flow_solution(lambda w: 1 + w.square().sum(), start, method=method)
    assert solution.status == "stationary"


def test_negative_curvature_on_the_way_is_passed():
    """From near the saddle at 0 of a scalar network the curvature is negative at first."""
    start = torch.tensor([0.02, 0.03], dtype=torch.float64)
    solution = flow.gradient_flow_solution(scalar_loss, start, tolerance=1e-5, loss_tolerance=1e-12)
    assert solution.converged
    top = sharpness(scalar_loss, solution.parameters).value
    assert top == pytest.approx(float(scalar.gfs_sharpness(start.numpy())), rel=1e-3)


def test_a_start_below_the_tolerance_is_its_own_solution():
    start = torch.tensor([1.0, 1.0])
    solution = flow.gradient_flow_solution(scalar_loss, start)
    assert solution.converged
    assert solution.steps == 0
    torch.testing.assert_close(solution.parameters, start)


def test_a_start_of_loss_zero_has_a_sharpness():
    found = flow.gfs_sharpness(scalar_loss, torch.ones(2, dtype=torch.float64))
    assert found.status == "converged"
    assert found.value == pytest.approx(2)
    assert found.stopping_error == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_a_tolerance_near_the_smallest_number_there_is():
    start = torch.ones(2, dtype=torch.float64)
    solution = flow.gradient_flow_solution(lambda w: w.square().sum(), start, loss_tolerance=1e-305)
    assert solution.converged


def test_reports_run_from_none_to_all_of_the_way():
    reports = []
    start = torch.tensor([1.5, 0.8, 0.3], dtype=torch.float64)
    solution = flow.gradient_flow_solution(
        scalar_loss, start, estimate_error=False, report=lambda *values: reports.append(values)
    )
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
    ("argument", "value"),
    [
        ("method", "no such method"),
        ("loss_tolerance", 0.0),
        ("tolerance", 0.0),
        ("step_factor", -1.0),
        ("step_factor", 3.0),
        ("max_gradients", 0),
        ("max_gradients", -5),
        ("max_gradients", 1e5),
        ("max_gradients", math.inf),
        ("sharpness_every", True),
        ("loss_tolerance", math.nan),
        ("loss_tolerance", "1e-5"),
        ("tolerance", "0.1"),
        ("tolerance", math.inf),
        ("tolerance", None),
        ("linear_steps", "false"),
        ("estimate_error", 0),
    ],
)
def test_bad_arguments_are_refused(argument, value):
    says = argument if argument != "method" else "unknown flow method 'no such method'"
    with pytest.raises((TypeError, ValueError), match=says):
        flow.gradient_flow_solution(scalar_loss, torch.ones(2), **{argument: value})
    with pytest.raises((TypeError, ValueError), match=says):
        flow.gfs_sharpness(scalar_loss, torch.ones(2), **{argument: value})


@pytest.mark.parametrize("weights", [[1.0, 2.0], torch.ones(2, 1), torch.ones(0), torch.ones(2, dtype=torch.int64)])
def test_weights_that_are_not_flat_numbers_are_refused(weights):
    with pytest.raises((TypeError, ValueError), match="parameters must be"):
        flow.gfs_sharpness(scalar_loss, weights)


def test_whole_numbers_of_numpy_are_fine():
    options = {"max_gradients": np.int64(1000), "loss_tolerance": np.float32(1e-4)}
    assert flow.gradient_flow_solution(scalar_loss, torch.tensor([1.5, 0.8]), **options).converged
