"""Scalar networks against closed forms, higher precision, finite differences and the integrated flow."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import solve_ivp

from gfsharp import scalar
from replication.benchmarks.scalar import exact as gfs_sharpness_at_50_digits

DEPTHS = [1, 2, 3, 4, 8, 16, 64]

weights_of_any_depth = arrays(np.float64, st.integers(1, 6), elements=st.floats(0.1, 3.0))


def random_weights(depth, size, spread, seed=0):
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], size=(size, depth))
    return signs * np.exp(spread * generator.normal(size=(size, depth)))


@pytest.mark.parametrize("depth", DEPTHS)
def test_gradient_and_hessian_are_derivatives(depth):
    step = 1e-30
    for w in random_weights(depth, 5, 0.2):
        # The complex step has no subtraction, so it is exact to rounding.
        products = [np.prod(w + 1j * step * np.eye(depth)[i]) for i in range(depth)]
        by_complex_step = [np.imag((product - 1) ** 2 / 2) / step for product in products]
        np.testing.assert_allclose(scalar.gradient(w), by_complex_step, rtol=1e-11, atol=1e-13)
        h = 1e-6
        columns = [(scalar.gradient(w + h * e) - scalar.gradient(w - h * e)) / (2 * h) for e in np.eye(depth)]
        scale = max(1.0, np.abs(scalar.hessian(w)).max())
        np.testing.assert_allclose(scalar.hessian(w), np.transpose(columns), atol=1e-7 * scale)


def test_paper_forms_of_the_derivatives():
    w = np.array([1.3, -0.7, 0.4, 2.0])
    pi = np.prod(w)
    np.testing.assert_allclose(scalar.gradient(w), (pi - 1) * pi / w)
    hessian = scalar.hessian(w)
    np.testing.assert_allclose(np.diag(hessian), pi**2 / w**2)
    assert hessian[0, 1] == pytest.approx((2 * pi - 1) * pi / (w[0] * w[1]))


def test_derivatives_exist_at_zero_weights():
    w = np.array([0.0, 2.0, 3.0])
    np.testing.assert_allclose(scalar.gradient(w), [-6.0, 0.0, 0.0])
    np.testing.assert_allclose(scalar.hessian(w), [[36.0, -3.0, -2.0], [-3.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])


def test_hessian_is_diagonal_at_product_one_half():
    hessian = scalar.hessian([0.5, 2.0, 0.5])
    np.testing.assert_allclose(hessian, np.diag(np.diag(hessian)), atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("spread", [0.3, 3.0, 20.0])
def test_gfs_sharpness_against_high_precision(depth, spread):
    w = np.clip(np.abs(random_weights(depth, 6, spread)), 1e-150, 1e150)
    for weights, value in zip(w, scalar.gfs_sharpness(w), strict=True):
        exact = gfs_sharpness_at_50_digits(weights)
        if exact > mpmath.mpf("1.7e308"):
            assert value == np.inf
        else:
            assert abs(value - exact) / exact < 1e-13


def test_depth_two_closed_form():
    w = random_weights(2, 200, 1.0)
    w[:, 1] = np.abs(w[:, 1]) * np.sign(w[:, 0])
    a, b = w[:, 0] ** 2, w[:, 1] ** 2
    c = (np.sqrt((a - b) ** 2 + 4) - (a + b)) / 2
    solution = scalar.gradient_flow_solution(w)
    np.testing.assert_allclose(solution**2, np.stack([a + c, b + c], axis=-1), rtol=1e-9)
    np.testing.assert_array_equal(np.sign(solution), np.sign(w))


@pytest.mark.parametrize(
    "w",
    [
        [1.5, 0.8, 0.3],
        [2.0, -1.5, -0.4],
        [1.2, 0.9, -0.3],  # the product is negative: the smallest weight changes sign on the way
        [1.2, -0.9, 0.0],
        [3.0, 2.0, 1.0],
        [-2.0],
    ],
)
def test_gfs_is_the_limit_of_gradient_flow(w):
    flow = solve_ivp(lambda _, x: -scalar.gradient(x), (0, 400), np.array(w), method="LSODA", rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(scalar.gradient_flow_solution(w), flow.y[:, -1], atol=1e-8)
    assert scalar.gfs_sharpness(w) == pytest.approx(scalar.sharpness(flow.y[:, -1]), rel=1e-7)


def test_no_solution_is_nan_and_leaves_the_batch_unharmed():
    w = np.array([[2.0, 0.5], [-1.0, 1.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1e200, 1.0]])
    sharpness = scalar.gfs_sharpness(w)
    assert sharpness[0] == pytest.approx(4.25)
    assert np.isnan(sharpness[1:]).all()
    assert np.isnan(scalar.gradient_flow_solution(w)[1:]).all()


def test_leading_axes_are_kept():
    w = np.abs(random_weights(4, 6, 0.5)).reshape(2, 3, 4)
    for function, shape in [
        (scalar.loss, (2, 3)),
        (scalar.sharpness, (2, 3)),
        (scalar.gfs_sharpness, (2, 3)),
        (scalar.gradient, (2, 3, 4)),
        (scalar.gradient_flow_solution, (2, 3, 4)),
        (scalar.hessian, (2, 3, 4, 4)),
        (scalar.balances, (2, 3, 4, 4)),
    ]:
        result = function(w)
        assert result.shape == shape
        np.testing.assert_array_equal(result[1, 2], function(w[1, 2]))


@pytest.mark.parametrize("depth", [2, 3, 6, 64])
def test_derivatives_of_extreme_weights(depth):
    """Products that leave float64's range on the way but not in the end, against 50 digits."""
    generator = np.random.default_rng(depth)
    exponents = generator.uniform(-150, 150, size=(20, depth))
    # Half of the products are 1000 or 1/1000: near 1 and 1/2 the derivatives are what rounding of the weights leaves.
    exponents[::2] += (generator.choice([-3, 3], size=10) - exponents[::2].sum(axis=-1))[:, None] / depth
    w = generator.choice([-1, 1], size=exponents.shape) * 10.0 ** np.clip(exponents, -150, 150)
    for row, gradient, hessian, product in zip(
        w, scalar.gradient(w), scalar.hessian(w), scalar.product(w), strict=True
    ):
        with mpmath.workdps(50):
            exact = [mpmath.mpf(float(x)) for x in row]
            pi = mpmath.fprod(exact)
            assert_within_range(product, pi)
            for i in range(depth):
                assert_within_range(gradient[i], (pi - 1) * pi / exact[i])
            for i in range(min(depth, 4)):
                assert_within_range(hessian[i, i], (pi / exact[i]) ** 2)
                if i:
                    assert_within_range(hessian[0, i], (2 * pi - 1) * pi / exact[0] / exact[i])


