"""Training that is interrupted and goes on: the same numbers, and little of the work twice."""

import json

import numpy as np
import pandas as pd
import pytest

from replication import data, factories
from replication.storage import files, provenance
from replication.training import checkpoints, models, resumption, runs
from replication.training.trajectory import Plan


class InterruptionError(Exception):
    pass


def network():
    inputs, targets, _ = data.images("digits", 10)
    parameters = {
        "model": "network",
        "architecture": "fully_connected",
        "activation": "hardtanh",
        "widths": [6],
        "precision": "float32",
        "seed": 0,
    }
    return models.build(parameters, {"inputs": inputs, "targets": targets})


def scalar_network():
    model = models.build({"model": "scalar", "initial_weights": [1.5, 0.9, 0.6]}, {})
    model.checkpoints_per_file = 3
    return model


def counted(model, *, stop_at=None):
    """Count the model's gradients in a list; the one of number ``stop_at`` is interrupted."""
    calls, original = [], model.loss_and_gradient

    def loss_and_gradient(w):
        if len(calls) == stop_at:
            raise InterruptionError
        calls.append(w)
        return original(w)

    model.loss_and_gradient = loss_and_gradient
    return calls


def train(folder, model, **settings):
    defaults = {"loss_tolerance": 1e-30, "max_iterations": 60, "sharpness_every": 3, "checkpoint_every": 5}
    runs.train(
        model,
        0.05,
        Plan(**(defaults | settings)),
        trajectory=folder / "trajectory.parquet",
        checkpoints=folder / "checkpoints",
        record=provenance.recorder({}),
        identity={"parameters": settings},
    )


def numbers(folder):
    """All numbers of a run as bytes: the trajectory and each checkpoint."""
    table = pd.read_parquet(folder / "trajectory.parquet")
    written = checkpoints.checkpoint_files(folder / "checkpoints")
    columns = {name: table[name].to_numpy() for name in table if name != "status"}
    return (
        {name: column.tobytes() for name, column in columns.items()},
        list(table["status"]),
        [(path.name, path.read_bytes()) for path in written],
    )


def interrupt(folder, make, stop_at, **settings):
    model = make()
    counted(model, stop_at=stop_at)
    with pytest.raises(InterruptionError):
        train(folder, model, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "per_file"), [(network, 1), (scalar_network, 3)])
@pytest.mark.parametrize("stops", [(0,), (1,), (6,), (37,), (59, 3), (20, 20, 15)])
def test_the_same_numbers_as_without_interruption(tmp_path, make, per_file, stops):
    train(tmp_path / "whole", make())
    reached = 0
    for stop_at in stops:
        interrupt(tmp_path / "resumed", make, stop_at)
        reached += stop_at
        assert not (tmp_path / "resumed" / "trajectory.parquet").exists()
        assert not (tmp_path / "resumed" / "checkpoints").exists()
    model = make()
    gradients = counted(model)
    train(tmp_path / "resumed", model)
    assert numbers(tmp_path / "resumed") == numbers(tmp_path / "whole")
    # One interval between checkpoint files is lost at each stop, and the gradient at its beginning.
    assert len(gradients) <= 61 - reached + len(stops) * (5 * per_file + 1)


def test_an_end_that_nobody_took_note_of_is_not_lost(tmp_path):
    train(tmp_path, network())
    first = numbers(tmp_path)
    model = network()
    gradients = counted(model)
    train(tmp_path, model)
    assert numbers(tmp_path) == first
    assert len(gradients) <= 6


def test_the_sidecar_says_where_a_run_was_resumed(tmp_path):
    interrupt(tmp_path, network, 23)
    interrupt(tmp_path, network, 10)
    train(tmp_path, network())
    assert files.read_provenance(tmp_path / "trajectory.parquet")["resumed_at"] == [20, 25]


