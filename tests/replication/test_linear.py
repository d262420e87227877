"""Linear networks: derivatives against automatic ones, width one against scalar networks, gradient descent's map."""

import warnings

import mpmath
import numpy as np
import pytest
import torch
from scipy.optimize import brentq, fsolve

from gfsharp import scalar
from gfsharp.errors import UserError
from replication.studies.linear import LinearNetwork, cases, gd_map
from replication.studies.linear.gfs import torch_loss

WIDTHS = [(3, 2), (2, 2, 2), (3, 4, 2), (2, 3, 3, 2), (3, 1, 2, 3), (2, 3, 2, 4, 3)]


def network_of(widths):
    return cases.gaussian_network(widths, 7, 0)


@pytest.mark.slow
@pytest.mark.parametrize("widths", WIDTHS, ids=cases.name)
def test_derivatives_are_those_of_automatic_differentiation(widths):
    network = network_of(widths)
    inputs, targets = torch.from_numpy(network.inputs), torch.from_numpy(network.targets)

    def outputs(flat):
        sizes = [rows * columns for rows, columns in network.shapes]
        product = inputs
        for part, shape in zip(torch.split(flat, sizes), network.shapes, strict=True):
            product = part.view(shape) @ product
        return product

    def loss(flat):
        return (outputs(flat) - targets).square().sum() / (2 * network.samples)

    w = np.random.default_rng(1).normal(size=(2, 3, network.size))
    v = np.random.default_rng(2).normal(size=(3, network.size))
    found = {
        "loss": network.loss(w),
        "gradient": network.gradient(w),
        "hessian": network.hessian(w),
        "product": network.hessian_vector_product(w, v),
        "jacobian": network.residual_jacobian(w),
        "step": network.gd_jacobian(w, 0.3),
    }
    for i in np.ndindex(2, 3):
        point = torch.from_numpy(w[i])
        hessian = torch.func.hessian(loss)(point).numpy()
        expected = {
            "loss": float(loss(point)),
            "gradient": torch.func.grad(loss)(point).numpy(),
            "hessian": hessian,
            "product": hessian @ v[i[1]],
            "jacobian": torch.func.jacrev(lambda flat: outputs(flat).flatten())(point).numpy(),
            "step": np.eye(network.size) - 0.3 * hessian,
        }
        for name, value in expected.items():
            # Sums of some hundred terms of order one to a hundred.
            np.testing.assert_allclose(found[name][i], value, rtol=1e-11, atol=1e-11, err_msg=name)
        assert float(torch_loss(network)(point)) == pytest.approx(float(network.loss(w[i])) - network.least_loss)


def test_the_jacobian_is_that_of_the_step():
    network = network_of((2, 3, 2))
    w = np.random.default_rng(0).normal(size=network.size)
    h = 1e-6
    differences = [
        (network.gd_step(w + h * e, 0.2) - network.gd_step(w - h * e, 0.2)) / (2 * h) for e in np.eye(network.size)
    ]
    np.testing.assert_allclose(network.gd_jacobian(w, 0.2), np.transpose(differences), atol=1e-7)
    assert not np.allclose(network.gd_jacobian(w, 0.21), np.transpose(differences), atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_width_one_is_the_scalar_network(depth):
    network = LinearNetwork.whitened((1,) * (depth + 1), [[1.0]])
    w = np.random.default_rng(depth).normal(size=(50, depth))
    for name in ("loss", "gradient", "hessian", "sharpness"):
        found, expected = getattr(network, name)(w), getattr(scalar, name)(w)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=name)
    eta = np.linspace(0.1, 0.5, 50)
    np.testing.assert_allclose(network.gd_step(w, eta), scalar.gd_step(w, eta), rtol=1e-12, atol=1e-12)
    if depth > 1:
        balances = np.stack([b[:, 0, 0] for b in network.balances(w)], axis=-1)
        expected = np.stack([scalar.balances(w)[:, j + 1, j] for j in range(depth - 1)], axis=-1)
        np.testing.assert_allclose(balances, expected, rtol=1e-12, atol=1e-12)


def test_layers_and_flat_weights_go_back_and_forth():
    network = network_of((2, 3, 1))
    w = np.arange(9.0)
    first, second = network.layers(w)
    assert first.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert second.tolist() == [[6, 7, 8]]
    np.testing.assert_array_equal(network.flat([first, second]), w)


