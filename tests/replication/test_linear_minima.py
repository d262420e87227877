"""The minimisers of linear networks: samples, ranks, the smallest sharpness, and how far out the stable ones lie."""

import numpy as np
import pytest

from replication.studies.linear import LinearNetwork, cases, minimisers, stable_minima

VALUES = [1.0, 0.6, 0.5]


@pytest.mark.parametrize("idle", [0.0, 1.0])
@pytest.mark.parametrize(
    "widths", [(2, 2), (2, 2, 2), (3, 4, 2), (2, 4, 3), (2, 3, 3, 2), (3, 1, 2, 3), (4, 2, 5, 3, 4)], ids=cases.name
)
def test_samples_are_minimisers_and_their_rank_is_the_codimension(widths, idle):
    network = cases.gaussian_network(widths, 9, 0)
    w = minimisers.sample(network, 40, 0, idle=idle)
    # The weights are of order one; the inverses of the mixing matrices lose a digit or two.
    np.testing.assert_allclose(network.loss(w), network.least_loss, atol=1e-12)
    assert np.abs(network.gradient(w)).max() < 1e-11
    assert (np.linalg.eigvalsh(network.hessian(w))[:, 0] > -1e-10).all()
    found = minimisers.ranks(network, w)
    assert set(found.rank) == set(found.hessian_rank) == {minimisers.codimension(network)}
    assert found.largest_dropped.max() < 1e-13 < 1e-4 < found.least_kept.min()


def test_where_the_rank_is_deficient_the_minimisers_cross():
    network = cases.diagonal_network((2, 2, 2), [1.0, 0.0])
    assert not minimisers.is_full_rank(network)
    ranks = [set(minimisers.ranks(network, minimisers.sample(network, 20, 0, idle=idle)).rank) for idle in (0, 1)]
    assert ranks == [{3}, {4}]


def test_the_tangent_space_is_the_kernel():
    """A step along the kernel leaves the product to second order, a step across does not."""
    network = cases.gaussian_network((2, 3, 2), 9, 0)
    w = minimisers.sample(network, 1, 0)[0]
    basis = np.linalg.svd(network.residual_jacobian(w))[2]
    rank = minimisers.codimension(network)
    changes = [np.abs(network.product(w + 1e-4 * v) - network.best_product).max() for v in basis]
    assert max(changes[rank:]) < 1e-7
    assert min(changes[:rank]) > 1e-6


@pytest.mark.parametrize("widths", [(1, 1, 1, 1), (2, 2, 2), (3, 3, 3, 2), (3, 1, 1, 3), (2, 3, 3, 2)], ids=cases.name)
def test_the_smallest_sharpness_is_that_of_the_closed_form(widths):
    network = cases.diagonal_network(widths, [2.0, 1.5, 0.8])
    least = minimisers.least_sharpness(network)
    balanced = minimisers.sample(network, 1, 0, spread=0.0, idle=0.0)[0]
    assert network.sharpness(balanced) == pytest.approx(least, rel=1e-12)
    assert minimisers.search_least_sharpness(network, starts=2) == pytest.approx(least, rel=1e-6)
    assert (network.sharpness(minimisers.sample(network, 200, 1, spread=0.2, idle=0.2)) >= least).all()


def test_the_closed_form_is_for_whitened_data_alone():
    network = cases.gaussian_network((2, 2, 2), 6, 0)
    with pytest.raises(ValueError, match="whitened"):
        minimisers.least_sharpness(network)
    found = minimisers.search_least_sharpness(network)
    sampled = network.sharpness(minimisers.sample(network, 2000, 0, spread=0.3, idle=0.0))
    assert found <= sampled.min()
    assert found > 0.8 * sampled.min()


@pytest.mark.parametrize("widths", [(2, 3, 2), (2, 3, 2, 2)], ids=cases.name)
def test_gradients_of_eigenvalues_are_those_of_differences(widths):
    network = cases.gaussian_network(widths, 6, 0)
    generator = np.random.default_rng(0)
    w, v = generator.normal(size=network.size), generator.normal(size=(2, network.size))
    h = 1e-4
    for one, found in zip(v, stable_minima.eigenvalue_gradients(network, w, v), strict=True):
        forms = [
            (one @ network.hessian(w + h * e) @ one - one @ network.hessian(w - h * e) @ one) / (2 * h)
            for e in np.eye(network.size)
        ]
        np.testing.assert_allclose(found, forms, atol=1e-5)


