"""GPGD as a map of the product, its periods and Lyapunov exponents, and the approximation of Zhu et al."""

import mpmath
import numpy as np
import pytest

from gfsharp import scalar
from replication.studies.scalar import bifurcation, plane


class Logistic:
    """x -> r x (1 - x), whose periods and exponents are known."""

    def __init__(self, rates):
        self.rates = np.asarray(rates)

    def step(self, x):
        return self.rates * x * (1 - x), self.rates * (1 - 2 * x)


def test_periods_and_exponents_of_the_logistic_map():
    rates = [2.8, 3.2, 3.5, 3.55, 3.83, 3.9, 4.0]
    found = bifurcation.orbits(Logistic(rates), np.full(7, 0.3), steps=20_000, kept=64)
    assert found.period.tolist() == [1, 2, 4, 8, 3, 0, 0]
    assert found.chaotic.tolist() == [False] * 5 + [True] * 2
    assert found.lyapunov[-1] == pytest.approx(np.log(2), abs=0.01)
    assert found.lyapunov[0] == pytest.approx(np.log(0.8), abs=1e-6)


def test_the_map_is_the_product_of_a_gpgd_step():
    generator = np.random.default_rng(0)
    w = np.exp(0.5 * generator.normal(size=(50, 5)))
    x, _ = bifurcation.GPGD(w, 0.1).step(scalar.product(w))
    np.testing.assert_allclose(x, scalar.product(scalar.gd_step(w, 0.1)), rtol=1e-11)
    twice, _ = bifurcation.GPGD(w, 0.1).step(x)
    np.testing.assert_allclose(twice, scalar.product(scalar.gpgd_step(scalar.gpgd_step(w, 0.1), 0.1)), rtol=1e-9)


@pytest.mark.parametrize("make", [lambda w: bifurcation.GPGD(w, 0.1), lambda w: bifurcation.ZhuTwoSteps(w[:, 0], 0.1)])
def test_derivatives_of_the_maps(make):
    generator = np.random.default_rng(1)
    w = np.exp(0.5 * generator.normal(size=(20, 4)))
    x, h = generator.uniform(0.3, 1.6, size=20), 1e-6
    product_map = make(w)
    difference = (product_map.step(x + h)[0] - product_map.step(x - h)[0]) / (2 * h)
    np.testing.assert_allclose(product_map.step(x)[1], difference, rtol=1e-6, atol=1e-7)


def test_slope_at_the_minimum_is_one_less_eta_phi():
    w = plane.starts([1.0, 0.5, -1.5], np.array([9.0]), np.array([0.8]))
    assert bifurcation.GPGD(w, 0.2).step(np.array([1.0]))[1] == pytest.approx(1 - 0.2 * 9.0)


def pairs(x, y):
    """Networks on the slice of Zhu et al."""
    return np.stack(np.broadcast_arrays(x, x, y, y), axis=-1).astype(float)


def two_exact_steps(a, b, eta):
    """The b that two steps of gradient descent lead to, in 60 digits, from the a and b of Zhu et al. as numbers."""
    with mpmath.workdps(60):
        eta, b = mpmath.mpf(eta), mpmath.mpf(b)
        difference = (mpmath.mpf(a) + (eta**-2 - 4) ** (mpmath.mpf(1) / 4)) ** 2
        product = 1 + b
        x = mpmath.sqrt((difference + mpmath.sqrt(difference**2 + 4 * product**2)) / 2)
        y = product / x
        for _ in range(2):
            slope = (x**2 * y**2 - 1) * x * y
            x, y = x - eta * slope * y, y - eta * slope * x
        return x * y - 1


def error_of_two_steps(a, b, eta):
    found, _ = bifurcation.ZhuTwoSteps(np.array([float(a)]), eta).step(np.array([float(b)]))
    return abs(float(two_exact_steps(a, b, eta) - mpmath.mpf(found.item())))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_approximation_of_zhu_et_al_is_of_fourth_order_in_b(sign):
    """With b of order e and a kappa of order e^2 it moves b by order e^3 and is wrong by order e^4."""
    eta, sizes = 1e-12, np.array([0.04, 0.02, 0.01])
    errors = [error_of_two_steps(0.8 * e**2 / eta**0.5, sign * e, eta) for e in sizes]
    moves = [abs(float(two_exact_steps(0.8 * e**2 / eta**0.5, sign * e, eta)) - sign * e) for e in sizes]
    np.testing.assert_allclose(np.diff(np.log(errors)) / np.diff(np.log(sizes)), 4, atol=0.15)
    np.testing.assert_allclose(np.diff(np.log(moves)) / np.diff(np.log(sizes)), 3, atol=0.3)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_approximation_of_zhu_et_al_becomes_tight_with_the_step_size(sign):
    """At a given a, and b of the order of its fixed points, sqrt(a kappa / 2), the error is of order kappa^2 = eta."""
    rates = np.array([1e-4, 1e-5, 1e-6])
    errors = [error_of_two_steps(1.0, sign * 0.7 * (eta**0.5 / 2) ** 0.5, eta) for eta in rates]
    np.testing.assert_allclose(np.diff(np.log(errors)) / np.diff(np.log(rates)), 1, atol=0.1)


