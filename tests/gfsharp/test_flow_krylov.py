"""Linear steps in a Krylov space: exact on quadratic losses, of third order off them, and taken only where they pay."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from gfsharp import curvature, flow, networks
from gfsharp.flow.gradients import Gradients
from gfsharp.flow.krylov import LinearFlow, _phi1, _phi3
from gfsharp.flow.rkc import RungeKuttaChebyshev
from gfsharp.flow.step import Step
from gfsharp.flow.tail import ChebyshevKrylov, LinearStep
from gfsharp.lanczos import Lanczos, half_random, random_direction
from replication import data


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
    model = LinearFlow(gradients.hessian_product(point), point, 50)
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
    point = gradients.point(start)
    model = LinearFlow(gradients.hessian_product(point), point, products)
    model.extend(3.0, 0.0)
    assert model.space.products == products
    error = float((model.displacement(3.0) - exponential(hessian, hessian @ start, 3.0)).norm())
    assert 0 < error < model.defect(3.0)


def test_the_correction_of_a_quadratic_is_that_of_the_matrix_function(quadratic):
    """In the whole space it is ``2 t phi_3(-t H) r`` exactly."""
    hessian, loss, start = quadratic
    gradients = Gradients(loss, 10**6)
    point = gradients.point(start)
    model = LinearFlow(gradients.hessian_product(point), point, 50)
    model.extend(2.0, 0.0)
    remainder = torch.linspace(-1, 1, 50, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(hessian)
    exact = vectors @ (torch.from_numpy(4 * _phi3(2 * values.numpy())) * (vectors.T @ remainder))
    torch.testing.assert_close(model.correction(2.0, remainder), exact, atol=1e-8, rtol=1e-6)


def test_few_eigenvalues_that_stand_apart_take_few_products():
    """Five of some 1e4 beside three hundred below one: what knows the spectrum's end alone takes sqrt(1e4 t / 0.65)."""
    values = np.concatenate([np.geomspace(1e-2, 1, 295), [1e4, 9e3, 8e3, 7e3, 6e3]])
    hessian = symmetric(values)
    gradients = Gradients(lambda w: 0.5 * w @ hessian @ w, 10**6)
    point = gradients.point(torch.ones(300, dtype=torch.float64))
    model = LinearFlow(gradients.hessian_product(point), point, 200)
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
        model = LinearFlow(gradients.hessian_product(point), point, 3)
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


@pytest.mark.slow
def test_linear_steps_lead_to_the_same_place_for_less(trained_network):
    loss, start = trained_network
    with_them, without = (
        flow.gradient_flow_solution(loss, start, tolerance=1e-2, linear_steps=yes, estimate_error=False)
        for yes in (True, False)
    )
    exact = flow.gradient_flow_solution(
        loss, start, tolerance=1e-6, linear_steps=False, estimate_error=False
    ).parameters
    # One is for the curvature at the start.
    assert with_them.hessian_vector_products > 1 == without.hessian_vector_products
    work = with_them.gradient_evaluations + with_them.hessian_vector_products
    assert work < 0.8 * without.gradient_evaluations
    for found in (with_them, without):
        assert found.converged
        assert found.loss == pytest.approx(1e-5, rel=1e-3)
        # What the tolerance allows a single step is more than errors add up to, as the flow contracts.
        assert float((found.parameters - exact).norm()) < 0.3 * 1e-2 * float(exact.norm())
    phi = curvature.sharpness(loss, exact).value
    assert curvature.sharpness(loss, with_them.parameters).value == pytest.approx(phi, rel=1e-3)


