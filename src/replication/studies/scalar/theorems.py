"""The theorems and lemmas on scalar networks as statements that are examined on sampled points.

Numbers that the paper's text no longer shows are derived or chosen here; ``origin`` says so and ``text`` which. What
the paper says beside its theorems is in :mod:`replication.studies.scalar.properties` and
:mod:`replication.studies.scalar.remarks`; ``STATEMENTS`` has all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from gfsharp.scalar.columns import Floats
from gfsharp.scalar.invariant_set import (
    GFS_SHARPNESS_BOUND,
    in_invariant_set,
    invariant_set_margin,
    keeps_products,
)
from gfsharp.scalar.network import gd_step, gradient, hessian, loss, product
from gfsharp.scalar.solution import gfs_sharpness, gpgd_step, gradient_flow_point
from replication.papers import KREISLER, Origin
from replication.studies.scalar import properties, remarks
from replication.studies.scalar.sampling import (
    TWO_ERRORS,
    Generator,
    Sample,
    Statement,
    drawn_where,
    examine,
    fixed,
    in_set,
    judged,
    majorised,
    near_set,
    outside_set,
    shapes,
    with_signs,
    without_condition_2,
)

__all__ = ["STATEMENTS", "Sample", "Statement", "examine"]

# How points are drawn for one statement alone.


def _less_unbalanced(generator: Generator, v: Floats, factors: Floats) -> Floats:
    """Weights whose gaps of sorted squares are those of ``v`` times ``factors``, with the product of ``v``."""
    squares = -np.sort(-(v**2), axis=-1)
    gaps = -np.diff(squares, axis=-1) * factors
    above = np.concatenate([np.cumsum(gaps[:, ::-1], axis=-1)[:, ::-1], np.zeros((len(v), 1))], axis=-1)
    return gradient_flow_point(np.sqrt(above + squares[:, -1:]), np.abs(np.prod(v, axis=-1)))


def _balance_margin(u: Floats, v: Floats) -> Floats:
    """How far u is less unbalanced than v (Definition 3.4), in gaps of sorted squares relative to the squares."""
    larger = -np.sort(-np.abs(v), axis=-1)
    smaller = -np.sort(-np.abs(u), axis=-1)

    def gaps(w: Floats) -> Floats:
        return (w[:, :-1] - w[:, 1:]) * (w[:, :-1] + w[:, 1:])

    return np.min((gaps(larger) - gaps(smaller)) / larger[:, :-1] ** 2, axis=-1)


# Theorem 3.2.


def _invariance(w: Floats, eta: Floats) -> Sample:
    return Sample(invariant_set_margin(gd_step(w, eta), eta), {"w": w, "eta": eta})


def _monotone(w: Floats, eta: Floats) -> Sample:
    return Sample(1 - gfs_sharpness(gd_step(w, eta)) / gfs_sharpness(w), {"w": w, "eta": eta})


def _outside_set(generator: Generator, depth: int, count: int) -> list[Floats]:
    """Half outside condition 3 alone, half outside the set in any way."""
    without_3 = _without_condition_3(generator, depth, (count + 1) // 2)

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        w, eta = near_set(generator, depth, count)
        return gradient_flow_point(w, generator.uniform(1, 6, size=count)), eta

    others = drawn_where(
        generator, depth, count, draw, lambda w, eta: ~in_invariant_set(w, eta) & (_step_sign(w, eta) > 0)
    )
    return [np.concatenate([a, b])[:count] for a, b in zip(without_3, others, strict=True)]


def _step_sign(w: Floats, eta: Floats) -> Floats:
    return np.sign(product(gd_step(w, eta)))


def _without_condition_3(generator: Generator, depth: int, count: int) -> list[Floats]:
    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        return near_set(generator, depth, count, reach=1.6)

    def keep(w: Floats, eta: Floats) -> np.ndarray:
        return keeps_products(w, eta) & (gfs_sharpness(w) * eta > GFS_SHARPNESS_BOUND)

    return drawn_where(generator, depth, count, draw, keep)


# Theorem 3.3 and Lemma 3.13: near the threshold.


def _below_threshold(
    generator: Generator,
    depth: int,
    count: int,
    *,
    largest_delta: float,
    largest_error: float,
    least_error: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Weights in the set with ``phi = (2 - delta) / eta`` and ``|pi - 1|`` up to ``largest_error delta``."""

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats, Floats]:
        z = shapes(generator, depth, count)
        delta = largest_delta * np.exp(generator.uniform(np.log(0.05), 0, size=count))
        eta = (2 - delta) / np.sum(z**-2, axis=-1)
        error = generator.uniform(least_error, largest_error, size=count) * generator.choice([-1, 1], size=count)
        return with_signs(generator, gradient_flow_point(z, 1 + delta * error)), eta, delta

    w, eta, delta = drawn_where(generator, depth, count, draw, lambda w, eta, _: in_invariant_set(w, eta))
    return w, eta, delta