def test_a_zero_weight_beside_extreme_ones():
    """Alone and in a batch whose products leave float64's range."""
    np.testing.assert_allclose(scalar.gradient([0.0, 1e120, 1e120]), [-1e240, 0, 0])
    batch = np.array([[0.0, 1e10, 1e10], [1e150, 1e150, 1e150]])
    np.testing.assert_allclose(scalar.gradient(batch)[0], [-1e20, 0, 0])
    np.testing.assert_allclose(scalar.gd_step(batch, 1e-20)[0], [1.0, 1e10, 1e10])
    np.testing.assert_allclose(scalar.hessian(batch)[0], scalar.hessian(batch[0]))
    np.testing.assert_allclose(scalar.hessian(batch)[0, 0], [1e40, -1e10, -1e10])


@pytest.mark.parametrize("w", [[1e150, 1e150, 1.0], [1e80, 1e80, 1e-150], [1e80, 1e90, 1.0], [1e100, 1e100, 1e-100]])
def test_solutions_whose_smallest_square_leaves_the_range(w):
    solution = scalar.gradient_flow_solution(w)
    assert scalar.product(solution) == pytest.approx(1.0, rel=1e-11)
    assert solution[0] == w[0]


@pytest.mark.parametrize(
    ("w", "x", "smallest"),
    [
        ([1.0], 1e-300, 1e-300),
        ([2.0], 1e-170, 1e-170),
        ([2.0, 1.0], 1e-170, 1e-170 / 3**0.5),
        ([1e100, 3], 1e-100, 1e-200),
    ],
)
def test_points_with_tiny_weights(w, x, smallest):
    assert scalar.gradient_flow_point(w, x)[-1] == pytest.approx(smallest, rel=1e-11)


def test_gpgd_from_products_below_the_range():
    w = [1e-120, 2e-120, 3e-120]
    np.testing.assert_allclose(scalar.gpgd_step(w, 0.1), w, rtol=1e-10)


def test_one_network_gives_numbers_and_not_arrays():
    for value in (scalar.loss([2.0, 1.0]), scalar.gfs_sharpness([2.0, 1.0]), scalar.in_invariant_set([1.1, 0.9], 0.5)):
        assert isinstance(value, np.generic)


def assert_within_range(value, exact):
    if abs(exact) > mpmath.mpf("1.7e308"):
        assert np.isinf(value)
        assert np.sign(value) == mpmath.sign(exact)
    else:
        assert abs(value - exact) <= 1e-12 * abs(exact) + mpmath.mpf("1e-307")


@pytest.mark.parametrize("depth", [1, 2, 5, 64])
def test_gd_step_is_a_step_along_the_gradient(depth):
    w = random_weights(depth, 8, 0.3)
    eta = np.linspace(0.01, 0.2, 8)
    np.testing.assert_allclose(scalar.gd_step(w, eta), w - eta[:, None] * scalar.gradient(w))
    np.testing.assert_array_equal(scalar.gd_step(w[2], eta[2]), scalar.gd_step(w, eta)[2])


