"""Models and data of a user's own in the pipeline: the same module in each job, and made again when a file changes."""

import itertools
import shutil
import sys
import textwrap

import numpy as np
import pytest
import torch
import yaml
from project import TINY
from torch import nn

from gfsharp.errors import UserError
from replication import configuration, factories, stages
from replication.alone import clock, comparison, work
from replication.storage import files, provenance
from replication.training import checkpoints, models, runs
from replication.training.trajectory import Plan


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder of a user's own in which files can be written, looked for by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))

    write(
        "theirs/start.py",
        """
        import importlib
        import numpy, torch.nn
        from theirs import layers
        from . import near
        from .sub.deep import thing
        def make():
            import beside
            return importlib.import_module("by_name")
        """,
    )
    for name in ("theirs/layers.py", "theirs/near.py", "theirs/sub/deep.py", "theirs/not_imported.py", "by_name.py"):
        write(name, "thing = 1\n")
    write("beside.py", "import further\nimport theirs.start\n")
    write("further.py", "this is no Python\n")
    write("theirs/__init__.py", "")
    return write


@pytest.mark.parametrize(
    "name",
    [
        "theirs/start.py",
        "theirs/__init__.py",
        "theirs/layers.py",
        "theirs/near.py",
        "theirs/sub/deep.py",
        "beside.py",
        "further.py",
        "by_name.py",
    ],
)
def test_the_digest_is_of_all_that_a_factory_imports_of_the_user_s_files(package, name):
    before = factories.digest("theirs.start:make")
    assert factories.digest("theirs.start:make") == before
    package(name, "thing = 2\n")
    assert factories.digest("theirs.start:make") != before
    assert "theirs" not in sys.modules


def test_the_digest_is_not_of_other_files(package):
    before = factories.digest("theirs.start:make")
    package("theirs/not_imported.py", "thing = 2\n")
    package("unrelated.py", "thing = 2\n")
    assert factories.digest("theirs.start:make") == before
    with pytest.raises(UserError, match="cannot find the module of 'nowhere:make'"):
        factories.digest("nowhere:make")


# Factories that are careless about seeds, in four ways.


def with_features(inputs, drawn):
    """Random features in a buffer, a frozen random layer, and a layer that is trained."""
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    module.register_buffer("features", drawn(inputs.shape[1], 4))
    module[0].requires_grad_(False)
    module.register_forward_pre_hook(lambda module, x: torch.cos(x[0] @ module.features))
    return module


def global_torch(inputs, targets, seed):
    return with_features(inputs, lambda *shape: torch.randn(*shape))


def global_numpy(inputs, targets, seed):
    return with_features(inputs, lambda *shape: torch.from_numpy(np.random.normal(size=shape)))  # noqa: NPY002


# Stands for a source of its own, such as the system's, which gives something else each time: here what the tests know.
DRAWS = itertools.count()


@pytest.fixture
def draws(monkeypatch):
    """Let the source begin anew, whichever tests have drawn from it."""
    monkeypatch.setattr(sys.modules[__name__], "DRAWS", itertools.count())


def from_elsewhere(inputs, targets, seed):
    generator = np.random.default_rng(next(DRAWS))
    return with_features(inputs, lambda *shape: torch.from_numpy(generator.normal(size=shape)))


def unregistered(inputs, targets, seed):
    module = from_elsewhere(inputs, targets, seed)
    gain = float(np.random.default_rng(next(DRAWS)).uniform(2, 9))
    module.register_forward_hook(lambda module, x, y: gain * y)
    return module


def complex_weights(inputs, targets, seed):
    return nn.Linear(3, 1, dtype=torch.complex64)


def random_loss(inputs, targets, seed):
    return nn.Sequential(nn.Linear(3, 6), nn.RReLU(), nn.Linear(6, 1))


DATA = {
    "inputs": np.random.default_rng(0).normal(size=(6, 3)),
    "targets": np.random.default_rng(1).normal(size=(6, 1)),
}


def model_of(factory, constants=None, seed=3):
    parameters = {
        "model": "network",
        "architecture": "custom",
        "factory": f"{__name__}:{factory}",
        "precision": "float64",
        "seed": seed,
        "flow": {"loss_tolerance": 0.1},
    }
    return models.build(parameters, DATA, constants=constants)


