"""The share of starts from which gradient descent converges, and the GFS sharpness along it."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import binomtest

from gfsharp import scalar
from gfsharp.errors import UserError
from replication.studies.linear import LinearNetwork, cases, convergence, gfs, minimisers

STOP = {"gradient": 1e-7, "quiet": 200, "steps": 3000}
VALUES = [1.0, 0.6, 0.5]


@pytest.mark.parametrize("network", [cases.gaussian_network((3, 2, 4, 3), 9, 0), cases.gaussian_network((2, 3), 9, 0)])
def test_the_gradients_of_many_networks_are_those_of_each(network):
    w = np.random.default_rng(0).normal(size=(6, network.size))
    layers = [np.moveaxis(layer, 0, -1) for layer in network.layers(w)]
    correlation = network.targets @ network.inputs.T / network.samples
    slopes = convergence._gradients(layers, network.covariance, correlation)
    found = network.flat([np.moveaxis(slope, -1, 0) for slope in slopes])
    np.testing.assert_allclose(found, network.gradient(w), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_runs_end_as_they_do_one_at_a_time():
    network = cases.diagonal_network((2, 2, 2), VALUES)
    starts = convergence.gaussian_starts(network, 30, 1.5, 0)
    rates = np.tile([0.1, 0.45, 0.8], 10)
    found = convergence.outcomes(network, starts, rates, **STOP)
    assert set(found) == {"minimum", "diverged"}
    for start, rate, outcome in zip(starts, rates, found, strict=True):
        w = start
        for _ in range(STOP["steps"]):
            w = network.gd_step(w, rate)
            if not np.abs(w).max() <= 1e6:
                break
        assert (outcome == "minimum") == bool(network.loss(w) < 1e-10)


@pytest.mark.parametrize("widths", [(1, 1, 1), (2, 2, 2), (2, 3, 3, 2)], ids=cases.name)
def test_none_converges_past_the_critical_step(widths):
    network = cases.diagonal_network(widths, VALUES)
    critical = 2 / minimisers.least_sharpness(network)
    starts = convergence.gaussian_starts(network, 60, 1.0, 0)
    below, above = (
        convergence.outcomes(network, starts, np.full(60, fraction * critical), **STOP) for fraction in (0.9, 1.05)
    )
    assert np.mean(below == "minimum") > 0.3
    assert set(above) <= {"bounded", "diverged"}


def test_a_start_at_an_unstable_minimum_is_not_left_but_for_rounding():
    """The null set is not empty: an exact minimum stays, however large the step; nearby it is left."""
    network = LinearNetwork.whitened((1, 1, 1), [[1.0]])
    starts = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-9]])
    found = convergence.outcomes(network, starts, np.full(2, 1.2), **STOP)
    assert found.tolist() == ["minimum", "bounded"]


def test_a_degenerate_saddle_is_told_from_a_minimum():
    """At depth 3 equal negative weights go to zero, where Hessian and gradient vanish: as 1 / (eta t), so slowly."""
    network = LinearNetwork.whitened((1, 1, 1, 1), [[1.0]])
    starts = np.array([[-0.5, -0.5, -0.5], [-0.5, -0.5, -0.499]])
    found = convergence.outcomes(network, starts, np.full(2, 0.3), gradient=1e-5, quiet=200, steps=3000)
    assert found.tolist() == ["saddle", "minimum"]
    slow = convergence.outcomes(network, starts[:1], np.full(1, 0.3), gradient=1e-12, quiet=200, steps=500)
    assert slow.tolist() == ["bounded"]


def test_wilson_intervals_are_those_of_scipy():
    successes, trials = np.array([0, 1, 37, 399, 400]), np.full(5, 400)
    low, high = convergence.wilson(successes, trials)
    for i, count in enumerate(successes):
        expected = binomtest(int(count), 400).proportion_ci(method="wilson")
        assert (low[i], high[i]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_starts_have_the_deviation_asked_for():
    network = cases.diagonal_network((2, 8, 2), VALUES)
    first, second = network.layers(convergence.gaussian_starts(network, 4000, 0.7, 0))
    assert np.std(first) == pytest.approx(0.7 / np.sqrt(2), rel=0.02)
    assert np.std(second) == pytest.approx(0.7 / np.sqrt(8), rel=0.02)


# The GFS sharpness.

FLOW = {"loss_tolerance": 1e-12, "tolerance": 1e-5}
SETTINGS = {
    "networks": [[2, 2, 2]],
    "singular_values": VALUES,
    "seeds": [1],
    "spread": 0.5,
    "deviation": 0.05,
    "sharpness": [1.5, 3.0],
    "above": 1.3,
    "stop": {"loss": 1e-6, "iterations": 100},
    "flow": FLOW,
}
NEAR = {key: SETTINGS[key] for key in ("spread", "deviation", "sharpness", "above", "flow")}


def gfs_by_scipy(network, w):
    """By another integrator, at small tolerances, for a time after which nothing moves any more."""
    flow = solve_ivp(
        lambda _, x: -network.gradient(x), (0, 60), w, method="DOP853", rtol=1e-11, atol=1e-13, t_eval=[60.0]
    )
    return float(network.sharpness(flow.y[:, -1]))


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(2, 2, 2), (2, 2, 2, 2), (2, 3, 3, 2)], ids=cases.name)
def test_the_gfs_sharpness_is_that_of_another_integrator(widths):
    network = cases.diagonal_network(widths, VALUES)
    w, eta = gfs.start(network, 1, **NEAR)
    table = gfs.run(network, w, eta, stop={"loss": 1e-6, "iterations": 3}, flow=FLOW)
    assert table["gfs_sharpness"].iloc[0] * eta / 2 == pytest.approx(1.3, rel=1e-9)
    for found, error in zip(table["gfs_sharpness"], table["gfs_error"], strict=True):
        expected = gfs_by_scipy(network, w)
        assert abs(found - expected) < error < 1e-3 * expected
        w = network.gd_step(w, eta)
    assert table["balance_error"].max() < 1e-3


@pytest.mark.parametrize(("value", "moment"), [(1.0, 1.0), (0.6, 1.0), (-1.7, 2.3)])
def test_the_closed_form_at_width_one_is_that_of_the_flow(value, moment):
    """Another target than one, of either sign, and data that are not whitened."""
    inputs = np.sqrt(moment) * np.array([[1.0, -1.0]])
    network = LinearNetwork((1, 1, 1, 1), inputs, value * inputs)
    w = np.array([1.3, 0.9, np.sign(value) * 0.7])
    found = gfs_by_scipy(network, w)
    assert gfs.closed_form(network, w) == pytest.approx(found, rel=1e-5)
    assert np.isnan(gfs.closed_form(cases.diagonal_network((2, 2), VALUES), np.ones(4)))


@pytest.mark.slow
def test_at_width_one_it_is_that_of_the_scalar_network():
    network = cases.diagonal_network((1, 1, 1, 1), VALUES)
    w, eta = gfs.start(network, 0, **NEAR)
    table = gfs.run(network, w, eta, stop={"loss": 1e-6, "iterations": 10}, flow=FLOW)
    for found, error in zip(table["gfs_sharpness"], table["gfs_error"], strict=True):
        assert abs(found - float(scalar.gfs_sharpness(w))) < error
        w = network.gd_step(w, eta)


def test_it_can_rise_where_layers_are_wider():
    """What the claim linear-gfs-monotone fails for, by the other integrator."""
    network = cases.diagonal_network((2, 2, 2), [1.0, 0.6])
    w, eta = gfs.start(network, 3, **NEAR)
    values = []
    for _ in range(14):
        values.append(gfs_by_scipy(network, w))
        w = network.gd_step(w, eta)
    rise = np.max(np.array(values[1:]) / np.minimum.accumulate(values)[:-1]) - 1
    assert rise == pytest.approx(0.0124, abs=5e-4)


@pytest.mark.slow
def test_a_run_has_its_columns_and_ends():
    table = gfs.table(**SETTINGS)
    assert table["status"].tolist() == ["running"] * (len(table) - 1) + ["converged"]
    assert set(table["gfs_status"]) == {"converged"}
    assert set(table["experiment"]) == {"2-2-2"}
    assert table["closed_form"].isna().all()
    network = cases.diagonal_network((2, 2, 2), VALUES)
    w, eta = gfs.start(network, 1, **NEAR)
    table = gfs.run(network, w, 20 * eta, stop=SETTINGS["stop"], flow={"loss_tolerance": 1e-4, "max_gradients": 300})
    assert table["status"].iloc[-1] == "diverged"


def test_starts_that_cannot_be_are_refused():
    network = cases.diagonal_network((2, 2, 2), VALUES)
    with pytest.raises(UserError, match=r"widen linear\.gfs\.sharpness"):
        gfs.start(network, 0, **NEAR | {"sharpness": [1e5, 2e5]})
    with pytest.raises(UserError, match="budget"):
        gfs.start(network, 0, **NEAR | {"flow": {"max_gradients": 3}})


def test_the_balances_are_kept_by_the_flow_alone():
    network = cases.diagonal_network((2, 2, 2), VALUES)
    w = np.random.default_rng(0).normal(size=network.size)
    other = minimisers.sample(network, 1, 0)[0]
    flow = gfs.gfs_sharpness(gfs.torch_loss(network), torch.from_numpy(w), **FLOW).solution.parameters.numpy()
    assert gfs.balance_error(network, w, flow) < 1e-4
    assert gfs.balance_error(network, w, other) > 1e-2
