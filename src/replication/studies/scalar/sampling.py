"""Statements on scalar networks, each examined on sampled points, and how points are drawn.

A :class:`Statement` draws points that fulfil its assumptions and gives each a margin: by how much the conclusion holds,
negative where it does not. It also draws points that break one assumption, where the conclusion may fail: a check that
finds no failure there either has shown nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from gfsharp.scalar.columns import Floats
from gfsharp.scalar.invariant_set import GFS_SHARPNESS_BOUND, in_invariant_set, keeps_products
from gfsharp.scalar.solution import gradient_flow_point
from replication.papers import Origin
from replication.storage.table_schema import Column, Columns

Generator = np.random.Generator

# Twice the error of a GFS sharpness, tested to be below 1e-13; the same for logarithms of products.
TWO_ERRORS = 2e-13


@dataclass(frozen=True)
class Sample:
    """Points with the margin of a statement at each.

    Attributes:
        margin: by how much the conclusion holds, shape (n,); negative where it fails.
        given: what describes a point, by name, each of leading dimension n.
    """

    margin: Floats
    given: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A theorem or lemma, or a part of one.

    Attributes:
        id: a short name that stays.
        origin: whose it is, where it stands in the paper, and whether a number of it is derived or chosen here.
        text: assumptions and conclusion in our words; what is derived or chosen here is marked so.
        inside: draws points that fulfil the assumptions.
        dropped: the assumption that ``outside`` breaks; empty where none can be dropped.
        altered: how ``outside`` judges by another formula instead.
        outside: draws points that break the assumption, or judges by that formula.
        tolerance: what rounding may take from a margin.
        cost: the number of points is divided by this where each takes long.
    """

    id: str
    origin: Origin
    text: str
    inside: Callable[[Generator, int, int], Sample]
    dropped: str = ""
    altered: str = ""
    outside: Callable[[Generator, int, int], Sample]
    tolerance: float = 0.0
    cost: int = 1

    @property
    def otherwise(self) -> str:
        """What is otherwise at the points outside."""
        return f"the formula altered ({self.altered})" if self.altered else f"'{self.dropped}' dropped"


# Of scalar/theorems/depth<depth>.parquet.
COLUMNS: Columns = {
    "statement": Column("text", "", "its identifier"),
    "depth": Column("whole number", "", "of the networks"),
    "points": Column("whole number", "", "sampled inside the assumptions"),
    "violations": Column("whole number", "", "of them, with a margin below minus the tolerance"),
    "margin": Column("number", "", "the tightest; negative: a violation, unless within the tolerance"),
    "tolerance": Column("number", "", "what rounding may take from a margin"),
    "dropped": Column("text", "", "the assumption that other points break"),
    "outside_points": Column("whole number", "", "of these, 2,000 at most"),
    "outside_violations": Column("whole number", "", "of them"),
    "counterexample": Column("text", "", "the worst of those in words; empty if there is none"),
}


@dataclass(frozen=True)
class Examination:
    """What sampling one statement at one depth found; ``margin`` is the tightest one inside its assumptions.

    Attributes:
        violations: points inside the assumptions where the margin is below minus the tolerance.
        outside_violations: the same among ``outside_points`` points that break an assumption.
        counterexample: the worst of those in words; empty if there is none.
    """

    statement: str
    depth: int
    points: int
    violations: int
    margin: float
    tolerance: float
    dropped: str
    outside_points: int
    outside_violations: int
    counterexample: str


