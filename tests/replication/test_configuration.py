"""What a wrong configuration says, and the runs that a right one makes."""

import copy
import re

import numpy as np
import pytest
import yaml
from project import ROOT

from gfsharp.errors import UserError
from replication import check, configuration, yaml_files
from replication.configuration import ConfigurationError


def message(config):
    with pytest.raises(ConfigurationError) as error:
        configuration.check(config)
    return str(error.value)


def changed(config, path, value):
    *parents, last = path
    for part in parents:
        config = config[part]
    config[last] = value


FC = ("experiments", "fc-hardtanh-digits")

CASES = [
    (("experimens",), {}, ["experimens", "an unknown key", "nearest: experiments"]),
    ((*FC, "learning_rats"), [0.1], ["fc-hardtanh-digits.learning_rats", "nearest: learning_rates"]),
    ((*FC, "learning_rates"), [0.0], ["learning_rates[0]", "0.0", "above 0"]),
    ((*FC, "learning_rates"), [-0.1], ["learning_rates[0]", "-0.1", "above 0"]),
    ((*FC, "learning_rates"), [], ["learning_rates", "not empty"]),
    ((*FC, "learning_rates"), [0.1, 0.1], ["learning_rates", "each value once"]),
    ((*FC, "learning_rates"), 0.1, ["learning_rates", "0.1 (a number)", "a list"]),
    ((*FC, "learning_rates"), [float("nan")], ["learning_rates[0]", "nan", "a finite number"]),
    ((*FC, "stop", "loss"), "1e-5", ["stop.loss", "1e-05", "above flow.loss_tolerance"]),
    ((*FC, "stop", "loss"), "1e-999", ["stop.loss", "'1e-999' (text)", "a number; it is beyond"]),
    ((*FC, "stop", "loss"), "1e999", ["stop.loss", "'1e999' (text)", "a number; it is beyond"]),
    ((*FC, "stop", "loss"), "1_0.5", ["stop.loss", "'1_0.5' (text)", "a number"]),
    ((*FC, "stop", "iterations"), "1_000", ["'1_000' (text)", "a whole number; write it without '_'"]),
    ((*FC, "stop", "iterations"), "010", ["'010' (text)", "a whole number; write it without leading zeros"]),
    ((*FC, "stop", "iterations"), "0o17", ["'0o17' (text)", "a whole number; write it in decimal"]),
    ((*FC, "stop", "iterations"), "12.5", ["stop.iterations", "'12.5' (text)", "a whole number"]),
    ((*FC, "stop", "iterations"), "1e400", ["stop.iterations", "'1e400' (text)", "a whole number"]),
    ((*FC, "seeds"), ["-1"], ["seeds[0]", "-1", "0 or more"]),
    (("scale",), False, ["scale", "False (a truth value)", "text; put it in quotes"]),
    ((*FC, "stop", "loss"), 1e-5, ["stop.loss", "1e-05", "above flow.loss_tolerance"]),
    ((*FC, "stop", "iterations"), 2.5, ["stop.iterations", "2.5", "a whole number"]),
    ((*FC, "stop", "iterations"), True, ["stop.iterations", "True (a truth value)", "a whole number"]),
    ((*FC, "architecture"), "resnet", ["architecture", "'resnet'", "allowed: fully_connected"]),
    ((*FC, "activation"), "hardtan", ["activation", "'hardtan'", "nearest: hardtanh"]),
    ((*FC, "model"), "networks", ["fc-hardtanh-digits.model", "'networks'", "nearest: network"]),
    ((*FC, "flow", "step_factor"), 3.0, ["flow.step_factor", "3.0", "2.78 or less"]),
    ((*FC, "flow", "method"), "no such method", ["flow.method", "'no such method'", "rk4"]),
    ((*FC, "data"), "digit", ["fc-hardtanh-digits.data", "'digit'", "nearest: digits"]),
    ((*FC, "data"), "gaussian", ["fc-hardtanh-digits.data", "image data: digits"]),
    ((*FC, "seeds"), [-1], ["seeds[0]", "-1", "0 or more"]),
    ((*FC, "seeds"), None, ["seeds", "nothing (an empty value)", "a list"]),
    (("execution", "device"), "gpu", ["execution.device", "'gpu'", "auto, cpu, cuda"]),
    (("figures", "figure06"), ["regression"], ["figures.figure06", "an experiment with model network"]),
    (("figures", "figure06"), "fc-hardtanh-digits", ["figures.figure06", "'fc-hardtanh-digits' (text)", "a list"]),
    (("figures", "figure12"), ["fc-tanh-digit"], ["figures.figure12", "'fc-tanh-digit'", "nearest: fc-tanh-digits"]),
    ((*FC, "architecture"), "resnet20", [f"{'.'.join(FC)}.channels", "needed for resnet20"]),
    ((*FC, "architecture"), "custom", [f"{'.'.join(FC)}.factory", "needed for custom"]),
    ((*FC, "factory"), "not_a_module_here:build", ["factory", "there is no not_a_module_here"]),
    (
        (*FC, "factory"),
        "examples.own_model:modle",
        ["fc-hardtanh-digits.factory", "'examples.own_model:modle'", "own_model: data, model", "nearest: model"],
    ),
    ((*FC, "factory"), "build", ["factory", "'build'", "package.module:function"]),
    ((*FC, "flow", "tolerance"), 0.5, ["flow.tolerance", "0.5", "0.1 or less"]),
    ((*FC, "flow", "linear_steps"), "no", ["flow.linear_steps", "'no' (text)", "true or false"]),
    (("data", "digits", "skip"), -1, ["data.digits.skip", "-1", "0 or more"]),
    (("figures", "figure6"), "regression", ["figures.figure6", "nearest: figure06"]),
    (("data", "digits", "source"), "digit", ["data.digits.source", "nearest: digits"]),
    (("data", "own"), {"source": "npz", "images": 5}, ["data.own.file", "this key is needed"]),
    (
        ("data", "own"),
        {"source": "npz", "images": 5, "file": "tests/nothing.npz"},
        ["data.own.file", "'tests/nothing.npz', which is not there", "an existing .npz file"],
    ),
    (("directories",), "results", ["directories", "'results' (text)", "a mapping"]),
    (("data", "digits", "images"), 1798, ["data.digits.images", "1798", "1797 or less"]),
    (("data", "gaussian", "samples"), 101, ["data.gaussian.samples", "101", "at most the dimension, 100"]),
    (
        ("data", "cifar"),
        {"source": "cifar10", "images": 50001},
        ["data.cifar.images", "50001", "50000 or less"],
    ),
    (
        ("experiments", "scalar-depth2", "initial_weights"),
        [1.0, 2.0, 0.5],
        ["figures.figure01", "'scalar-depth2', of depth 3", "depth 2"],
    ),
    (
        ("experiments", "scalar-pairs", "initial_weights"),
        [1.5, 1.4, 0.6, 0.6],
        ["figures.figure10", "starts at [1.5, 1.4, 0.6, 0.6]", "w1 = w2 and w3 = w4"],
    ),
    (
        ("experiments", "scalar-zhu", "initial_weights"),
        [12.5, 12.5, 0.05],
        ["figures.figure10", "'scalar-zhu', which starts at [12.5, 12.5, 0.05]", "w1 = w2 and w3 = w4"],
    ),
    (
        ("experiments", "scalar-zhu", "checkpoint_every"),
        52,
        ["figures.figure10", "'scalar-zhu', with a checkpoint every 52 iterates", "an odd checkpoint_every"],
    ),
    (
        ("experiments", "scalar-bifurcation", "checkpoint_every"),
        5,
        ["figures.figure04", "a checkpoint every 5 iterates", "checkpoint_every 1"],
    ),
    (
        ("experiments", "scalar-high-loss", "learning_rates"),
        [0.1],
        ["experiments.scalar-high-loss.learning_rates", "[0.1]", "[0.2], that of scalar.plane"],
    ),
    (("experiments", "scalar-high-loss", "initial_weights"), "plan", ["initial_weights", "'plan'", "nearest: plane"]),
    (("scalar", "plane", "products"), [6.0, 0.1], ["scalar.plane.products", "[6.0, 0.1]", "a smaller number, then"]),
    (("scalar", "plane", "points"), [10, 10, 10], ["scalar.plane.points", "2 of them"]),
    (("scalar", "plane", "gfs_sharpness"), [0.3, 1.5], ["scalar.plane.gfs_sharpness[0]", "0.3", "more than 0.4"]),
    (("scalar", "plane", "direction"), [1, 1, 1], ["scalar.plane.direction", "numbers that differ"]),
    (("scalar", "gpgd", "kept"), 3000, ["scalar.gpgd.kept", "3000", "at most scalar.gpgd.steps, 2000"]),
    (("scalar", "theorems", "depths"), [1], ["scalar.theorems.depths[0]", "1", "2 or more"]),
    (("scalar", "stable_set", "products"), [2.0, 1.0], ["scalar.stable_set.products", "a smaller number, then"]),
    (("linear", "gd_map", "samples"), 1, ["linear.gd_map.networks[1]", "[2, 3, 2]", "at most 1 inputs"]),
    (("linear", "convergence", "singular_values"), [1.0], ["linear.convergence.networks[1]", "at most 1 inputs or"]),
    (("linear", "stable_minima", "radius"), [9.0, 3.0], ["linear.stable_minima.radius", "a smaller number, then"]),
    (("linear", "gfs", "stop", "loss"), 1e-12, ["linear.gfs.stop.loss", "above flow.loss_tolerance"]),
    (("linear", "gfs", "networks"), [[2, 2]], ["linear.gfs.networks[0]", "at least 3 of them"]),
    (("regression", "runs", "data"), "digits", ["regression.runs.data", "'digits'", "Gaussian data: gaussian"]),
    (("arora", "scalar", "starts"), [[2.0, 1.0], [2.0, 1.0, 1.0]], ["arora.scalar.starts[1]", "2 weights"]),
    (("arora", "valley", "starts"), [[2.0, 0.0]], ["arora.valley.starts[0][1]", "above 0"]),
    (("arora", "regression", "data", "samples"), 6, ["arora.regression.data.samples", "6", "less than the dimension"]),
    (("arora", "consecutive"), 3, ["arora.consecutive", "3"]),
    (("regression", "scales", "values"), [0.1, 0], ["regression.scales.values[1]", "0", "above 0"]),
    (("scale",), "../up", ["scale", "'../up'", "letters, digits"]),
    (("directories", "results"), "", ["directories.results", "''", "a path without"]),
    (("directories", "figures"), "a{b}", ["directories.figures", "'a{b}'", "a path without"]),
    (("directories", "results"), "out/", ["directories.results", "'out/'", "a slash at the end"]),
    (("directories", "results"), "~/out", ["directories.results", "'~/out'", "a leading ~"]),
    (("directories", "results"), "config.yaml", ["directories.results", "which is a file"]),
    (("scale",), "ab\n", ["scale", "letters, digits"]),
    (("experiments", 2), {}, ["experiments", "the key 2", "keys that are text"]),
    (("experiments", "my experiment"), {}, ["experiments", "'my experiment'", "letters, digits"]),
]


