"""Lanczos sharpness against dense eigenvalues."""

import pytest
import torch
from read_backs import ReadBacks

from gfsharp import curvature, networks
from gfsharp.lanczos import Lanczos, random_direction


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


@pytest.mark.slow
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


def along(spectrum):
    """A quadratic loss whose Hessian is diagonal."""
    return lambda w: 0.5 * (spectrum * w * w).sum()


@pytest.mark.slow
@pytest.mark.parametrize("top", [1.02, 7.5, 1.0001])
def test_float32_with_three_million_weights(top):
    """Sums of as many float32 numbers in float32 are off by 1e-3."""
    size = 3_000_000
    spectrum = 0.1 * torch.linspace(0, 1, size) ** 3
    spectrum[[5, 77, 1_234_567]] = torch.tensor([top, 1.0, 0.9])
    found = curvature.sharpness(along(spectrum), torch.zeros(size), basis_size=20, seed=1, tolerance=1e-5)
    assert found.converged
    error = abs(found.value - float(spectrum.max()))
    assert error <= found.residual
    assert error < 1e-8 * top


def test_the_residual_is_that_of_the_vector_which_is_returned():
    spectrum = torch.cat([torch.linspace(-1, 1, 400_000), torch.tensor([1.5])])
    found = curvature.sharpness(along(spectrum), torch.zeros(len(spectrum)), tolerance=1e-3)
    vector = found.vector.double()
    exact = float(vector @ (spectrum.double() * vector) / (vector @ vector))
    residual = float((spectrum.double() * vector - exact * vector).norm())
    assert found.value == pytest.approx(exact, rel=1e-7)
    assert residual <= found.residual <= residual + 1e-6


class NoisyProducts(torch.autograd.Function):
    """The identity, whose second derivative is off by a part of 1e-3 that depends on the direction."""

    @staticmethod
    def forward(ctx, w):
        return w.clone()

    @staticmethod
    def backward(ctx, gradient):
        return NoisyGradient.apply(gradient)


class NoisyGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient):
        return gradient.clone()

    @staticmethod
    def backward(ctx, vector):
        return vector * (1 + 1e-3 * torch.sin(1e6 * vector))


def test_products_that_are_not_exact_are_told_by_the_residual():
    spectrum = torch.cat([torch.linspace(0, 1, 300), torch.tensor([2.0])]).double()
    point = torch.ones(301, dtype=torch.float64)
    found = curvature.sharpness(lambda w: along(spectrum)(NoisyProducts.apply(w)), point, tolerance=1e-6)
    assert not found.converged
    assert abs(found.value - 2.0) <= found.residual < 0.1


def orthogonal_to_the_start(size, count, seed=0):
    """Orthonormal columns that the first direction of a seed has no part in."""
    start = random_direction(torch.zeros(size, dtype=torch.float64), seed)
    noise = torch.randn(size, count, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return torch.linalg.qr(torch.column_stack([start, noise]))[0][:, 1:]


@pytest.mark.parametrize(
    ("size", "outside", "rest"),
    [
        (2, [10.0], 1.0),
        (3, [10.0], 1.0),
        (3, [10.0, 4.0], 1.0),
        (10, [3.0, 3.0, 3.0], -1.0),
        (60, [5.0, 4.0, 3.0, 2.0], 1.0),
        (200, [1e-3], 0.0),
        (200, [-2.0], -5.0),
    ],
)
@pytest.mark.parametrize("basis_size", [3, 50])
def test_an_exhausted_space_is_not_the_whole_space(size, outside, rest, basis_size):
    """The first direction is an eigenvector, or its Krylov space invariant, and the top one lies outside."""
    columns = orthogonal_to_the_start(size, len(outside))
    values = torch.tensor(outside, dtype=torch.float64)
    hessian = rest * torch.eye(size, dtype=torch.float64) + columns @ torch.diag(values - rest) @ columns.T
    point = torch.zeros(size, dtype=torch.float64)
    dense = float(torch.linalg.eigvalsh(hessian)[-1])
    found = curvature.sharpness(lambda w: 0.5 * w @ hessian @ w, point, seed=0, basis_size=basis_size)
    assert found.converged
    assert found.value == pytest.approx(dense, rel=1e-8)
    assert abs(found.value - dense) <= found.residual + 1e-15


def test_blocks_of_zeros_and_many_copies_of_the_top():
    spectrum = torch.zeros(500, dtype=torch.float64)
    spectrum[100:140] = torch.arange(40, dtype=torch.float64) % 4  # 0, 1, 2 and 3, ten times each
    found = curvature.sharpness(along(spectrum), torch.zeros(500, dtype=torch.float64))
    assert (found.converged, found.value) == (True, pytest.approx(3.0, rel=1e-12))
    assert found.products < 20


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_few_weights(size, dtype):
    spectrum = torch.tensor([-3.0, 2.0, 5.0][:size], dtype=dtype)
    found = curvature.sharpness(along(spectrum), torch.zeros(size, dtype=dtype))
    assert found.converged
    assert abs(found.value - float(spectrum.max())) <= found.residual < 1e-5
    assert found.products <= size + 1


def test_what_is_not_looked_at_for_want_of_products_is_not_called_converged():
    columns = orthogonal_to_the_start(50, 1)
    hessian = torch.eye(50, dtype=torch.float64) + 9 * columns @ columns.T
    found = curvature.sharpness(
        lambda w: 0.5 * w @ hessian @ w, torch.zeros(50, dtype=torch.float64), max_products=2, seed=0
    )
    assert not found.converged


@pytest.mark.parametrize("scale", [1e-30, 1e-200, 1e-290])
def test_tiny_curvature_does_not_underflow(scale):
    spectrum = torch.cat([torch.linspace(0, 1, 100), torch.tensor([2.0])]).double() * scale
    found = curvature.sharpness(along(spectrum), torch.ones(101, dtype=torch.float64), tolerance=1e-8)
    assert (found.converged, found.value) == (True, pytest.approx(2 * scale, rel=1e-10))


@pytest.mark.parametrize("start", [[0.0, 0.0], [1.0, float("nan")], [float("inf"), 0.0]])
def test_a_start_without_a_direction_is_refused(start):
    with pytest.raises(ValueError, match="start must be finite and not zero"):
        curvature.sharpness(along(torch.ones(2)), torch.ones(2), start=torch.tensor(start))


def test_one_product_more_than_the_krylov_space_takes(small_network):
    loss, w = small_network
    space = Lanczos(curvature.hessian_vector_product(loss, w), random_direction(w), 50)
    while space.products < 12 or space.residual() + space.rounding > 0.999e-6 * space.values[-1]:
        space.extend()
    assert curvature.sharpness(loss, w, tolerance=1e-6).products == space.products + 1


@pytest.mark.slow
def test_a_product_reads_back_once():
    """Each reading waits for all that a GPU has been given to do."""
    spectrum = torch.linspace(0, 1, 1000)
    space = Lanczos(lambda v: spectrum * v, random_direction(spectrum), 12)
    reads = ReadBacks()
    with reads:
        for _ in range(12):
            space.extend()
    assert reads.count == 12
