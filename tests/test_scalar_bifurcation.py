"""GPGD as a map of the product, its periods and Lyapunov exponents, and the approximation of Zhu et al."""

import numpy as np
import pytest

from gfs import scalar
from gfs.scalar import bifurcation, plane


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


@pytest.mark.parametrize(
    "make", [lambda w: bifurcation.GPGD(w, 0.1), lambda w: bifurcation.Zhu(np.full(len(w), 12.0), 0.1)]
)
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


def test_zhu_is_the_leading_order_of_gpgd():
    """At fixed eta phi on their slice the two maps differ by O(eta^2)."""
    errors = []
    for eta in (0.04, 0.02, 0.01):
        w = plane.starts([1, 1, -1, -1], np.array([2.4 / eta]), np.array([0.7]))
        exact = bifurcation.GPGD(w, eta).step(np.array([0.7]))[0]
        errors.append(abs(exact - bifurcation.Zhu(np.array([2.4 / eta]), eta).step(np.array([0.7]))[0]).item())
    np.testing.assert_allclose(np.log2([errors[0] / errors[1], errors[1] / errors[2]]), 2, atol=0.1)


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
    assert iterates["two_step_error"].isna().sum() == 2
    assert iterates["zhu_distance"].notna().all()
    assert (iterates["two_step_error"].dropna() < iterates["zhu_two_step_error"].dropna()).mean() > 0.9
    assert iterates["chaotic"].any()
    rows = orbits[orbits["map"] == "gpgd"].groupby("iteration").size()
    np.testing.assert_array_equal(rows, np.where(iterates["period"] > 0, iterates["period"], 32))
    last = orbits[(orbits["map"] == "gpgd") & (orbits["iteration"] == 60)]["product"]
    distance = np.min(np.abs(last - iterates["product"].iloc[60]))
    assert iterates["distance"].iloc[60] == pytest.approx(distance, abs=1e-5)


def test_two_step_errors_need_consecutive_iterates():
    w = run([1, 1, -1, -1], 0.4, 1.4, steps=20)
    iterates, _ = bifurcation.beside_descent(np.arange(len(w))[::5], w[::5], 0.4, steps=50, kept=8)
    assert iterates["two_step_error"].isna().all()


def test_off_their_slice_zhu_et_al_say_nothing():
    w = run([1.2, 0.7, -0.9, -1.0], 0.2, 1.3, steps=10)
    iterates, orbits = bifurcation.beside_descent(np.arange(len(w)), w, 0.2, steps=50, kept=8)
    assert iterates["zhu_distance"].isna().all()
    assert set(orbits["map"]) == {"gpgd"}


def test_an_orbit_cannot_keep_more_than_it_has():
    with pytest.raises(ValueError, match="cannot keep its last 9"):
        bifurcation.orbits(Logistic([3.0]), np.array([0.5]), steps=8, kept=9)