@pytest.mark.parametrize(("path", "value", "expected"), CASES)
def test_a_message_names_key_value_and_mend(config, path, value, expected):
    changed(config, path, value)
    text = message(config)
    for part in expected:
        assert part in text


# The number that is meant, beside how people and programs write it.
SAME = [
    ((*FC, "learning_rates"), [1.0], [[1], ["1"], ["1.0"], ["1e0"], ["+1"], ["10e-1"]]),
    ((*FC, "stop", "loss"), 0.0125, ["125e-4", "0.0125", "1.25E-2", ".0125"]),
    ((*FC, "stop", "iterations"), 50, [50.0, "50", "5e1", "50.0", "500e-1"]),
    ((*FC, "seeds"), [0, 4294967295], [["0", "4294967295"], [0.0, 4294967295.0], ["0e0", "4294967295.0"]]),
    ((*FC, "widths"), [200, 300], [["200", 300.0], ["2e2", "3e2"]]),
    ((*FC, "flow", "linear_steps"), True, ["true", "True"]),
    (("data", "gaussian", "mean"), 2.0, [2, "2", "2.0"]),
    (("data", "digits", "images"), 20, ["20", 20.0]),
    (("scalar", "plane", "points"), [60, 60], [["60", 60.0]]),
    (("experiments", "scalar-depth2", "initial_weights"), [3.0, 0.5], [[3, "5e-1"], ["3", 0.5]]),
    (("linear", "gfs", "networks"), [[2, 3, 2]], [[["2", 3.0, 2]]]),
    (
        ("sensitivity", "network", "alternatives", "experiments.fc-hardtanh-digits.stop.loss"),
        [0.0005, 1.0],
        [["5e-4", 1], ["0.0005", "1"]],
    ),
    (("sensitivity", "network", "settings", "data.digits.images"), 20, ["20", 20.0]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "value", "written"), SAME)
