"""Runge-Kutta-Chebyshev: its polynomial, its order, its reach; the GFS sharpness with its errors."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from gfsharp import curvature, flow, networks
from gfsharp.flow.chebyshev import coefficients, stages_for
from gfsharp.flow.gradients import Gradients
from gfsharp.flow.rkc import RungeKuttaChebyshev

STAGES = [2, 3, 5, 10, 37, 200]


def stability_polynomial(stages, z):
    """One step for y' = z y from 1, by the recurrence itself."""
    rule = coefficients(stages)
    before, current = 0.0, rule.first * z
    for mu, nu, mu_prime, gamma_prime in rule.later:
        before, current = current, mu * current + nu * before + mu_prime * z * (1 + current) + gamma_prime * z
    return 1 + current


@pytest.mark.parametrize("stages", STAGES)
def test_the_polynomial_is_of_second_order(stages):
    for z in (1e-2, 1e-3):
        z_over = -z
        assert abs(stability_polynomial(stages, z_over) - math.exp(z_over)) < 0.2 * z**3


@pytest.mark.parametrize("stages", STAGES)
def test_the_polynomial_is_bounded_on_its_interval_and_no_further(stages):
    interval = coefficients(stages).interval
    values = np.abs([stability_polynomial(stages, -z) for z in np.linspace(0, interval, 4001)])
    assert values.max() <= 1 + 1e-9
    # Damped: strictly inside but for the origin.
    assert values[40:].max() < 0.99
    # With an odd number of stages it leaves [-1, 1] on the lower side, further on.
    assert abs(stability_polynomial(stages, -(1.02 if stages % 2 == 0 else 1.6) * interval)) > 1


@pytest.mark.parametrize("stages", STAGES[2:])
def test_the_interval_grows_like_the_square_of_the_stages(stages):
    assert coefficients(stages).interval == pytest.approx(0.65 * (stages**2 - 1), rel=0.02)


def test_as_few_stages_as_will_do():
    for reach in np.geomspace(0.1, 2e4, 60):
        stages = stages_for(reach)
        assert coefficients(stages).interval >= reach
        assert stages == 2 or coefficients(stages - 1).interval < reach


def test_fewer_than_two_stages_are_refused():
    with pytest.raises(ValueError, match="two stages or more, found 1"):
        coefficients(1)


@pytest.mark.parametrize("stages", [2, 4, 11])
def test_second_order_on_a_nonlinear_flow(stages):
    """One step against solve_ivp: halved, its error falls by 2^3."""

    def loss(w):
        return 0.5 * (w.prod() - 1) ** 2 + 0.1 * (w**4).sum()

    start = torch.tensor([1.2, 0.7, -0.4], dtype=torch.float64)
    gradients = Gradients(loss, 10**6)
    point = gradients.point(start)
    method = RungeKuttaChebyshev(gradients, point, 1e-3)

    def velocity(_, w):
        return gradients.velocity(torch.from_numpy(w)).numpy()

    lengths, errors = [0.05, 0.025, 0.0125], []
    for length in lengths:
        exact = solve_ivp(velocity, (0, length), start.numpy(), rtol=1e-12, atol=1e-14).y[:, -1]
        end = start + method._displacement(point, length, stages)
        errors.append(np.abs(end.numpy() - exact).max())
    assert np.polyfit(np.log(lengths), np.log(errors), 1)[0] == pytest.approx(3, abs=0.3)


@pytest.mark.slow
def test_the_error_falls_with_the_tolerance():
    """Of second order, with a bound on the local error: like its power 2/3."""

    def loss(w):
        return 0.5 * (w.prod() - 1) ** 2

    start = torch.tensor([1.5, 0.8, 0.3], dtype=torch.float64)
    exact = flow.gradient_flow_solution(loss, start, tolerance=1e-10, estimate_error=False).parameters
    tolerances, errors = [1e-3, 1e-4, 1e-5, 1e-6], []
    for tolerance in tolerances:
        found = flow.gradient_flow_solution(loss, start, tolerance=tolerance)
        errors.append(float((found.parameters - exact).norm()))
        # The coarser flow's distance is a bound, and not by more than some tenfold.
        assert errors[-1] < found.error_estimate < 30 * errors[-1]
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(2 / 3, abs=0.1)


def quadratic(dimension, sharpness, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))[0]
    return (q * torch.logspace(-1, math.log10(sharpness), dimension, dtype=torch.float64)) @ q.T


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_very_stiff_quadratic_against_the_matrix_exponential(dtype):
    hessian = quadratic(30, 1e4)
    start = torch.ones(30, dtype=torch.float64)
    cast = hessian.to(dtype)

    def loss(w):
        return 0.5 * w @ cast @ w

    found = flow.gradient_flow_solution(loss, start.to(dtype), tolerance=1e-4, loss_tolerance=1e-3)
    exact = torch.linalg.matrix_exp(-hessian * found.time) @ start
    assert found.converged
    np.testing.assert_allclose(found.parameters.double().numpy(), exact.numpy(), atol=2e-3)
    # Euler's method would need half the reach, RK4 at 1/sharpness four times the reach.
    assert found.gradient_evaluations < found.reach / 5


def test_the_curvature_grows_on_the_way_unnoticed_by_no_one():
    """The sharpness grows thirtyfold between steps that the error alone would let be long."""

    def loss(w):
        return 0.5 * (w.prod() - 1) ** 2

    start = torch.tensor([0.1, 0.12, 0.11], dtype=torch.float64)
    found = flow.gradient_flow_solution(loss, start, tolerance=1e-3)
    assert found.converged
    assert found.sharpness > 10 * curvature.sharpness(loss, start).value