@pytest.mark.slow
def test_losses_are_passed_within_linear_steps(trained_network):
    loss, start = trained_network
    levels = [3e-3, 1e-3, 1e-4, 3e-5]
    found = flow.gradient_flow_solution(loss, start, passing=levels, estimate_error=False)
    plain = flow.gradient_flow_solution(loss, start, passing=levels, estimate_error=False, tolerance=1e-5)
    assert found.hessian_vector_products > 0
    np.testing.assert_allclose([float(loss(w)) for w in found.passed], levels, rtol=1e-3)
    for one, other in zip(found.passed, plain.passed, strict=True):
        assert float((one - other).norm()) < 0.3 * 1e-3 * float(other.norm())


@pytest.mark.slow
def test_the_budget_holds_for_products_too(trained_network):
    loss, start = trained_network
    whole = flow.gradient_flow_solution(loss, start, estimate_error=False)
    budget = whole.gradient_evaluations + whole.hessian_vector_products
    for less in (1, 10, 40, budget // 2):
        found = flow.gradient_flow_solution(loss, start, estimate_error=False, max_gradients=budget - less)
        assert found.gradient_evaluations + found.hessian_vector_products <= budget - less
    assert found.status == "budget"
    assert flow.gradient_flow_solution(loss, start, estimate_error=False, max_gradients=budget).converged


@pytest.mark.slow
def test_a_product_that_is_not_finite_leaves_the_other_steps(trained_network, monkeypatch):
    loss, start = trained_network
    assert flow.gradient_flow_solution(loss, start, estimate_error=False).hessian_vector_products > 0
    monkeypatch.setattr(
        "gfsharp.flow.gradients.hessian_vector_product", lambda *_: lambda vector: torch.full_like(vector, torch.nan)
    )
    found = flow.gradient_flow_solution(loss, start, estimate_error=False)
    plain = flow.gradient_flow_solution(loss, start, estimate_error=False, linear_steps=False)
    assert found.converged
    torch.testing.assert_close(found.parameters, plain.parameters)


def test_the_memory_of_a_krylov_space_is_bounded():
    from gfsharp.flow.tail import _space

    assert _space(torch.empty(250_000)) == 100
    assert _space(torch.empty(9_231_114)) == 29  # VGG-11
    assert _space(torch.empty(10**9, device="meta")) == 2
    assert _space(torch.empty(1)) == 1


def stiff_and_slow(w):
    """A stiff direction and a slow one, so that Chebyshev steps have many stages."""
    return 0.5e4 * w[0] ** 2 + 0.5 * w[1] ** 2


@pytest.mark.slow
def test_the_correction_brings_a_linear_step_nearer_on_all_its_way(trained_network):
    loss, start = trained_network
    start = flow.gradient_flow_solution(loss, start, loss_tolerance=1e-4, estimate_error=False).parameters
    gradients = Gradients(loss, 10**6)
    point = gradients.point(start)
    chebyshev = RungeKuttaChebyshev(gradients, point, 1e-2)
    step = ChebyshevKrylov(gradients, chebyshev, 1e-2, 1e-5)._linear_step(point, 1.0, 1000)
    assert isinstance(step, LinearStep)
    torch.testing.assert_close(step.weights(0.0), start)
    torch.testing.assert_close(step.weights(1.0), step.after.weights)
    fine = RungeKuttaChebyshev(gradients, point, 1e-7)
    exact, time = point, 0.0
    for share in (0.5, 1.0):
        while time < share * step.length:
            fine._length = min(fine._length, share * step.length - time)
            taken = fine.step(exact)
            exact, time = taken.after, time + taken.length
        error = float((step.weights(share) - exact.weights).norm())
        without = float((step.weights(share) - share**3 * step.correction - exact.weights).norm())
        assert error < 0.9 * without
    # The loss falls tenfold at most.
    assert point.loss / 11 < step.after.loss < point.loss


@pytest.mark.parametrize("floor", [8e-6, 0.0])
def test_a_tolerance_between_the_end_of_the_flow_and_what_the_model_allows(floor):
    start = torch.ones(2, dtype=torch.float64)
    found = flow.gradient_flow_solution(lambda w: floor + stiff_and_slow(w), start, passing=[1e-3])
    assert found.converged
    assert found.loss == pytest.approx(1e-5, rel=1e-3)
    assert found.hessian_vector_products > 0
    assert len(found.passed) == 1


def test_a_flow_that_ends_above_the_tolerance_is_stationary_soon():
    found = flow.gradient_flow_solution(lambda w: 1 + stiff_and_slow(w), torch.ones(2, dtype=torch.float64))
    assert found.status == "stationary"
    assert found.time < 1e4


def test_a_ridge_between_the_ends_of_a_step_is_seen():
    """On the slow way a bump stands, behind which the loss would be lower."""

    def loss(w):
        return stiff_and_slow(w) + 0.1 * torch.exp(-(((w[1] - 0.5) / 0.05) ** 2))

    found = flow.gradient_flow_solution(loss, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert found.status == "stationary"
    assert float(found.parameters[1]) == pytest.approx(0.577, abs=0.01)


def test_a_space_of_slow_directions_says_nothing_of_the_curvature():
    """When the stiff direction has decayed, the gradient and what the Hessian makes of it lie in the slow one."""
    start = torch.tensor([1.0, 10.0], dtype=torch.float64)
    gradients = Gradients(stiff_and_slow, 10**6)
    point = gradients.point(start)
    method = RungeKuttaChebyshev(gradients, point, 1e-3)
    known = method.radius.direction
    method.moved(Step(point, point, 1.0), 1.0, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.equal(method.radius.direction, known)
    method.moved(Step(point, point, 1.0), 0.95e4, torch.tensor([2.0, 0.0], dtype=torch.float64))
    assert method.radius.direction.tolist() == [1.0, 0.0]


class Straight(torch.autograd.Function):
    """A square whose gradient torch cannot differentiate."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return w**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (w,) = ctx.saved_tensors
        return 2 * w * gradient


def test_a_loss_without_second_derivatives_takes_no_linear_steps():
    scales = torch.tensor([0.5e4, 0.5], dtype=torch.float64)
    start = torch.ones(2, dtype=torch.float64)
    found = flow.gradient_flow_solution(lambda w: (scales * Straight.apply(w)).sum(), start)
    assert found.converged
    # One for the curvature at the start, also of the coarser flow, and one to see whether linear steps are possible.
    assert found.hessian_vector_products <= 3
    assert float(found.parameters[1]) == pytest.approx(math.sqrt(2e-5), rel=1e-3)


@pytest.mark.slow
def test_at_kinks_no_linear_steps_are_taken():
    pixels, classes, _ = data.images("digits", 50)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(classes)
    loss, start = networks.flat_loss(networks.fully_connected(64, 10, activation="relu"), inputs, targets)
    for _ in range(200):
        start = start - 0.05 * flow.loss_and_gradient(loss, start)[1]
    options = {"tolerance": 1e-2, "loss_tolerance": 1e-4, "estimate_error": False}
    found = flow.gradient_flow_solution(loss, start, **options)
    other = flow.gradient_flow_solution(loss, start, linear_steps=False, **options)
    assert found.converged
    # The same flow but for the product by which the kinks are found; others look at the curvature.
    assert torch.equal(found.parameters, other.parameters)
    assert found.hessian_vector_products <= other.hessian_vector_products + 1


@pytest.mark.parametrize("slowest", [1e-2, 0.1, 1.0])
def test_the_error_estimate_covers_the_error_of_a_quadratic(slowest):
    scales = torch.logspace(math.log10(slowest), 3, 6, dtype=torch.float64)
    start = torch.ones(6, dtype=torch.float64)
    found = flow.gradient_flow_solution(lambda w: 0.5 * (scales * w * w).sum(), start, loss_tolerance=1e-2)
    exact = torch.exp(-scales * found.time) * start
    assert float((found.parameters - exact).norm()) <= 1.1 * found.error_estimate