def test_a_number_is_the_same_setting_however_it_is_written(config, path, value, written):
    def result(value):
        other = copy.deepcopy(config)
        changed(other, path, value)
        configuration.check(other)
        # As text: that is how Snakemake compares what a result depends on, for which 1 and 1.0 are two.
        return repr(other)

    for other in written:
        assert result(other) == result(value)


@pytest.mark.slow
def test_a_list_that_two_keys_share_has_the_type_of_each(config):
    shared = [1, 2]
    config["experiments"]["fc-hardtanh-digits"] |= {"seeds": shared, "learning_rates": shared}
    configuration.check(config)
    found = config["experiments"]["fc-hardtanh-digits"]
    assert repr([found["seeds"], found["learning_rates"]]) == "[[1, 2], [1.0, 2.0]]"


@pytest.mark.parametrize(
    ("method", "key", "value", "matters"),
    [
        ("rkc", "step_factor", 0.5, False),
        ("rkc", "sharpness_every", 7, False),
        ("rkc", "tolerance", 1e-2, True),
        ("rkc", "linear_steps", False, True),
        ("rk4", "tolerance", 1e-2, False),
        ("rk4", "linear_steps", False, False),
        ("rk4", "step_factor", 0.5, True),
        ("rk4", "sharpness_every", 7, True),
        ("rk4", "loss_tolerance", 2e-5, True),
        ("rk4", "max_gradients", 7, True),
    ],
)
def test_what_an_integrator_does_not_take_is_no_part_of_what_a_flow_depends_on(config, method, key, value, matters):
    flow = config["experiments"]["fc-hardtanh-digits"]["flow"]
    flow["method"] = method
    before = configuration.runs(config, "fc-hardtanh-digits")
    flow[key] = value
    assert (configuration.runs(config, "fc-hardtanh-digits") != before) == matters


