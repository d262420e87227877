"""Squared regression: derivatives, three ways to the gradient flow solution, the flattest interpolator."""

import cvxpy as cp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import approx_fprime

from gfsharp.regression import SquaredRegression, flattest_sharpness


@pytest.fixture
def model():
    generator = np.random.default_rng(3)
    return SquaredRegression(generator.normal(1, 1, size=(6, 14)), generator.normal(size=6))


@pytest.fixture
def start():
    generator = np.random.default_rng(4)
    return generator.normal(size=(3, 14)), generator.normal(size=(3, 14))


def test_gradient_against_finite_differences(model, start):
    plus, minus = start[0][0], start[1][0]
    both = np.concatenate([plus, minus])
    numerical = approx_fprime(both, lambda w: float(model.loss(w[:14], w[14:])), 1e-7)
    np.testing.assert_allclose(np.concatenate(model.gradient(plus, minus)), numerical, atol=2e-4)


def test_sharpness_against_differences_of_the_gradient(model, start):
    both = np.concatenate([start[0][0], start[1][0]])

    def gradient(w):
        return np.concatenate(model.gradient(w[:14], w[14:]))

    h = 1e-5
    hessian = np.array([(gradient(both + h * e) - gradient(both - h * e)) / (2 * h) for e in np.eye(28)])
    expected = np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]
    assert model.sharpness(start[0][0], start[1][0]) == pytest.approx(expected, rel=1e-7)


def test_both_sharpness_formulas_agree_at_an_interpolator(model, start):
    solution = model.gradient_flow_solution(*start)
    np.testing.assert_allclose(
        model.sharpness(solution.u_plus, solution.u_minus),
        model.sharpness_at_interpolator(solution.u_plus, solution.u_minus),
        rtol=1e-9,
    )


@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_newton_and_cvxpy_agree(model, start, scale):
    starts = [scale * u for u in start]
    newton = model.gfs_sharpness(*starts, solver="newton")
    assert np.isfinite(newton).all()
    np.testing.assert_allclose(newton, model.gfs_sharpness(*starts, solver="cvxpy"), rtol=1e-7)


def test_gfs_is_the_limit_of_gradient_flow(model, start):
    both = np.concatenate([start[0][0], start[1][0]])
    flow = solve_ivp(
        lambda _, w: -np.concatenate(model.gradient(w[:14], w[14:])), (0, 300), both, "LSODA", rtol=1e-11, atol=1e-13
    )
    end = flow.y[:, -1]
    assert model.loss(end[:14], end[14:]) < 1e-15
    solution = model.gradient_flow_solution(start[0][0], start[1][0])
    np.testing.assert_allclose(np.concatenate([solution.u_plus, solution.u_minus]), end, atol=1e-6)


def test_conserved_products_and_certificate(model, start):
    solution = model.gradient_flow_solution(*start)
    np.testing.assert_allclose(solution.u_plus * solution.u_minus, start[0] * start[1], rtol=1e-12)
    assert solution.certified.all()
    assert (solution.residual < 1e-10).all()
    assert (np.abs(solution.duality_gap) < 1e-10).all()


@pytest.mark.parametrize("wrong", ["the start", "another interpolator", "no interpolator"])
def test_a_failed_certificate_is_not_used(model, start, monkeypatch, wrong):
    def solve(model, system, p, q, solver, trajectory):
        nu = np.zeros((len(p), len(system.targets)))
        if wrong == "the start":
            return p, q, nu
        beta = np.linalg.lstsq(system.rows, system.targets, rcond=None)[0] * (1.1 if wrong == "no interpolator" else 1)
        return np.maximum(beta, 0) + 0 * p + 1, np.maximum(-beta, 0) + 0 * q + 1, nu

    monkeypatch.setattr("gfsharp.regression.model._solve", solve)
    assert np.isnan(model.gfs_sharpness(*start)).all()