def test_an_error_that_does_not_fall_with_the_step_does_not_stop_the_flow(monkeypatch):
    """As where the velocity jumps: the step is taken at the length that would resolve any smooth motion."""
    hessian = quadratic(5, 100.0)
    gradients = Gradients(lambda w: 0.5 * w @ hessian @ w, 10**6)
    point = gradients.point(torch.ones(5, dtype=torch.float64))
    method = RungeKuttaChebyshev(gradients, point, 1e-3)
    monkeypatch.setattr(method, "_error", lambda *_: 2.0)
    for _ in range(5):
        step = method.step(point)
        point = step.after
        method.arrive(point)
    assert step.length == pytest.approx(0.015 ** (1 / 3) / method.radius.value, rel=0.1)


@pytest.fixture
def small_network():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 8, generator=generator, dtype=torch.float64)
    targets = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    module = networks.fully_connected(8, 2, widths=(16, 16), activation="tanh").double()
    return networks.flat_loss(module, inputs, targets)


@pytest.mark.slow
def test_both_methods_and_solve_ivp_agree_on_a_network(small_network):
    loss, start = small_network
    values = {}
    for name, options in {"rkc": {"tolerance": 1e-5}, "rk4": {"method": "rk4", "step_factor": 0.5}}.items():
        values[name] = flow.gfs_sharpness(loss, start, loss_tolerance=1e-4, **options)
        assert values[name].status == "converged"

    def velocity(_, w):
        return -flow.loss_and_gradient(loss, torch.from_numpy(w))[1].numpy()

    end = solve_ivp(velocity, (0, values["rk4"].solution.time), start.numpy(), "LSODA", rtol=1e-9, atol=1e-11).y[:, -1]
    exact = curvature.sharpness(loss, torch.from_numpy(end)).value
    for found in values.values():
        assert found.value == pytest.approx(exact, rel=1e-3)
        assert abs(found.value - exact) <= found.error + 1e-4 * exact
    assert values["rkc"].solution.gradient_evaluations < values["rk4"].solution.gradient_evaluations


@pytest.mark.slow
def test_the_stopping_error_covers_what_is_to_come(small_network):
    loss, start = small_network
    early = flow.gfs_sharpness(loss, start, loss_tolerance=1e-3, tolerance=1e-5)
    late = flow.gfs_sharpness(loss, start, loss_tolerance=1e-7, tolerance=1e-5)
    difference = abs(early.value - late.value)
    assert difference < 3 * early.error
    assert early.stopping_error < 10 * difference
    assert late.stopping_error < early.stopping_error


def test_a_flow_without_end_has_no_sharpness(small_network):
    loss, start = small_network
    found = flow.gfs_sharpness(loss, start, max_gradients=20)
    assert found.status == "budget"
    assert math.isnan(found.value)
    assert math.isnan(found.error)


def test_without_an_error_estimate_the_error_is_not_known(small_network):
    loss, start = small_network
    found = flow.gfs_sharpness(loss, start, loss_tolerance=1e-2, estimate_error=False)
    assert found.value > 0
    assert math.isnan(found.integration_error)
    assert math.isnan(found.error)


def test_the_same_start_gives_the_same_bytes(small_network):
    loss, start = small_network
    ends = [flow.gradient_flow_solution(loss, start, loss_tolerance=1e-2).parameters for _ in range(2)]
    assert torch.equal(*ends)


def test_a_flow_that_slides_along_a_kink_gets_on():
    """Every step across ``|x|`` and back raises the loss or lets it fall, however short it is."""

    def loss(w):
        slow, stiff = w[1] ** 2 / 2, 5 * (w[2] + 0.5 * w[1]).square() / 2
        return (w[0] - 0.3 * w[1]).abs() + slow + stiff

    start = torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64)
    found = flow.gradient_flow_solution(loss, start, tolerance=1e-2, loss_tolerance=1e-3, max_gradients=3000)
    assert found.converged
    assert abs(float(found.parameters[0] - 0.3 * found.parameters[1])) < 1e-3


@pytest.mark.parametrize(
    ("activation", "sizes", "samples", "seed"),
    [
        (nn.ReLU, (4, 8, 1), 10, 0),
        (nn.ReLU, (8, 16, 16, 1), 20, 1),
        (nn.Hardtanh, (4, 8, 1), 10, 0),
        (nn.Hardtanh, (8, 16, 16, 1), 20, 0),
    ],
)
def test_small_networks_with_kinks_take_fewer_gradients_than_rk4(activation, sizes, samples, seed):
    torch.manual_seed(seed)
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), activation())][:-1]
    module = nn.Sequential(*layers).double()
    inputs = torch.randn(samples, sizes[0], dtype=torch.float64)
    targets = torch.tanh(inputs @ torch.randn(sizes[0], sizes[-1], dtype=torch.float64))
    loss, start = networks.flat_loss(module, inputs, targets)
    ours, theirs = (flow.gradient_flow_solution(loss, start, method=m, estimate_error=False) for m in ("rkc", "rk4"))
    assert ours.converged
    assert theirs.converged
    work = [found.gradient_evaluations + found.hessian_vector_products for found in (ours, theirs)]
    assert work[0] < work[1]