# Losses and errors below these are rounding, of which nothing can be said; runs are followed until there.
_ROUNDING = 1e-12
_MAX_STEPS = 20_000


@dataclass(frozen=True)
class _Step:
    """One step of runs in which Theorem 3.3 is judged; arrays have a row per run, ``loss`` is that of ``following``."""

    number: int
    eta: Floats
    delta: Floats
    first_loss: Floats
    current: Floats
    following: Floats
    loss: Floats


def _theorem_33(
    generator: Generator, depth: int, count: int, judge: Callable[[_Step], Floats], **region: float
) -> Sample:
    """Follow runs until their loss is rounding, or beyond 100 (outside the assumptions), or for ever."""
    w, eta, delta = _below_threshold(generator, depth, count, largest_delta=0.4, **region)
    margin = np.full(count, np.inf)
    row, current, first = np.arange(count), w, loss(w)
    for step in range(1, _MAX_STEPS + 1):
        following = gd_step(current, eta[row])
        reached = loss(following)
        now = _Step(step, eta[row], delta[row], first[row], current, following, reached)
        margin[row] = np.minimum(margin[row], judge(now))
        going = ~((reached <= _ROUNDING**2) | (reached > 100))
        row, current = row[going], following[going]
        if not len(row):
            break
    # What has neither converged nor diverged has not been shown to converge.
    margin[row] = np.minimum(margin[row], -1.0)
    return Sample(margin, {"w": w, "eta": eta, "delta": delta})


def _stays_above(now: _Step) -> Floats:
    """The share that is left of the way from ``(2 - delta) / eta`` to the bound."""
    return np.asarray((gfs_sharpness(now.following) * now.eta - 2 * (1 - now.delta)) / now.delta)


def _decays(now: _Step) -> Floats:
    bound = now.number * np.log1p(-now.delta) + np.log(now.first_loss)
    return np.where(now.loss <= _ROUNDING**2, np.inf, bound - np.log(np.maximum(now.loss, 1e-300)))


def _settles(now: _Step) -> Floats:
    """The movement per step is below a bound that is summable."""
    moved = np.linalg.norm(now.following - now.current, axis=-1)
    decay = (1 - now.delta) ** ((now.number - 1) / 2)
    # |grad L| = sqrt(2 L) sqrt(sum_i (pi / w_i)^2), and near the minimum the sum is at most 1.5 phi.
    bound = now.eta * np.sqrt(2 * now.first_loss) * decay * np.sqrt(1.5 * 2 / now.eta)
    return 1 - moved / np.maximum(bound, 1e-200)


def _gpgd_decay(generator: Generator, depth: int, count: int, **region: float) -> Sample:
    w, eta, delta = _below_threshold(generator, depth, count, largest_delta=0.5, **region)
    first = product(w) - 1
    margin = np.full(count, np.inf)
    row, error, current = np.arange(count), first, w
    for step in range(1, _MAX_STEPS + 1):
        current = gpgd_step(current, eta[row])
        new_error = product(current) - 1
        decay = (step / 2) * np.log1p(-delta[row]) + np.log(np.abs(first[row] / new_error))
        seen = np.where(new_error * error < 0, decay, np.where(np.isnan(new_error), np.nan, -1.0))
        visible = ~(np.abs(new_error) <= _ROUNDING)
        margin[row] = np.minimum(margin[row], np.where(visible, seen, np.inf))
        row, error, current = row[visible], new_error[visible], current[visible]
        failed = ~(margin[row] >= 0)
        row, error, current = row[~failed], error[~failed], current[~failed]
        if not len(row):
            break
    margin[row] = np.minimum(margin[row], -1.0)
    return Sample(margin, {"w": w, "eta": eta, "delta": delta})