def test_at_a_given_b_the_approximation_of_zhu_et_al_does_not_become_exact():
    """So it is not the leading order in eta: at phi eta = 2.4 its error in b stays, whatever eta is."""
    errors = [error_of_two_steps((1.2**0.5 - 1) / eta**0.5, 0.15, eta) for eta in (1e-4, 1e-6, 1e-8)]
    assert errors[0] == pytest.approx(errors[2], rel=1e-3)
    assert errors[2] > 0.01


def test_the_coordinates_of_zhu_et_al():
    """Against 60 digits: phi, which a is one-to-one with, to 1e-12; a is zero at 2/eta and the product (1 + b)^2."""
    generator = np.random.default_rng(2)
    x, y, eta = np.exp(generator.uniform(-1, 2.5, 40)), np.exp(generator.uniform(-3, 0.5, 40)), 0.01
    w = pairs(x, y)
    a, b = bifurcation.zhu_coordinates(w, eta)
    np.testing.assert_allclose((1 + b) ** 2, scalar.product(w), rtol=1e-14)
    phi = scalar.gfs_sharpness(w)
    with mpmath.workdps(60):
        squares = [mpmath.mpf(first) ** 2 - mpmath.mpf(second) ** 2 for first, second in zip(x, y, strict=True)]
        exact_phi = [float(2 * mpmath.sqrt(square**2 + 4)) for square in squares]
        at_threshold = (mpmath.mpf(eta) ** -2 - 4) ** mpmath.mpf("0.25")
        exact_a = [float(mpmath.sqrt(abs(square)) - at_threshold) for square in squares]
    np.testing.assert_allclose(phi, exact_phi, rtol=1e-12)
    np.testing.assert_allclose(a, exact_a, rtol=0, atol=1e-13 * float(at_threshold))
    order = np.argsort(phi)
    assert (np.diff(a[order]) > 0).all()
    np.testing.assert_allclose(a, ((phi / 2) ** 2 - 4) ** 0.25 - (eta**-2 - 4) ** 0.25, rtol=0, atol=1e-6)
    edge = plane.starts([1, 1, -1, -1], np.array([2 / eta]), np.array([0.8]))
    assert bifurcation.zhu_coordinates(edge, eta)[0] == pytest.approx(0, abs=1e-10)


def test_above_a_half_no_minimum_is_stable_and_there_is_no_a():
    for eta, there in ((0.49, True), (0.5, True), (0.51, False), (2.0, False)):
        a, _ = bifurcation.zhu_coordinates(pairs(1.5, 0.6)[None], eta)
        assert np.isfinite(a).all() == there


