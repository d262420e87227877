"""Gradient descent from many starts against gradient descent from one; the starts; the choice for figure 9."""

import numpy as np
import pytest

from gfsharp import scalar
from gfsharp.descent import gradient_descent
from gfsharp.errors import UserError
from replication.studies.scalar import plane

DIRECTION = [1.2, 0.7, -0.9, -1.0]


def test_starts_have_the_sharpness_and_product_asked_for():
    phi, product = np.array([4.001, 7.0, 13.0, 5000.0]), np.array([0.02, 1.0, 3.0, 6.0])
    w = plane.starts(DIRECTION, phi, product)
    np.testing.assert_allclose(scalar.gfs_sharpness(w), phi, rtol=1e-10)
    np.testing.assert_allclose(scalar.product(w), product, rtol=1e-12)
    logs = np.log(scalar.gradient_flow_solution(w[1:]))
    np.testing.assert_allclose(logs / logs[:, :1], np.tile(np.array(DIRECTION) / 1.2, (3, 1)), rtol=1e-7)


def test_starts_that_cannot_be_are_refused():
    with pytest.raises(UserError, match=r"no minimiser of sharpness 3\.9"):
        plane.starts(DIRECTION, np.array([3.9]), np.array([1.0]))
    with pytest.raises(UserError, match="the same number for every weight"):
        plane.starts([1.0, 1.0], np.array([3.9]), np.array([1.0]))


@pytest.mark.parametrize("threads", [1, 2])
def test_many_runs_are_as_one_at_a_time(threads, monkeypatch):
    monkeypatch.setattr(plane, "_BLOCK", 7)
    generator = np.random.default_rng(0)
    eta = 0.2
    w = plane.starts(DIRECTION, generator.uniform(4.1, 16, 40), generator.uniform(0.02, 6, 40))
    found = plane.descend(w, eta, loss_tolerance=1e-8, max_iterations=300, threads=threads)
    for i, start in enumerate(w):
        iterates = list(
            gradient_descent(
                lambda x: (float(scalar.loss(x)), scalar.gradient(x)),
                start,
                eta,
                loss_tolerance=1e-8,
                max_iterations=300,
            )
        )
        assert found.status[i] == iterates[-1].status
        assert found.steps[i] == iterates[-1].iteration
        if iterates[-1].status == "diverged":
            assert np.isnan(found.final_gfs[i])
            continue
        phi = scalar.gfs_sharpness(np.array([iterate.weights for iterate in iterates]))
        rises = ~(phi[1:] <= phi[:-1] * (1 + plane.RISE))
        assert found.rises[i] == rises.sum()
        assert found.last_rise[i] == (np.flatnonzero(rises)[-1] + 1 if rises.any() else 0)
        assert found.final_gfs[i] == pytest.approx(phi[-1], rel=1e-9)
        crossings = np.flatnonzero((phi[:-1] > 2 / eta) & (phi[1:] <= 2 / eta))
        if len(crossings):
            assert found.crossing_loss[i] == pytest.approx(iterates[crossings[0] + 1].loss, rel=1e-6, abs=1e-9)
        else:
            assert np.isnan(found.crossing_loss[i])
    assert set(found.status) == {"converged", "diverged", "out of iterations"}
    assert (found.rises > 0).any()


def test_untracked_runs_end_alike():
    generator = np.random.default_rng(1)
    w = plane.starts(DIRECTION, generator.uniform(4.1, 16, 50), generator.uniform(0.02, 6, 50))
    tracked = plane.descend(w, 0.2, loss_tolerance=1e-8, max_iterations=2000)
    untracked = plane.descend(w, 0.2, loss_tolerance=1e-8, max_iterations=2000, track=False)
    np.testing.assert_array_equal(tracked.status, untracked.status)
    np.testing.assert_allclose(tracked.final_gfs, untracked.final_gfs, rtol=1e-12)


def test_runs_enter_the_set_when_they_do():
    w = np.array([[1.1, 0.9], [2.072, 0.386]])
    first = plane.first_in_set(w, 0.5, 30)
    assert first[0] == 0
    current = w[1]
    for _ in range(first[1]):
        assert not scalar.in_invariant_set(current, 0.5)
        current = scalar.gd_step(current, 0.5)
    assert scalar.in_invariant_set(current, 0.5)
    assert plane.first_in_set(w, 0.5, 0)[1] == -1


def plane_table():
    return {
        "status": np.array(["converged"] * 5 + ["diverged"]),
        "initial_gfs": np.array([12.0, 12, 12, 9, 12, 12]),
        "rises": np.array([0, 0, 1, 0, 0, 0]),
        "final_gfs": np.array([5.0, 6, 5, 5, 9, 5]),
        "crossing_loss": np.array([4.0, 5.0, 5.1, 5.1, 5.1, 5.1]),
    }


def test_figure_9_starts_where_its_rule_says():
    assert plane.choose_start(plane_table(), 10.0, crossing_loss=5.1, largest_final=0.7) == 1


def test_without_a_start_the_message_says_what_to_change():
    with pytest.raises(UserError, match=r"scalar\.plane\.products"):
        plane.choose_start(plane_table(), 10.0, crossing_loss=5.1, largest_final=0.4)