# Lemmas 3.7 and 3.9: order and majorisation.


def _majorisation(generator: Generator, depth: int, count: int, *, largest_factor: float) -> Sample:
    v = shapes(generator, depth, count) * np.exp(generator.normal(size=(count, 1)) / depth)
    u = _less_unbalanced(generator, v, generator.uniform(0, largest_factor, size=(count, depth - 1)))
    larger = np.cumsum(-np.sort(-np.log(v), axis=-1), axis=-1)[:, :-1]
    smaller = np.cumsum(-np.sort(-np.log(u), axis=-1), axis=-1)[:, :-1]
    return Sample(np.min(larger - smaller, axis=-1), {"w": u, "v": v})


def _inverse_squares(generator: Generator, depth: int, count: int, *, ordered: bool = True) -> Sample:
    v = shapes(generator, depth, count)
    u = majorised(generator, v) if ordered else shapes(generator, depth, count)
    return Sample(1 - np.sum(u**-2, axis=-1) / np.sum(v**-2, axis=-1), {"u": u, "v": v})


def _step_product(generator: Generator, depth: int, count: int, *, low: bool, minus: bool) -> Sample:
    """Products after a step from u and v, u log-majorised by v, with a product below or above one."""
    z = shapes(generator, depth, count)
    x = generator.uniform(0.01, 1, size=count) if low else generator.uniform(1, 3, size=count)
    v = z * x[:, None] ** (1 / depth)
    if low:
        eta = generator.uniform(0, 2, size=count) / np.sum(z**-2, axis=-1)
    else:  # so that no factor changes sign
        eta = generator.uniform(0, 1, size=count) * np.min(v, axis=-1) ** 2 / ((x - 1) * x)
    eta = np.maximum(eta, 1e-12)
    u = majorised(generator, v)
    from_u, from_v = product(gd_step(u, eta)), product(gd_step(v, eta))
    rise = (from_v - from_u) / np.maximum(x, from_v)
    return Sample(-rise if minus else rise, {"u": u, "v": v, "eta": eta})


# Lemmas 3.10 to 3.14 and I.1: one or two steps.


def _balancing(w: Floats, eta: Floats) -> Sample:
    return Sample(_balance_margin(gd_step(w, eta), w), {"w": w, "eta": eta})


def _signs(w: Floats, eta: Floats) -> Sample:
    ratio = np.min(gd_step(w, eta) / w, axis=-1)
    return Sample(np.where(ratio > 0, ratio, np.minimum(ratio, -1e-300)), {"w": w, "eta": eta})


def largest_fall(depth: int) -> float:
    """Return the largest c for which ``phi(g(w)) = phi(w) (1 - c (eta phi(w) (pi - 1))^2)`` to leading order in pi - 1.

    A step adds ``eta^2 (pi - 1)^2 / w_i^2`` to the squares, up to what gradient flow takes back. With the shares ``p_i
    = w_i^-2 / phi`` of a minimiser c is ``sum p_i^3 - (sum p_i^2)^2``, the variance of p under p. It is largest where
    all shares but one are alike: 1/16 at depth 2, and towards 27/256 as the depth grows.

    >>> round(largest_fall(2), 6), round(largest_fall(3), 6)
    (0.0625, 0.078706)
    """
    share = _largest_share(depth)
    rest = (1 - share) / (depth - 1)
    return float(share**3 + (depth - 1) * rest**3 - (share**2 + (depth - 1) * rest**2) ** 2)


def _largest_share(depth: int) -> float:
    """The share of the smallest weight with which phi falls by the most."""
    shares = np.linspace(1 / depth, 1, 20_001)
    rest = (1 - shares) / (depth - 1)
    variances = shares**3 + (depth - 1) * rest**3 - (shares**2 + (depth - 1) * rest**2) ** 2
    return float(shares[np.argmax(variances)])


