"""The positive invariant set against its definition, evaluated densely and in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from gfsharp import scalar
from gfsharp.scalar.invariant_set import GFS_SHARPNESS_BOUND, invariant_set_margin, keeps_products

seeds = st.integers(0, 2**32 - 1)


def sample(seed, depth, count, reach=1.3):
    """Weights and step sizes on both sides of the set's boundary."""
    generator = np.random.default_rng(seed)
    z = np.exp(generator.uniform(0, 1.5, size=(count, 1)) * generator.normal(size=(count, depth)))
    z /= np.prod(z, axis=-1, keepdims=True) ** (1 / depth)
    eta = generator.uniform(0.05, reach, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
    return scalar.gradient_flow_point(z, generator.uniform(0.01, 1.9, size=count)), eta


def margin_by_dense_search(w, eta):
    """The definition taken literally: F on 20,000 points of the class, the best polished, its first zero by brentq."""
    squares = w**2 - np.min(w**2)

    def product(t):
        return np.sqrt(np.prod(squares + np.exp(t)))

    def after(t):
        x = product(t)
        return x * np.prod(1 + eta * (1 - x) * x / (squares + np.exp(t)))

    one = np.log(np.min(scalar.gradient_flow_solution(w) ** 2))
    grid = np.linspace(one - 60, one, 20_001)
    values = np.array([after(t) for t in grid])
    best = int(np.argmax(values))
    largest = values[best]
    if 0 < best < len(grid) - 1:
        polished = minimize_scalar(
            lambda t: -after(t), bounds=(grid[best - 1], grid[best + 1]), method="bounded", options={"xatol": 1e-12}
        )
        largest = max(largest, -polished.fun)

    def zero(t):
        return eta * (product(t) - 1) * product(t) - np.exp(t)

    high = one
    while zero(high) < 0:
        high += 0.5
    first_zero = product(brentq(zero, high - 0.5, high, xtol=1e-14))
    room = np.log(first_zero / max(1, largest, np.prod(w)))
    return min(room, np.log(GFS_SHARPNESS_BOUND / eta / scalar.gfs_sharpness(w)))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_decision_and_margin_against_a_dense_search(depth):
    w, eta = sample(depth, depth, 12)
    expected = np.array([margin_by_dense_search(*pair) for pair in zip(w, eta, strict=True)])
    np.testing.assert_allclose(invariant_set_margin(w, eta), expected, atol=2e-6)
    np.testing.assert_array_equal(scalar.in_invariant_set(w, eta), expected > 0)
    assert (expected > 0).any()
    assert (expected < 0).any()


def test_boundary_is_found_to_the_last_digits():
    """Depth 2, w_1 = w_2: F(x) = x (1 + eta (1 - x))^2 rises to 4 (1 + eta)^3 / (27 eta), and its zero is 1 + 1/eta."""
    boundary = np.sqrt(27 / 4) - 1
    w = np.sqrt([0.5, 0.5])
    assert keeps_products(w, boundary * (1 - 1e-12))
    assert not keeps_products(w, boundary * (1 + 1e-12))


def test_depth_one():
    """F(x) = x + eta (1 - x): the zero is at eta / (eta - 1), the supremum of F below it is eta."""
    assert scalar.in_invariant_set([[0.5], [1.5], [0.5]], [0.7, 0.7, 1.9]).all()
    assert not scalar.in_invariant_set([[0.5], [2.2], [-0.5]], [2.1, 1.9, 0.7]).any()


def test_each_condition_alone_keeps_a_point_out():
    w, eta = np.array([1.2, 0.9]), 0.5
    assert scalar.in_invariant_set(w, eta)
    assert not scalar.in_invariant_set(-w * [1, -1], eta)  # the product is negative
    assert not scalar.in_invariant_set(3 * w, eta)  # the product is beyond the first zero
    sharp = scalar.gradient_flow_point([2.5, 0.4], 1.0)
    steep = 1.01 * GFS_SHARPNESS_BOUND / scalar.gfs_sharpness(sharp)
    assert not scalar.in_invariant_set(sharp, steep)


def test_signs_and_order_of_weights_do_not_matter():
    w, eta = sample(0, 4, 200)
    expected = scalar.in_invariant_set(w, eta)
    np.testing.assert_array_equal(scalar.in_invariant_set(w[:, ::-1] * [-1, 1, -1, 1], eta), expected)


def test_what_is_not_in_the_set_leaves_the_batch_unharmed():
    w = np.array([[1.1, 0.9], [np.nan, 1], [np.inf, 1], [0, 1], [-1, 1], [1e-150, 1e150], [1e150, 1e150]])
    assert scalar.in_invariant_set(w, 0.5).tolist() == [True] + 6 * [False]
    assert invariant_set_margin(w, 0.5)[0] > 0
    assert not (invariant_set_margin(w, 0.5)[1:] > 0).any()


@pytest.mark.parametrize("decades", [60, 76, 100, 149])
def test_very_sharp_solutions(decades):
    w = np.array([10.0**decades, 10.0**-decades])
    phi = scalar.gfs_sharpness(w)
    # With one weight tiny F(x) = x + eta phi (1 - x), whose supremum is eta phi and whose zero eta phi / (eta phi - 1).
    assert scalar.in_invariant_set(w, 1.9 / phi)
    assert invariant_set_margin(w, 1.9 / phi) == pytest.approx(np.log(1.9 / 0.9 / 1.9), abs=1e-5)
    assert not scalar.in_invariant_set(w, 2.01 / phi)


@pytest.mark.parametrize("w", [[1e-100] * 3, [1e-150] * 3, [1e-6] * 64])
def test_products_below_the_range_are_still_positive(w):
    assert scalar.in_invariant_set(w, 0.01)
    assert not scalar.in_invariant_set(np.array(w) * ([-1] + [1] * (len(w) - 1)), 0.01)


def test_batches_of_any_shape_and_step_sizes_that_broadcast():
    w, _ = sample(1, 3, 6)
    inside = scalar.in_invariant_set(w.reshape(2, 3, 3), [[0.1], [0.6]])
    assert inside.shape == (2, 3)
    assert inside[1, 2] == scalar.in_invariant_set(w[5], 0.6)
    assert scalar.in_invariant_set(np.empty((0, 3)), 0.1).shape == (0,)
    assert scalar.in_invariant_set([1.1, 0.9], 0.5).shape == ()


@pytest.mark.slow
@given(seeds, st.integers(2, 16))
def test_decision_agrees_with_the_margin(seed, depth):
    w, eta = sample(seed, depth, 20)
    margin = invariant_set_margin(w, eta)
    clear = np.abs(margin) > 1e-6
    np.testing.assert_array_equal(scalar.in_invariant_set(w, eta)[clear], margin[clear] > 0)


@pytest.mark.parametrize("eta", [0.0, -0.1, np.nan, np.inf])
def test_step_sizes_out_of_range_are_refused(eta):
    for function in (scalar.in_invariant_set, scalar.gd_step, scalar.gpgd_step):
        with pytest.raises(ValueError, match=f"positive and finite, found {eta}"):
            function([1.0, 2.0], eta)


def test_step_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"step sizes of shape \(3,\) do not broadcast"):
        scalar.in_invariant_set(np.ones((2, 4)), [0.1, 0.2, 0.3])
    with pytest.raises(TypeError, match="step sizes must be floats"):
        scalar.gd_step([1.0, 2.0], 1j)
