"""Linear steps in a Krylov space: exact on quadratic losses, of third order off them, and taken only where they pay."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from gfs import curvature, data, flow, networks
from gfs.flow.gradients import Gradients
from gfs.flow.krylov import LinearFlow, _phi1, _phi3
from gfs.lanczos import Lanczos, half_random, random_direction


def symmetric(values, seed=0):
    size = len(values)
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    return (q * torch.as_tensor(values, dtype=torch.float64)) @ q.T


def exponential(hessian, gradient, time):
    """``-t phi_1(-t H) g`` by an eigendecomposition."""
    values, vectors = torch.linalg.eigh(hessian)
    modes = torch.where(values.abs() < 1e-12, torch.full_like(values, time), -torch.expm1(-time * values) / values)
    return -vectors @ (modes * (vectors.T @ gradient))


@pytest.mark.parametrize("z", [-3.0, -1e-3, 0.0, 1e-9, 1e-3, 0.0999, 0.1001, 1.0, 50.0, 1e4])
def test_phi_functions_against_50_digits(z):
    from mpmath import exp, mp, mpf

    with mp.workdps(50):
        x = -mpf(z)
        one = (exp(x) - 1) / x if z else mpf(1)
        three = ((one - 1) / x - mpf(1) / 2) / x if z else mpf(1) / 6
        assert float(_phi1(np.array(z))) == pytest.approx(float(one), rel=1e-7)
        assert float(_phi3(np.array(z))) == pytest.approx(float(three), rel=1e-7)


def test_lanczos_against_a_dense_matrix():
    hessian = symmetric(np.linspace(-1, 5, 40))
    space = Lanczos(lambda v: hessian @ v, random_direction(torch.empty(40, dtype=torch.float64)), 40)
    for _ in range(15):
        space.extend()
    v = space.basis.T
    torch.testing.assert_close(v.T @ v, torch.eye(15, dtype=torch.float64), atol=1e-12, rtol=0)
    tridiagonal = (space.vectors * space.values) @ space.vectors.T
    residual = hessian @ v - v @ torch.from_numpy(tridiagonal)
    assert residual[:, :-1].abs().max() < 1e-12
    torch.testing.assert_close(residual[:, -1], space.beta * space.following, atol=1e-12, rtol=0)
    assert not space.full
    while not space.full:
        space.extend()
    np.testing.assert_allclose(space.values, np.linspace(-1, 5, 40), atol=1e-10)


def test_lanczos_ends_where_there_is_no_direction_left():
    hessian = symmetric([3.0] * 10 + [1.0] * 10)
    space = Lanczos(lambda v: hessian @ v, random_direction(torch.empty(20, dtype=torch.float64)), 20)
    while not space.full:
        space.extend()
    assert space.products <= 3
    np.testing.assert_allclose(space.values[:2], [1, 3], atol=1e-8)


@pytest.mark.parametrize("size", [1, 5])
def test_half_random_directions_are_never_zero(size):
    for sign in (-1.0, 1.0):
        guess = torch.full((size,), sign, dtype=torch.float64)
        found = half_random(guess)
        assert float(found.norm()) == pytest.approx(1)
        assert float(found @ guess) > 0


@pytest.fixture
def quadratic():
    hessian = symmetric(np.concatenate([np.geomspace(1e-2, 1.0, 45), [5.0, 80.0, 90.0, 95.0, 100.0]]))

    def loss(w):
        return 0.5 * w @ hessian @ w

    return hessian, loss, torch.ones(50, dtype=torch.float64)


@pytest.mark.parametrize("time", [1e-3, 0.1, 10.0, 300.0])
def test_displacement_velocity_and_loss_of_a_quadratic(quadratic, time):
    hessian, loss, start = quadratic
    gradients = Gradients(loss, 10**6)
    point = gradients.point(start)
    model = LinearFlow(gradients, point, 50)
    model.extend(time, 1e-10)
    exact = exponential(hessian, hessian @ start, time)
    assert float((model.displacement(time) - exact).norm()) < 1e-9
    torch.testing.assert_close(model.velocity(time), -(hessian @ (start + exact)), atol=1e-8, rtol=0)
    assert model.loss(time) == pytest.approx(float(loss(start + exact)), rel=1e-8)
    # The gradient whose graph the products share counts too.
    assert gradients.count == 2
    assert gradients.products == model.space.products <= 50


@pytest.mark.parametrize("products", [4, 8, 12])
def test_the_defect_bounds_the_error(quadratic, products):
    hessian, loss, start = quadratic
    gradients = Gradients(loss, 10**6)
    model = LinearFlow(gradients, gradients.point(start), products)
    model.extend(3.0, 0.0)
    assert model.space.products == products
    error = float((model.displacement(3.0) - exponential(hessian, hessian @ start, 3.0)).norm())
    assert 0 < error < model.defect(3.0)


def test_the_correction_of_a_quadratic_is_that_of_the_matrix_function(quadratic):
    """In the whole space it is ``2 t phi_3(-t H) r`` exactly."""
    hessian, loss, start = quadratic
    gradients = Gradients(loss, 10**6)
    model = LinearFlow(gradients, gradients.point(start), 50)
    model.extend(2.0, 0.0)
    remainder = torch.linspace(-1, 1, 50, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(hessian)
    exact = vectors @ (torch.from_numpy(4 * _phi3(2 * values.numpy())) * (vectors.T @ remainder))
    torch.testing.assert_close(model.correction(2.0, remainder), exact, atol=1e-8, rtol=1e-6)


def test_few_eigenvalues_that_stand_apart_take_few_products():
    """Five of 1e4 among a thousand below one: what knows the spectrum's end alone takes sqrt(1e4 t / 0.65)."""
    values = np.concatenate([np.geomspace(1e-2, 1, 295), [1e4, 9e3, 8e3, 7e3, 6e3]])
    hessian = symmetric(values)
    gradients = Gradients(lambda w: 0.5 * w @ hessian @ w, 10**6)
    model = LinearFlow(gradients, gradients.point(torch.ones(300, dtype=torch.float64)), 200)
    model.extend(10.0, 1e-4)
    assert model.space.products < 60 < math.sqrt(1e5 / 0.65) / 6


