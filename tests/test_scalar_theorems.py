"""The theorems and lemmas as properties, and that each check can fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfs import scalar
from gfs.scalar import properties, sampling, theorems

BY_ID = {statement.id: statement for statement in theorems.STATEMENTS}

# At which depth a point outside the assumptions that violates the conclusion is easy to find.
LEAST_FAILING_DEPTH = 2


@pytest.mark.parametrize("statement", theorems.STATEMENTS, ids=list(BY_ID))
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(2, 16))
def test_holds(statement, seed, depth):
    sample = statement.inside(np.random.default_rng(seed), depth, 20)
    assert sample.margin.shape == (20,)
    assert (sample.margin >= -statement.tolerance).all()


@pytest.mark.parametrize("statement", theorems.STATEMENTS, ids=list(BY_ID))
def test_fails_where_an_assumption_is_dropped(statement):
    examined = theorems.examine(statement, LEAST_FAILING_DEPTH, 2000, seed=0)
    assert examined.violations == 0
    assert examined.outside_violations > 0
    assert examined.counterexample


def test_every_statement_of_the_issue_is_there():
    lemmas = {"3.7", "3.9.1", "3.9.2", "3.9.3", "3.10", "3.11", "3.12", "3.13", "3.14-bound", "3.14-side", "I.1"}
    parts = {"3.2-invariance", "3.2-monotone", "3.3-bound", "3.3-rate", "3.3-convergence"}
    appendix = {"appendix-A-gradient", "appendix-A-half"}
    proved = {f"lemma-{name}" for name in lemmas} | {f"theorem-{name}" for name in parts} | appendix
    assert set(BY_ID) == proved | {statement.id for statement in properties.STATEMENTS}


def test_a_broken_routine_is_noticed(monkeypatch):
    """A GFS sharpness that is off by a part in a million, alternately up and down, is not monotone."""
    calls = iter(range(10**6))

    def wrong(w):
        return scalar.gfs_sharpness(w) * (1 + 1e-6 * (-1) ** next(calls))

    monkeypatch.setattr(theorems, "gfs_sharpness", wrong)
    assert theorems.examine(BY_ID["theorem-3.2-monotone"], 2, 500, seed=0).violations > 0


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("theorem-3.3-bound", "gfs_sharpness"),
        ("theorem-3.3-bound", "gd_step"),
        ("theorem-3.3-rate", "gd_step"),
        ("theorem-3.3-convergence", "gd_step"),
        ("lemma-3.13", "gpgd_step"),
    ],
)
def test_what_cannot_be_computed_is_a_violation(monkeypatch, name, broken):
    generator = np.random.default_rng(0)
    drawn = theorems._below_threshold(generator, 3, 50, largest_delta=0.4, largest_error=0.2)
    monkeypatch.setattr(theorems, "_below_threshold", lambda *_, **__: drawn)
    axes = 1 if broken == "gfs_sharpness" else 2
    monkeypatch.setattr(theorems, broken, lambda w, *_: np.full(np.shape(w)[:axes], np.nan))
    assert sampling.failures(BY_ID[name].inside(generator, 3, 50), 0.0).all()


def test_a_margin_of_infinity_shows_nothing():
    assert sampling.failures(theorems.Sample(np.array([np.inf, np.nan, 1.0])), 0.0).tolist() == [True, True, False]


def test_a_condition_dropped_at_depth_2_lets_gfs_sharpness_rise():
    """The counterexample that an examination reports is one, by the public functions alone."""
    statement = BY_ID["theorem-3.2-monotone"]
    sample = statement.outside(np.random.default_rng(0), 2, 2000)
    worst = int(np.argmin(sample.margin))
    w, eta = sample.given["w"][worst], sample.given["eta"][worst]
    assert scalar.gfs_sharpness(scalar.gd_step(w, eta)) > scalar.gfs_sharpness(w)
    assert not scalar.in_invariant_set(w, eta)


def test_samples_repeat_and_differ_between_depths_and_statements():
    statement = BY_ID["lemma-3.7"]
    assert theorems.examine(statement, 3, 50, 0) == theorems.examine(statement, 3, 50, 0)
    assert theorems.examine(statement, 3, 50, 0).margin != theorems.examine(statement, 4, 50, 0).margin
    assert theorems.examine(statement, 3, 50, 0).margin != theorems.examine(statement, 3, 50, 1).margin


def test_points_in_the_set_have_every_kind_of_sign():
    w, eta = sampling.in_set(np.random.default_rng(0), 3, 500)
    assert scalar.in_invariant_set(w, eta).all()
    assert set(np.count_nonzero(w < 0, axis=-1)) == {0, 2}
    assert (scalar.product(w) < 1).any()
    assert (scalar.product(w) > 1).any()