@pytest.mark.slow
def test_what_is_so_anyway_may_be_said(config):
    before = configuration.runs(config, "fc-hardtanh-digits")
    config["experiments"]["fc-hardtanh-digits"]["descent"] = "plain"
    config["data"]["digits"] |= {"skip": 0}
    configuration.check(config)
    assert configuration.runs(config, "fc-hardtanh-digits") == before
    config["data"]["digits"]["skip"] = 1
    assert configuration.runs(config, "fc-hardtanh-digits") != before


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("a: 010", "reads 010 as the number 8"),
        ("a: -017", "reads -017 as the number -15"),
        ("a: 12:30", "reads 12:30 as the number 750"),
        ("a: 1:30.5", "reads 1:30.5 as the number 90.5"),
        ("a: 1_000", "reads 1_000 as the number 1000"),
        ("a: 1_0.5", "reads 1_0.5 as the number 10.5"),
        ("a: 0x10", "reads 0x10 as the number 16"),
        ("a: 0b11", "reads 0b11 as the number 3"),
        ("a: 2026-01-02", "reads 2026-01-02 as the date 2026-01-02"),
        ("a: [x, no]", "reads no as false"),
        ("a: {b: On}", "reads On as true"),
        ("yes: 1", "reads yes as true"),
    ],
)
def test_a_word_that_yaml_reads_as_another_is_refused_with_its_line(tmp_path, written, says):
    (tmp_path / "my.yaml").write_text(f"# One line before.\n{written}\n")
    with pytest.raises(UserError) as error:
        yaml_files.read(tmp_path / "my.yaml")
    assert f"line 2: YAML 1.1 {says}" in str(error.value)


def test_words_in_quotes_and_plain_numbers_are_read_as_they_look(tmp_path):
    text = "text: ['010', \"no\", '1_000', '1e-5', y]\nnumbers: [1e-5, 125E-4, -.5, +1e+2, 1.0e5, 10, 0, true, ~]\n"
    (tmp_path / "my.yaml").write_text(text)
    assert yaml_files.read(tmp_path / "my.yaml") == {
        "text": ["010", "no", "1_000", "1e-5", "y"],
        "numbers": [1e-5, 0.0125, -0.5, 100.0, 1e5, 10, 0, True, None],
    }


