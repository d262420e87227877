"""Largest eigenvalues by power iteration with a bound, against all eigenvalues."""

import numpy as np
import pytest

from gfsharp.spectrum import largest_eigenvalue, largest_eigenvalue_semidefinite


def semidefinite(eigenvalues, count=20, seed=0):
    generator = np.random.default_rng(seed)
    size = len(eigenvalues)
    q = np.linalg.qr(generator.normal(size=(count, size, size)))[0]
    return (q * np.asarray(eigenvalues)) @ np.swapaxes(q, -1, -2)


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [10.0, 1.0, 0.5, 0.1],  # stands apart
        [1.0, 0.999, 0.3, 0.0],  # close
        [1.0, 1.0, 1.0, 1.0],  # all the same
        [1.0, 0.6, 0.6, 0.6],  # apart, but not from the bound on the others
        [1e-12, 1e-14, 0.0, 0.0],
        [1e200, 1e199, 0.0, 0.0],
        [3.0],
        [0.0, 0.0],
    ],
)
def test_against_the_eigenvalues_it_is_made_of(eigenvalues):
    found = largest_eigenvalue_semidefinite(semidefinite(eigenvalues))
    np.testing.assert_allclose(found, eigenvalues[0], rtol=1e-12, atol=1e-14)


def test_a_start_without_a_top_component_is_no_trap():
    """The largest diagonal entry belongs to an eigenvector of its own, below the top of the other block."""
    matrix = np.zeros((4, 4))
    matrix[0, 0] = 1.1
    matrix[1:, 1:] = 1.0 / 3 + np.eye(3) * 0.5
    assert largest_eigenvalue_semidefinite(matrix) == pytest.approx(1.5)


def test_shapes_and_what_is_not_finite():
    matrices = semidefinite([5.0, 1.0, 0.2]).reshape(4, 5, 3, 3)
    matrices[1, 2, 0, 0] = np.nan
    found = largest_eigenvalue_semidefinite(matrices)
    assert found.shape == (4, 5)
    assert np.isnan(found[1, 2])
    assert np.isnan(found).sum() == 1
    assert np.isnan(largest_eigenvalue(matrices)).sum() == 1
    assert largest_eigenvalue_semidefinite(np.empty((0, 3, 3))).shape == (0,)
