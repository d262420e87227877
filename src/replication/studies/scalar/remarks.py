"""What the paper says in passing, as statements that are examined on sampled points.

Section 1 (longer phases of large steps), Section 2 (depth 2), Section 3.6 (above the threshold), Section 5 (other
losses and step sizes that grow), Appendix C (the signs of squared regression's weights) and Lemma F.3.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gfsharp.regression.model import SquaredRegression
from gfsharp.scalar.columns import Floats
from gfsharp.scalar.invariant_set import GFS_SHARPNESS_BOUND, in_invariant_set
from gfsharp.scalar.network import gd_step, loss, product, sharpness
from gfsharp.scalar.solution import gfs_sharpness, gradient_flow_point
from replication.papers import KREISLER, Origin
from replication.studies.scalar.bifurcation import GPGD, orbits
from replication.studies.scalar.sampling import (
    TWO_ERRORS,
    Generator,
    Sample,
    Statement,
    drawn_where,
    fixed,
    majorised,
    near_set,
    shapes,
)

# Section 1: how long the step size is large.

_PHASES = (0, 10, 100, 1000)
_MOST_STEPS = 20_000


def _ends_of_phases(generator: Generator, depth: int, count: int, *, factor: float) -> Sample:
    """How much flatter than without a phase the end after the longest is, less 3 percent, or than after one shorter.

    ``factor``: of the step size in the phases.
    """

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(0.8, 1, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
        error = generator.choice([-1.0, 1.0], size=count) * generator.uniform(0.1, 0.4, size=count)
        return gradient_flow_point(z, 1 + error), eta

    def keep(w: Floats, eta: Floats) -> np.ndarray:
        return in_invariant_set(w, eta) & (2 / eta >= 1.1 * depth)

    w, eta = drawn_where(generator, depth, count, draw, keep)
    ends, current = [], w
    for step in range(_PHASES[-1] + 1):
        if step in _PHASES:
            ends.append(_end(current, 0.02 * eta))
        current = gd_step(current, factor * eta)
    # 1e-3: where phi has come to rest, two ends differ by what the small steps do.
    between = [1e-3 + 1 - later / earlier for earlier, later in pairwise(ends)]
    margin = np.min([1 - ends[-1] / ends[0] - 0.03, *between], axis=0)
    return Sample(np.where(np.isnan(margin), -np.inf, margin), {"w": w, "eta": eta})


def _end(w: Floats, eta: Floats) -> Floats:
    """Sharpness where gradient descent ends, NaN where it has not."""
    row, current, end = np.arange(len(w)), w, np.full(len(w), np.nan)
    for _ in range(_MOST_STEPS):
        arrived = loss(current) <= 1e-14
        end[row[arrived]] = sharpness(current[arrived])
        row, current = row[~arrived], current[~arrived]
        if not len(row):
            break
        current = gd_step(current, eta[row])
    return end


# Section 2: depth 2 beside deeper networks.

_FEW_STEPS = 100


def _steps_above(generator: Generator, depth: int, count: int) -> Sample:
    """How many of ``_FEW_STEPS`` steps are left when GFS sharpness is below 2/eta for the first time, as a share."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(1.05, 1.4, size=count) * 2 / np.sum(z**-2, axis=-1)
        error = generator.choice([-1.0, 1.0], size=count) * generator.uniform(0.01, 0.2, size=count)
        return gradient_flow_point(z, 1 + error), eta

    def keep(w: Floats, eta: Floats) -> np.ndarray:
        return in_invariant_set(w, eta) & (2 / eta >= 1.1 * depth)

    w, eta = drawn_where(generator, depth, count, draw, keep)
    steps, current = np.zeros(count), w
    for _ in range(_FEW_STEPS + 1):
        steps += gfs_sharpness(current) * eta > 2
        current = gd_step(current, eta)
    return Sample(1 - steps / _FEW_STEPS, {"w": w, "eta": eta})


def _at_depth_two(generator: Generator, depth: int, count: int) -> Sample:
    return _steps_above(generator, 2, count)


def _deeper(generator: Generator, depth: int, count: int) -> Sample:
    found = _steps_above(generator, depth + 1, count)
    return Sample(np.where(found.margin <= 0, -1.0, found.margin), found.given)


# Section 3.6: above the threshold.

_ORBIT = {"steps": 2000, "kept": 128}
# Orbits that have no period that is looked for, and no positive exponent: next to where a period doubles, on the way,
# or with a longer period. So few of a sample may be left open.
_LARGEST_SHARE_OPEN = 0.1