def trained(folder, model):
    runs.train(
        model,
        0.05,
        Plan(loss_tolerance=1e-6, max_iterations=20, sharpness_every=7, checkpoint_every=10),
        trajectory=folder / "trajectory.parquet",
        checkpoints=folder / "checkpoints",
        record=provenance.recorder({}),
        identity={},
    )
    return files.read_table(folder / "trajectory.parquet"), checkpoints.checkpoint_files(folder / "checkpoints")


@pytest.mark.parametrize("factory", ["global_torch", "global_numpy"])
def test_a_factory_that_ignores_its_seed_builds_the_same_module_each_time(factory):
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = model_of(factory), model_of(factory), model_of(factory, seed=4)
    assert files.digest(first.constants()) == files.digest(again.constants()) != files.digest(other.constants())
    assert torch.equal(first.initial, again.initial)
    assert not torch.equal(first.initial, other.initial)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.random.get_state()[1].tolist() == state[1]  # noqa: NPY002


def test_what_a_factory_draws_elsewhere_is_kept_with_the_checkpoints(tmp_path, draws):
    model = model_of("from_elsewhere")
    trajectory, written = trained(tmp_path, model)
    kept = checkpoints.constants(tmp_path / "checkpoints")
    assert set(kept) == {"features", "0.weight", "0.bias"}
    other = model_of("from_elsewhere")
    assert files.digest(other.constants()) != files.digest(model.constants())
    with pytest.raises(UserError, match=r"the loss at iterate 0 .* was .* in training: this is not the model"):
        runs.gfs_table(other, written, trajectory)
    same = model_of("from_elsewhere", kept)
    assert files.digest(same.constants()) == files.digest(model.constants())
    weights = files.read_tensors(written[1])["weights"]
    np.testing.assert_array_equal(same.losses(weights), trajectory["loss"][[10]])
    runs.gfs_table(same, written[:1], trajectory)


def test_what_a_device_is_compared_with_has_what_a_factory_drew(tmp_path, draws):
    """Random features from a source that gives others each time; in float64 too they are those of the run."""
    arrays = tmp_path / "data/own.safetensors"
    files.write_tensors(arrays, DATA, {})
    parameters = {
        "model": "network",
        "architecture": "custom",
        "factory": f"{__name__}:from_elsewhere",
        "precision": "float32",
        "seed": 3,
        "flow": {"loss_tolerance": 0.1},
        "data": "own",
        "learning_rate": 0.05,
        "stop": {"loss": 1e-6, "iterations": 20},
        "sharpness_every": 10,
        "checkpoint_every": 10,
    }
    run = configuration.Run("own", "seed3", 3, parameters)
    folder = tmp_path / "runs/own/seed3"
    job = stages.Job.prepare(run.training_parameters, arrays, "cpu")
    stages.train(job, folder / "trajectory.parquet", folder / "checkpoints")
    began = work.Work(run, tmp_path, "cpu", 3, clock.Clock(), lambda run: None)
    loss, gradient = comparison.of_gradients(began, began.files()[-1])
    assert loss.reference == "cpu float64"
    assert 0 < loss.relative < 1e-5
    assert gradient.relative < 1e-5


def test_a_module_that_was_not_trained_is_refused_whatever_it_hides(tmp_path, draws):
    trajectory, written = trained(tmp_path, model_of("unregistered"))
    other = model_of("unregistered", checkpoints.constants(tmp_path / "checkpoints"))
    with pytest.raises(UserError, match=r"the loss at iterate 0 .* not the model, or not the data, that was trained"):
        runs.gfs_table(other, written, trajectory)


@pytest.mark.parametrize(("share", "refused"), [(1e-4, False), (3e-3, True)])
def test_rounding_is_no_other_model(tmp_path, share, refused):
    model = model_of("global_torch")
    trajectory, written = trained(tmp_path, model)
    moved = trajectory.assign(loss=trajectory["loss"] * (1 + share))
    if refused:
        with pytest.raises(UserError, match="the loss at iterate 20"):
            runs.gfs_table(model, written[2:], moved)
    else:
        runs.gfs_table(model, written[2:], moved)


def test_other_constants_than_the_module_has_are_named():
    with pytest.raises(UserError, match=r"built another module than in training: .* 0.bias \(6,\), .* were a \(2,\)"):
        model_of("global_torch", {"a": np.zeros(2)})


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("complex_weights", r"returned a module with complex numbers \(weight\)"),
        ("random_loss", r"cannot be followed: the loss is random: .* RReLU \(1\)"),
    ],
)
def test_modules_that_cannot_be_followed_are_refused_before_training(factory, message):
    with pytest.raises(UserError, match=message):
        model_of(factory)


