"""Lanczos sharpness against dense eigenvalues."""

import pytest
import torch

from gfs import curvature, networks


def quadratic(eigenvalues, seed=0):
    """A quadratic loss with the given Hessian spectrum in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(values) @ basis.T
    return lambda w: 0.5 * w @ matrix @ w


@pytest.fixture
def small_network():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    targets = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    module = networks.fully_connected(5, 3, widths=(7, 6), activation="tanh").double()
    return networks.flat_loss(module, inputs, targets)


def test_largest_algebraic_not_largest_in_magnitude():
    estimate = curvature.sharpness(quadratic([-100.0, -3.0, 1.0, 2.5]), torch.ones(4, dtype=torch.float64))
    assert estimate.value == pytest.approx(2.5, rel=1e-10)


def test_all_negative():
    estimate = curvature.sharpness(quadratic([-5.0, -3.0, -1.0]), torch.ones(3, dtype=torch.float64))
    assert estimate.value == pytest.approx(-1.0, rel=1e-10)


def test_network_against_dense_eigenvalues(small_network):
    loss, w = small_network
    dense = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, w))
    estimate = curvature.sharpness(loss, w, tolerance=1e-8)
    assert estimate.converged
    assert estimate.value == pytest.approx(float(dense[-1]), rel=1e-12)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6])
def test_residual_bounds_the_error(small_network, tolerance):
    loss, w = small_network
    dense = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, w))
    estimate = curvature.sharpness(loss, w, tolerance=tolerance, seed=3)
    assert torch.min(torch.abs(dense - estimate.value)) <= estimate.residual + 1e-12
    product = curvature.hessian_vector_product(loss, w)(estimate.vector)
    residual = float((product - estimate.value * estimate.vector).norm())
    assert residual == pytest.approx(estimate.residual, rel=1e-3, abs=1e-10)


def test_restarts_with_a_small_basis_converge():
    loss = quadratic([*torch.linspace(0, 1, 60).tolist(), 1.2])
    estimate = curvature.sharpness(loss, torch.ones(61, dtype=torch.float64), basis_size=8, tolerance=1e-6)
    assert estimate.converged
    assert estimate.products > 8
    assert estimate.value == pytest.approx(1.2, rel=1e-10)


@pytest.mark.parametrize(("top", "tolerance", "accuracy"), [(30, 1e-2, 1e-2), (11, 1e-2, 2e-2), (10.5, 1e-4, 1e-4)])
def test_a_start_that_is_another_eigenvector_does_not_hide_the_top_one(top, tolerance, accuracy):
    size = 20_000
    spectrum = torch.linspace(0, 1, size, dtype=torch.float64)
    spectrum[3], spectrum[7] = 10.0, top
    second = torch.zeros(size, dtype=torch.float64)
    second[3] = 1.0
    estimate = curvature.sharpness(
        lambda w: 0.5 * (spectrum * w.square()).sum(), torch.zeros_like(spectrum), start=second, tolerance=tolerance
    )
    assert estimate.value == pytest.approx(top, rel=accuracy)


def test_a_warm_start_saves_products():
    spectrum = torch.cat([torch.linspace(0, 9, 3000), torch.tensor([10.0])]).double()
    loss, w = lambda w: 0.5 * (spectrum * w.square()).sum(), torch.zeros(3001, dtype=torch.float64)
    cold = curvature.sharpness(loss, w, tolerance=1e-6)
    warm = curvature.sharpness(loss, w, start=cold.vector, tolerance=1e-6)
    assert warm.products < cold.products
    assert warm.value == pytest.approx(10.0, rel=1e-9)


def test_budget_is_reported_not_hidden():
    loss = quadratic(torch.linspace(0, 1, 80).tolist())
    estimate = curvature.sharpness(loss, torch.ones(80, dtype=torch.float64), max_products=5, tolerance=1e-10)
    assert not estimate.converged
    assert estimate.products == 5


def test_same_seed_same_result(small_network):
    loss, w = small_network
    assert curvature.sharpness(loss, w, seed=7).value == curvature.sharpness(loss, w, seed=7).value


def test_linear_loss_has_zero_curvature():
    assert curvature.sharpness(lambda w: w.sum(), torch.ones(4)).value == 0.0


def test_overflow_is_an_error_not_a_number():
    with pytest.raises(FloatingPointError, match="not finite"):
        curvature.sharpness(lambda w: (w * torch.inf).square().sum(), torch.ones(3))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tolerance", "1e-4"),
        ("tolerance", float("nan")),
        ("tolerance", 0),
        ("max_products", -1),
        ("max_products", 10.5),
        ("basis_size", 0),
        ("start", torch.ones(4)),
    ],
)
def test_bad_arguments_are_refused(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"{argument} must"):
        curvature.sharpness(quadratic([1.0, 2.0, 3.0]), torch.ones(3, dtype=torch.float64), **{argument: value})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eigenvalues", [[1.69], [-0.279], [1.0, 1.5], [2.0, -3.0, 0.5]])
@pytest.mark.parametrize("size", [13, 50])
def test_few_distinct_eigenvalues_in_many_dimensions(eigenvalues, size, dtype):
    """The Krylov space is exhausted after as many products; what rounding adds to it is no eigenvalue."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    spectrum = torch.tensor([eigenvalues[i % len(eigenvalues)] for i in range(size)], dtype=torch.float64)
    hessian = ((basis * spectrum) @ basis.T).to(dtype)
    hessian = (hessian + hessian.T) / 2
    found = curvature.sharpness(lambda w: 0.5 * w @ hessian @ w, torch.ones(size, dtype=dtype))
    assert found.converged
    assert found.value == pytest.approx(max(eigenvalues), rel=1e-4)
    assert found.smallest == pytest.approx(min(eigenvalues), rel=1e-4)


def test_the_residual_covers_rounding():
    spectrum = torch.tensor([1.0, -1e6])
    found = curvature.sharpness(lambda w: 0.5 * (spectrum * w * w).sum(), torch.ones(2))
    assert abs(found.value - 1.0) <= found.residual