def test_a_certificate_is_not_won_by_an_ill_conditioned_model(monkeypatch):
    """The start interpolates to 5e-8 of y, but along a singular value of 1e-8 it is far from the end."""
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(2, 2)))[0] for i in (1, 2))
    X = (left * [1, 1e-8]) @ right
    beta = right.T @ [1.0, 0.0]
    plus = np.sqrt(np.maximum(beta, 0) + 0.01)
    minus = np.sqrt(plus**2 - beta)
    model = SquaredRegression(X, X @ (right.T @ [1.0, 10.0]))
    assert model.gradient_flow_solution(plus, minus).certified
    monkeypatch.setattr(
        "gfsharp.regression.model._solve",
        lambda model, system, p, q, *_: (p, q, np.zeros((len(p), len(system.targets)))),
    )
    assert not model.gradient_flow_solution(plus, minus).certified


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "scipy"])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e4])
def test_gfs_sharpness_is_homogeneous(model, start, solver, scale):
    """``phi`` of ``(c y, sqrt(c) u)`` is c times that of ``(y, u)``: no solver may have a scale of its own."""
    scaled = SquaredRegression(model.X, scale * model.y)
    value = scaled.gfs_sharpness(*(np.sqrt(scale) * u for u in start), solver)
    # Clarabel's own accuracy is up to 1e-6 in some of these.
    tolerance = 1e-6 if solver == "cvxpy" else 1e-8
    np.testing.assert_allclose(value, scale * model.gfs_sharpness(*start), rtol=tolerance)


@pytest.mark.parametrize(("scales"), [(1e-4, 1.0), (1.0, 1e-8), (1e6, 1.0), (1.0, 1e8)])
@pytest.mark.parametrize("method", ["sdp", "dykstra"])
def test_the_flattest_sharpness_is_proportional_to_both_scales(model, method, scales):
    value = flattest_sharpness(scales[0] * model.X, scales[1] * model.y, method)
    assert value == pytest.approx(scales[0] * scales[1] * flattest_sharpness(model.X, model.y), rel=1e-4)


@pytest.mark.parametrize(
    ("plus", "minus", "label"), [([1e5], [0.0], -1.0), ([1e20], [1e-20], -1.0), ([1e30], [0.0], -1.0)]
)
def test_a_huge_start_does_not_hide_a_missing_interpolator(plus, minus, label):
    found = SquaredRegression([[1.0]], [label]).gradient_flow_solution(plus, minus)
    loss = SquaredRegression([[1.0]], [label]).loss(found.u_plus, found.u_minus)
    assert not found.certified or loss < 1e-12


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "scipy"])
def test_one_live_weight_in_closed_form(solver):
    """With u_+ = 1 on one entry and y = X_0 the end is u_+ = 1 there: phi = 4/N |X_0|^2."""
    X = np.random.default_rng(0).normal(size=(20, 40))
    plus = np.zeros(40)
    plus[0] = 2.0
    value = SquaredRegression(X, X[:, 0]).gfs_sharpness(plus, 0 * plus, solver)
    assert value == pytest.approx(4 / 20 * X[:, 0] @ X[:, 0], rel=1e-9)


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "scipy"])
def test_starts_of_all_zeros_go_nowhere(model, start, solver):
    nothing = np.zeros(14)
    both = np.stack([start[0][0], nothing]), np.stack([start[1][0], nothing])
    values = model.gfs_sharpness(*both, solver)
    assert np.isfinite(values[0])
    assert np.isnan(values[1])


def test_samples_of_very_different_sizes_still_interpolate(model, start):
    X, y = model.X.copy(), model.y.copy()
    X[1] *= 1e-10
    y[1] *= 1e-10
    scaled, plain = SquaredRegression(X, y), SquaredRegression(model.X, model.y)
    solutions = [m.gradient_flow_solution(*start).u_plus for m in (scaled, plain)]
    np.testing.assert_allclose(*solutions, rtol=1e-8)


