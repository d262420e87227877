"""Values of the GFS sharpness that look right are right: stated errors hold, and a status says what is no end."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import LSODA
from torch import nn

from gfsharp import curvature, flow, networks, scalar
from gfsharp.flow.gradients import Gradients, Point
from gfsharp.flow.rkc import SpectralRadius
from gfsharp.flow.scale import Scale
from gfsharp.regression import SquaredRegression
from replication.benchmarks import coverage


def scalar_loss(w):
    return 0.5 * (w.prod() - 1) ** 2


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("linear_steps", [True, False])
@pytest.mark.parametrize("floor", [-2e-3, -3e-5])
def test_a_loss_that_falls_below_zero_slowly_is_no_solution(linear_steps, floor):
    """A stiff direction and slow ones, so that linear steps pay: they may not stop between the tolerance and zero."""
    scales = torch.logspace(-4, 0, 30, dtype=torch.float64)

    def loss(w):
        return 0.5 * (scales * w.square()).sum() + floor

    start = torch.full((30,), 5.0, dtype=torch.float64)
    found = flow.gfs_sharpness(loss, start, linear_steps=linear_steps)
    assert found.status == "negative loss"
    assert math.isnan(found.value)
    assert flow.gradient_flow_solution(loss, start, linear_steps=linear_steps).status == "negative loss"


@pytest.mark.parametrize("w", [[2e-6, 3e-6], [3e-5, 3e-5], [1.0, 2e-6, -1e-6], [1.0, 1.0, 2e-7, -1e-7]])
def test_a_flow_that_leaves_a_saddle_is_not_stationary(w):
    found = flow.gfs_sharpness(scalar_loss, vector(*w))
    assert found.status == "converged"
    assert abs(found.value - float(scalar.gfs_sharpness(w))) <= found.error < 0.1 * found.value


@pytest.mark.parametrize("w", [[1.0, -1.0], [0.5, 0.5, -0.5]])
def test_a_flow_that_ends_at_a_saddle_is_stationary_soon(w):
    found = flow.gradient_flow_solution(scalar_loss, vector(*w), max_gradients=20_000)
    assert found.status == "stationary"


class WithUnused(nn.Module):
    """A small network beside weights that nothing depends on."""

    def __init__(self, size):
        super().__init__()
        self.network = networks.fully_connected(3, 1, widths=(6,), activation="tanh")
        self.rest = nn.Parameter(torch.full((50,), size))

    def forward(self, x):
        return self.network(x)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e2, 1e5])
def test_large_weights_that_do_not_move_change_nothing(size):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    found, plain = (
        flow.gfs_sharpness(*networks.flat_loss(WithUnused(value).double(), inputs, targets)) for value in (size, 0.0)
    )
    assert found.value == pytest.approx(plain.value, rel=1e-6)
    assert found.error == pytest.approx(plain.error, rel=1e-3)


def test_the_scale_counts_what_moves():
    start = Point(vector(3.0, 4.0, 1e6, 0.1, 5.0), 1.0, vector(1.0, 1.0, 0.0, 1.0, 0.0))
    scale = Scale(start)
    assert scale.at(start.weights) == pytest.approx(math.sqrt(9 + 16 + 0.01))
    # The last has no gradient at the start, as a layer behind one that is zero there, but moves then.
    assert scale.at(vector(3.0, 5.0, 1e6, 0.2, 5.1)) == pytest.approx(math.sqrt(9 + 25 + 0.04 + 5.1**2))


def test_the_scale_counts_large_weights_by_what_they_move():
    scale = Scale(Point(vector(1.0, 2.0, -1.0, 1e6), 1.0, vector(1.0, 1.0, 1.0, 1e-3)))
    # Thirty times the median, 1.
    assert scale.at(vector(1.0, 2.0, -1.0, 1e6 + 0.5)) == pytest.approx(math.sqrt(1 + 4 + 1 + 30**2))
    # Thirty times the way.
    assert scale.at(vector(1.0, 2.0, -1.0, 1e6 + 3)) == pytest.approx(math.sqrt(1 + 4 + 1 + 90**2))


def test_zeros_have_no_say_in_the_scale():
    scale = Scale(Point(vector(0.0, 0.0, 0.0, 0.2, 5.0), 1.0, vector(1.0, 1.0, 1.0, 1.0, 1.0)))
    assert scale.at(vector(0.0, 0.0, 0.0, 0.2, 5.0)) == pytest.approx(math.hypot(0.2, 5.0))


class Blocks(nn.Module):
    """Residual blocks whose second factor is zero at the start, behind ReLU: many units are exactly zero there."""

    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(12, 12, bias=False) for _ in range(4))
        self.scale = nn.ParameterList(nn.Parameter(torch.zeros(12)) for _ in range(4))
        self.out = nn.Linear(12, 2)

    def forward(self, x):
        x = x.relu()
        for layer, scale in zip(self.first, self.scale, strict=True):
            x = (x + scale * layer(x)).relu()
        return self.out(x)


def test_a_start_on_many_kinks_takes_no_short_steps():
    """There a difference of two gradients is their jump over a short distance: far above the Hessian's."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(8, 12), torch.randn(8, 2)
    loss, start = networks.flat_loss(Blocks(), inputs, targets)
    point = Gradients(loss, 100).point(start)
    gradients = Gradients(loss, 10_000)
    radius = SpectralRadius(gradients, point, Scale(point))
    top = curvature.sharpness(loss, start).value
    difference = gradients.curvature_along(point, radius.direction, Scale(point).at(start))
    assert float(difference.norm()) > 20 * top
    assert 0.5 * top < radius.value < 2 * top


