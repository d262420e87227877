"""Eigenpairs, layers and spectral density against dense Hessians, and operators of SciPy and others."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh
from torch import nn

from gfsharp.curvature import layer_sharpness, sharpness
from gfsharp.eigenpairs import eigenpairs
from gfsharp.networks import flat_loss
from gfsharp.operators import Hessian, product_of
from gfsharp.spectral_density import spectral_density


def network(dtype=torch.float64, activation=nn.Tanh):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(6, 9), activation(), nn.Linear(9, 5), activation(), nn.Linear(5, 3)).to(dtype)
    return flat_loss(module, torch.randn(20, 6).to(dtype), torch.randn(20, 3).to(dtype))


def dense(loss, w):
    return torch.autograd.functional.hessian(lambda v: loss(v), w).numpy().astype(float)


@pytest.fixture(scope="module")
def small():
    loss, w = network()
    return loss, w, dense(loss, w)


@pytest.mark.parametrize("k", [1, 2, 7, 30, 131])
@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_eigenpairs_are_those_of_the_dense_hessian(small, k, which):
    loss, w, matrix = small
    found = eigenpairs(loss, w, k, which=which, tolerance=1e-6)
    expected = np.linalg.eigvalsh(matrix)
    expected = expected[::-1][:k] if which == "largest" else expected[:k]
    scale = np.abs(expected).max()
    assert found.converged
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-6 * scale)
    vectors = found.vectors.numpy()
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(k), atol=1e-12)
    residuals = np.linalg.norm(matrix @ vectors.T - vectors.T * found.values, axis=0)
    np.testing.assert_allclose(found.residuals, residuals, atol=1e-10)
    assert residuals.max() <= 1e-6 * scale


@pytest.mark.parametrize("size", [5, 40, 400])
@pytest.mark.parametrize("top", [[3.0] * 4, [3.0, 3.0, 2.0, 2.0], [3.0, 3.0 - 1e-9, 3.0 - 2e-9, 1.5]])
def test_an_eigenvalue_that_occurs_several_times_is_found_as_often(size, top):
    values = np.concatenate([top, np.linspace(-2.0, 1.0, size - len(top))])
    rotation = np.linalg.qr(np.random.default_rng(size).normal(size=(size, size)))[0]
    matrix = torch.from_numpy(rotation @ np.diag(values) @ rotation.T)
    found = eigenpairs(matrix, torch.zeros(size, dtype=torch.float64), 4)
    assert found.converged
    np.testing.assert_allclose(found.values, top, atol=1e-7)


def test_a_vector_that_the_first_direction_has_no_part_in_is_found():
    """The Krylov space of the start is exhausted after two products, and does not hold the largest eigenvalue."""
    size = 30
    start = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start /= start.norm()
    away = torch.linalg.qr(torch.stack([start, torch.ones(size, dtype=torch.float64)], dim=1))[0][:, 1]
    found = eigenpairs(torch.eye(size, dtype=torch.float64) + 9 * torch.outer(away, away), start, 2, seed=0)
    np.testing.assert_allclose(found.values, [10.0, 1.0])


def test_an_eigenvalue_of_zero_is_known_to_rounding():
    """As at a minimum with more weights than samples."""
    scales = torch.linspace(0, 1, 150, dtype=torch.float64) ** 3
    found = eigenpairs(torch.diag(scales), scales, 1, which="smallest")
    assert found.converged
    assert abs(found.values[0]) < 1e-14


def test_float32_residuals_hold_what_rounding_does():
    loss, w = network(torch.float32)
    found = eigenpairs(loss, w, 5)
    expected = np.linalg.eigvalsh(dense(*network()))[::-1][:5]
    assert found.converged
    assert found.values.dtype == np.float64
    assert found.vectors.dtype == torch.float32
    # Network and data are rounded to float32 too.
    np.testing.assert_allclose(found.values, expected, rtol=3e-6, atol=1e-6 * expected[0])


def test_a_budget_that_is_used_up_is_no_convergence(small):
    loss, w, _ = small
    found = eigenpairs(loss, w, 4, tolerance=1e-10, max_products=9)
    assert not found.converged
    assert found.products <= 9
    assert found.values.shape == found.residuals.shape == (4,)
    assert found.residuals.max() > 1e-10 * found.values[0]


def test_the_same_seed_gives_the_same_bytes_and_the_globals_are_left_alone(small):
    loss, w, _ = small
    state = torch.get_rng_state()
    first, second = (eigenpairs(loss, w, 3) for _ in range(2))
    assert torch.equal(first.vectors, second.vectors)
    assert torch.equal(torch.get_rng_state(), state)


class OfAnotherLibrary:
    """What takes torch vectors by ``@``, as the operators of curvlinops do."""

    def __init__(self, matrix):
        self._matrix, self.shape = matrix, tuple(matrix.shape)

    def __matmul__(self, vector):
        return self._matrix @ vector


class ToNumPy:
    """What takes torch vectors and returns others."""

    def __matmul__(self, vector):
        return vector.numpy()


@pytest.mark.parametrize("wrap", [torch.from_numpy, aslinearoperator, lambda m: OfAnotherLibrary(torch.from_numpy(m))])
def test_operators_of_other_libraries(small, wrap):
    loss, w, matrix = small
    np.testing.assert_allclose(eigenpairs(wrap(matrix), w, 3).values, eigenpairs(loss, w, 3).values, rtol=1e-7)


def test_ours_for_scipy(small):
    loss, w, matrix = small
    hessian = Hessian(loss, w)
    np.testing.assert_allclose((hessian @ torch.eye(len(w), dtype=w.dtype)).numpy(), matrix, atol=1e-12)
    values = eigsh(hessian.linear_operator(), k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(values)[::-1], eigenpairs(hessian, w, 3).values, rtol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda w: eigenpairs(3.0, w), TypeError, "a loss of flat weights or a symmetric operator, found float"),
        (lambda w: eigenpairs(torch.eye(3), w), ValueError, r"must have the shape \(131, 131\), found \(3, 3\)"),
        (lambda w: eigenpairs(torch.eye(131), w, 132), ValueError, "at most the number of weights, 131, found 132"),
        (lambda w: eigenpairs(torch.eye(131), w, which="LM"), ValueError, "'largest' or 'smallest', found 'LM'"),
        (lambda w: eigenpairs(torch.eye(131), w, 5, max_products=9), ValueError, "at least 2 k, 10, found 9"),
        (lambda w: eigenpairs(torch.eye(131).double() * torch.nan, w), FloatingPointError, "is not finite"),
        (lambda w: product_of(LinearOperator((131, 131), lambda v: 1j * v), w)(w), TypeError, "complex"),
        (lambda w: product_of(ToNumPy(), w)(w), ValueError, "take a torch vector of 131 weights .*, found ndarray"),
    ],
)
def test_what_cannot_be_meant_is_refused(small, wrong, error, message):
    with pytest.raises(error, match=message):
        wrong(small[1])


def test_a_layer_s_sharpness_is_that_of_its_block(small):
    loss, w, matrix = small
    assert loss.layers == {"0": slice(0, 63), "2": slice(63, 113), "4": slice(113, 131)}
    found = layer_sharpness(loss, w, loss.layers)
    for name, place in loss.layers.items():
        expected = np.linalg.eigvalsh(matrix[place, place])[-1]
        assert abs(found[name].value - expected) <= found[name].residual + 1e-12
        assert found[name].value <= sharpness(loss, w).value + 1e-9


def test_layers_of_a_module_with_shared_and_frozen_weights():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4)), nn.Linear(4, 2)).double()
    module[1][1].weight = module[0].weight
    module[2].bias.requires_grad_(False)
    loss, w = flat_loss(module, torch.randn(9, 4).double(), torch.randn(9, 2).double())
    assert loss.layers == {"0": slice(0, 20), "1.0": slice(20, 28), "1.1": slice(28, 32), "2": slice(32, 40)}
    assert len(w) == 40


@pytest.mark.slow
def test_the_trace_lies_within_three_standard_errors(small):
    loss, w, matrix = small
    outside = 0
    for seed in range(20):
        found = spectral_density(loss, w, vectors=12, steps=8, seed=seed)
        outside += abs(found.trace - np.trace(matrix)) > 3 * found.trace_error
    assert outside <= 2  # of a t distribution of 11 degrees of freedom 1.2 percent are: more than two, one time in 600
    many = spectral_density(loss, w, vectors=400, steps=2)
    assert abs(many.trace - np.trace(matrix)) < 4 * many.trace_error < 0.2 * np.trace(matrix)


@pytest.mark.slow
def test_the_density_is_that_of_the_eigenvalues(small):
    loss, w, matrix = small
    eigenvalues = np.linalg.eigvalsh(matrix)
    width = 0.05 * eigenvalues[-1]
    grid = np.linspace(eigenvalues[0] - 6 * width, eigenvalues[-1] + 6 * width, 2001)
    found = spectral_density(loss, w, vectors=400, steps=40)
    exact = np.exp(-0.5 * ((grid[:, None] - eigenvalues) / width) ** 2).mean(axis=1) / (width * np.sqrt(2 * np.pi))
    density = found.density(grid, width)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-6)
    # The share of one eigenvalue of 131 is drawn with an error of about sqrt(2 / 400) of itself.
    assert np.trapezoid(np.abs(density - exact), grid) < 0.05
    assert found.products == 400 * 40