def _periodic_or_chaotic(generator: Generator, depth: int, count: int, *, units: tuple[float, float]) -> Sample:
    """The size of the Lyapunov exponent of orbits that are chaotic or of a period of two or more, -1 of others."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(*units, size=count) * 2 / np.sum(z**-2, axis=-1)
        error = generator.choice([-1.0, 1.0], size=count) * generator.uniform(0.01, 0.2, size=count)
        return gradient_flow_point(z, 1 + error), eta

    w, eta = drawn_where(generator, depth, count, draw, in_invariant_set)
    ends = orbits(GPGD(w, eta), product(w), **_ORBIT)
    bounded = np.asarray(np.isfinite(ends.products).all(axis=-1))
    moves = np.ptp(np.where(np.isfinite(ends.products), ends.products, 0.0), axis=-1) > 1e-3
    decided = bounded & ((ends.lyapunov > 0) | (ends.period >= 2))
    open_ = moves & (ends.period == 0) & ~decided & (np.cumsum(moves & ~decided) <= 1 + _LARGEST_SHARE_OPEN * count)
    return Sample(np.where(decided | open_, np.minimum(np.abs(ends.lyapunov), 1e3), -1.0), {"w": w, "eta": eta})


# Section 5: a loss with an exponential tail, and step sizes that grow.

_LEVELS = tuple(10.0**-power for power in range(2, 13, 2))


def logistic_point(w: Floats, level: float) -> Floats:
    """Return where the gradient flow of ``log(1 + exp(-pi))`` from w has come to a loss, shape (n, D).

    Any loss of the product alone keeps the balances, so this is the point of the gradient flow class whose product is
    ``-log(exp(level) - 1)``.
    """
    return gradient_flow_point(w, np.full(len(w), -np.log(np.expm1(level))))


def logistic_sharpness(w: Floats) -> Floats:
    """Return the largest eigenvalue of the Hessian of ``log(1 + exp(-pi))``, shape (n,).

    With ``s = 1 / (1 + exp(pi))`` it is ``(s (1 - s) pi^2 - s pi) / (w_i w_j)`` beside the diagonal and
    ``s (1 - s) pi^2 / w_i^2`` on it.
    """
    pi = product(w)[:, None, None]
    s = 1 / (1 + np.exp(pi))
    inverse = 1 / (w[:, :, None] * w[:, None, :])
    matrix = (s * (1 - s) * pi**2 - s * pi * (1 - np.eye(w.shape[1]))) * inverse
    return np.asarray(np.linalg.eigvalsh(matrix)[..., -1])


def _vanishing(generator: Generator, depth: int, count: int, *, logistic: bool) -> Sample:
    """1 less ten times the factor by which the sharpness falls while the loss falls by a hundred, at each level."""
    w = gradient_flow_point(shapes(generator, depth, count), generator.uniform(0.2, 3, size=count))
    if logistic:
        found = [logistic_sharpness(logistic_point(w, level)) for level in _LEVELS]
    else:  # the squared loss, from the same side
        found = [sharpness(gradient_flow_point(w, np.full(count, 1 - np.sqrt(2 * level)))) for level in _LEVELS]
    factors = [later / earlier for earlier, later in pairwise(found)]
    return Sample(1 - 10 * np.max(factors, axis=0), {"w": w})


def _warmed_up(generator: Generator, depth: int, count: int, *, inside: bool) -> Sample:
    """How far GFS sharpness falls at each of 40 steps whose size grows, where w stays in its set or whether or not."""
    w, eta = drawn_where(generator, depth, count, near_set, in_invariant_set)
    margin, current, step = np.full(count, np.inf), w, 0.3 * eta
    for _ in range(40):
        grown = step * generator.uniform(0.8, 1.6, size=count)
        step = np.where(in_invariant_set(current, grown), grown, step) if inside else grown
        following = gd_step(current, step)
        margin = np.minimum(margin, 1 - gfs_sharpness(following) / gfs_sharpness(current))
        current = following
    return Sample(np.where(np.isnan(margin), -np.inf, margin), {"w": w, "eta": eta})


# Appendix C: squared regression.


def _signs_of_regression(generator: Generator, depth: int, count: int, *, signs: bool) -> Sample:
    """How alike the sharpness is after changes of sign of single weights (or of their order), on ``depth`` samples."""
    model = SquaredRegression(generator.normal(size=(depth, depth + 3)), generator.normal(size=depth))
    plus, minus = generator.normal(size=(2, count, depth + 3))
    if signs:
        others = [values * generator.choice([-1.0, 1.0], size=values.shape) for values in (plus, minus)]
    else:
        others = [values[:, ::-1] for values in (plus, minus)]
    ratio = model.sharpness(*others) / model.sharpness(plus, minus)
    return Sample(-np.abs(ratio - 1), {"u_plus": plus, "u_minus": minus})


# Appendix F: a step from u and from v, in the set.


def _step_products_in_set(generator: Generator, depth: int, count: int, *, above: bool) -> Sample:
    """The product after a step from u less that from v, u log-majorised by v in the set."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        z = shapes(generator, depth, count)
        eta = generator.uniform(0.02, 1, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
        low, high = (1.0, 1.7) if above else (0.1, 0.99)
        return gradient_flow_point(z, generator.uniform(low, high, size=count)), eta

    v, eta = drawn_where(generator, depth, count, draw, in_invariant_set)
    u = majorised(generator, v)
    return Sample(product(gd_step(u, eta)) - product(gd_step(v, eta)), {"u": u, "v": v, "eta": eta})


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="section-1-longer", origin=Origin("our number", KREISLER, "Section", "1"),
        text="w in S, eta at least 0.8 of what condition 3 allows, 2/eta at least 1.1 times the smallest sharpness: "
             "with a fiftieth of the step size after 0, 10, 100 and 1,000 large steps gradient descent ends the "
             "flatter, the longer it took those: by 3 percent after the most, and never sharper by more than a "
             "thousandth (numbers chosen here)",
        inside=fixed(_ends_of_phases, factor=1.0), dropped="large steps in the phase",
        outside=fixed(_ends_of_phases, factor=0.02), cost=50,
    ),
    Statement(
        id="section-2-depth-2", origin=Origin("our number", KREISLER, "Section", "2"),
        text="depth 2, w in S, phi at least 1.05 times 2/eta and 2/eta at least 1.1 times the smallest sharpness: phi "
             f"is below 2/eta within {_FEW_STEPS} steps, so that there is no edge of stability (numbers chosen here)",
        inside=_at_depth_two, dropped="depth 2", outside=_deeper, cost=10,
    ),
    Statement(
        id="section-3.6-orbits", origin=Origin("our number", KREISLER, "Section", "3.6"),
        text="w in S, phi at least 1.02 times 2/eta (chosen here), pi not 1: GPGD is chaotic (a positive Lyapunov "
             "exponent) or comes to a period of 2 to 63 (one orbit in ten at most has neither, and moves)",
        inside=fixed(_periodic_or_chaotic, units=(1.02, 1.41)), dropped="phi above 2/eta",
        outside=fixed(_periodic_or_chaotic, units=(0.3, 0.95)), cost=100,
    ),
    Statement(
        id="section-5-cross-entropy", origin=Origin("our number", KREISLER, "Section", "5"),
        text="cross-entropy of separable data, log(1 + exp(-pi)): the GFS sharpness vanishes; along the flow the "
             "sharpness falls at least tenfold (chosen here) while the loss falls a hundredfold, from 1e-2 to 1e-12",
        inside=fixed(_vanishing, logistic=True), dropped="cross-entropy (the squared loss)",
        outside=fixed(_vanishing, logistic=False),
    ),
    Statement(
        id="section-5-warm-up", origin=Origin("our number", KREISLER, "Section", "5"),
        text="step sizes that change by factors of 0.8 to 1.6 (chosen here), w in S of each: phi never rises in 40 "
             "steps",
        inside=fixed(_warmed_up, inside=True), dropped="w in S of each", outside=fixed(_warmed_up, inside=False),
        tolerance=TWO_ERRORS, cost=4,
    ),
    Statement(
        id="appendix-C-signs", origin=Origin("stated", KREISLER, "Appendix", "C"),
        text="the signs of single weights of squared regression do not change the largest eigenvalue of its Hessian",
        inside=fixed(_signs_of_regression, signs=True), dropped="signs (another order of the weights)",
        outside=fixed(_signs_of_regression, signs=False), tolerance=1e-11, cost=10,
    ),
    Statement(
        id="lemma-F.3", origin=Origin("derived", KREISLER, "Lemma", "F.3"),
        text="v in S, product at least 1, v log-majorises u: the product after a step from u is at least that from v "
             "(derived: the formula is lost, but the proof of Lemma 3.14 uses it so)",
        inside=fixed(_step_products_in_set, above=True), dropped="product at least 1",
        outside=fixed(_step_products_in_set, above=False), tolerance=1e-13,
    ),
)  # fmt: skip