def test_a_rank_that_cannot_be_told_is_refused():
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(2, 2)))[0] for i in (1, 2))
    X = (left * [1, 1e-12]) @ right
    with pytest.raises(ValueError, match="the rank of X cannot be told"):
        SquaredRegression(X, X @ np.ones(2)).gfs_sharpness(np.ones(2), np.ones(2))


def test_the_result_does_not_depend_on_the_batch():
    """Where f passes zero its terms cancel: a line search that takes f's own size for theirs stops early."""
    generator = np.random.default_rng(0)
    model = SquaredRegression(generator.normal(1, 1, size=(5, 10)), generator.normal(size=5))
    scales = np.geomspace(0.05, 1, 3000)[:, None]
    solution = model.gradient_flow_solution(scales * np.ones(10), scales * np.ones(10))
    assert solution.residual.max() < 1e-12


def test_an_empty_batch_is_no_harm(model):
    nothing = np.zeros((0, 14))
    assert model.gfs_sharpness(nothing, nothing).shape == (0,)
    assert model.gradient_flow_solution(nothing, nothing, trajectory=True).u_plus.shape == (0, 14)


def test_the_data_are_the_model_s_own(start):
    X, y = np.random.default_rng(3).normal(1, 1, size=(6, 14)), np.ones(6)
    model = SquaredRegression(X, y)
    before = model.gfs_sharpness(*start)
    X *= 2
    np.testing.assert_array_equal(model.gfs_sharpness(*start), before)


def test_starts_that_are_not_finite_leave_the_others_unharmed(model, start):
    plus = start[0].copy()
    plus[1, 0] = np.nan
    values = model.gfs_sharpness(plus, start[1])
    assert np.isnan(values[1])
    np.testing.assert_allclose(values[[0, 2]], model.gfs_sharpness(*start)[[0, 2]], rtol=1e-10)


def test_flattest_interpolator_of_one_sample_in_closed_form():
    # One sample: all mass on the entry of smallest magnitude, so S_flat = 4 |y| min |x_i|.
    assert flattest_sharpness([[3.0, -0.5, 2.0]], [1.5]) == pytest.approx(4 * 1.5 * 0.5, rel=1e-6)


def test_flattest_interpolator_against_its_dual(model):
    """The dual bounds it from below: max <y, nu> with |<x_i, nu>| <= (4/N) x_i^T Z x_i, tr Z = 1, Z >= 0."""
    samples, dimension = model.X.shape
    nu, Z = cp.Variable(samples), cp.Variable((samples, samples), PSD=True)
    columns = [model.X[:, i] for i in range(dimension)]
    bounds = [cp.abs(x @ nu) <= 4 / samples * cp.trace(np.outer(x, x) @ Z) for x in columns]
    dual = cp.Problem(cp.Maximize(model.y @ nu), [*bounds, cp.trace(Z) == 1]).solve(solver=cp.CLARABEL)
    assert flattest_sharpness(model.X, model.y) == pytest.approx(dual, rel=1e-6)


def test_no_gradient_flow_solution_is_flatter_than_the_flattest(model):
    generator = np.random.default_rng(0)
    flattest = flattest_sharpness(model.X, model.y)
    scales = np.exp(generator.uniform(-3, 1, size=(200, 1)))
    reached = model.gfs_sharpness(*(scales * generator.normal(size=(2, 200, 14))))
    assert reached.min() >= flattest * (1 - 1e-6)


def test_labels_of_zero_have_a_certificate_too():
    model = SquaredRegression([[1.0, 2.0]], [0.0])
    solution = model.gradient_flow_solution([1.0, 0.5], [0.2, 0.3])
    assert solution.certified
    assert model.loss(solution.u_plus, solution.u_minus) < 1e-20


