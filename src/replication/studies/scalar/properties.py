"""What the paper says of scalar networks beside its theorems, as statements that are examined on sampled points.

Section 1 (a change of the step size), Section 3 (its remarks, equations and the positive invariant set), the lemmas of
Appendices F and G whose content can be derived, Appendices A, D and I, and Section 5 (schedules of the step size). Of
the further lemmas of Appendices E to H the formulas are lost, or they serve a proof whose result is examined.
Derivatives are compared with those by a complex step, which are exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gfsharp.scalar.columns import Floats
from gfsharp.scalar.invariant_set import GFS_SHARPNESS_BOUND, in_invariant_set, invariant_set_margin
from gfsharp.scalar.network import balances, gd_step, gradient, hessian, loss, product, sharpness
from gfsharp.scalar.solution import gfs_sharpness, gpgd_step, gradient_flow_point
from replication.papers import KREISLER, Origin
from replication.studies.scalar.sampling import (
    TWO_ERRORS,
    Generator,
    Sample,
    Statement,
    drawn_where,
    fixed,
    in_set,
    judged,
    near_set,
    outside_set,
    shapes,
    with_signs,
    without_condition_2,
)

# Products of up to 16 weights and sums of up to 2^16 terms lose some digits.
_ROUNDING = 1e-11


# Section 1: the step size is reduced.

_DROP_STEPS = 20_000


def _after_a_drop(generator: Generator, depth: int, count: int, *, factor: float) -> Sample:
    """How near the sharpness that ``factor`` times the step size leads to is to phi, of 5 percent."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(0.8, 1, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
        return gradient_flow_point(z, generator.uniform(0.3, 1.5, size=count)), eta

    w, eta = drawn_where(generator, depth, count, draw, in_invariant_set)
    row, current, end = np.arange(count), w, np.full(count, np.nan)
    for _ in range(_DROP_STEPS):
        current = gd_step(current, factor * eta[row])
        arrived = loss(current) <= 1e-14
        if arrived.any():
            end[row[arrived]] = sharpness(current[arrived])
            row, current = row[~arrived], current[~arrived]
        if not len(row):
            break
    return Sample(0.05 - np.abs(end / gfs_sharpness(w) - 1), {"w": w, "eta": eta})


# Section 3.1: the positive invariant set and GPGD.


def _flat_minimiser(generator: Generator, depth: int, count: int, *, units: tuple[float, float]) -> Sample:
    """Margin in the set of the flattest minimiser, its sharpness being ``units`` of 2/eta."""
    eta = generator.uniform(*units, size=count) * 2 / depth
    w = with_signs(generator, np.ones((count, depth)))
    return Sample(invariant_set_margin(w, eta), {"w": w, "eta": eta})


def _gpgd_products(w: Floats, eta: Floats) -> Sample:
    """The least product along GPGD, minus infinity where there is none."""
    least, current = product(w), w
    for _ in range(50):
        current = gpgd_step(current, eta)
        least = np.minimum(least, product(current))
    return Sample(np.where(np.isnan(least), -np.inf, least), {"w": w, "eta": eta})


def _bound_exists(w: Floats, eta: Floats) -> Sample:
    """1 where some B on a grid fulfils conditions 1 and 2 on a grid of the gradient flow class, -1 where none does."""
    grid = np.concatenate([np.linspace(0.005, 1, 200), np.geomspace(1.001, 20, 400)])
    stepped = np.stack([product(gd_step(gradient_flow_point(w, np.full(len(w), x)), eta)) for x in grid], axis=-1)
    bounds = grid[200:]
    lowest = np.minimum.accumulate(stepped, axis=-1)[:, 200:]
    highest = np.maximum.accumulate(stepped, axis=-1)[:, 200:]
    fits = (bounds > product(w)[:, None]) & (lowest > 0) & (highest < bounds)
    return Sample(np.where(fits.any(axis=-1), 1.0, -1.0), {"w": w, "eta": eta})


def _positive(draw: Callable[..., list[Floats]]) -> Callable[[Generator, int, int], list[Floats]]:
    """The same points with positive weights, which have the same dynamics."""

    def drawn(generator: Generator, depth: int, count: int) -> list[Floats]:
        w, eta = draw(generator, depth, count)
        return [np.abs(w), eta]

    return drawn


def _well_inside(generator: Generator, depth: int, count: int) -> list[Floats]:
    # So far inside that a grid sees it.
    return drawn_where(generator, depth, count, near_set, lambda w, eta: invariant_set_margin(w, eta) > 0.02)


