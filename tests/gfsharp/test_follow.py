"""One call from a module to the GFS sharpness along gradient descent."""

import copy
import math
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from gfsharp import flow, networks
from gfsharp.follow import _COLOURS, follow
from gfsharp.threads import fitting_threads
from replication.figures.style import PALETTE


def problem(dtype=torch.float64):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1)).to(dtype)
    return module, torch.randn(8, 3).to(dtype), torch.randn(8, 1).to(dtype)


@pytest.fixture(scope="module")
def followed():
    module, inputs, targets = problem()
    before = copy.deepcopy(module.state_dict())
    found = follow(module, inputs, targets, learning_rates=[0.2, 0.4], every=30, max_iterations=84, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    return found


@pytest.mark.slow
def test_points_are_those_of_plain_gradient_descent(followed):
    module, inputs, targets = problem()
    for run in followed.runs:
        own = copy.deepcopy(module)
        optimizer = torch.optim.SGD(own.parameters(), lr=run.learning_rate)
        points = {point.iteration: point for point in run.checkpoints}
        assert list(points) == [*range(0, len(run.losses) - 1, 30), len(run.losses) - 1]
        for iteration, expected in enumerate(run.losses):
            loss = 0.5 * (own(inputs) - targets).square().sum() / len(inputs)
            assert float(loss.detach()) == pytest.approx(expected, rel=1e-9)
            if iteration in points:
                at, weights = networks.flat_loss(own, inputs, targets)
                dense = torch.autograd.functional.hessian(at, weights)
                assert points[iteration].sharpness == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-4)
                gfs = flow.gfs_sharpness(at, weights)
                assert abs(points[iteration].gfs.value - gfs.value) <= 1e-6 * gfs.value
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_the_table_has_a_row_for_each_checkpoint(followed):
    table = followed.table()
    assert list(table.groupby("learning_rate").size()) == [len(run.checkpoints) for run in followed.runs]
    assert set(table["gfs_status"]) == {"converged"}
    parts = table["integration_error"] + table["stopping_error"] + table["residual"]
    np.testing.assert_allclose(table["gfs_error"], parts)


def test_several_rates_in_one_plot_on_given_axes(followed):
    backend = mpl.get_backend()
    axes = Figure().subplots()
    assert followed.plot(axes) is axes
    labels = axes.get_legend_handles_labels()[1]
    assert [label.count(r"\eta") for label in labels] == [1, 1]
    assert {0.2, 0.4} == {float(label.split("= ")[1].rstrip("$")) for label in labels}
    thresholds = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert thresholds == [10.0, 5.0]
    assert mpl.get_backend() == backend


@pytest.mark.slow
def test_colours_are_those_of_the_figures():
    assert list(_COLOURS) == list(PALETTE.as_hex())[:4] + [PALETTE.as_hex()[i] for i in (4, 5, 9)]


def test_one_rate_is_drawn_as_in_the_paper():
    found = follow(*problem(), learning_rates=0.4, every=50, max_iterations=50, progress=False)
    labels = found.plot().get_legend_handles_labels()[1]
    assert labels == ["sharpness", r"GFS sharpness $\phi$", r"$2/\eta$ ($\eta = 0.4$)"]


@pytest.mark.slow
def test_it_reaches_the_edge_of_stability_and_the_gfs_sharpness_falls():
    """The docs' example: 2/eta lies below the GFS sharpness of the start, and the run ends at 2/eta."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 1, dtype=torch.float64)
    module = nn.Sequential(nn.Linear(3, 50), nn.Tanh(), nn.Linear(50, 1)).double()
    (run,) = follow(module, inputs, targets, learning_rates=[0.29], every=120, max_iterations=2000).runs
    assert run.status == "converged"
    assert run.checkpoints[0].gfs.value > 1.2 * run.threshold
    assert run.checkpoints[-1].gfs.value == pytest.approx(run.threshold, rel=0.03)
    assert run.checkpoints[-1].sharpness == pytest.approx(run.threshold, rel=0.03)
    assert run.largest_rise <= 0


def test_where_there_is_no_solution_no_number_is_drawn():
    module, inputs, _ = problem()
    classes = torch.arange(8) % 2
    module = nn.Sequential(*module[:2], nn.Linear(12, 2).double())
    rates = {"learning_rates": [1.0], "criterion": "cross_entropy", "every": 20, "max_iterations": 20}
    found = follow(module, inputs, classes, **rates, flow={"loss_tolerance": 1e-3}, progress=False)
    assert list(found.table()["gfs_status"]) == ["no limit", "no limit"]
    assert found.table()["gfs_sharpness"].isna().all()
    assert math.isnan(found.runs[0].largest_rise)
    assert "(2 of 2: no limit)" in found.plot().get_legend_handles_labels()[1][1]


@pytest.mark.slow
def test_a_run_that_diverges_says_so():
    (run,) = follow(*problem(), learning_rates=[1e6], every=1, max_iterations=50, progress=False).runs
    assert run.status == "diverged"
    assert run.checkpoints[0].gfs.status == "converged"


def test_a_rise_counts_beyond_the_errors(followed):
    from dataclasses import replace

    run = followed.runs[0]
    first = run.checkpoints[0]

    def at(value, error):
        gfs = replace(first.gfs, value=value, integration_error=error, stopping_error=0.0, eigenvalue_error=0.0)
        return replace(first, gfs=gfs)

    assert replace(run, checkpoints=(at(10.0, 0.1), at(9.0, 0.1), at(9.9, 0.1))).largest_rise == pytest.approx(
        0.7 / 9.1
    )
    assert replace(run, checkpoints=(at(10.0, 0.1), at(10.1, 0.1))).largest_rise < 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rates": []}, "must have at least one"),
        ({"learning_rates": [0.1, -1.0]}, "learning_rate must be positive and finite, found -1.0"),
        ({"learning_rates": [0.1], "every": 0}, "every must be positive, found 0"),
        ({"learning_rates": [0.1], "criterion": "mse"}, "unknown criterion 'mse'"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        follow(*problem(), **given)


@pytest.mark.slow
def test_threads_fit_the_work_and_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small, wide = (networks.flat_loss(nn.Linear(n, n), torch.ones(n, n), torch.ones(n, n)) for n in (20, 600))
        with fitting_threads(*small) as threads:
            assert threads == torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with fitting_threads(*wide) as threads:
            assert threads == torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), fitting_threads(*small):
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_it_can_be_imported_and_used_where_pandas_matplotlib_and_tqdm_are_not():
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['pandas', 'matplotlib', 'tqdm', 'tqdm.auto']))\n"
        "import torch\n"
        "from gfsharp.follow import follow\n"
        "module, ones = torch.nn.Linear(2, 1), torch.ones(3, 2)\n"
        "print(len(follow(module, ones, ones[:, :1], learning_rates=[0.1], max_iterations=5).runs))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