def test_data_without_an_interpolator_is_refused():
    overdetermined = SquaredRegression([[1.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ValueError, match="no beta interpolates"):
        overdetermined.gfs_sharpness([1.0], [1.0])
    with pytest.raises(ValueError, match="no beta interpolates"):
        flattest_sharpness([[1.0], [1.0]], [0.0, 1.0])


def test_bad_arguments_are_refused(model):
    with pytest.raises(ValueError, match=r"\(N, d\)"):
        SquaredRegression(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match=r"X must be finite, found nan at \(0, 1\)"):
        SquaredRegression([[1.0, np.nan]], [1.0])
    with pytest.raises(ValueError, match="must be real"):
        SquaredRegression([[1j]], [1.0])
    with pytest.raises(ValueError, match="must have samples"):
        SquaredRegression(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match=r"do not fit together: \(2, 14\) and \(3, 14\)"):
        model.loss(np.ones((2, 14)), np.ones((3, 14)))
    with pytest.raises(ValueError, match=r"u_plus must have shape \(\.\.\., 14\)"):
        model.loss(np.ones(3), np.ones(14))
    with pytest.raises(ValueError, match="unknown solver"):
        model.gfs_sharpness(np.ones(14), np.ones(14), solver="bisection")


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "dimension", "mean"), [(6, 14, 1.0), (20, 60, 0.0), (15, 16, 0.5), (8, 8, 1.0)])
def test_flattest_interpolator_by_two_methods(samples, dimension, mean):
    generator = np.random.default_rng(samples)
    X, y = generator.normal(mean, 1, size=(samples, dimension)), generator.normal(size=samples)
    assert flattest_sharpness(X, y, "dykstra") == pytest.approx(flattest_sharpness(X, y, "sdp"), rel=1e-4)


def test_projections_that_creep_are_given_up(model):
    with pytest.raises(ValueError, match="within max_rounds projections"):
        flattest_sharpness(model.X, model.y, "dykstra", max_rounds=10)


def test_flattest_interpolator_with_a_repeated_sample():
    generator = np.random.default_rng(1)
    X, y = generator.normal(size=(6, 12)), generator.normal(size=6)
    X[5], y[5] = X[4], y[4]
    assert flattest_sharpness(X, y, "dykstra") == pytest.approx(flattest_sharpness(X, y, "sdp"), rel=1e-4)


def test_flattest_interpolator_of_labels_of_zero_is_flat():
    assert flattest_sharpness([[1.0, 2.0]], [0.0]) == 0.0


def test_unknown_ways_to_the_flattest_interpolator_are_refused(model):
    with pytest.raises(ValueError, match="unknown method 'newton'; choose 'sdp' or 'dykstra'"):
        flattest_sharpness(model.X, model.y, "newton")


def descent(model, scale=0.1, fraction=0.9, steps=400):
    """Iterates of gradient descent near the edge of stability."""
    eta = fraction * 2 / flattest_sharpness(model.X, model.y)
    plus, minus = [np.full(model.dimension, scale)], [np.full(model.dimension, scale)]
    for _ in range(steps):
        slopes = model.gradient(plus[-1], minus[-1])
        plus.append(plus[-1] - eta * slopes[0])
        minus.append(minus[-1] - eta * slopes[1])
    return np.array(plus), np.array(minus)