BOUNDED = [(1, 1, 1), (1, 1, 1, 1), (2, 2, 2), (2, 4, 2), (2, 2, 2, 2), (3, 1, 1, 3), (2, 2, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("widths", BOUNDED, ids=cases.name)
def test_stable_minima_stay_within_the_bound(widths):
    network = cases.diagonal_network(widths, VALUES)
    eta = 1 / minimisers.least_sharpness(network)
    assert stable_minima.kind(network) == "bounded"
    limit = stable_minima.bound(network, eta)
    norms = [np.linalg.norm(stable_minima.farthest(network, eta, r, starts=3, seed=0)) for r in (30.0, 300.0)]
    # The two searches end at the same local optimum but for the optimiser's tolerance.
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    assert norms[0] <= limit
    w = minimisers.sample(network, 20_000, 0, spread=0.7)
    stable = w[network.sharpness(w) <= 2 / eta]
    assert len(stable) > 10
    assert np.linalg.norm(stable, axis=-1).max() <= norms[0] * (1 + 1e-6)


@pytest.mark.parametrize("eta", [0.05, 0.3])
def test_bounds_hold_on_data_that_are_not_whitened(eta):
    network = cases.gaussian_network((2, 2, 2, 2), 9, 0)
    w = minimisers.sample(network, 20_000, 0, spread=0.7)
    stable = w[network.sharpness(w) <= 2 / eta]
    assert len(stable)
    assert np.linalg.norm(stable, axis=-1).max() <= stable_minima.bound(network, eta)


def test_at_depth_two_and_width_one_the_search_finds_the_circle():
    """``w_1 w_2 = 1``, ``1/w_1^2 + 1/w_2^2 = w_1^2 + w_2^2 <= 2/eta``."""
    network = cases.diagonal_network((1, 1, 1), [1.0])
    found = stable_minima.farthest(network, 0.25, 100.0, starts=3, seed=0)
    assert found @ found == pytest.approx(8.0, rel=1e-6)


def test_without_a_stable_minimum_none_is_found():
    network = cases.diagonal_network((2, 2, 2), VALUES)
    eta = 1.05 * 2 / minimisers.least_sharpness(network)
    assert np.isnan(stable_minima.farthest(network, eta, 100.0, starts=3, seed=0)).all()


WIDE = [(2, 3, 3, 2), (1, 2, 2, 1), (2, 3, 4, 3, 2), (2, 2, 3, 3, 2)]


@pytest.mark.parametrize("widths", WIDE, ids=cases.name)
@pytest.mark.parametrize("distance", [0.0, 10.0, 1e4])
def test_wide_networks_have_minima_of_least_sharpness_anywhere(widths, distance):
    network = cases.diagonal_network(widths, VALUES)
    assert stable_minima.kind(network) == "unbounded"
    assert stable_minima.bound(network, 0.1) == np.inf
    w = stable_minima.escape(network, distance)
    # Rounding of the products that vanish is relative to the distance.
    assert network.loss(w) < 1e-20
    assert network.sharpness(w) == pytest.approx(minimisers.least_sharpness(network), rel=1e-9)
    assert np.linalg.norm(w) >= distance


def test_the_search_follows_its_radius_on_wide_networks():
    network = cases.diagonal_network((2, 3, 3, 2), VALUES)
    eta = 1 / minimisers.least_sharpness(network)
    for radius in (10.0, 100.0):
        found = stable_minima.farthest(network, eta, radius, starts=2, seed=0)
        assert np.linalg.norm(found) == pytest.approx(radius, rel=1e-4)


def test_networks_between_the_two_are_called_open_and_cannot_escape():
    network = cases.diagonal_network((2, 3, 2, 2), VALUES)
    assert stable_minima.kind(network) == "open"
    with pytest.raises(ValueError, match="wider than the product's rank"):
        stable_minima.escape(network, 1.0)


def test_the_idle_weight_is_in_no_entry_of_product_and_hessian():
    """Exactly: both are polynomials of the idle weight of a degree below ten, and alike at ten values of it."""
    network = LinearNetwork((1, 2, 2, 1), [[1.0]], [[1.0]])
    # Powers of two, whose products are exact; 2 * 1/4 * 2 = 1.
    idle = np.arange(10.0)
    w = np.zeros((10, network.size))
    w[:, [0, 2, 6]] = 2.0, 0.25, 2.0
    w[:, 5] = idle
    assert (network.product(w) == 1).all()
    assert (network.hessian(w) == network.hessian(w[0])).all()
    # It is in the Hessian where the loss is not the least.
    w[:, 0] = 1.0
    assert (network.product(w) == 0.5).all()
    assert not (network.hessian(w) == network.hessian(w[0])).all()