def orbits_of_zhu(drive, b=0.1, steps=20_000, kept=64):
    drive, eta = np.atleast_1d(drive), 0.04
    return bifurcation.orbits(
        bifurcation.ZhuTwoSteps(drive / (8 * eta**0.5), eta), np.full(len(drive), b), steps=steps, kept=kept
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_fixed_points_of_the_approximation_of_zhu_et_al(sign):
    """b = +-sqrt(a kappa / 2), of the sign of the start, with multiplier 1 - 16 a kappa."""
    drive = np.array([0.1, 0.6, 0.9])
    found = orbits_of_zhu(drive, sign * 0.1)
    np.testing.assert_allclose(found.products[:, -1], sign * np.sqrt(drive / 16), rtol=1e-9)
    assert found.period.tolist() == [1, 1, 1]
    np.testing.assert_allclose(found.lyapunov, np.log(np.abs(1 - 2 * drive)), atol=1e-6)


def test_periods_of_the_approximation_of_zhu_et_al():
    """Doublings at 8 a kappa = 1 and sqrt(5) - 1, chaos from 1.302 on, no bounds above 2, and convergence below 0."""
    found = orbits_of_zhu([-1.5, -0.1, 0.99, 1.01, 5**0.5 - 1.01, 5**0.5 - 0.99, 1.29, 1.31, 1.99, 2.01])
    assert found.period.tolist() == [1, 1, 1, 2, 2, 4, 8, 0, 0, 0]
    assert found.chaotic.tolist() == [False] * 7 + [True, True, False]
    assert np.isfinite(found.products).all(axis=1).tolist() == [True] * 9 + [False]
    np.testing.assert_allclose(found.products[:2], 0, atol=1e-12)
    assert not np.isfinite(orbits_of_zhu([1.0], b=0.44).products).any()  # 16 b^2 > 2 + 8 a kappa
    assert np.isfinite(orbits_of_zhu([1.0], b=0.43).products).all()


def test_where_their_period_is_at_most_two():
    drive = np.array([-2.1, -1.9, 0.0, 0.99, 1.01, 1.5])
    found = bifurcation.zhu_period_at_most_two(drive / (8 * 0.1), 0.01)
    assert found.tolist() == [False, True, True, True, False, False]
    np.testing.assert_allclose(bifurcation.zhu_drive(drive / 0.8, 0.01), drive, rtol=1e-15)


def test_the_trajectory_of_zhu_et_al_ends_just_below_the_threshold():
    """From (x, y) = (12.5, 0.05) with eta = 0.01 to a GFS sharpness of 199.995 of 200 (their paper)."""
    x, y, eta = 12.5, 0.05, 0.01
    assert scalar.gfs_sharpness(pairs(x, y)) == pytest.approx(1.5626 * 200, rel=1e-4)
    for _ in range(150_000):
        slope = ((x * y) ** 2 - 1) * x * y
        x, y = x - eta * slope * y, y - eta * slope * x
    assert scalar.gfs_sharpness(pairs(x, y)) == pytest.approx(199.995, abs=5e-4)
    assert abs(x * y - 1) < 1e-3


def test_orbits_through_negative_products_and_to_infinity():
    w = np.array([[1.2, 0.9, -0.3], [1.0, 1.0, -1.0], [3.0, 3.0, 3.0]])
    found = bifurcation.orbits(bifurcation.GPGD(w, 0.1), scalar.product(w), steps=2000, kept=8)
    assert found.period.tolist() == [1, 0, 0]
    assert found.products[0, -1] == pytest.approx(1.0)
    assert np.isnan(found.products[1]).all()  # no gradient flow solution
    assert not found.chaotic.any()


def test_a_class_with_a_tie_ends_at_product_zero():
    x, _ = bifurcation.GPGD(np.array([[1.5, 1.5, 1.5]]), 0.9).step(np.array([1.5**3]))
    assert x < 0
    assert np.isnan(bifurcation.GPGD(np.array([[1.5, 1.5, 1.5]]), 0.9).step(x)[0])


@pytest.mark.parametrize(("steps", "period"), [(100, 0), (100_000, 1)])
def test_an_orbit_on_its_way_has_no_period_yet(steps, period):
    """Just below the bifurcation each step of r = 2.999 contracts by 0.999, from alternate sides."""
    found = bifurcation.orbits(Logistic([2.999]), np.array([0.5]), steps=steps, kept=64)
    assert found.period.tolist() == [period]
    assert not found.chaotic.any()


def run(direction, eta, units, steps=60):
    w = plane.starts(direction, np.array([units * 2 / eta]), np.array([0.9]))[0]
    iterates = [w]
    for _ in range(steps):
        iterates.append(scalar.gd_step(iterates[-1], eta))
    return np.array(iterates)


def test_tables_beside_descent():
    w = run([1, 1, -1, -1], 0.4, 1.4)
    iterates, orbits = bifurcation.beside_descent(np.arange(len(w)), w, 0.4, steps=400, kept=32)
    np.testing.assert_allclose(iterates["two_steps_on"].iloc[:-2], iterates["product"].iloc[2:], rtol=1e-12)
    assert (iterates["two_step_error"] < iterates["zhu_two_step_error"]).mean() > 0.9
    assert iterates["chaotic"].any()
    rows = orbits[orbits["map"] == "gpgd"].groupby("iteration").size()
    np.testing.assert_array_equal(rows, np.where(iterates["period"] > 0, iterates["period"], 32))
    last = orbits[(orbits["map"] == "gpgd") & (orbits["iteration"] == 60)]["product"]
    distance = np.min(np.abs(last - iterates["product"].iloc[60]))
    assert iterates["distance"].iloc[60] == pytest.approx(distance, abs=1e-5)


def test_the_approximation_of_zhu_et_al_in_the_tables():
    w, eta = run([1, 1, -1, -1], 0.05, 1.2, steps=400), 0.05
    iterates, orbits = bifurcation.beside_descent(np.arange(len(w)), w, eta, steps=4000, kept=32)
    a, b = bifurcation.zhu_coordinates(w, eta)
    predicted = (1 + b * (1 + 8 * a * eta**0.5 - 16 * b**2)) ** 2
    np.testing.assert_allclose(iterates["zhu_a"], a)
    np.testing.assert_allclose(iterates["zhu_two_step_error"], np.abs(predicted - iterates["two_steps_on"]), atol=1e-14)
    assert (iterates["zhu_period"] == 2).all()  # in steps of gradient descent
    root = np.sqrt(a * eta**0.5 / 2)
    ends = orbits[orbits["map"] == "zhu"].set_index("iteration")["product"]
    np.testing.assert_allclose(ends, (1 + np.sign(b) * root)[ends.index] ** 2, rtol=1e-5)
    np.testing.assert_allclose(iterates["zhu_distance"], np.abs((1 + np.sign(b) * root) ** 2 - (1 + b) ** 2), atol=1e-5)
    np.testing.assert_allclose(iterates["zhu_lyapunov"], np.log(np.abs(1 - 16 * a * eta**0.5)) / 2, atol=2e-3)


def test_the_period_of_zhu_et_al_at_the_minimum_is_one_and_no_unbounded_orbit_has_a_product():
    eta = 0.05
    settled = plane.starts([1, 1, -1, -1], np.array([0.9 * 2 / eta]), np.array([0.9]))[0]
    chaotic, unbounded = (
        plane.starts([1, 1, -1, -1], np.array([u * 2 / eta]), np.array([0.9]))[0] for u in (1.45, 1.7)
    )
    w = np.array([settled, chaotic, unbounded])
    iterates, orbits = bifurcation.beside_descent(np.array([0, 5, 9]), w, eta, steps=2000, kept=16)
    assert iterates["zhu_period"].tolist() == [1, 0, 0]
    assert iterates["zhu_chaotic"].tolist() == [False, True, False]
    assert not np.isfinite(iterates["zhu_distance"].iloc[2])
    counts = orbits[orbits["map"] == "zhu"].groupby("iteration").size()
    assert counts.to_dict() == {0: 1, 5: 16}


def test_negative_weights_are_the_same_network():
    w = run([1, 1, -1, -1], 0.05, 1.2, steps=20)
    first, _ = bifurcation.beside_descent(np.arange(len(w)), w, 0.05, steps=400, kept=8)
    for signs in ([-1, -1, -1, -1], [1, 1, 1, 1]):
        other = (w * signs)[:, ::-1]  # and the smaller pair first
        second, _ = bifurcation.beside_descent(np.arange(len(w)), other.copy(), 0.05, steps=400, kept=8)
        np.testing.assert_allclose(second["zhu_two_step_error"], first["zhu_two_step_error"], atol=1e-12)
        np.testing.assert_allclose(second["zhu_a"], first["zhu_a"], atol=1e-12)


def test_thinned_iterates_have_the_same_two_step_errors():
    w = run([1, 1, -1, -1], 0.4, 1.4, steps=20)
    every, _ = bifurcation.beside_descent(np.arange(len(w)), w, 0.4, steps=50, kept=8)
    thinned, _ = bifurcation.beside_descent(np.arange(len(w))[::5], w[::5], 0.4, steps=50, kept=8)
    for name in ("two_steps_on", "two_step_error", "zhu_two_step_error"):
        np.testing.assert_array_equal(thinned[name], every[name].iloc[::5])


def test_off_their_slice_zhu_et_al_say_nothing():
    w = run([1.2, 0.7, -0.9, -1.0], 0.2, 1.3, steps=10)
    iterates, orbits = bifurcation.beside_descent(np.arange(len(w)), w, 0.2, steps=50, kept=8)
    assert iterates[[name for name in iterates if name.startswith("zhu_")]].isna().all(axis=None)
    assert set(orbits["map"]) == {"gpgd"}


def test_a_step_that_overflows_warns_of_nothing():
    w = pairs(np.array([1e80, 1.5]), np.array([1e60, 0.6]))
    iterates, _ = bifurcation.beside_descent(np.arange(2), w, 2.0, steps=20, kept=4)
    assert iterates["zhu_a"].isna().all()
    assert np.isfinite(iterates["product"].iloc[1])


def test_an_orbit_cannot_keep_more_than_it_has():
    with pytest.raises(ValueError, match="cannot keep its last 9"):
        bifurcation.orbits(Logistic([3.0]), np.array([0.5]), steps=8, kept=9)