@pytest.mark.parametrize("steps", [0, 1, 95, 96, 400])
def test_along_a_trajectory_as_one_by_one(model, steps):
    iterates = descent(model, steps=steps)
    followed = model.gradient_flow_solution(*iterates, trajectory=True)
    alone = model.gradient_flow_solution(*iterates)
    assert followed.certified.all()
    np.testing.assert_allclose(followed.u_plus, alone.u_plus, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(followed.u_minus, alone.u_minus, rtol=1e-9, atol=1e-12)


def test_a_trajectory_that_jumps_is_solved_all_the_same(model):
    generator = np.random.default_rng(0)
    starts = np.exp(2 * generator.normal(size=(2, 300, 14)))
    starts[0, ::7, :5] = 0.0
    starts[0, 150] = np.nan
    followed = model.gradient_flow_solution(*starts, trajectory=True)
    alone = model.gradient_flow_solution(*starts)
    np.testing.assert_array_equal(followed.certified, alone.certified)
    assert not followed.certified[150]
    assert followed.certified.sum() > 250
    good = followed.certified
    np.testing.assert_allclose(followed.u_plus[good], alone.u_plus[good], rtol=1e-7, atol=1e-9)


def hard_case(name):
    """A model and a start for each case that the solvers are known to be tried by."""
    generator = np.random.default_rng(0)
    samples, dimension = 10, 20
    X, y = generator.normal(1, 1, size=(samples, dimension)), generator.normal(size=samples)
    plus, minus = np.exp(0.3 * generator.normal(size=(2, dimension)))
    if name.startswith("scale"):
        scale = float(name.split()[1])
        return SquaredRegression(X, y), scale * plus, scale * minus
    if name == "zeros":
        plus[1::5], minus[::3] = 0.0, 0.0
    if name == "as many samples as dimensions":
        return SquaredRegression(X[:, :samples], y), plus[:samples], minus[:samples]
    if name == "a sample twice":
        X[5], y[5] = X[4], y[4]
    if name.startswith("condition"):
        left, _, right = np.linalg.svd(X, full_matrices=False)
        X = 10 * (left * np.geomspace(1, 1 / float(name.split()[1]), samples)) @ right
        y = X @ generator.normal(size=dimension)
    return SquaredRegression(X, y), plus, minus


HARD_CASES = [
    *(f"scale {scale}" for scale in ("1e-6", "1e-4", "0.01", "1", "10")),
    "zeros",
    "as many samples as dimensions",
    "a sample twice",
    *(f"condition {condition}" for condition in ("1e4", "1e6", "1e8")),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD_CASES)
def test_three_solvers_agree_on_hard_cases(name):
    model, plus, minus = hard_case(name)
    newton = model.gradient_flow_solution(plus, minus, "newton")
    assert newton.certified
    assert newton.residual < 1e-11
    assert abs(newton.duality_gap) < 1e-11
    value = model.gfs_sharpness(plus, minus)
    assert model.gfs_sharpness(plus, minus, "scipy") == pytest.approx(value, rel=1e-8)
    # At a scale of 1e-6 the entries of P and Q span twenty orders of magnitude, and at 10 the labels are their small
    # differences: beyond Clarabel's tolerances, of which some processors' rounding lets it reach the second alone.
    rough = name in ("scale 1e-6", "scale 10")
    assert model.gfs_sharpness(plus, minus, "cvxpy") == pytest.approx(value, rel=1e-6 if rough else 1e-8)
    np.testing.assert_allclose(newton.u_plus * newton.u_minus, plus * minus, rtol=1e-10)


@pytest.mark.parametrize("name", ["scale 1e-4", "scale 0.01", "scale 1", "scale 10", "zeros", "a sample twice"])
def test_hard_cases_against_the_flow_itself(name):
    model, plus, minus = hard_case(name)
    dimension = len(plus)

    def velocity(_, w):
        return -np.concatenate(model.gradient(w[:dimension], w[dimension:]))

    def arrived(_, w):
        return float(model.loss(w[:dimension], w[dimension:])) - 1e-22

    arrived.terminal = True
    start = np.concatenate([plus, minus])
    end = solve_ivp(velocity, (0, 1e7), start, "LSODA", rtol=1e-11, atol=1e-14, events=arrived).y[:, -1]
    assert model.loss(end[:dimension], end[dimension:]) < 1e-18
    flowed = model.sharpness_at_interpolator(end[:dimension], end[dimension:])
    assert model.gfs_sharpness(plus, minus) == pytest.approx(flowed, rel=1e-8)


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "scipy"])
def test_starts_that_flow_to_no_interpolator_have_no_certificate(solver):
    model, plus, minus = hard_case("plain")
    assert np.isnan(model.gfs_sharpness(plus, 0 * minus, solver))  # beta would have to be positive
    plus[:15], minus[:15] = 0.0, 0.0  # five entries of beta for ten samples
    assert np.isnan(model.gfs_sharpness(plus, minus, solver))


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "scipy"])
def test_every_solver_leaves_the_others_of_a_batch_unharmed(model, start, solver):
    plus = start[0].copy()
    plus[1, 0] = np.nan
    values = model.gfs_sharpness(plus, start[1], solver)
    assert np.isnan(values[1])
    np.testing.assert_allclose(values[[0, 2]], model.gfs_sharpness(*start)[[0, 2]], rtol=1e-7)