def test_the_gradient_flow_keeps_the_balances():
    network = network_of((2, 3, 2))
    w = np.random.default_rng(0).normal(size=network.size)
    h = 1e-6
    for before, after in zip(network.balances(w), network.balances(w - h * network.gradient(w)), strict=True):
        assert np.abs(after - before).max() < 1e-9  # of order h^2; the gradient is of order 10


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 1, 3), (3, 2, 4, 3)], ids=cases.name)
def test_the_best_product_is_the_best_that_is_found(widths):
    network = network_of(widths)
    w = 0.7 * np.random.default_rng(3).normal(size=network.size)
    for _ in range(20_000):
        w = network.gd_step(w, 0.02)
    np.testing.assert_allclose(network.product(w), network.best_product, atol=1e-6)
    assert network.loss(w) == pytest.approx(network.least_loss, abs=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2,), np.eye(2), np.eye(2)), "two or more"),
        (((2, 0, 2), np.eye(2), np.eye(2)), "two or more"),
        (((2, 2), np.ones(2), np.eye(2)), "matrices"),
        (((2, 2), np.eye(2), np.eye(3)), "shapes"),
        (((2, 2), np.ones((2, 2)), np.eye(2)), "rank 2"),
        (((2, 2), np.full((2, 2), np.nan), np.eye(2)), "finite"),
    ],
)
def test_what_is_no_network_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearNetwork(*arguments)


def test_other_numbers_of_weights_and_samples_are_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 8\)"):
        network_of((2, 2, 2)).loss(np.ones(7))
    with pytest.raises(UserError, match="raise samples"):
        cases.gaussian_network((3, 2), 2, 0)
    with pytest.raises(UserError, match="need 2 singular values"):
        cases.diagonal_network((3, 2), [1.0])


# The map of gradient descent.


@pytest.mark.parametrize("eta", [0.3, 1.0, 1.5])
def test_preimages_are_mapped_to_their_target(eta):
    grid = gd_map.midpoints(3.0, 40)
    found = gd_map.preimages(grid, eta)
    missed = np.abs(gd_map.step(found, eta) - grid[:, None]).max(axis=-1)
    assert np.nanmax(missed) < 1e-10
    count = gd_map.counts(found)
    # An odd number, but where two fall together.
    assert set(np.unique(count)) <= {1, 3, 5}
    assert (np.isfinite(found[..., 0]).cumsum(axis=-1)[:, -1] == count).all()
    np.testing.assert_allclose(gd_map.step(grid, eta), scalar.gd_step(grid, eta), atol=1e-12)
    determinants = np.linalg.det(np.eye(2) - eta * scalar.hessian(grid))
    np.testing.assert_allclose(gd_map.determinant(grid, eta), determinants, atol=1e-10)


def test_no_preimage_is_found_that_the_formula_does_not_give():
    eta, targets = 0.5, np.array([[0.3, -1.1], [2.5, 1.9], [1.0, 1.0], [0.7, -0.7], [0.0, 0.0]])
    generator = np.random.default_rng(0)
    for target, listed in zip(targets, gd_map.preimages(targets, eta), strict=True):
        listed = listed[np.isfinite(listed[:, 0])]
        reached = set()
        for guess in generator.uniform(-4, 4, size=(300, 2)):
            found, _, ended, _ = fsolve(lambda w, to=target: gd_map.step(w, eta) - to, guess, full_output=True)
            if ended == 1 and np.abs(gd_map.step(found, eta) - target).max() < 1e-9:
                distance = np.abs(listed - found).max(axis=-1)
                assert distance.min() < 1e-4  # a double one is found to the root of rounding
                reached.add(int(distance.argmin()))
        distinct = np.unique(listed.round(4), axis=0)
        assert len(np.unique(listed[sorted(reached)].round(4), axis=0)) == len(distinct)


@pytest.mark.parametrize(
    ("target", "count"),
    [((0.0, 0.0), 5), ((0.7, -0.7), 3), ((0.7, 0.7), 5), ((3.0, 3.0), 3)],
)
def test_degenerate_targets_have_as_many_preimages_as_those_nearby(target, count):
    eta = 0.5
    nearby = np.array(target) + 1e-6 * np.array([[1.0, 0.3], [-0.4, 1.0]])
    assert gd_map.counts(gd_map.preimages(np.vstack([target, nearby]), eta)).tolist() == [count] * 3


