"""Limiting flows of Arora et al. (2022): each against another way to it, and the runs beside them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from gfsharp import scalar
from gfsharp.descent import gradient_descent
from gfsharp.errors import UserError
from replication.studies.arora import Regression, Scalar, Valley, build, phases, summary
from replication.studies.arora.descending import Run, descend, step
from replication.studies.arora.limiting_flow import integrate, tangent, velocity
from replication.studies.arora.scalar import depth_two, log_velocity

METHODS = ("normalised", "sqrt")
TIMES = np.array([0.0, 0.3, 1.0, 2.5])

DATA = {"samples": 3, "dimension": 5, "mean": 1.0, "deviation": 1.0, "label_deviation": 1.0, "seed": 0}
SETTINGS = {
    "valley": {"starts": [[1.5, 1.0], [-1.0, 0.6]]},
    "scalar": {"starts": [[3.4, 1.9, 0.6, 0.8], [2.2, 1.5, 0.9, 1.2]]},
    "regression": {"data": DATA, "initial_scales": [0.4, 0.8]},
}
SAMPLING = {"learning_rates": [0.1, 0.03, 0.02], "tau": 1.0, "points": 20, "consecutive": 2}


def problem_and_minimum(name):
    problem, starts = build(name, SETTINGS[name])
    return problem, problem.gradient_flow_solution(starts)[0]


def numerical_gradient(function, w, step=1e-6):
    return np.array([(function(w + h) - function(w - h)) / (2 * step) for h in step * np.eye(len(w))])


def hessian(problem, w, step=1e-5):
    """By differences of the gradient."""
    rows = [
        (problem.loss_and_gradient((w + h)[None])[1] - problem.loss_and_gradient((w - h)[None])[1])[0] / (2 * step)
        for h in step * np.eye(len(w))
    ]
    return np.array(rows)


# The problems.


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_the_losses(name):
    problem, starts = build(name, SETTINGS[name])
    for w in starts:
        slope = numerical_gradient(lambda v: problem.loss_and_gradient(v[None])[0][0], w)
        np.testing.assert_allclose(problem.loss_and_gradient(w[None])[1][0], slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_flow_ends_where_it_is_said_to(name):
    problem, starts = build(name, SETTINGS[name])
    ends = problem.gradient_flow_solution(starts)
    for w, end in zip(starts, ends, strict=True):
        flow = solve_ivp(
            lambda _, v: -problem.loss_and_gradient(v[None])[1][0], (0, 200), w, "LSODA", rtol=1e-11, atol=1e-13
        )
        np.testing.assert_allclose(flow.y[:, -1], end, atol=1e-7)


@pytest.mark.parametrize("name", SETTINGS)
def test_sharpness_and_top_eigenvector_are_those_of_the_hessian(name):
    problem, starts = build(name, SETTINGS[name])
    minima = problem.gradient_flow_solution(starts)
    largest, vectors = problem.top(minima)
    for i, (w, minimum) in enumerate(zip(starts, minima, strict=True)):
        # Differences of a gradient leave 1e-9 or so.
        assert problem.sharpness(w[None])[0] == pytest.approx(np.linalg.eigvalsh(hessian(problem, w))[-1], rel=1e-7)
        values, eigenvectors = np.linalg.eigh(hessian(problem, minimum))
        assert largest[i] == pytest.approx(values[-1], rel=1e-7)
        assert abs(vectors[i] @ eigenvectors[:, -1]) == pytest.approx(1, abs=1e-7)


def test_the_models_of_the_project_are_the_same():
    problem, starts = build("scalar", SETTINGS["scalar"])
    loss, gradient = problem.loss_and_gradient(starts)
    np.testing.assert_allclose(loss, scalar.loss(starts), rtol=1e-13)
    np.testing.assert_allclose(gradient, scalar.gradient(starts), rtol=1e-13)
    problem, starts = build("regression", SETTINGS["regression"])
    plus, minus = np.split(starts + 0.1 * np.arange(10), 2, axis=1)
    loss, gradient = problem.loss_and_gradient(np.hstack([plus, minus]))
    np.testing.assert_allclose(loss, problem.model.loss(plus, minus), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.hstack(problem.model.gradient(plus, minus)), rtol=1e-12, atol=1e-14)


def test_the_valleys_solution_is_lambert_w():
    x, y = np.array([0.3, 1.5, -2.0, 0.0]), np.array([0.5, -1.0, 2.0, 1.0])
    found = Valley().gradient_flow_solution(np.stack([x, y], axis=1))
    expected = np.sign(x) * np.sqrt(lambertw(x**2 * np.exp(x**2 - y**2)).real)
    np.testing.assert_allclose(found, np.stack([expected, 0 * x], axis=1), rtol=1e-14)
    # Where the exponential overflows: log z^2 + z^2 = log x^2 + x^2 - y^2.
    (z,) = Valley().gradient_flow_solution(np.array([[40.0, 10.0]]))[:, 0]
    assert 2 * np.log(z) + z**2 == pytest.approx(2 * np.log(40) + 1500, rel=1e-14)


def test_a_problem_without_a_name_is_refused():
    with pytest.raises(ValueError, match="unknown problem 'vally'"):
        build("vally", {"starts": [[1.0, 1.0]]})


# The limiting flows.


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("descent", METHODS)
def test_the_flow_is_the_projected_gradient_of_the_sharpness(name, descent):
    """By differences of the sharpness of the numerical Hessian, projected by its eigenvectors: nothing of the closed
    forms goes in."""
    problem, minimum = problem_and_minimum(name)
    values, vectors = np.linalg.eigh(hessian(problem, minimum))
    along = vectors[:, np.abs(values) < 1e-6 * values[-1]]
    # Off the manifold lambda_1 of the Hessian is another continuation; along it, to first order, it is the same.
    slope = numerical_gradient(lambda w: problem.sharpness(w[None])[0], minimum, step=1e-5)
    gradient = along @ (along.T @ slope)
    expected = -gradient / 8 if descent == "sqrt" else -gradient / (4 * values[-1])
    h = 1e-4
    begin, middle, end = problem.limiting_flow(descent, minimum, np.array([0, h, 2 * h]))
    # Of second order in h.
    found = (-3 * begin + 4 * middle - end) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.linalg.norm(expected))


@pytest.mark.parametrize("descent", METHODS)
def test_the_valleys_flow_is_that_of_its_differential_equation(descent):
    def field(w):
        x = w[0]
        return velocity(descent, 2 * (1 + x**2), tangent([[0.0, 1.0]], [4 * x, 3.0]))

    for x in (1.5, -0.7, 3.0):
        expected = integrate(field, [x, 0.0], TIMES)
        np.testing.assert_allclose(Valley().limiting_flow(descent, [x, 0.0], TIMES), expected, atol=1e-9)


def test_the_numbers_of_the_simulation_that_the_factors_were_first_checked_by():
    ends = [Valley().limiting_flow(descent, [1.5, 0.0], [1.0])[0, 0] for descent in METHODS]
    np.testing.assert_allclose(ends, [1.2627, 0.9098], atol=5e-5)  # four digits
    runs = [Run(descent, 0.005, np.array([1.5, 0.0025]), np.array([40_000])) for descent in METHODS]
    found = [iterates.weights[0, 0] for iterates in descend(Valley(), runs)]
    np.testing.assert_allclose(found, ends, atol=5e-3)


@pytest.mark.parametrize("descent", METHODS)
@pytest.mark.parametrize("first", [2.0, 0.3, 1.001])
def test_a_scalar_network_of_depth_2_is_its_closed_form(descent, first):
    found = Scalar().limiting_flow(descent, np.array([first, 1 / first]), TIMES)
    np.testing.assert_allclose(found, depth_two(descent, first, TIMES), rtol=1e-9)


def test_depth_2_at_its_flattest_stays():
    for descent in METHODS:
        np.testing.assert_array_equal(depth_two(descent, 1.0, TIMES), np.ones((4, 2)))


@pytest.mark.parametrize("descent", METHODS)
@pytest.mark.parametrize("depth", [2, 3, 6])
def test_the_scalar_velocity_is_a_projection(descent, depth):
    a = np.random.default_rng(depth).normal(size=depth)
    w = np.exp(a - a.mean())
    projected = tangent((1 / w)[None], -2 / w**3)
    expected = velocity(descent, np.sum(w**-2.0), projected) / w
    np.testing.assert_allclose(
        log_velocity(descent, np.log(w)), expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max()
    )


def test_the_scalar_flow_keeps_the_product_and_ends_balanced():
    start = np.array([-2.0, 0.5, -1.6, 0.625])
    flow = Scalar().limiting_flow("sqrt", start, np.array([0.0, 1.0, 60.0]))
    np.testing.assert_allclose(scalar.product(flow), 1, rtol=1e-9)
    np.testing.assert_allclose(flow[-1], [-1, 1, -1, 1], rtol=1e-6)


@pytest.mark.parametrize("descent", METHODS)
def test_regression_on_one_sample_of_one_dimension_is_a_hyperbola(descent):
    """``u_+ = r cosh s``, ``u_- = r sinh s``: ``lambda_1 = 4 y cosh 2s``, so ds/dtau = -tanh(2s) x^2 for sqrt."""
    x, y, s = 1.3, 2.0, 0.6
    radius = np.sqrt(y / x)
    problem = Regression([[x]], [y])
    flow = problem.limiting_flow(descent, radius * np.array([np.cosh(s), np.sinh(s)]), TIMES)

    def field(angle):
        slope, largest, speed = (
            8 * x * y * np.sinh(2 * angle),
            4 * x * y * np.cosh(2 * angle),
            y / x * np.cosh(2 * angle),
        )
        return -(slope / 8 if descent == "sqrt" else slope / (4 * largest)) / speed

    angles = integrate(field, [s], TIMES)[:, 0]
    np.testing.assert_allclose(flow, radius * np.stack([np.cosh(angles), np.sinh(angles)], axis=1), rtol=1e-9)
    if descent == "sqrt":
        np.testing.assert_allclose(np.sinh(2 * angles), np.sinh(2 * s) * np.exp(-2 * x**2 * TIMES), rtol=1e-8)


def test_the_gradient_of_the_largest_eigenvalue():
    problem, minimum = problem_and_minimum("regression")

    def largest(w):
        jacobian = problem.jacobian(w[None])[0]
        return np.linalg.eigvalsh(jacobian.T @ jacobian / 3)[-1]

    value, gradient = problem.gradient_of_top(minimum)
    assert value == pytest.approx(largest(minimum), rel=1e-12)
    np.testing.assert_allclose(gradient, numerical_gradient(largest, minimum), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("descent", METHODS)
def test_the_flow_of_regression_stays_on_the_manifold(descent):
    problem, minimum = problem_and_minimum("regression")
    loss, _ = problem.loss_and_gradient(problem.limiting_flow(descent, minimum, TIMES))
    # Residuals of 1e-9: DOP853 at 1e-11 per step.
    assert loss.max() < 1e-18


@pytest.mark.parametrize("name", SETTINGS)
def test_the_flow_lowers_the_sharpness(name):
    problem, minimum = problem_and_minimum(name)
    for descent in METHODS:
        largest, _ = problem.top(problem.limiting_flow(descent, minimum, TIMES))
        assert (np.diff(largest) < 0).all()


def test_plain_descent_has_no_limiting_flow():
    for name in SETTINGS:
        problem, minimum = problem_and_minimum(name)
        with pytest.raises(ValueError, match="no limiting flow of 'plain'"):
            problem.limiting_flow("plain", minimum, TIMES)
    with pytest.raises(ValueError, match="no limiting flow of 'plain'"):
        depth_two("plain", 2.0, TIMES)


def test_times_that_descend_are_refused():
    with pytest.raises(ValueError, match="must ascend"):
        integrate(lambda x: -x, [1.0], [1.0, 0.5])


def test_a_flow_that_blows_up_says_so():
    with pytest.raises(ValueError, match="could not be integrated"), np.errstate(all="ignore"):
        integrate(lambda x: x**2, [1.0], [2.0])


@pytest.mark.slow
def test_a_flow_that_comes_to_a_double_eigenvalue_is_refused():
    """Where the two largest eigenvalues meet the field jumps."""
    settings = {"data": {**DATA, "samples": 2, "dimension": 6, "seed": 4}, "initial_scales": [0.4]}
    with pytest.raises(UserError, match="regression, start 0, sqrt: the flow could not be integrated"):
        phases.table("regression", {**settings, **SAMPLING, "learning_rates": [0.1]}, methods=("sqrt",))


# The runs.


@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_those_of_gradient_descent(name):
    problem, starts = build(name, SETTINGS[name])
    w = np.repeat(starts[:1], 3, axis=0)
    descents, rates = ["plain", *METHODS], np.array([0.01, 0.1, 0.05])
    for _ in range(3):
        after = step(problem, w, descents, rates)
        for i, (descent, rate) in enumerate(zip(descents, rates, strict=True)):

            def one(v):
                loss, gradient = problem.loss_and_gradient(v[None])
                return float(loss[0]), gradient[0]

            *_, expected = gradient_descent(one, w[i], rate, loss_tolerance=0.0, max_iterations=1, descent=descent)
            np.testing.assert_allclose(after[i], expected.weights, rtol=1e-14, atol=1e-15)
        w = after


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown descent 'signed'"):
        step(Valley(), np.ones((1, 2)), ["signed"], np.array([0.1]))


def test_no_step_is_taken_from_a_minimum():
    w = np.array([[1.5, 0.0]] * 3)
    np.testing.assert_array_equal(step(Valley(), w, ["plain", *METHODS], np.full(3, 0.1)), w)


def test_kept_iterates_are_those_of_each_run_alone():
    """Runs that end at different times, some before others have turned."""
    problem, starts = build("valley", SETTINGS["valley"])
    runs = [
        Run("normalised", 0.1, starts[0], np.array([0, 3, 11, 12, 40])),
        Run("sqrt", 0.01, starts[1], np.array([1, 2, 300])),
        Run("normalised", 0.001, starts[0], np.array([5])),
        Run("plain", 0.01, starts[0], np.array([0, 100])),
    ]
    together = descend(problem, runs)
    assert [iterates.weights.shape for iterates in together] == [(5, 2), (3, 2), (1, 2), (2, 2)]
    for run, iterates in zip(runs, together, strict=True):
        w, path, gradients = run.start[None], [run.start], []
        for _ in range(run.kept[-1]):
            gradients.append(problem.loss_and_gradient(w)[1][0])
            w = step(problem, w, [run.descent], np.array([run.learning_rate]))
            path.append(w[0])
        np.testing.assert_array_equal(iterates.weights, np.array(path)[run.kept])
        turns = [i for i in range(1, len(gradients)) if gradients[i] @ gradients[i - 1] < 0]
        assert iterates.turn == (turns[0] if turns else -1)
        if turns:
            np.testing.assert_array_equal(iterates.turned, path[turns[0]])
        else:
            assert np.isnan(iterates.turned).all()
    assert [iterates.turn > 0 for iterates in together] == [True, True, False, False]


def test_a_run_that_diverges_does_not_stop_the_others():
    runs = [
        Run("plain", 50.0, np.array([2.0, 2.0]), np.array([0, 50])),
        Run("normalised", 0.1, np.array([1.5, 0.05]), np.array([0, 50])),
    ]
    diverged, fine = descend(Valley(), runs)
    assert not np.isfinite(diverged.weights[-1]).all()
    assert np.isfinite(fine.weights).all()


def test_with_one_normal_direction_the_drift_is_the_same_however_it_oscillates():
    """y alternates between c s and (c - 1) s for any c."""
    for descent, s in (("normalised", 1.0), ("sqrt", np.sqrt(1 + 1.5**2))):
        runs = [Run(descent, 0.01, np.array([1.5, c * 0.01 * s]), np.array([2000])) for c in (0.5, 0.3, 0.1)]
        ends = np.array([iterates.weights[0] for iterates in descend(Valley(), runs)])
        flow = Valley().limiting_flow(descent, [1.5, 0.0], [0.2])[0, 0]
        # The three are s c apart across the valley, but drifted by the same to 1e-3 of it.
        np.testing.assert_allclose(ends[:, 0] - 1.5, flow - 1.5, rtol=2e-3)
        assert np.ptp(np.abs(ends[:, 1])) > 1e-3 * s


def test_phase_one_takes_as_long_as_gradient_flow():
    """For the valley the length is a quadrature along the curve that gradient flow keeps to."""
    x, y = 1.5, 1.0
    heights = np.linspace(0, y, 20_001)
    curve = Valley().gradient_flow_solution(np.stack([np.full(2, x), [y, 0]], axis=1))[0, 0]
    # From the end upwards: log x^2 + x^2 = log x_1^2 + x_1^2 + y^2.
    on_curve = np.array([float(np.sqrt(lambertw(curve**2 * np.exp(curve**2 + h**2)).real)) for h in heights[::100]])
    slopes = on_curve * heights[::100] / (1 + on_curve**2)
    start = np.array([x, y])
    length = np.trapezoid(np.sqrt(1 + slopes**2), heights[::100])
    assert phases.approach(Valley(), start, "normalised") == pytest.approx(length, rel=1e-5)
    # |grad sqrt(L)| dT = ds
    speed = np.hypot(on_curve * heights[::100], 1 + on_curve**2) / np.sqrt(1 + on_curve**2)
    assert phases.approach(Valley(), start, "sqrt") == pytest.approx(
        np.trapezoid(np.sqrt(1 + slopes**2) / speed, heights[::100]), rel=1e-5
    )
    assert phases.approach(Valley(), start, "plain") == np.inf


@pytest.mark.parametrize("name", SETTINGS)
def test_a_table_of_runs(name):
    table = phases.table(name, {**SETTINGS[name], **SAMPLING})
    runs = table.groupby(["descent", "start", "learning_rate"])
    assert len(runs) == 2 * 2 * 3
    assert (runs["tau"].max() - 1).abs().max() <= 2 * 0.1**2
    first = runs.first()
    assert (first["phase"] == 1).all()
    assert first["error"].max() < 1e-9  # of the solver, for regression
    assert (table.loc[table["phase"] == 2, "iteration"] >= table.loc[table["phase"] == 2, "turn"]).all()
    assert table["error_from_turn"].notna().equals(table["phase"] == 2)
    # The error is that of the points, not only of their sharpness.
    assert (table["error"] <= table["distance"] + 2 * table["learning_rate"]).all()
    worst = summary.over_starts(table, "error")
    for _, group in worst.groupby("descent"):
        falling = group.sort_values("learning_rate")["error"].to_numpy()
        assert falling[0] < falling[-1]


def test_plain_descent_stays_at_one_minimum():
    table = phases.table("valley", {**SETTINGS["valley"], **SAMPLING}, methods=("plain",))
    ended = table[table["tau"] > 0.5]
    # Gradient descent with these step sizes follows gradient flow: to the GFS of the start, and stays.
    assert (np.abs(ended.groupby(["start", "learning_rate"])["gfs_sharpness"].agg(np.ptp)) < 1e-9).all()
    assert (ended["phase"] == 1).all()


# What is read off a table.


def test_an_order_is_the_slope_of_the_logarithms():
    rates = np.array([0.1, 0.03, 0.01, 0.003])
    assert summary.order(rates, 2 * rates**1.5) == (1.5, 0.0)
    scattered = summary.order(rates, rates * np.array([1.0, 1.3, 0.8, 1.1]))
    expected, covariance = np.polyfit(np.log(rates), np.log(rates * [1.0, 1.3, 0.8, 1.1]), 1, cov="unscaled")
    left = np.log(rates * [1.0, 1.3, 0.8, 1.1]) - np.polyval(expected, np.log(rates))
    assert scattered[0] == pytest.approx(expected[0], abs=1e-10)
    assert scattered[1] == pytest.approx(np.sqrt(covariance[0, 0] * left @ left / 2), abs=1e-10)
    assert np.isnan(summary.order(rates[:2], rates[:2])).all()
    assert np.isnan(summary.order(rates, [0.1, 0.0, 0.1, 0.1])).all()


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_the_drift_rate_of_a_flow_at_another_pace_is_that_pace(rate):
    run = phases.table("valley", {"starts": [[1.5, 1.0]], **SAMPLING, "learning_rates": [0.03]}, methods=("sqrt",))
    start = np.sqrt(run["flow_sharpness"].iloc[0] / 2 - 1)
    x = Valley().limiting_flow("sqrt", [start, 0.0], rate * run["tau"].to_numpy())[:, 0]
    assert summary.drift_rate(run.assign(gfs_sharpness=2 * (1 + x**2))) == pytest.approx(rate, rel=0.01)
    assert np.isnan(summary.drift_rate(run.assign(phase=1)))


def test_rises_of_the_gfs_sharpness_are_those_of_each_step():
    """Along descent on the root of the loss it rises in squared regression, as a flow of tight tolerance has it."""
    settings = {"data": DATA | {"dimension": 6}, "initial_scales": [0.5], "gfs_learning_rates": [0.1], "gfs_tau": 5.0}
    found = phases.rises("regression", settings).set_index("descent")
    assert found.loc["normalised", "largest_rise"] < 0
    problem, (start,) = build("regression", settings)

    def loss_and_gradient(w):
        loss, gradient = problem.loss_and_gradient(w[None])
        return float(loss[0]), gradient[0]

    def phi(w):
        flow = solve_ivp(lambda _, x: -loss_and_gradient(x)[1], (0, 400), w, "LSODA", rtol=1e-11, atol=1e-13)
        return float(problem.sharpness(flow.y[:, -1][None])[0])

    # Rounding grows where the other directions do, so that other iterates than those of the table have other rises.
    steps = {"loss_tolerance": 0.0, "max_iterations": 500, "descent": "sqrt"}
    iterates = [iterate.weights for iterate in gradient_descent(loss_and_gradient, start, 0.1, **steps)]
    ours = problem.top(problem.gradient_flow_solution(np.array(iterates)))[0]
    highest = np.argmax(ours[1:] / np.minimum.accumulate(ours)[:-1]) + 1
    least = np.argmin(ours[:highest])
    rise = ours[highest] / ours[least] - 1
    assert phi(iterates[highest]) / phi(iterates[least]) - 1 == pytest.approx(rise, rel=1e-3)
    assert rise > 1e-4
    assert found.loc["sqrt", "largest_rise"] > 1e-4