@pytest.mark.parametrize("power", [4, 6, 8])
@pytest.mark.parametrize("growth", [1.0, 5.0])
def test_at_degenerate_minima_the_error_covers_what_is_to_come(power, growth):
    """The sharpness falls to 2 like the loss's power 1/p."""
    found = flow.gfs_sharpness(lambda w: (1 + growth * w[1]) * w[0] ** 2 + w[1] ** power, vector(0.7, 0.9))
    assert found.status == "converged"
    assert found.value - 2 <= found.error < 3 * (found.value - 2)


@pytest.mark.parametrize(
    ("power", "absolute", "growth", "top", "start"),
    [
        (6, False, 0.10, 1.209, (1.266, 0.1322)),
        (6, True, 0.10, 1.209, (1.266, 0.1322)),
        (8, True, 0.45, 1.255, (1.309, 0.0827)),
        (8, False, 0.88, 0.615, (1.189, 0.1960)),
    ],
)
def test_a_flat_valley_below_the_tolerance_is_seen(power, absolute, growth, top, start):
    """The loss falls as at an ordinary minimum to a fiftieth of the tolerance and less, and then hardly."""

    def loss(w):
        height = w[1].abs() if absolute else w[1]
        return top * (growth * w[1]).exp() * w[0] ** 2 / 2 + height**power

    found = flow.gfs_sharpness(loss, vector(*start))
    assert found.status == "converged"
    assert abs(found.value - top) <= found.error < 2 * abs(found.value - top)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "apart", "labels"),
    [
        *[(1, 0.02, 0.03), (1, 0.005, 0.03), (3, 0.01, 0.03), (4, 0.01, 0.03)],
        # On these plateaus the last step has left most of the gradient along stiff directions.
        *[(16, 0.002, 0.002), (18, 0.002, 0.002), (26, 0.002, 0.002), (28, 0.002, 0.002)],
    ],
)
def test_with_two_samples_next_to_each_other_the_error_covers_what_is_to_come(seed, apart, labels):
    """The way to where both labels are met is a plateau, hundreds of times as long as that to its beginning."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, 10))
    X[1] = X[0] + apart * rng.normal(size=10)
    y = rng.normal(size=5)
    y[1] = y[0] + labels * rng.normal()
    start = rng.normal(size=20) * 0.3 + 0.3
    exact = float(SquaredRegression(X, y).gfs_sharpness(start[:10], start[10:]))
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def loss(w):
        return (inputs @ (w[:10] ** 2 - w[10:] ** 2) - targets).square().sum() / 10

    found = flow.gfs_sharpness(loss, torch.from_numpy(start))
    assert found.status == "converged"
    assert abs(found.value - exact) <= found.error < 5 * abs(found.value - exact)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [9, 18, 36, 40])
def test_a_plateau_of_a_network_is_no_end_of_the_flow(seed):
    """The loss would not fall by its size in 1e9 steps of 1/sharpness, and yet it does not rest.

    On the way to where the labels of two samples next to each other are met, that is at a loss of 1e-6 or, with seed
    40, at one above the tolerance.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = (torch.randn(3, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    inputs[1], targets[1] = inputs[0] + 3e-3, targets[0] + 1e-2
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, 4), nn.Softplus(), nn.Linear(4, 1)).double()
    loss, start = networks.flat_loss(network, inputs, targets)
    found = flow.gfs_sharpness(loss, start, max_gradients=50_000)
    assert found.status == "converged"
    assert abs(found.value - _at_the_end_by_lsoda(loss, start)) <= found.error