def preimages_in_60_digits(a, b, eta):
    """From the real roots of the quintic ``(1 + r/eta) (1 - r^2)^2 = (a + r b) (b + r a)``; a is not b or -b."""
    with mpmath.workdps(60), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        a, b, lead = mpmath.mpf(a), mpmath.mpf(b), 1 / mpmath.mpf(eta)
        quintic = [lead, 1, -2 * lead, -2 - a * b, lead - a * a - b * b, 1 - a * b]
        roots = mpmath.polyroots(quintic, maxsteps=3000, extraprec=400)
        real = [mpmath.re(r) for r in roots if abs(mpmath.im(r)) < mpmath.mpf(10) ** -25]
        return np.array([(float((a + r * b) / (1 - r * r)), float((b + r * a) / (1 - r * r))) for r in real])


@pytest.mark.parametrize("eta", [0.05, 0.4, 1.0, 6.0])
def test_preimages_of_nearly_degenerate_targets_in_60_digits(eta):
    """Near a = b, near a = -b, and near where two preimages meet: beside the image of a singular point."""
    generator = np.random.default_rng(11)
    targets = []
    for size, apart in [(1e-4, 1e-5), (0.6, 1e-9), (1.1, 1e-13), (2.3, 1e-7), (30.0, 1e-4)]:
        sign = generator.choice([-1, 1])
        targets += [(size, sign * size * (1 + apart)), (-size, sign * size * (1 - 2 * apart)), (size, 0.3 * size)]
    rays = np.linspace(0.05, 6, 3000)[:, None] * np.array([[0.8, 0.6]])
    (turn, *_) = np.flatnonzero(np.diff(np.sign(gd_map.determinant(rays, eta))))
    length = brentq(lambda t: gd_map.determinant(t * np.array([0.8, 0.6]), eta), *np.hypot(*rays[turn : turn + 2].T))
    fold = gd_map.step(length * np.array([0.8, 0.6]), eta)
    targets += [tuple(fold * (1 + change)) for change in (1e-5, -1e-5, 1e-10, -1e-10, 1e-12, -1e-12)]
    found = gd_map.preimages(np.array(targets), eta)
    for target, listed, count in zip(targets, found, gd_map.counts(found), strict=True):
        exact = preimages_in_60_digits(*target, eta)
        assert count == len(exact), target
        far = np.abs(listed[:count, None] - exact).max(axis=-1) / np.maximum(1, np.abs(exact).max(axis=-1))
        assert far.min(axis=0).max() < 1e-8, target
        assert far.min(axis=1).max() < 1e-8, target


@pytest.mark.parametrize("eta", [0.3, 1.0, 1.7])
def test_targets_of_all_sizes_have_three_or_five_preimages(eta):
    generator = np.random.default_rng(12)
    targets = generator.normal(size=(400, 2)) * 10.0 ** generator.uniform(-12, 8, size=(400, 1))
    found = gd_map.preimages(targets, eta)
    assert set(gd_map.counts(found)) <= {3, 5}
    missed = np.abs(gd_map.step(found, eta) - targets[:, None]).max(axis=-1)
    size = np.maximum(1, np.abs(found).max(axis=-1))  # a step takes a product of three of it
    assert np.nanmax(missed / size**3) < 1e-12 * max(1, eta)


@pytest.mark.parametrize("eta", [0.3, 1.2])
def test_preimages_fulfil_the_area_formula(eta, monkeypatch):
    assert gd_map.area_ratio(eta, 2.0, 101, 1200) == pytest.approx(1, abs=5e-3)
    complete = gd_map.preimages

    def without_the_last(target, rate):
        found = complete(target, rate)
        found[:, 2:] = np.nan
        return found

    monkeypatch.setattr(gd_map, "preimages", without_the_last)
    assert gd_map.area_ratio(eta, 2.0, 101, 1200) < 0.9


def test_the_share_of_near_singular_points_is_linear_but_at_depth_one():
    settings = {
        "networks": [[2, 2, 2], [2, 2, 2, 2]],
        "samples": 6,
        "seed": 0,
        "deviation": 1.0,
        "points": 10_000,
        "learning_rates": [0.5],
        "epsilon": [1e-3, 1e-1],
        "levels": 3,
        "nearest": 0.02,
    }
    found = gd_map.table(**settings)
    several, single = found[~found["control"]], found[found["control"]]
    # 200 points: a standard error of 7 percent.
    assert np.abs(several["exponent"] - 1).max() < 0.25
    assert several["singular"].sum() == 0
    assert set(single["share"]) == {1.0}
    assert set(single["exponent"]) == {0.0}
    assert set(single["singular"]) == {10_000}