def test_results_of_other_settings_are_made_again_wherever_they_are_from(fresh, tmp_path):
    """A folder of results that was copied: Snakemake has no note of it, the records beside the results have."""
    settings = yaml.safe_load(TINY.read_text())
    overlay = tmp_path / "overlay.yaml"
    change = {"directories": {"results": "results/copied"}}

    def planned():
        overlay.write_text(yaml.safe_dump(change))
        target = f"{change['directories']['results']}/tables/scalar-depth4.parquet"
        done = fresh.run("--dry-run", "--configfile", str(TINY), str(overlay), "--", target)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    first = settings.get("directories", {}).get("results", "results")
    result = fresh.snakemake(f"{first}/tables/scalar-depth4.parquet")
    assert result.returncode == 0, result.stdout + result.stderr
    (fresh.folder / "results/copied").parent.mkdir(exist_ok=True)
    shutil.copytree(fresh.folder / first / "runs", fresh.folder / "results/copied/runs", copy_function=shutil.copy2)
    assert "made with other settings" not in planned()
    change["experiments"] = {"scalar-depth4": {"stop": {"iterations": 7}}}
    printed = planned()
    assert "/trajectory was made with other settings (stop.iterations): it is made again" in printed
    assert "checkpoint train:" in printed


def test_a_table_of_other_runs_is_made_again(fresh, tmp_path):
    """A copied table, whose runs of now are not there at all: nothing else would be known of them."""
    overlay = tmp_path / "overlay.yaml"
    change = {"directories": {"results": "results/copied"}}

    def planned():
        overlay.write_text(yaml.safe_dump(change))
        target = "results/copied/tables/scalar-depth4.parquet"
        done = fresh.run("--dry-run", "--configfile", str(TINY), str(overlay), "--", target)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    first = yaml.safe_load(TINY.read_text()).get("directories", {}).get("results", "results")
    result = fresh.snakemake(f"{first}/tables/scalar-depth4.parquet")
    assert result.returncode == 0, result.stdout + result.stderr
    for folder in ("runs", "tables"):
        shutil.copytree(
            fresh.folder / first / folder, fresh.folder / "results/copied" / folder, copy_function=shutil.copy2
        )
    assert "Nothing to be done" in planned()
    change["experiments"] = {"scalar-depth4": {"learning_rates": [0.1234]}}
    printed = planned()
    assert "tables/scalar-depth4 was made with other settings (runs): it is made again" in printed
    assert "checkpoint train:" in printed
    assert "rule collect:" in printed


def test_an_edited_model_is_trained_again(fresh, tmp_path):
    """Its digest is a parameter of the run, and of the data where they are of the user's own."""
    from replication import configuration

    (fresh.folder / "own").mkdir()
    (fresh.folder / "own/make.py").write_text("from own import helper\n")
    (fresh.folder / "own/helper.py").write_text("a = 1\n")
    example = yaml.safe_load((fresh.folder / "examples/own_model.yaml").read_text())
    example["data"]["spirals"]["factory"] = example["experiments"]["spirals"]["factory"] = "own.make:model"

    def digests(monkeypatch):
        monkeypatch.chdir(fresh.folder)
        configuration.experiments._sources.cache_clear()
        (run,) = configuration.runs(example, "spirals")
        return run.training_parameters["sources"], run.parameters["data_set"]["sources"]

    with pytest.MonkeyPatch.context() as patch:
        before = digests(patch)
        (fresh.folder / "own/helper.py").write_text("a = 2\n")
        after = digests(patch)
    assert all(before)
    assert before[0] != after[0]
    assert before[1] != after[1]


def on_meta(inputs, targets, seed):
    return nn.Linear(3, 1, device="meta")


def test_what_has_no_values_in_the_run_s_precision_is_named(monkeypatch):
    with pytest.raises(
        UserError, match=r"returned a module on the device meta, where weights have no values \(weight\)"
    ):
        model_of("on_meta")
    monkeypatch.setitem(DATA, "inputs", DATA["inputs"] * 1e40)
    parameters = {"model": "network", "architecture": "custom", "precision": "float32", "seed": 0}
    with pytest.raises(UserError, match="the data have numbers too large for float32"):
        models.build(parameters, DATA)