def test_numbers_that_another_reader_left_as_text_become_numbers_and_text_stays(tmp_path):
    (tmp_path / "base.yaml").write_text("a: {options: {x: 1e-5, y: '1e-5', z: [1e3, 2]}}\nb: 1e-3\nc: 1e-3\n")
    (tmp_path / "over.yaml").write_text("b: 2e-3\n")
    paths = [tmp_path / "base.yaml", tmp_path / "over.yaml"]
    config = {}
    for path in paths:
        config |= yaml.safe_load(path.read_text())
    config["c"] = "3e-3"  # as on the command line
    yaml_files.read_anew(config, *paths)
    assert config == {"a": {"options": {"x": 1e-5, "y": "1e-5", "z": [1000.0, 2]}}, "b": 2e-3, "c": "3e-3"}


def test_options_of_a_function_given_in_braces_are_read_as_in_a_file(config):
    in_file = {"kept": "1", "rate": 5}
    config["data"]["own"] = {"source": "custom", "factory": "examples.own_model:data", "options": in_file}
    given = {"data": {"own": {"options": {"rate": "1e-2", "flag": "true", "name": "010"}}}}
    config["data"]["own"]["options"] = {**in_file, **given["data"]["own"]["options"]}
    configuration.take_numbers_in_braces(config, given)
    assert config["data"]["own"]["options"] == {"kept": "1", "rate": 0.01, "flag": True, "name": "010"}


def test_a_missing_key_is_named_with_the_one_it_may_have_been(config):
    experiment = config["experiments"]["regression"]
    experiment["intial_scale"] = experiment.pop("initial_scale")
    text = message(config)
    assert "experiments.regression.initial_scale" in text
    assert "rename intial_scale" in text


def test_a_misspelt_experiment_is_held_against_those_there_are(config):
    config["experiments"]["fc-hardtanh-digit"] = {"learning_rates": [0.1]}
    text = message(config)
    assert "experiments.fc-hardtanh-digit.model" in text
    assert "Or was fc-hardtanh-digits meant by fc-hardtanh-digit?" in text


def test_more_images_than_a_file_has(config, tmp_path):
    np.savez(tmp_path / "few.npz", x=np.zeros((4, 3, 8, 8), dtype=np.uint8), y=np.arange(4))
    config["data"]["own"] = {"source": "npz", "images": 5, "file": str(tmp_path / "few.npz")}
    text = message(config)
    assert "data.own.images" in text
    assert "4 or less" in text


def module(folder, source):
    """A module of a user's own in the working folder, which leaves a file behind if it is run."""
    name = f"own_{abs(hash(source))}"
    (folder / f"{name}.py").write_text(f"open('was_run', 'w').close()\n{source}")
    return name


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "def build(): pass",
        "class build: pass",
        "from torch.nn import Linear as build",
        "if True:\n    build = lambda: None",
        "try:\n    import nothing\nexcept ImportError:\n    def build(): pass",
        "from elsewhere import *",
        "def __getattr__(name): return print",
        "globals()['build'] = print",
        "import sys; sys.modules[__name__].build = print",
        "def make():\n    global build",
    ],
)
def test_a_function_that_may_be_there_is_accepted_without_running_its_module(config, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    config["data"]["own"] = {"source": "custom", "factory": f"{module(tmp_path, source)}:build"}
    configuration.check(config)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import torch", "it has none"),
        ("def built(): pass", "nearest: built"),
        ("def outer():\n    def build(): pass", "outer"),
        ("class A:\n    def build(self): pass", "allowed: a function of"),
        ("build()", "it has none"),
        ("def build(:", "line 2"),
    ],
)
def test_a_function_that_is_not_there_is_refused_without_running_its_module(
    config, tmp_path, monkeypatch, source, says
):
    monkeypatch.chdir(tmp_path)
    config["data"]["own"] = {"source": "custom", "factory": f"{module(tmp_path, source)}:build"}
    text = message(config)
    assert "data.own.factory" in text
    assert says in text
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(("section", "key"), [("data", "source"), ("experiments", "model")])
def test_without_its_kind_an_entry_is_asked_for_that_alone(config, section, key):
    entry = {"data": "digits", "experiments": "regression"}[section]
    del config[section][entry][key]
    text = message(config)
    assert f"{section}.{entry}.{key}" in text
    assert text.count("found:") == 1