# Section 3.3 and Appendix D: gradient flow and the equations.


def _flowed(generator: Generator, depth: int, count: int, *, exact: bool) -> Sample:
    """How little the balances change along gradient flow, integrated, or along one step of gradient descent."""
    w, eta = near_set(generator, depth, count)
    step = 0.02 / np.maximum(sharpness(w), gfs_sharpness(w))
    moved = w
    for _ in range(60 if exact else 0):
        moved = _rk4(moved, step[:, None])
    if not exact:
        moved = gd_step(w, eta)
    scale = np.max(w**2, axis=-1)
    return Sample(1e-8 - np.max(np.abs(balances(moved) - balances(w)), axis=(-2, -1)) / scale, {"w": w, "eta": eta})


def _rk4(w: Floats, step: Floats) -> Floats:
    k1 = -gradient(w)
    k2 = -gradient(w + step / 2 * k1)
    k3 = -gradient(w + step / 2 * k2)
    k4 = -gradient(w + step * k3)
    return w + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _weights(generator: Generator, depth: int, count: int) -> Floats:
    """Weights of products from 0.2 to 1.7, away from one by a percent at least."""
    pi = 1 + generator.choice([-1.0, 1.0], size=count) * generator.uniform(0.01, 0.7, size=count)
    return with_signs(generator, gradient_flow_point(shapes(generator, depth, count), np.maximum(pi, 0.2)))


def _at_minimum(generator: Generator, depth: int, count: int, *, there: bool) -> Sample:
    w = with_signs(generator, shapes(generator, depth, count)) if there else _weights(generator, depth, count)
    inverse = 1 / w
    expected, trace = inverse[:, :, None] * inverse[:, None, :], np.sum(inverse**2, axis=-1)
    matrix = np.max(np.abs(hessian(w) - expected), axis=(-2, -1)) / np.max(inverse**2, axis=-1)
    return Sample(-np.maximum(matrix, np.abs(sharpness(w) / trace - 1)), {"w": w})


_COMPLEX_STEP = 1e-30