def of_one_sample(x, y, plus, minus):
    """The GFS sharpness for one sample by 60-digit arithmetic: ``P = p e^(nu x)``, ``Q = q e^(-nu x)``."""
    with mpmath.workdps(60):
        x = [mpmath.mpf(value) for value in x]
        p, q = ([mpmath.mpf(float(value)) ** 2 for value in half] for half in (plus, minus))

        def parts(nu):
            return [(a * mpmath.exp(nu * c), b * mpmath.exp(-nu * c)) for a, b, c in zip(p, q, x, strict=True)]

        def missing(nu):
            return sum(c * (P - Q) for c, (P, Q) in zip(x, parts(nu), strict=True)) - y

        low, high = mpmath.mpf(-3000), mpmath.mpf(3000)  # it rises
        for _ in range(300):
            middle = (low + high) / 2
            low, high = (middle, high) if missing(middle) < 0 else (low, middle)
        return float(4 * sum(c**2 * (P + Q) for c, (P, Q) in zip(x, parts(low), strict=True)))


@pytest.mark.parametrize("scale", [1e-6, 1e-11, 1e-12, 1e-13, 1e-40, 1e-77, 1e-150])
@pytest.mark.parametrize("y", [-2.0, 3e-3, 50.0])
def test_tiny_starts_of_one_sample_in_60_digits(scale, y):
    x = [0.7, -1.3, 0.2, 1.29]
    plus, minus = scale * np.array([1.0, 2.0, -1.0, 0.5]), scale * np.array([1.0, 0.3, 1.0, -3.0])
    found = SquaredRegression([x], [y]).gfs_sharpness(plus, minus)
    assert found == pytest.approx(of_one_sample(x, y, plus, minus), rel=1e-11)


@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e-140])
def test_tiny_starts_by_newton_and_cvxpy(model, start, scale):
    """Uniform, of all signs, and of sizes from 1 to 1e-150 in one start and in one batch."""
    generator = np.random.default_rng(5)
    mixed = scale ** generator.uniform(0, 1, size=(2, 14))
    plus = np.stack([np.full(14, scale), scale * start[0][0], mixed[0], start[0][1]])
    minus = np.stack([np.full(14, scale), scale * start[1][0], mixed[1], start[1][1]])
    newton = model.gradient_flow_solution(plus, minus)
    assert newton.certified.all()
    values = model.gfs_sharpness(plus, minus)
    np.testing.assert_allclose(values, model.gfs_sharpness(plus, minus, solver="cvxpy"), rtol=1e-6)
    np.testing.assert_array_equal(values, model.gfs_sharpness(plus, minus))
    along = model.gfs_sharpness(plus, minus, trajectory=True)
    np.testing.assert_allclose(along, values, rtol=1e-9)


def test_what_cannot_be_reached_from_a_tiny_start_has_no_certificate():
    """Without an entry of u_- beta cannot be negative."""
    model = SquaredRegression([[1.0, 2.0]], [-1.0])
    for scale in (1.0, 1e-12, 1e-150, 1e-200):
        assert not model.gradient_flow_solution([scale, scale], [0.0, 0.0]).certified
