"""Squared regression: derivatives, three ways to the gradient flow solution, the flattest interpolator."""

import cvxpy as cp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import approx_fprime

from gfs.regression import SquaredRegression, flattest_sharpness


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


def test_a_failed_certificate_is_not_used(model, start, monkeypatch):
    monkeypatch.setattr(
        SquaredRegression, "_newton", lambda self, p, q, _: (p, q, np.zeros((*p.shape[:-1], self.rank)))
    )
    assert np.isnan(model.gfs_sharpness(*start)).all()


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
    with pytest.raises(ValueError, match="finite"):
        SquaredRegression([[np.nan]], [1.0])
    with pytest.raises(ValueError, match=r"u_plus must have shape \(\.\.\., 14\)"):
        model.loss(np.ones(3), np.ones(14))
    with pytest.raises(ValueError, match="unknown solver"):
        model.gfs_sharpness(np.ones(14), np.ones(14), solver="bisection")


@pytest.mark.parametrize(("samples", "dimension", "mean"), [(6, 14, 1.0), (20, 60, 0.0), (15, 16, 0.5), (8, 8, 1.0)])
def test_flattest_interpolator_by_two_methods(samples, dimension, mean):
    generator = np.random.default_rng(samples)
    X, y = generator.normal(mean, 1, size=(samples, dimension)), generator.normal(size=samples)
    assert flattest_sharpness(X, y, "dykstra") == pytest.approx(flattest_sharpness(X, y, "sdp"), rel=1e-4)


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


@pytest.mark.parametrize("name", HARD_CASES)
def test_three_solvers_agree_on_hard_cases(name):
    model, plus, minus = hard_case(name)
    newton = model.gradient_flow_solution(plus, minus, "newton")
    assert newton.certified
    assert newton.residual < 1e-11
    assert abs(newton.duality_gap) < 1e-11
    value = model.gfs_sharpness(plus, minus)
    assert model.gfs_sharpness(plus, minus, "scipy") == pytest.approx(value, rel=1e-8)
    # At a scale of 1e-6 the entries of P and Q span twenty orders of magnitude: beyond Clarabel's tolerances.
    assert model.gfs_sharpness(plus, minus, "cvxpy") == pytest.approx(value, rel=1e-6 if name == "scale 1e-6" else 1e-8)
    np.testing.assert_allclose(newton.u_plus * newton.u_minus, plus * minus, rtol=1e-10)


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