def test_product_and_balances_after_a_step_follow_equations_14_and_15():
    w, eta = random_weights(4, 30, 0.4), 0.05
    pi = scalar.product(w)
    after = scalar.gd_step(w, eta)
    factors = 1 + eta * ((1 - pi) * pi)[:, None] / w**2
    np.testing.assert_allclose(scalar.product(after), pi * np.prod(factors, axis=-1), rtol=1e-12)
    rate = 1 - (eta * (pi - 1) * pi)[:, None, None] ** 2 / (w[:, :, None] * w[:, None, :]) ** 2
    np.testing.assert_allclose(scalar.balances(after), scalar.balances(w) * rate, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("depth", DEPTHS)
def test_gpgd_keeps_the_class_and_takes_the_product_of_a_step(depth):
    w = random_weights(depth, 40, 0.3)
    eta = 0.1 / depth
    after = scalar.gpgd_step(w, eta)
    product = scalar.product(scalar.gd_step(w, eta))
    np.testing.assert_allclose(scalar.product(after), product, rtol=1e-11)
    # Where a step leads to a product far from that before, the squares dwarf their differences.
    squares = np.max(after**2, axis=-1)[:, None, None]
    assert (np.abs(scalar.balances(after) - scalar.balances(w)) <= 1e-14 * np.maximum(1, squares)).all()


def test_points_of_the_class_at_any_product():
    w = np.array([1.3, -0.8, 0.5])
    for x in (-3.0, -1e-8, 0.0, 1e-8, 0.4, 1.0, 50.0, 1e200, -1e200):
        point = scalar.gradient_flow_point(w, x)
        assert scalar.product(point) == pytest.approx(x, rel=1e-12, abs=1e-300)
        scale = np.max(point**2)
        np.testing.assert_allclose(scalar.balances(point), scalar.balances(w), atol=1e-13 * max(1.0, scale))
    np.testing.assert_array_equal(scalar.gradient_flow_point(w, 1.0), scalar.gradient_flow_solution(w))


def test_points_of_the_class_that_do_not_exist_are_nan():
    w = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    points = scalar.gradient_flow_point(w, [-0.5, 0.0, np.nan, np.inf, 0.5])
    assert np.isnan(points[:4]).all()
    assert scalar.product(points[4]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"products of shape \(3,\)"):
        scalar.gradient_flow_point(w, [1.0, 1.0, 1.0])


def test_a_gpgd_step_across_zero_changes_the_smallest_sign():
    w = np.array([[3.0, 0.9, 0.01], [3.0, 2.0, 1.0]])
    after = scalar.gpgd_step(w, 0.5)
    assert (scalar.product(scalar.gd_step(w, 0.5)) < 0).tolist() == [False, True]
    assert np.sign(after).tolist() == [[1, 1, 1], [1, 1, -1]]


def test_batches_larger_than_a_block_are_as_their_parts():
    w = np.abs(random_weights(3, 40_000, 0.8))
    whole = scalar.gfs_sharpness(w)
    np.testing.assert_allclose(whole[::1000], scalar.gfs_sharpness(w[::1000]), rtol=1e-14)
    assert scalar.gfs_sharpness(np.empty((0, 3))).shape == (0,)
    assert scalar.gradient(np.empty((2, 0, 3))).shape == (2, 0, 3)


@given(weights_of_any_depth)
def test_solution_interpolates_and_keeps_the_balances(w):
    solution = scalar.gradient_flow_solution(w)
    assert np.prod(solution) == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(scalar.balances(solution), scalar.balances(w), atol=1e-12 * max(1.0, np.max(w) ** 2))


@given(weights_of_any_depth)
def test_gfs_sharpness_is_that_of_the_solution(w):
    solution = scalar.gradient_flow_solution(w)
    assert scalar.gfs_sharpness(w) == pytest.approx(np.sum(1 / solution**2), rel=1e-12)
    assert scalar.sharpness(solution) == pytest.approx(scalar.gfs_sharpness(w), rel=1e-9)


def test_arguments_are_left_alone():
    w = np.array([[1.2, -0.7, 0.3]])
    before = w.copy()
    for function in (scalar.loss, scalar.gradient, scalar.hessian, scalar.gfs_sharpness, scalar.gradient_flow_solution):
        function(w)
    scalar.gpgd_step(w, 0.1)
    scalar.in_invariant_set(w, 0.1)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("w", [1.0, [], np.ones((3, 0))])
def test_shapes_without_a_depth_are_refused(w):
    with pytest.raises(ValueError, match="shape"):
        scalar.loss(w)


@pytest.mark.parametrize("w", [[1j, 1.0], ["a"], [10**400, 1]])
def test_what_is_no_real_number_is_refused(w):
    with pytest.raises(TypeError, match="floats or integers"):
        scalar.loss(w)
