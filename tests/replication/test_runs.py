"""Training and GFS stages on the three models, without Snakemake."""

import numpy as np
import pandas as pd
import pytest

from gfsharp import scalar
from gfsharp.errors import UserError
from gfsharp.regression import SquaredRegression
from replication import data
from replication.storage import files, provenance
from replication.training import checkpoints, models, runs
from replication.training.trajectory import Plan


def train(tmp_path, model, rate, **settings):
    defaults = {"loss_tolerance": 1e-6, "max_iterations": 60, "sharpness_every": 7, "checkpoint_every": 10}
    runs.train(
        model,
        rate,
        Plan(**(defaults | settings)),
        trajectory=tmp_path / "trajectory.parquet",
        checkpoints=tmp_path / "checkpoints",
        record=provenance.recorder({}),
        identity={"parameters": settings},
    )
    return pd.read_parquet(tmp_path / "trajectory.parquet"), checkpoints.checkpoint_files(tmp_path / "checkpoints")


@pytest.fixture
def scalar_model():
    return models.build({"model": "scalar", "initial_weights": [1.5, 0.9, 0.6]}, {})


@pytest.fixture
def network():
    inputs, targets, _ = data.images("digits", 10)
    parameters = {
        "model": "network",
        "architecture": "fully_connected",
        "activation": "tanh",
        "widths": [6],
        "precision": "float64",
        "seed": 0,
        "flow": {"loss_tolerance": 0.2, "max_gradients": 5000},
    }
    return models.build(parameters, {"inputs": inputs, "targets": targets})


def test_trajectory_and_checkpoints(tmp_path, scalar_model):
    table, written = train(tmp_path, scalar_model, 0.05, loss_tolerance=1e-30)
    assert list(table["iteration"]) == list(range(61))
    assert table["status"].iloc[-1] == "out of iterations" == checkpoints.training_status(tmp_path / "checkpoints")
    measured = table.dropna(subset="sharpness")["iteration"]
    assert list(measured) == [*range(0, 60, 7), 60]
    assert set(table["threshold"]) == {40.0}
    block = files.read_tensors(written[0])
    assert list(block["iteration"]) == [0, 10, 20, 30, 40, 50, 60]
    np.testing.assert_array_equal(scalar.loss(block["weights"]), table["loss"][block["iteration"]])


def test_no_status_where_the_list_of_checkpoints_is_not_there_or_broken(tmp_path, scalar_model):
    assert checkpoints.training_status(tmp_path / "checkpoints") is None
    train(tmp_path, scalar_model, 0.05)
    (tmp_path / "checkpoints/index.json").write_text("{")
    assert checkpoints.training_status(tmp_path / "checkpoints") is None


def test_scalar_gfs_table(tmp_path, scalar_model):
    _, written = train(tmp_path, scalar_model, 0.05)
    table = runs.gfs_table(scalar_model, written)
    weights = files.read_tensors(written[0])["weights"]
    np.testing.assert_array_equal(table["gfs_sharpness"], scalar.gfs_sharpness(weights))
    assert set(table["gfs_status"]) == {"converged"}


def test_scalar_gfs_that_does_not_exist(scalar_model):
    (point,) = scalar_model.gfs(np.array([[-1.0, 1.0, 1.0]]))
    assert point.status == "does not exist"
    assert np.isnan(point.gfs_sharpness)


def test_regression_run(tmp_path):
    X, y = data.gaussian(4, 8, 1.0, 1.0, 1.0, seed=0)
    tensors = {"X": X, "y": y, "flattest_sharpness": np.float64(12.0)}
    parameters = {"model": "regression", "initial_scale": 0.2, "learning_rate": 0.5}
    model = models.build(parameters, tensors)
    rate = models.learning_rate(parameters, tensors)
    assert rate == pytest.approx(0.5 * 2 / 12.0)
    table, written = train(tmp_path, model, rate, checkpoint_every=1)
    gfs = runs.gfs_table(model, written)
    assert len(gfs) == len(table)
    expected = SquaredRegression(X, y).gfs_sharpness(np.full(8, 0.2), np.full(8, 0.2))
    assert gfs["gfs_sharpness"][0] == pytest.approx(float(expected))