def examine(statement: Statement, depth: int, points: int, seed: int) -> Examination:
    """Sample a statement at one depth.

    Args:
        points: inside the assumptions, before division by the statement's cost; as many outside, at most 2,000.
        seed: of the sample; statement and depth enter too, so that no two samples are the same.
    """
    generator = np.random.default_rng([seed, depth, *statement.id.encode()])
    inside = statement.inside(generator, depth, max(1, points // statement.cost))
    outside = statement.outside(generator, depth, min(2_000, max(1, points // statement.cost)))
    failed = failures(outside, statement.tolerance)
    return Examination(
        statement.id,
        depth,
        len(inside.margin),
        int(failures(inside, statement.tolerance).sum()),
        float(np.min(inside.margin)),
        statement.tolerance,
        statement.dropped or f"nothing; {statement.altered}",
        len(outside.margin),
        int(failed.sum()),
        _described(outside) if failed.any() else "",
    )


def failures(sample: Sample, tolerance: float) -> np.ndarray:
    # NaN is a failure, and so is infinity: no conclusion can be drawn from either.
    return ~((sample.margin >= -tolerance) & (sample.margin < np.inf))


def _described(sample: Sample) -> str:
    worst = 0 if np.isnan(sample.margin).all() else int(np.nanargmin(sample.margin))
    parts = [f"{name} = {values[worst].tolist()!r}" for name, values in sample.given.items()]
    return f"{', '.join(parts)}: margin {sample.margin[worst]:.3g}"


# How points are drawn.


def shapes(generator: Generator, depth: int, count: int) -> Floats:
    """Minimisers: positive weights of product one, from nearly equal to very unequal."""
    spread = generator.uniform(0, 1.5, size=(count, 1))
    logs = spread * generator.normal(size=(count, depth))
    return np.exp(logs - logs.mean(axis=-1, keepdims=True))


def majorised(generator: Generator, v: Floats) -> Floats:
    """Return positive weights log-majorised by ``v``: logarithms averaged with permutations of themselves."""
    logs = np.log(v)
    for _ in range(2):
        share = generator.uniform(0, 1, size=(len(v), 1))
        logs = share * logs + (1 - share) * generator.permuted(logs, axis=-1)
    return np.exp(logs)


def with_signs(generator: Generator, w: Floats) -> Floats:
    """Flip an even number of signs of each row."""
    signs = generator.choice([-1.0, 1.0], size=w.shape)
    signs[:, 0] *= np.prod(signs, axis=-1)
    return w * signs


def drawn_where(
    generator: Generator, depth: int, count: int, draw: Callable[..., tuple[Floats, ...]], keep: Any
) -> list[Floats]:
    """Draw until ``count`` points are kept."""
    kept: list[list[Floats]] = []
    found = 0
    for _ in range(1000):
        drawn = draw(generator, depth, 2 * count + 100)
        fits = keep(*drawn)
        kept.append([values[fits] for values in drawn])
        found += int(fits.sum())
        if found >= count:
            return [np.concatenate(parts)[:count] for parts in zip(*kept, strict=True)]
    raise RuntimeError(f"no {count} points at depth {depth} fulfil the assumptions: {found} found")


def near_set(generator: Generator, depth: int, count: int, *, reach: float = 1.0) -> tuple[Floats, Floats]:
    """Weights and step sizes with GFS sharpness up to ``reach`` times condition 3's bound; many are in the set."""
    z = shapes(generator, depth, count)
    eta = reach * generator.uniform(0.02, 1, size=count) * GFS_SHARPNESS_BOUND / np.sum(z**-2, axis=-1)
    w = gradient_flow_point(z, generator.uniform(0, 1.7, size=count))
    return with_signs(generator, w), eta


def in_set(generator: Generator, depth: int, count: int) -> list[Floats]:
    return drawn_where(generator, depth, count, near_set, in_invariant_set)


def outside_set(generator: Generator, depth: int, count: int, *, reach: float) -> list[Floats]:
    """Points as of :func:`near_set`, outside the set."""
    return drawn_where(
        generator, depth, count, partial(near_set, reach=reach), lambda w, eta: ~in_invariant_set(w, eta)
    )


def without_condition_2(generator: Generator, depth: int, count: int) -> list[Floats]:
    return drawn_where(generator, depth, count, near_set, lambda w, eta: ~keeps_products(w, eta))


def judged(judge: Callable[..., Sample], draw: Callable[[Generator, int, int], list[Floats]]) -> Callable[..., Sample]:
    """Return what draws points and judges them."""
    return lambda generator, depth, count: judge(*draw(generator, depth, count))


def fixed(function: Callable[..., Sample], **settings: Any) -> Callable[[Generator, int, int], Sample]:
    """Return ``function`` with these settings."""
    return lambda generator, depth, count: function(generator, depth, count, **settings)
