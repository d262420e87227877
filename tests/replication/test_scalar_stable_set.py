"""The stable set of Damian et al. at depth 3, found numerically, against what the formulas say of it."""

import numpy as np
import pytest

from gfsharp import scalar
from replication.studies.scalar.stable_set import stable_set


@pytest.fixture(scope="module")
def found():
    products = np.array([-0.5, 0.05, 0.2, 0.35, 0.45, 0.55, 0.7, 0.95, 1.05, 1.5])
    return stable_set(0.2, products, log_ratio=2.0, shapes=41)


def test_points_belong_to_the_set(found):
    assert len(found.points) > 100
    assert (scalar.sharpness(found.points) <= 10).all()
    vectors = np.linalg.eigh(scalar.hessian(found.points))[1][..., -1]
    gradients = scalar.gradient(found.points)
    cosine = np.sum(vectors * gradients, axis=-1) / np.linalg.norm(gradients, axis=-1)
    np.testing.assert_allclose(cosine, 0, atol=1e-10)
    assert (scalar.loss(found.points) > 0.1).all()


def test_products_are_at_most_one_half_and_two_smallest_weights_tie(found):
    products = scalar.product(found.points)
    assert set(np.round(products, 9)) == {0.05, 0.2, 0.35, 0.45}
    magnitudes = np.sort(np.abs(found.points), axis=-1)
    np.testing.assert_allclose(magnitudes[:, 0], magnitudes[:, 1], rtol=1e-9)


def test_cosines_vanish_in_the_component_only(found):
    inside = (found.products > 0) & (found.products < 0.5)
    assert (found.least_cosine[inside] < 1e-9).all()
    assert (found.least_cosine[~inside] > 0.5).all()


def test_without_stable_shapes_there_is_no_cosine():
    assert np.isnan(stable_set(0.2, np.array([50.0]), log_ratio=1.0, shapes=11).least_cosine).all()