def test_forgotten_once_collected(tmp_path):
    train(tmp_path, network())
    assert (tmp_path / "unfinished").exists()
    resumption.forget(tmp_path)
    assert not (tmp_path / "unfinished").exists()
    resumption.forget(tmp_path)
    assert len(checkpoints.checkpoint_files(tmp_path / "checkpoints")) == 13


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def replace_in(path, before, after):
    path.write_bytes(path.read_bytes().replace(before, after))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: flip_a_byte(folder / "state.safetensors"), "is damaged"),
        (lambda folder: replace_in(folder / "state.safetensors", b"0000010", b"0000011"), "is damaged"),
        (
            lambda folder: (folder / "checkpoints" / "0000005.json").write_text("[]"),
            "0000005.json is not what was written",
        ),
        (lambda folder: (folder / "state.safetensors").write_bytes(b"short"), "Error"),
        (lambda folder: (folder / "state.safetensors").unlink(), "No such file"),
        (lambda folder: flip_a_byte(folder / "checkpoints" / "0000010.safetensors"), "checkpoint 0000010.safetensors"),
        (lambda folder: (folder / "checkpoints" / "0000005.json").unlink(), "0000005.json"),
    ],
    ids=["altered", "renamed", "no object", "cut", "missing", "checkpoint altered", "sidecar missing"],
)
def test_what_is_damaged_is_not_used(tmp_path, capsys, damage, says):
    train(tmp_path / "whole", network())
    interrupt(tmp_path / "resumed", network, 23)
    damage(tmp_path / "resumed" / "unfinished")
    model = network()
    gradients = counted(model)
    train(tmp_path / "resumed", model)
    assert len(gradients) == 61
    assert numbers(tmp_path / "resumed") == numbers(tmp_path / "whole")
    printed = capsys.readouterr().out
    assert "training from the start" in printed
    assert says in printed


def test_other_parameters_do_not_go_on_from_there(tmp_path, capsys):
    interrupt(tmp_path, network, 23)
    train(tmp_path, network(), sharpness_every=4)
    assert "other parameters, data, versions or code" in capsys.readouterr().out
    sharpness = pd.read_parquet(tmp_path / "trajectory.parquet")["sharpness"]
    assert list(sharpness.dropna().index) == list(range(0, 61, 4))


def test_other_code_does_not_go_on_from_there(tmp_path, monkeypatch):
    interrupt(tmp_path, network, 23)
    monkeypatch.setattr(resumption, "_source", lambda: "of another day")
    model = network()
    gradients = counted(model)
    train(tmp_path, model)
    assert len(gradients) == 61


def test_a_factory_of_other_code_is_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_factory.py").write_text("import own_helper\ndef make(): return 1\n")
    (tmp_path / "own_helper.py").write_text("x = 1\n")
    first = factories.digest("own_factory:make")
    assert factories.digest("own_factory:make") == first
    (tmp_path / "own_helper.py").write_text("x = 2\n")
    assert factories.digest("own_factory:make") != first


def test_file_systems_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr("os.link", refuse)
    train(tmp_path, network())
    for path in checkpoints.checkpoint_files(tmp_path / "checkpoints"):
        assert json.loads(path.with_suffix(".json").read_text())["sha256"] == files.sha256(path)


def test_a_stale_folder_of_checkpoints_is_replaced(tmp_path):
    stale = tmp_path / "checkpoints" / "9999999.safetensors"
    stale.parent.mkdir()
    stale.touch()
    train(tmp_path, scalar_network())
    assert not stale.exists()


def test_lanczos_goes_on_from_its_vector(tmp_path):
    """What the test above rests on: without the vector, later estimates would differ in their last digits."""
    model, other = network(), network()
    w = model.initial
    model.sharpness(w)
    other.restore(model.state())
    later = w * 1.01
    assert other.sharpness(later) == model.sharpness(later)
    assert np.isfinite(network().sharpness(later))


@pytest.mark.parametrize("descent", ["normalised", "sqrt"])
def test_steps_of_other_kinds_go_on_with_the_same_numbers(tmp_path, descent):
    train(tmp_path / "whole", scalar_network(), descent=descent)
    interrupt(tmp_path / "resumed", scalar_network, 40, descent=descent)
    train(tmp_path / "resumed", scalar_network(), descent=descent)
    assert numbers(tmp_path / "resumed") == numbers(tmp_path / "whole")
    table = pd.read_parquet(tmp_path / "resumed" / "trajectory.parquet")
    assert table["threshold"].nunique() == 61


def test_the_threshold_is_that_of_each_step(tmp_path):
    train(tmp_path / "plain", scalar_network())
    train(tmp_path / "sqrt", scalar_network(), descent="sqrt")
    assert (pd.read_parquet(tmp_path / "plain" / "trajectory.parquet")["threshold"] == 2 / 0.05).all()
    table = pd.read_parquet(tmp_path / "sqrt" / "trajectory.parquet")
    np.testing.assert_allclose(table["threshold"], 2 / 0.05 * 2 * np.sqrt(table["loss"]), rtol=1e-14)