def _at_the_end_by_lsoda(loss, start):
    def gradient(_, w):
        return -flow.loss_and_gradient(loss, torch.from_numpy(w))[1].numpy()

    def jacobian(_, w):
        return -torch.autograd.functional.hessian(loss, torch.from_numpy(w)).numpy()

    solver = LSODA(gradient, 0.0, start.numpy(), np.inf, rtol=1e-8, atol=1e-11, jac=jacobian)
    while float(loss(torch.from_numpy(solver.y))) > 1e-12:
        solver.step()
    return np.linalg.eigvalsh(-jacobian(0.0, solver.y))[-1]


@pytest.mark.parametrize("height", [1e-2, 1e-4, 2e-5])
@pytest.mark.parametrize("away", [1e-4, 1e-8])
def test_a_flow_that_leaves_a_weak_saddle_is_not_stationary(height, away):
    """There the gradient vanishes, and the negative curvature is 8e-5 times the largest at least."""

    def loss(w):
        return w[0] ** 2 / 2 + height * (w[1] ** 2 - 1) ** 2

    found = flow.gfs_sharpness(loss, vector(1.0, away), max_gradients=20_000)
    assert found.status == "converged"
    assert abs(found.value - 1) <= 1e-6
    assert flow.gradient_flow_solution(loss, vector(1.0, 0.0), max_gradients=20_000).status == "stationary"


@pytest.mark.parametrize("floor", [1.5e-5, 3e-6])
@pytest.mark.parametrize("condition", [1e2, 1e5])
def test_a_minimum_above_zero_is_soon_told_from_a_plateau(floor, condition):
    """Above the tolerance it is a status, and below it the end of the flow."""
    scales = torch.logspace(-math.log10(condition), 0, 12, dtype=torch.float64)

    def loss(w):
        return floor + (scales * (w + 0.1 * w.roll(1) ** 2) ** 2).sum() / 2

    found = flow.gfs_sharpness(loss, torch.full((12,), 0.1, dtype=torch.float64), max_gradients=50_000)
    assert found.status == ("stationary" if floor > 1e-5 else "converged")
    assert found.error < 0.1 or math.isnan(found.value)


@pytest.mark.parametrize("decay", [1.0, 1.4])
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_with_a_power_law_spectrum_the_error_covers_what_is_to_come(decay, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(8, 15)) * np.arange(1, 16) ** -decay
    y = X @ rng.normal(size=15) / 2
    start = np.full(15, 0.2)
    exact = float(SquaredRegression(X, y).gfs_sharpness(start, start))
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def loss(w):
        return (inputs @ (w[:15] ** 2 - w[15:] ** 2) - targets).square().sum() / 16

    found = flow.gfs_sharpness(loss, torch.full((30,), 0.2, dtype=torch.float64))
    assert abs(found.value - exact) <= found.error < 0.5 * exact