def _steepest(generator: Generator, depth: int, count: int) -> list[Floats]:
    """Half of the points as in the set, half near minimisers from which phi falls by nearly the most."""
    some = in_set(generator, depth, count - count // 2)

    def draw(generator: Generator, depth: int, count: int) -> tuple[Floats, Floats]:
        share = np.clip(_largest_share(depth) + generator.normal(scale=0.02, size=(count, 1)), 0.3, 0.99)
        z = np.concatenate([share, np.repeat((1 - share) / (depth - 1), depth - 1, axis=1)], axis=1) ** -0.5
        z /= np.exp(np.log(z).mean(axis=-1, keepdims=True))
        eta = generator.uniform(0.02, 1, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
        return with_signs(generator, gradient_flow_point(z, 1 + generator.uniform(-0.1, 0.1, size=count))), eta

    others = drawn_where(generator, depth, count // 2, draw, in_invariant_set)
    return [np.concatenate([a, b]) for a, b in zip(some, others, strict=True)]


def _sharpness_change(w: Floats, eta: Floats, *, factor: float = 1.0) -> Sample:
    phi, pi = gfs_sharpness(w), product(w)
    least = 1 - factor * largest_fall(w.shape[-1]) * (eta * phi * (pi - 1) * np.maximum(1, pi)) ** 2
    return Sample(gfs_sharpness(gd_step(w, eta)) / phi - least, {"w": w, "eta": eta})


def _two_steps(generator: Generator, depth: int, count: int, *, above: bool) -> Sample:
    def keep(w: Floats, eta: Floats) -> np.ndarray:
        after = gd_step(w, eta)
        overshoots = gfs_sharpness(after) * eta >= 1
        return in_invariant_set(w, eta) & (product(after) >= 1) & (overshoots == above)

    w, eta = drawn_where(generator, depth, count, near_set, keep)
    return Sample(1 - product(gd_step(gd_step(w, eta), eta)), {"w": w, "eta": eta})


def _two_steps_compared(generator: Generator, depth: int, count: int, *, above: bool) -> Sample:
    """The product after two steps less that after two GPGD steps; ``above``: the first step leads to at least one."""
    w, eta = drawn_where(
        generator,
        depth,
        count,
        near_set,
        lambda w, eta: in_invariant_set(w, eta) & ((product(gd_step(w, eta)) >= 1) == above),
    )
    descended = product(gd_step(gd_step(w, eta), eta))
    return Sample(descended - product(gpgd_step(gpgd_step(w, eta), eta)), {"w": w, "eta": eta})


def _nested(generator: Generator, depth: int, count: int, *, smaller: bool) -> Sample:
    w, eta = in_set(generator, depth, count)
    factor = generator.uniform(0.01, 1, size=count)
    other = eta * factor if smaller else eta / factor
    return Sample(invariant_set_margin(w, other), {"w": w, "eta": eta, "other eta": other})


# Appendix A.


def _top_component(generator: Generator, depth: int, count: int, *, error: tuple[float, float]) -> Sample:
    """Cosine of the gradient and the top eigenvector, less 0.9."""
    pi = 1 + generator.uniform(*error, size=count) * generator.choice([-1, 1], size=count)
    w = gradient_flow_point(shapes(generator, depth, count), pi)
    top = np.linalg.eigh(hessian(w))[1][..., -1]
    slope = gradient(w)
    cosine = np.abs(np.sum(top * slope, axis=-1)) / np.linalg.norm(slope, axis=-1)
    return Sample(cosine - 0.9, {"w": w})


def _off_diagonal(generator: Generator, depth: int, count: int, *, half: bool) -> Sample:
    pi = np.full(count, 0.5) if half else generator.uniform(0.6, 1, size=count)
    w = gradient_flow_point(shapes(generator, depth, count), pi)
    matrices = hessian(w)
    diagonal = np.einsum("...ii->...i", matrices)
    scale = np.sqrt(diagonal[..., :, None] * diagonal[..., None, :])
    off = np.abs(matrices / scale) * (1 - np.eye(depth))
    return Sample(-np.max(off, axis=(-2, -1)), {"w": w})


_NEAR = {"largest_error": 0.2}
_FAR = {"largest_error": 8.0, "least_error": 2.0}

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="theorem-3.2-invariance", origin=Origin("stated", KREISLER, "Theorem", "3.2"),
        text="w in S: g(w) is in S",
        inside=judged(_invariance, in_set), dropped="condition 2", outside=judged(_invariance, without_condition_2),
    ),
    Statement(
        id="theorem-3.2-monotone", origin=Origin("stated", KREISLER, "Theorem", "3.2"),
        text="w in S: phi(g(w)) <= phi(w)",
        inside=judged(_monotone, in_set), dropped="w in S (for half of the points condition 3 alone)",
        outside=judged(_monotone, _outside_set), tolerance=TWO_ERRORS,
    ),
    # Sampled margins are 0.4 of delta with |pi - 1| up to 1.5 delta and 0.13 up to 2; violations begin above.
    Statement(
        id="theorem-3.3-bound", origin=Origin("our number", KREISLER, "Theorem", "3.3"),
        text="w in S, phi = (2 - delta)/eta, delta <= 0.4, loss <= 9 delta^2/8 (chosen here; with twice that it "
             "breaks): phi >= 2 (1 - delta)/eta from then on",
        inside=fixed(_theorem_33, judge=_stays_above, largest_error=1.5),
        dropped="the bound on the loss (2 to 4 times as large)",
        outside=fixed(_theorem_33, judge=_stays_above, largest_error=3.0, least_error=2.1), tolerance=TWO_ERRORS,
        cost=2,
    ),
    Statement(
        id="theorem-3.3-rate", origin=Origin("our number", KREISLER, "Theorem", "3.3"),
        text="from a start as for theorem-3.3-bound with a loss of at most delta^2/50 (chosen here) the loss after k "
             "steps is at most (1 - delta)^k times that at the start (rate chosen here)",
        inside=fixed(_theorem_33, judge=_decays, **_NEAR), dropped="the bound on the loss",
        outside=fixed(_theorem_33, judge=_decays, **_FAR), cost=2,
    ),
    Statement(
        id="theorem-3.3-convergence", origin=Origin("our number", KREISLER, "Theorem", "3.3"),
        text="from a start as for theorem-3.3-rate step k moves by at most (3 eta)^(1/2) (2 L)^(1/2) (1 - "
             "delta)^((k-1)/2) (chosen here with the rate), which is summable: the iterates converge",
        inside=fixed(_theorem_33, judge=_settles, **_NEAR), dropped="the bound on the loss",
        outside=fixed(_theorem_33, judge=_settles, **_FAR), cost=2,
    ),
    Statement(
        id="lemma-3.7", origin=Origin("stated", KREISLER, "Lemma", "3.7"),
        text="u less unbalanced than v, equal products: v log-majorises u",
        inside=fixed(_majorisation, largest_factor=1.0), dropped="less unbalanced",
        outside=fixed(_majorisation, largest_factor=2.0), tolerance=TWO_ERRORS,
    ),
    Statement(
        id="lemma-3.9.1", origin=Origin("derived", KREISLER, "Lemma", "3.9.1"),
        text="v log-majorises u: sum 1/u_i^2 <= sum 1/v_i^2 (derived)",
        inside=_inverse_squares, dropped="majorisation", outside=fixed(_inverse_squares, ordered=False),
        tolerance=TWO_ERRORS,
    ),
    Statement(
        id="lemma-3.9.2", origin=Origin("derived", KREISLER, "Lemma", "3.9.2"),
        text="v log-majorises u, product at most 1: the product after a step from u is at most that from v (derived)",
        inside=fixed(_step_product, low=True, minus=False), dropped="product at most 1",
        outside=fixed(_step_product, low=False, minus=False), tolerance=TWO_ERRORS,
    ),
    Statement(
        id="lemma-3.9.3", origin=Origin("derived", KREISLER, "Lemma", "3.9.3"),
        text="v log-majorises u, product above 1, no sign changes: the product after a step from u is at least that "
             "from v (derived)",
        inside=fixed(_step_product, low=False, minus=True), dropped="product above 1",
        outside=fixed(_step_product, low=True, minus=True), tolerance=TWO_ERRORS,
    ),
    Statement(
        id="lemma-3.10", origin=Origin("stated", KREISLER, "Lemma", "3.10"),
        text="w in S: g(w) is less unbalanced than w",
        inside=judged(_balancing, in_set), dropped="w in S",
        outside=judged(_balancing, partial(outside_set, reach=10.0)), tolerance=1e-13,
    ),
    Statement(
        id="lemma-3.11", origin=Origin("stated", KREISLER, "Lemma", "3.11"),
        text="w in S: g(w) has the signs of w",
        inside=judged(_signs, in_set), dropped="condition 2", outside=judged(_signs, without_condition_2),
    ),
    # To leading order no smaller constant will do.
    Statement(
        id="lemma-3.12", origin=Origin("derived", KREISLER, "Lemma", "3.12"),
        text="w in S: phi(g(w)) >= phi(w) (1 - c (eta phi(w) (pi - 1) max(1, pi))^2), c = 1/16 at depth 2 and below "
             "27/256 at any (derived, as the smallest c near the minimum; the paper's own bound and its condition are "
             "lost)",
        inside=judged(_sharpness_change, _steepest), altered="with nine tenths of c",
        outside=judged(partial(_sharpness_change, factor=0.9), _steepest), tolerance=TWO_ERRORS,
    ),
    Statement(
        id="lemma-3.13", origin=Origin("our number", KREISLER, "Lemma", "3.13"),
        text="phi = (2 - delta)/eta, delta <= 0.5, |pi - 1| <= delta/5 (chosen here): after k GPGD steps the error is "
             "at most (1 - delta)^(k/2) times the first (the rate is chosen here), and it changes sign at each step",
        inside=fixed(_gpgd_decay, largest_error=0.2), dropped="|pi - 1| small",
        outside=fixed(_gpgd_decay, largest_error=1.5, least_error=1.0), cost=2,
    ),
    Statement(
        id="lemma-3.14-bound", origin=Origin("stated", KREISLER, "Lemma", "3.14"),
        text="w in S, pi(g(w)) >= 1: two steps of gradient descent lead to a product at least that of two GPGD steps",
        inside=fixed(_two_steps_compared, above=True), dropped="pi(g(w)) >= 1",
        outside=fixed(_two_steps_compared, above=False), tolerance=1e-13,
    ),
    Statement(
        id="lemma-3.14-side", origin=Origin("our number", KREISLER, "Lemma", "3.14"),
        text="w in S, pi(g(w)) >= 1, phi(g(w)) >= 1/eta (chosen here): two steps of gradient descent lead to a "
             "product of at most 1, so that the loss is at most that of GPGD",
        inside=fixed(_two_steps, above=True), dropped="phi(g(w)) >= 1/eta", outside=fixed(_two_steps, above=False),
        tolerance=1e-13,
    ),
    Statement(
        id="lemma-I.1", origin=Origin("stated", KREISLER, "Lemma", "I.1"),
        text="w in S_eta, a smaller step size: w is in its S",
        inside=fixed(_nested, smaller=True), dropped="smaller", outside=fixed(_nested, smaller=False),
    ),
    Statement(
        id="appendix-A-gradient", origin=Origin("our number", KREISLER, "Appendix", "A"),
        text="|pi - 1| <= 0.1 (chosen here): the gradient and the top eigenvector have a cosine of at least 0.9 "
             "(chosen here)",
        inside=fixed(_top_component, error=(1e-3, 0.1)), dropped="pi near 1",
        outside=fixed(_top_component, error=(0.5, 0.9)),
    ),
    Statement(
        id="appendix-A-half", origin=Origin("stated", KREISLER, "Appendix", "A"),
        text="pi = 1/2: the Hessian is diagonal",
        inside=fixed(_off_diagonal, half=True), dropped="pi = 1/2", outside=fixed(_off_diagonal, half=False),
        tolerance=TWO_ERRORS,
    ),
    *properties.STATEMENTS,
    *remarks.STATEMENTS,
)  # fmt: skip
