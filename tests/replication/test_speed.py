"""The benchmarks compute what they time; how long that takes is no test."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from project import ROOT

from gfsharp.scalar import gfs_sharpness
from replication.benchmarks import measuring, networks, regression, scalar

PLANE = {
    "direction": [1.2, 0.7, -0.9, -1.0],
    "learning_rate": 0.2,
    "gfs_sharpness": [0.5, 1.5],
    "products": [0.1, 3.0],
    "stop": {"loss": 1e-4, "iterations": 100},
}
DATA = {"samples": 5, "dimension": 10, "mean": 1.0, "deviation": 1.0, "label_deviation": 1.0}


def test_the_other_ways_lead_to_the_same_numbers():
    w = scalar.weights(50, 4)
    np.testing.assert_allclose(scalar.by_bisection(w), gfs_sharpness(w), rtol=1e-6)
    np.testing.assert_allclose(scalar.by_brentq(w), gfs_sharpness(w), rtol=1e-6)
    assert float(scalar.exact(w[0])) == pytest.approx(gfs_sharpness(w[0]), rel=1e-14)


@pytest.mark.slow
def test_the_scalar_page_has_every_measurement():
    rows = scalar.figure_3(PLANE, points=5)
    page = scalar.markdown(rows, scalar.scaling([2, 4], [100, 1000], largest=3000), "a machine")
    assert "figure 3, 5 x 5 starts" in page
    assert "| 2 | " in page
    assert page.count("\n| 4 | ") == 1


@pytest.mark.slow
def test_the_regression_page_has_every_measurement():
    rows = regression.along_a_run(DATA, fraction=0.9, initial_scale=0.1)
    by_name = {row["what"].split(":")[0]: row["measured"] for row in rows}
    assert by_name["... largest difference of GFS sharpness from each iterate alone"] < 1e-8
    assert {"cvxpy (Clarabel)", "scipy SLSQP", "scipy trust-constr"} <= set(by_name)
    page = regression.markdown(rows, regression.by_size([5], [2], repeats=1), "a machine")
    assert "| 5 | 10 | " in page


@pytest.mark.slow
def test_the_network_page_has_every_measurement():
    size = {
        "architecture": "fully_connected",
        "activation": "tanh",
        "widths": (10,),
        "images": 6,
        "learning_rate": 0.1,
        "steps": 40,
    }
    (case,) = networks.cases({"small": size})
    table = networks.work_and_precision(case, stiff=True)
    assert set(table["method"]) == {"rkc", "rkc without linear steps", "rk4", "dopri5", "bosh3", "BDF", "LSODA"}
    # Methods that have nothing in common but the flow agree where they are accurate.
    assert table.groupby("method")["error"].min().max() < 1e-2
    assert table[table["method"] == "rkc"]["error"].min() < 1e-3
    page = networks.markdown(table, [], networks.by_size([5], [8]), "a machine")
    assert "| small: gradients, RK4 at 1/sharpness over ours | " in page
    assert page.count("| small | rk4 | 1 | ") == 1
    assert "| 5 | " in page


def test_the_cheapest_run_is_accurate_or_else_the_most_accurate():
    table = pd.DataFrame(
        {"method": "rkc", "setting": 1e-3, "gradients": [10, 20, 30], "error": [1e-2, 9e-4, 1e-5]},
    )
    assert networks.cheapest(table, "rkc")["gradients"] == 20
    assert networks.cheapest(table.iloc[:1], "rkc")["gradients"] == 10
    rk4 = pd.DataFrame({"method": ["rk4"], "setting": [1.0], "gradients": [500], "error": [1e-2]})
    assert networks.cheapest(pd.concat([table, rk4]), "rkc")["gradients"] == 10


def test_integrators_are_given_up_in_the_end():
    velocity = networks._Velocity(lambda w: (w**2).sum(), 2)
    velocity(0.0, torch.ones(3))
    velocity(0.0, torch.ones(3))
    with pytest.raises(networks._GivenUpError):
        velocity(0.0, torch.ones(3))


def test_what_others_take_in_units_of_ours():
    rows = [
        ("rkc", 1e-3, 10, 1.0, 1e-4),
        ("dopri5", 1e-2, 300, 6.0, float("nan")),
        ("rk4", 2.0, 150, 2.0, 2e-3),
        ("rk4", 1.0, 300, 4.0, 1e-4),
    ]
    table = pd.DataFrame(rows, columns=["method", "setting", "gradients", "seconds", "error"])
    table = table.assign(case="hardtanh", floor=5.0)
    measured = {row["what"]: row["measured"] for row in networks.comparison(table)}
    assert list(measured.values()) == [30.0, 4.0, 2.0]
    found = networks.side_by_side(table)
    assert list(found["method"]) == ["rkc", "dopri5", "rk4"]
    assert list(found["more_gradients"]) == [1, 30, 30]
    assert list(found["more_seconds"]) == [1, 6, 4]
    page = networks.markdown(table, [], pd.DataFrame(), "a machine")
    assert "| hardtanh | dopri5 | 0.01 | given up | 300 | 30 | 6 | 6 |" in page


@pytest.mark.parametrize(
    ("wanted", "said"), [(">= 5", "yes"), (">= 5.1", "no"), ("<= 4", "no"), ("< 20 s", "yes"), ("< 5", "no"), ("", "")]
)
def test_what_was_wanted_is_met_or_not(wanted, said):
    row = {"what": "a ratio", "measured": 5.0, "unit": "times", "wanted": wanted}
    assert measuring.page("x", "a machine", [row])[-2] == f"| a ratio | 5 times | {wanted} | {said} |"


def test_what_cannot_be_judged_is_an_error():
    with pytest.raises(ValueError, match="wanted '4': a comparison"):
        measuring.met({"what": "x", "measured": 5.0, "unit": "", "wanted": "4"})


@pytest.mark.parametrize("name", ["scalar", "regression", "networks"])
def test_the_pages_kept_are_those_of_their_records(name):
    rows = json.loads((ROOT / f"results/speed/{name}.json").read_text())["measured"]
    page = (ROOT / f"results/speed/{name}.md").read_text()
    for row in rows:
        assert f"| {row['what']} | {row['measured']:.3g} {row['unit']} | " in page
    assert page.count("| yes |") + page.count("| no |") == sum(bool(row["wanted"]) for row in rows)
