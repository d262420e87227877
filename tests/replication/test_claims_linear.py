"""The claims on linear networks, on networks that lack what a statement needs."""

import pytest

from replication import claims
from replication.studies.linear import convergence, gd_map, minimisers, stable_minima


def verdicts(name, table):
    found = claims.evaluate(claims.CLAIMS, {name: (["t.parquet"], table)}, "test")
    return {row["id"]: (row["verdict"], row["note"]) for row in found if row["source"]}


def test_one_layer_is_singular():
    settings = {
        "networks": [[2, 2, 2]],
        "samples": 6,
        "seed": 0,
        "deviation": 1.0,
        "points": 50_000,
        "learning_rates": [0.5],
        "nearest": 0.02,
        "epsilon": [1e-3, 1e-1],
        "levels": 2,
    }
    table = gd_map.table(**settings)
    found = verdicts("linear_gd_map", table)
    assert {verdict for verdict, _ in found.values()} == {"holds"}
    assert "50000 of 50000 points" in found["linear-map-singular"][1]
    single = verdicts("linear_gd_map", table[table["control"]].assign(control=False))
    assert {verdict for verdict, _ in single.values()} == {"fails"}


def test_where_the_rank_is_deficient_there_is_no_manifold():
    settings = {"networks": [[3, 1, 2]], "deficient": [[2, 2, 2]], "samples": 6, "seed": 0, "spread": 0.5, "points": 20}
    table = minimisers.table(**settings)
    verdict, note = verdicts("linear_minimisers", table)["linear-minima-manifold"]
    assert verdict == "holds"
    assert "the ranks found are 3, 4" in note
    assert verdicts("linear_minimisers", table.assign(full_rank=True))["linear-minima-manifold"][0] == "fails"


@pytest.mark.slow
def test_wide_networks_have_stable_minima_anywhere():
    settings = {
        "networks": [[2, 2, 2, 2], [1, 2, 2, 1]],
        "singular_values": [1.0, 0.6],
        "fraction": 0.5,
        "fractions": [0.9],
        "radius": [10.0, 100.0],
        "radii": 2,
        "starts": 2,
        "seed": 0,
    }
    found = verdicts("linear_stable_minima", stable_minima.table(**settings))
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "linear-minima-bounded": "holds",
        "linear-minima-found": "holds",
        "linear-minima-wide": "fails",
    }
    assert "networks 1-2-2-1" in found["linear-minima-wide"][1]


@pytest.fixture(scope="module")
def shares():
    settings = {
        "networks": [[1, 1, 1], [2, 2, 2]],
        "singular_values": [1.0, 0.6],
        "fractions": [0.5, 0.99, 1.05],
        "starts": 60,
        "deviation": 1.0,
        "seed": 0,
        "stop": {"gradient": 1e-7, "quiet": 200, "steps": 3000},
    }
    return convergence.table(**settings)


def test_past_the_critical_step_none_converges(shares):
    found = verdicts("linear_convergence", shares)
    assert {verdict for verdict, _ in found.values()} == {"holds"}
    assert "none of 60 starts" in found["linear-convergence-none"][1]


def test_the_critical_step_is_not_half_as_large(shares):
    halved = shares.assign(fraction=2 * shares["fraction"], critical=shares["critical"] / 2)
    found = verdicts("linear_convergence", halved)
    assert {verdict for verdict, _ in found.values()} == {"fails"}
    assert "runs end at minima" in found["linear-convergence-none"][1]


def test_a_preimage_that_is_missed_shows_in_the_area(monkeypatch):
    settings = {"learning_rate": 0.5, "reach": 2.0, "targets": 60, "points": 1500}
    assert verdicts("linear_preimages", gd_map.preimage_table(**settings))["linear-map-area"][0] == "holds"
    preimages = gd_map.preimages

    def without_one(targets, eta):
        found = preimages(targets, eta)
        found[:, 0] = float("nan")
        return found

    monkeypatch.setattr(gd_map, "preimages", without_one)
    assert verdicts("linear_preimages", gd_map.preimage_table(**settings))["linear-map-area"][0] == "fails"


def test_another_exponent_of_the_smallest_sharpness_shows(monkeypatch):
    settings = {
        "networks": [[1, 1, 1], [2, 2, 2, 2]],
        "singular_values": [0.8, 0.6],
        "fractions": [0.5, 1.05],
        "starts": 5,
        "deviation": 1.0,
        "seed": 0,
        "stop": {"gradient": 1e-7, "quiet": 200, "steps": 500},
    }
    assert verdicts("linear_convergence", convergence.table(**settings))["linear-critical-step"][0] == "holds"
    monkeypatch.setattr(convergence, "least_sharpness", lambda network: network.depth * 0.8 ** (2 - 1 / network.depth))
    assert verdicts("linear_convergence", convergence.table(**settings))["linear-critical-step"][0] == "fails"