def bent(w):
    return 0.5 * (w.prod() - 1) ** 2 + 0.1 * (w**4).sum()


def test_third_order_with_the_correction_and_second_without():
    start = torch.tensor([1.2, 0.7, -0.4], dtype=torch.float64)
    gradients = Gradients(bent, 10**6)
    point = gradients.point(start)

    def velocity(_, w):
        return gradients.velocity(torch.from_numpy(w)).numpy()

    lengths = [0.04, 0.02, 0.01]
    plain, corrected = [], []
    for length in lengths:
        exact = torch.from_numpy(solve_ivp(velocity, (0, length), start.numpy(), rtol=1e-12, atol=1e-14).y[:, -1])
        model = LinearFlow(gradients, point, 3)
        model.extend(length, 0.0)
        end = start + model.displacement(length)
        remainder = gradients.point(end).velocity - model.velocity(length)
        plain.append(float((end - exact).norm()))
        corrected.append(float((end + model.correction(length, remainder) - exact).norm()))
    assert np.polyfit(np.log(lengths), np.log(plain), 1)[0] == pytest.approx(3, abs=0.2)
    assert np.polyfit(np.log(lengths), np.log(corrected), 1)[0] == pytest.approx(4, abs=0.3)


@pytest.fixture
def trained_network():
    """A network whose residual is small: what is left of its flow is nearly linear."""
    pixels, classes, _ = data.images("digits", 50)
    inputs, targets = torch.from_numpy(pixels).double(), torch.from_numpy(classes).double()
    module = networks.fully_connected(64, 10, widths=(100, 100), activation="tanh").double()
    loss, start = networks.flat_loss(module, inputs, targets)
    for _ in range(1000):
        start = start - 0.05 * flow.loss_and_gradient(loss, start)[1]
    return loss, start


def test_linear_steps_lead_to_the_same_place_for_less(trained_network):
    loss, start = trained_network
    with_them, without = (
        flow.gradient_flow_solution(loss, start, tolerance=1e-2, linear_steps=yes, estimate_error=False)
        for yes in (True, False)
    )
    exact = flow.gradient_flow_solution(
        loss, start, tolerance=1e-6, linear_steps=False, estimate_error=False
    ).parameters
    assert with_them.hessian_vector_products > 0 == without.hessian_vector_products
    work = with_them.gradient_evaluations + with_them.hessian_vector_products
    assert work < 0.8 * without.gradient_evaluations
    for found in (with_them, without):
        assert found.converged
        assert found.loss == pytest.approx(1e-5, rel=1e-3)
        # What the tolerance allows a single step is more than errors add up to, as the flow contracts.
        assert float((found.parameters - exact).norm()) < 0.3 * 1e-2 * float(exact.norm())
    phi = curvature.sharpness(loss, exact).value
    assert curvature.sharpness(loss, with_them.parameters).value == pytest.approx(phi, rel=1e-3)


def test_losses_are_passed_within_linear_steps(trained_network):
    loss, start = trained_network
    levels = [3e-3, 1e-3, 1e-4, 3e-5]
    found = flow.gradient_flow_solution(loss, start, passing=levels, estimate_error=False)
    plain = flow.gradient_flow_solution(loss, start, passing=levels, estimate_error=False, tolerance=1e-5)
    np.testing.assert_allclose([float(loss(w)) for w in found.passed], levels, rtol=1e-3)
    for one, other in zip(found.passed, plain.passed, strict=True):
        assert float((one - other).norm()) < 0.3 * 1e-3 * float(other.norm())


def test_the_budget_holds_for_products_too(trained_network):
    loss, start = trained_network
    whole = flow.gradient_flow_solution(loss, start, estimate_error=False)
    budget = whole.gradient_evaluations + whole.hessian_vector_products
    for less in (1, 10, 40):
        found = flow.gradient_flow_solution(loss, start, estimate_error=False, max_gradients=budget - less)
        assert found.status == "budget"
        assert found.gradient_evaluations + found.hessian_vector_products <= budget - less
    assert flow.gradient_flow_solution(loss, start, estimate_error=False, max_gradients=budget).converged


def test_a_product_that_is_not_finite_leaves_the_other_steps(trained_network, monkeypatch):
    loss, start = trained_network
    monkeypatch.setattr(
        "gfs.flow.gradients.hessian_vector_product", lambda *_: lambda vector: torch.full_like(vector, torch.nan)
    )
    found = flow.gradient_flow_solution(loss, start, estimate_error=False)
    plain = flow.gradient_flow_solution(loss, start, estimate_error=False, linear_steps=False)
    assert found.converged
    torch.testing.assert_close(found.parameters, plain.parameters)


def test_the_memory_of_a_krylov_space_is_bounded():
    from gfs.flow.tail import _space

    assert _space(torch.empty(250_000)) == 100
    assert _space(torch.empty(9_231_114)) == 29  # VGG-11
    assert _space(torch.empty(10**9, device="meta")) == 2
    assert _space(torch.empty(1)) == 1