@pytest.mark.parametrize("loss", [3e-4, 5e-5, 1.1e-5, 0.9e-5, 1e-6, 1e-8])
def test_starts_near_the_end(loss):
    start = vector(1.6, 0.9, 0.7) * 0.99
    near = flow.gradient_flow_solution(scalar_loss, start, loss_tolerance=loss, tolerance=1e-6).parameters
    exact = float(scalar.gfs_sharpness(near.numpy()))
    found = flow.gfs_sharpness(scalar_loss, near)
    assert abs(found.value - exact) <= found.error < 5 * abs(found.value - exact) + 1e-9


def table(**columns):
    given = {"kind": "a", "case": "", "status": "converged", "true": 2.0, "value": 2.0, "error": 0.1, "distance": 0.05}
    return pd.DataFrame({**given, "gradients": 200, "alone": 100, **columns}, index=range(4))


def test_the_table_of_coverage_counts_what_is_outside():
    good = table()
    assert [row["measured"] for row in coverage.comparison(good)] == [100.0, 2.0, 2.0, 4.0]
    bad = table(distance=[0.05, 0.05, 0.3, 0.05])
    assert coverage.comparison(bad)[0]["measured"] == 75.0
    (row,) = coverage.by_kind(bad).to_dict("records")
    assert (row["within"], row["judged"], row["worst"]) == (3, 4, pytest.approx(3))
    assert "| a | 4 | 4 | 3 | 3.00 |" in coverage.markdown(bad, 0, "a machine")


def test_cases_without_a_reference_or_a_value_are_not_judged():
    some = table(true=[2.0, math.nan, 2.0, 2.0], value=[2.0, 2.0, math.nan, 2.0])
    assert len(coverage.judged(some)) == 2


def test_both_references_of_coverage_against_a_closed_form():
    start = vector(1.5, 0.8, 0.3)
    exact = float(scalar.gfs_sharpness(start.numpy()))
    assert coverage.integrated(scalar_loss, start) == pytest.approx(exact, rel=1e-6)
    assert coverage.followed(scalar_loss, start) == pytest.approx(exact, rel=1e-3)


def test_cases_are_those_of_their_seed():
    first, again, other = (next(coverage.cases(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.start, again.start)
    assert not torch.equal(first.start[:2], other.start[:2])


@pytest.mark.parametrize("option", ["tol", "passing"])
def test_an_option_that_there_is_not_is_named(option):
    with pytest.raises(TypeError, match=f"gfs_sharpness has no option '{option}'; it takes method, loss_tolerance"):
        flow.gfs_sharpness(scalar_loss, vector(1.0, 2.0), **{option: 1e-3})


@pytest.mark.parametrize("method", ["rkc", "rk4"])
def test_a_loss_that_rises_against_its_gradient_has_no_value(method):
    def loss(w):
        return 2 * w.detach().square().sum() - w.square().sum()

    found = flow.gfs_sharpness(loss, torch.tensor([1.0, 2.0], dtype=torch.float64), method=method, max_gradients=2000)
    assert found.status == {"rkc": "budget", "rk4": "unstable"}[method]
    assert math.isnan(found.value)
    assert math.isnan(found.error)


@pytest.mark.parametrize(("size", "status"), [(1e10, "converged"), (1e13, "eigenvalue not converged")])
def test_an_eigenvalue_that_rounding_hides_has_no_value(size, status):
    # The Hessian is the difference of two matrices, which leaves an error of 1e-16 of their size.
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(30, 30, generator=generator, dtype=torch.float64)
    less = size / 30 * factor @ factor.T
    more = less + torch.eye(30, dtype=torch.float64)

    found = flow.gfs_sharpness(
        lambda w: (w @ (more @ w) - w @ (less @ w)) / 2, torch.ones(30, dtype=torch.float64), loss_tolerance=1e-3
    )
    assert found.status == status
    if status == "converged":
        assert abs(found.value - 1) <= found.error < 1e-3
    else:
        assert math.isnan(found.value)
        assert math.isnan(found.error)
        assert found.top.residual > 1e-4 * found.top.value