def _complex_loss(w: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return 0.5 * (np.prod(w, axis=-1) - 1) ** 2


def _complex_gradient(w: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return (np.prod(w, axis=-1, keepdims=True) - 1) * np.prod(w, axis=-1, keepdims=True) / w


def _derivative(function: Callable[[NDArray[np.complex128]], NDArray[np.complex128]], w: Floats, i: int) -> Floats:
    shifted = w.astype(complex)
    shifted[:, i] += _COMPLEX_STEP * 1j
    return np.asarray(function(shifted).imag / _COMPLEX_STEP)


def _gradient_formula(generator: Generator, depth: int, count: int, *, residual: bool = True) -> Sample:
    w = _weights(generator, depth, count)
    pi = product(w)[:, None]
    formula = ((pi - 1) if residual else 1) * pi / w
    exact = np.stack([_derivative(_complex_loss, w, i) for i in range(depth)], axis=-1)
    scale = np.max(np.abs(exact), axis=-1)
    apart = np.maximum(np.max(np.abs(formula - exact), axis=-1), np.max(np.abs(gradient(w) - exact), axis=-1))
    return Sample(-apart / scale, {"w": w})


def _hessian_formula(generator: Generator, depth: int, count: int, *, curved: bool = True) -> Sample:
    w = _weights(generator, depth, count)
    pi = product(w)[:, None, None]
    formula = ((2 * pi - 1) if curved else pi) * pi / (w[:, :, None] * w[:, None, :])
    diagonal = np.arange(depth)
    formula[:, diagonal, diagonal] = pi[:, :, 0] ** 2 / w**2
    exact = np.stack([_derivative(_complex_gradient, w, i) for i in range(depth)], axis=-1)
    scale = np.max(np.abs(exact), axis=(-2, -1))
    apart = np.maximum(*(np.max(np.abs(matrix - exact), axis=(-2, -1)) for matrix in (formula, hessian(w))))
    return Sample(-apart / scale, {"w": w})


def _symmetric(values: Floats, order: int) -> Floats:
    """The elementary symmetric polynomial of the last axis, by its definition."""
    subsets = [np.prod(values[:, list(chosen)], axis=-1) for chosen in combinations(range(values.shape[1]), order)]
    return np.sum(subsets, axis=0)


def _product_dynamics(generator: Generator, depth: int, count: int, *, orders: int | None = None) -> Sample:
    """How near equation 14, up to a number of orders, is to the product after a step."""
    w = _weights(generator, depth, count)
    eta = generator.uniform(0.1, 1, size=count) / np.sum(w**-2, axis=-1)
    pi, inverse = product(w), w**-2
    # By how much a step changes the logarithms, to first order.
    rate = eta * (1 - pi) * pi
    predicted = np.array(pi)
    for order in range(1, (depth if orders is None else orders) + 1):
        predicted = predicted + pi * rate**order * _symmetric(inverse, order)
    return Sample(-np.abs(product(gd_step(w, eta)) - predicted) / np.maximum(1, pi), {"w": w, "eta": eta})


def _balance_dynamics(generator: Generator, depth: int, count: int, *, change: bool = True) -> Sample:
    w = _weights(generator, depth, count)
    eta = generator.uniform(0.1, 1, size=count) / np.sum(w**-2, axis=-1)
    pi = product(w)[:, None, None]
    squares = w[:, :, None] ** 2 * w[:, None, :] ** 2
    factor = 1 - change * eta[:, None, None] ** 2 * (pi - 1) ** 2 * pi**2 / squares
    apart = np.abs(balances(gd_step(w, eta)) - factor * balances(w))
    return Sample(-np.max(apart, axis=(-2, -1)) / np.max(w**2, axis=-1), {"w": w, "eta": eta})


def _sign_equivalence(generator: Generator, depth: int, count: int, *, even: bool) -> Sample:
    """How alike the magnitudes after a step and the sharpness are after a change of signs."""
    w = np.abs(_weights(generator, depth, count))
    eta = generator.uniform(0.1, 1, size=count) / np.sum(w**-2, axis=-1)
    changed = with_signs(generator, w)
    if not even:
        changed[:, 0] *= -1
    first, second = np.abs(gd_step(w, eta)), np.abs(gd_step(changed, eta))
    apart = np.maximum(
        np.max(np.abs(first - second), axis=-1) / np.max(first, axis=-1), np.abs(sharpness(changed) / sharpness(w) - 1)
    )
    return Sample(-apart, {"w": w, "changed": changed, "eta": eta})


# Section 3.6: above the threshold.


def _stays_from_minimum(generator: Generator, depth: int, count: int, *, units: tuple[float, float]) -> Sample:
    """How far from one GPGD's products stay, in the last of 400 steps, less a thousandth."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(*units, size=count) * 2 / np.sum(z**-2, axis=-1)
        pi = 1 + generator.choice([-1.0, 1.0], size=count) * generator.uniform(0.01, 0.2, size=count)
        return gradient_flow_point(z, pi), eta

    w, eta = drawn_where(generator, depth, count, draw, in_invariant_set)
    current, largest = w, np.zeros(count)
    for step in range(400):
        current = gpgd_step(current, eta)
        if step >= 390:
            largest = np.maximum(largest, np.abs(product(current) - 1))
    return Sample(largest - 1e-3, {"w": w, "eta": eta})


# Appendices F and G.


def _factor_of_balances(w: Floats, eta: Floats) -> Sample:
    """2 less the largest ``eta^2 (pi - 1)^2 pi^2 / (w_i^2 w_j^2)``, i != j, which is that of the two smallest."""
    two = np.sort(np.abs(w), axis=-1)[:, :2]
    pi = product(w)
    return Sample(2 - (eta * (pi - 1) * pi / (two[:, 0] * two[:, 1])) ** 2, {"w": w, "eta": eta})


def _below_one(generator: Generator, depth: int, count: int, *, reach: tuple[float, float]) -> list[Floats]:
    """Products up to one and GFS sharpness of ``reach`` times condition 3's bound."""
    z = shapes(generator, depth, count)
    eta = generator.uniform(*reach, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
    return [gradient_flow_point(z, generator.uniform(0.01, 1, size=count)), eta]


def _growth_with_product(generator: Generator, depth: int, count: int, *, same: bool) -> Sample:
    """By how much each weight of the point with the larger product is larger."""
    z = shapes(generator, depth, count)
    low = generator.uniform(0.05, 1.5, size=count)
    other = z if same else shapes(generator, depth, count)
    u, v = gradient_flow_point(z, low), gradient_flow_point(other, low + generator.uniform(0.01, 1, size=count))
    return Sample(np.min((v - u) / v, axis=-1), {"u": u, "v": v})


# Appendix A.


def _gap_of_eigenvalues(generator: Generator, depth: int, count: int, *, equal: bool) -> Sample:
    """Minus the relative gap of the two largest eigenvalues where pi = 1/2."""
    z = np.sort(shapes(generator, depth, count), axis=-1)
    if equal:
        z[:, 1] = z[:, 0]
    w = gradient_flow_point(z, np.full(count, 0.5))
    values = np.linalg.eigvalsh(hessian(w))
    return Sample(values[:, -2] / values[:, -1] - 1, {"w": w})


# Section 5: the step size changes.


def _scheduled(generator: Generator, depth: int, count: int, *, factors: tuple[float, float]) -> Sample:
    """How far GFS sharpness falls at each of 30 steps whose size changes by a factor between ``factors``."""
    w, eta = in_set(generator, depth, count)
    margin, current, step = np.full(count, np.inf), w, eta
    for _ in range(30):
        following = gd_step(current, step)
        margin = np.minimum(margin, 1 - gfs_sharpness(following) / gfs_sharpness(current))
        current, step = following, step * generator.uniform(*factors, size=count)
    return Sample(np.where(np.isnan(margin), -np.inf, margin), {"w": w, "eta": eta})


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="section-1-drop", origin=Origin("our number", KREISLER, "Section", "1"),
        text="w in S, eta at least 0.8 of what condition 3 allows: with a twentieth of the step size (chosen here) "
             "from here on gradient descent ends at a sharpness within 5 percent (chosen here) of phi(w)",
        inside=fixed(_after_a_drop, factor=0.05), dropped="a smaller step size",
        outside=fixed(_after_a_drop, factor=1.0), cost=50,
    ),
    Statement(
        id="section-3.1-nonempty", origin=Origin("our number", KREISLER, "Section", "3.1"),
        text="a minimiser with sharpness below 2/eta (the bound is lost; up to sqrt(2) times that would do) exists: S "
             "is not empty (it has the flattest minimiser)",
        inside=fixed(_flat_minimiser, units=(0.01, 1.0)), dropped="below 2/eta (above sqrt(2) times it)",
        outside=fixed(_flat_minimiser, units=(1.42, 3.0)), cost=1000,
    ),
    Statement(
        id="section-3.1-gpgd", origin=Origin("our number", KREISLER, "Section", "3.1"),
        text="w in S: GPGD neither diverges nor changes the sign of the product (in 50 steps, chosen here)",
        inside=judged(_gpgd_products, in_set), dropped="condition 2",
        outside=judged(_gpgd_products, without_condition_2), cost=10,
    ),
    Statement(
        id="remark-3.5", origin=Origin("our number", KREISLER, "Remark", "3.5"),
        text="gradient flow keeps the balances w_i^2 - w_j^2 (integrated by RK4, to 1e-8 of the squares, chosen here)",
        inside=fixed(_flowed, exact=True), dropped="gradient flow (a step of gradient descent)",
        outside=fixed(_flowed, exact=False), cost=10,
    ),
    Statement(
        id="equation-5", origin=Origin("derived", KREISLER, "Equation", "5"),
        text="pi = 1: the Hessian is w^-1 (w^-1)^T (equations 4 and 11) and its largest eigenvalue sum 1/w_i^2 (5 and "
             "12; derived)",
        inside=fixed(_at_minimum, there=True), dropped="pi = 1", outside=fixed(_at_minimum, there=False),
        tolerance=_ROUNDING,
    ),
    Statement(
        id="equation-8", origin=Origin("derived", KREISLER, "Equation", "8"),
        text="the gradient is (pi - 1) pi / w_i (derived)",
        inside=_gradient_formula, altered="without pi - 1", outside=fixed(_gradient_formula, residual=False),
        tolerance=_ROUNDING,
    ),
    Statement(
        id="equation-9", origin=Origin("derived", KREISLER, "Equation", "9"),
        text="the Hessian is pi^2 / w_i^2 on the diagonal and (2 pi - 1) pi / (w_i w_j) beside it (equation 10; "
             "derived)",
        inside=_hessian_formula, altered="with pi for 2 pi - 1", outside=fixed(_hessian_formula, curved=False),
        tolerance=_ROUNDING, cost=4,
    ),
    Statement(
        id="equation-14", origin=Origin("derived", KREISLER, "Equation", "14"),
        text="after a step the product is pi + pi sum_m (eta (1 - pi) pi)^m e_m(1/w^2), e_m the elementary symmetric "
             "polynomials (derived)",
        inside=_product_dynamics, altered="with the first order alone", outside=fixed(_product_dynamics, orders=1),
        tolerance=_ROUNDING, cost=100,
    ),
    Statement(
        id="equation-15", origin=Origin("derived", KREISLER, "Equation", "15"),
        text="after a step the balances are those before times 1 - eta^2 (pi - 1)^2 pi^2 / (w_i^2 w_j^2) (derived)",
        inside=_balance_dynamics, altered="without the factor", outside=fixed(_balance_dynamics, change=False),
        tolerance=_ROUNDING,
    ),
    Statement(
        id="section-3.6-above", origin=Origin("our number", KREISLER, "Section", "3.6"),
        text="w in S, phi at least 1.02 times 2/eta (chosen here), pi not 1: GPGD does not come to the minimum (after "
             "400 steps a product is off by more than 0.001, chosen here)",
        inside=fixed(_stays_from_minimum, units=(1.02, 1.41)), dropped="phi above 2/eta",
        outside=fixed(_stays_from_minimum, units=(0.3, 0.95)), cost=20,
    ),
    Statement(
        id="section-5-schedule", origin=Origin("our number", KREISLER, "Section", "5"),
        text="w in S, step sizes that never grow: phi never rises (in 30 steps, each size 0.8 to 1 times the last, "
             "chosen here)",
        inside=fixed(_scheduled, factors=(0.8, 1.0)), dropped="that never grow",
        outside=fixed(_scheduled, factors=(1.1, 1.5)), tolerance=TWO_ERRORS, cost=4,
    ),
    Statement(
        id="appendix-A-unique", origin=Origin("derived", KREISLER, "Appendix", "A"),
        text="pi = 1/2 and the two smallest weights alike (derived; the condition is lost): the top eigenvalue of the "
             "Hessian is not unique",
        inside=fixed(_gap_of_eigenvalues, equal=True), dropped="alike",
        outside=fixed(_gap_of_eigenvalues, equal=False), tolerance=_ROUNDING,
    ),
    Statement(
        id="appendix-D-signs", origin=Origin("stated", KREISLER, "Appendix", "D"),
        text="after an even number of changes of sign a step leads to the same magnitudes, and the sharpness is the "
             "same (D.2.2)",
        inside=fixed(_sign_equivalence, even=True), dropped="even", outside=fixed(_sign_equivalence, even=False),
        tolerance=_ROUNDING,
    ),
    Statement(
        id="lemma-F.1", origin=Origin("derived", KREISLER, "Lemma", "F.1"),
        text="condition 3, pi in (0, 1]: eta^2 (pi - 1)^2 pi^2 / (w_i^2 w_j^2) <= 2 for i != j (derived)",
        inside=judged(_factor_of_balances, lambda *drawn: _below_one(*drawn, reach=(0.02, 1.0))),
        dropped="condition 3",
        outside=judged(_factor_of_balances, lambda *drawn: _below_one(*drawn, reach=(1.2, 4.0))),
    ),
    Statement(
        id="lemma-F.2", origin=Origin("derived", KREISLER, "Lemma", "F.2"),
        text="w in S: the same for any pi (derived)",
        inside=judged(_factor_of_balances, in_set), dropped="w in S",
        outside=judged(_factor_of_balances, partial(outside_set, reach=4.0)),
    ),
    Statement(
        id="lemma-G.1", origin=Origin("derived", KREISLER, "Lemma", "G.1"),
        text="equal balances, pi(u) < pi(v): each weight of v is larger, so that sum 1/v_i^2 is smaller (derived)",
        inside=fixed(_growth_with_product, same=True), dropped="equal balances",
        outside=fixed(_growth_with_product, same=False), tolerance=TWO_ERRORS,
    ),
    Statement(
        id="appendix-I-bound", origin=Origin("our number", KREISLER, "Appendix", "I"),
        text="condition 3, pi_max and pi(w) below pi_min by 2 percent (chosen here): some B fulfils conditions 1 and "
             "2 on a grid of the gradient flow class",
        inside=judged(_bound_exists, _positive(_well_inside)), dropped="pi_max below pi_min",
        outside=judged(_bound_exists, _positive(without_condition_2)), cost=50,
    ),
)  # fmt: skip