@pytest.mark.slow
def test_network_run_and_join(tmp_path, network):
    table, written = train(tmp_path, network, 0.1)
    assert len(written) == 7
    assert files.read_tensors(written[3])["iteration"] == [30]
    gfs = runs.gfs_table(network, written)
    joined = runs.with_gfs(table, [gfs[:3], gfs[3:]])
    assert len(joined) == len(table)
    assert list(joined.dropna(subset="gfs_sharpness")["iteration"]) == list(gfs["iteration"])
    assert joined["gradient_evaluations"].sum() == gfs["gradient_evaluations"].sum()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 1e6])
def test_a_run_without_files_has_the_same_numbers(tmp_path, network, scalar_model, rate):
    scalar_model.checkpoints_per_file = 3
    for name, model in {"network": network, "scalar": scalar_model}.items():
        folder = tmp_path / name
        table, written = train(folder, model, rate)
        model.restore({})
        gfs = [runs.gfs_table(model, written)] if written else []
        plan = Plan(loss_tolerance=1e-6, max_iterations=60, sharpness_every=7, checkpoint_every=10)
        pd.testing.assert_frame_equal(runs.followed(model, rate, plan), runs.with_gfs(table, gfs), check_exact=True)


def test_resumed_weights_are_those_of_the_run(tmp_path, network):
    """A checkpoint holds the iterate exactly: its loss is that of the trajectory."""
    table, written = train(tmp_path, network, 0.1)
    block = files.read_tensors(written[2])
    import torch

    loss, _ = network.loss_and_gradient(torch.from_numpy(block["weights"][0]))
    assert loss == table["loss"][20]


def test_a_flow_without_end_has_no_number(network):
    network.flow = {"loss_tolerance": 1e-12, "max_gradients": 40}
    (point,) = network.gfs(network.initial.numpy()[None])
    assert point.status == "budget"
    assert np.isnan(point.gfs_sharpness)


def test_divergence_is_recorded(tmp_path, network):
    table, written = train(tmp_path, network, 1e6, checkpoint_every=1)
    assert table["status"].iloc[-1] == "diverged"
    assert len(written) == len(table) - 1


def test_a_run_without_checkpoints_still_joins(tmp_path, scalar_model):
    scalar_model.initial = np.array([1e80, 1e80, 1e80])
    table, written = train(tmp_path, scalar_model, 0.1)
    assert written == []
    joined = runs.with_gfs(table, [])
    assert joined["gfs_sharpness"].isna().all()


def test_a_gpu_that_is_not_there(network, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no GPU"):
        models.build({"model": "network"}, {}, device="cuda")


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match="unknown model 'linear'"):
        models.build({"model": "linear"}, {})


def too_wide(inputs, targets, seed):
    import torch

    return torch.nn.Linear(2, 3)


def test_a_model_of_ones_own_that_does_not_fit_its_data_is_named():
    data = {"inputs": np.ones((4, 2), np.float32), "targets": np.ones((4, 1), np.float32)}
    name = f"{__name__}:too_wide"
    parameters = {"architecture": "custom", "factory": name, "seed": 0, "precision": "float32"}
    with pytest.raises(UserError, match=f"the model that {name} returned does not fit its data: outputs have shape"):
        models.Network(data, parameters)


@pytest.mark.parametrize("architecture", ["vgg11_bn"])
def test_one_image_that_batch_norm_cannot_do_is_refused_in_a_sentence(architecture):
    def built(count, side):
        data = {"inputs": np.ones((count, 3, side, side), np.float32), "targets": np.eye(10, dtype=np.float32)[:count]}
        parameters = {
            "architecture": architecture,
            "channels": 2,
            "seed": 0,
            "precision": "float32",
            "model": "network",
        }
        return models.build(parameters, data)

    with pytest.raises(UserError, match=r"vgg11_bn cannot be trained on one image of 3 x 8 x 8: .* more images"):
        built(1, 8)
    assert built(2, 8)
    assert built(1, 32)