@pytest.mark.parametrize("value", [None, 5, [], "x"])
def test_an_entry_that_is_no_mapping(config, value):
    config["experiments"]["regression"] = value
    text = message(config)
    assert "experiments.regression" in text
    assert "a mapping of keys to values" in text
    assert text.count("found:") == 1


def test_several_problems_come_in_one_message(config):
    config["execution"]["threads"] = 0
    config["scale"] = 5
    text = message(config)
    assert "execution.threads" in text
    assert "scale" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.yaml", "config/paper.yaml", "tests/tiny.yaml"])
def test_shipped_configurations_are_valid(config, name):
    def merge(base, overlay):
        for key, value in overlay.items():
            base[key] = merge(base.get(key, {}), value) if isinstance(value, dict) else value
        return base

    configuration.check(merge(config, yaml.safe_load((ROOT / name).read_text())))


@pytest.mark.parametrize("name", ["config.yaml", "config/paper.yaml"])
def test_every_value_says_where_it_comes_from(name):
    """Each key with a value has a comment above it that begins with [text], [named: SOURCE], [open] or [ours]."""
    comment: list[str] = []
    unmarked = []
    for line in (ROOT / name).read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped)
        else:
            if re.match(r"[\w-]+: [^\s&]", stripped) and not (
                comment and re.search(r"\[(text|named: [^\]]+|open|ours)\]", comment[0])
            ):
                unmarked.append(stripped)
            comment = []
    assert not unmarked


def test_runs_are_seeds_times_learning_rates(config):
    experiment = config["experiments"]["fc-hardtanh-digits"]
    experiment["seeds"], experiment["learning_rates"] = [0, 3], [0.05, 0.1]
    found = configuration.runs(config, "fc-hardtanh-digits")
    assert [run.name for run in found] == ["seed0-lr0.05", "seed0-lr0.1", "seed3-lr0.05", "seed3-lr0.1"]
    assert found[2].parameters["seed"] == 3
    assert found[2].parameters["data_set"] == config["data"]["digits"]
    assert found[2].data == "digits"


def test_regression_has_data_per_seed_and_scalar_none(config):
    assert configuration.runs(config, "regression")[0].data == "gaussian/seed0"
    assert configuration.runs(config, "scalar-depth4")[0].data is None


@pytest.mark.slow
@pytest.mark.parametrize("path", ["results", "out/results", "/scratch/me/results", "r"])
def test_paths_that_are_fine(config, path):
    config["directories"]["results"] = path
    configuration.check(config)


def test_the_order_of_keys_is_no_change(config):
    def reversed_order(value):
        return {key: reversed_order(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    for experiment in config["experiments"]:
        before = repr(configuration.runs(config, experiment))
        assert repr(configuration.runs(reversed_order(config), experiment)) == before


def test_training_does_not_depend_on_the_flow(config):
    run = configuration.runs(config, "fc-hardtanh-digits")[0]
    assert "flow" in run.parameters
    assert "flow" not in run.training_parameters


@pytest.mark.slow
def test_a_check_without_snakemake_names_file_and_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    check.main(["config/paper.yaml", "config/reference.yaml"])
    assert "can be used" in capsys.readouterr().out
    (tmp_path / "my.yaml").write_text("scale: mine\n  execution: {}\n")
    with pytest.raises(SystemExit, match=r"my\.yaml cannot be used; nothing was started\.\n  line 2, column 12"):
        check.main([str(tmp_path / "my.yaml")])
    with pytest.raises(SystemExit, match=r"gone\.yaml cannot be used; nothing was started\.\n  No such file"):
        check.main([str(tmp_path / "gone.yaml")])
    (tmp_path / "my.yaml").write_text("scales: mine\n")
    with pytest.raises(SystemExit, match="nearest: scale"):
        check.main([str(tmp_path / "my.yaml")])


def test_what_a_file_says_of_one_place_is_not_for_those_that_share_an_anchor(tmp_path):
    (tmp_path / "base.yaml").write_text("a: &a {stop: {loss: 1.0}}\nb: {<<: *a}\n")
    (tmp_path / "mine.yaml").write_text("a: {stop: {loss: 2.0}}\n")
    merged = yaml_files.merged(tmp_path / "base.yaml", tmp_path / "mine.yaml")
    assert merged == {"a": {"stop": {"loss": 2.0}}, "b": {"stop": {"loss": 1.0}}}
