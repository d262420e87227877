"""The runs of each experiment of a checked configuration, and what results are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

from gfsharp.errors import UserError
from gfsharp.flow_methods import METHODS
from replication import factories
from replication.configuration import typed
from replication.configuration.sections import ARCHITECTURES, FROM_PLANE, DataSet, Experiment

Config = Mapping[str, Any]

# What each integrator of the flow takes; an overlay that chooses another leaves what it does not need, unused.
_FLOW_OPTIONS = {
    name: ("method", "loss_tolerance", *method.options, "max_gradients") for name, method in METHODS.items()
}

# What is so without being said, so that saying it is no change: the defaults of experiments and of data sets.
_UNSAID = {
    name: default
    for section in (*get_args(Experiment), *get_args(DataSet))
    for name, default in typed.defaults(section).items()
    if default is not None
}

# Where the runs of an experiment differ: the key of the learning rates, and their name in a run's folder.
_RATES = {
    "scalar": ("learning_rates", "lr"),
    "regression": ("learning_rate_fractions", "fraction"),
    "network": ("learning_rates", "lr"),
}

# Given to the GFS stage alone, so that a change of them does not train again.
_GFS_KEYS = ("flow",)


@dataclass(frozen=True)
class Run:
    """One training run: an experiment at one seed and learning rate.

    Attributes:
        experiment: the experiment's name.
        name: of the run's folder, such as ``seed0-lr0.05``.
        seed: None for scalar networks, which start at given weights.
        parameters: all values that the run depends on, data set included.
    """

    experiment: str
    name: str
    seed: int | None
    parameters: dict[str, Any]

    @property
    def training_parameters(self) -> dict[str, Any]:
        """The parameters that training depends on."""
        return {key: value for key, value in self.parameters.items() if key not in _GFS_KEYS}

    @property
    def section(self) -> str:
        """The section of the configuration that says what the run is."""
        return f"experiments.{self.experiment}"

    @property
    def data(self) -> str | None:
        """The path of the run's data below ``data/``, without suffix; None where there is none.

        A scalar network may have its start instead: see ``starts_from_plane``.
        """
        name = self.parameters.get("data")
        return f"{name}/seed{self.seed}" if self.parameters["model"] == "regression" else name

    @property
    def labels(self) -> dict[str, Any]:
        """What the rows of the run's table are labelled with; a descent other than plain is named."""
        labels = {"experiment": self.experiment, "run": self.name, "seed": self.seed}
        descent = self.parameters.get("descent", "plain")
        return labels if descent == "plain" else {**labels, "descent": descent}

    @property
    def starts_from_plane(self) -> bool:
        """Whether the run starts at the point chosen from the plane."""
        return self.parameters.get("initial_weights") == FROM_PLANE


def runs(config: Config, experiment: str) -> list[Run]:
    """Return the runs of an experiment of a checked configuration: one per seed and learning rate."""
    settings = ordered(config["experiments"][experiment])
    rates_key, rate_label = _RATES[settings["model"]]
    seeds: Sequence[int | None] = settings.get("seeds", [None])
    needed = ARCHITECTURES.get(settings.get("architecture"), ())
    unused = {key for keys in ARCHITECTURES.values() for key in keys} - {*needed}
    shared = used({key: value for key, value in settings.items() if key not in (rates_key, "seeds", *unused)})
    if "data" in settings:
        shared["data_set"] = data_set(config, settings["data"])
    shared = _with_sources(shared)
    found = []
    for seed, rate in product(seeds, settings[rates_key]):
        label = f"{rate_label}{float(rate)!r}"
        name = label if seed is None else f"seed{seed}-{label}"
        found.append(Run(experiment, name, seed, {**shared, "seed": seed, "learning_rate": float(rate)}))
    return found


def used(parameters: Config) -> dict[str, Any]:
    """Return parameters of a run, or the settings of a data set, without what does not change a result.

    That is what the flow's integrator does not take, and what is so without being said.

    >>> used({"descent": "plain", "flow": {"method": "rk4", "tolerance": 1e-3, "step_factor": 1.0}})
    {'flow': {'method': 'rk4', 'step_factor': 1.0}}
    """
    kept = {key: value for key, value in parameters.items() if key not in _UNSAID or value != _UNSAID[key]}
    if isinstance(flow := kept.get("flow"), Mapping):
        taken = _FLOW_OPTIONS.get(flow.get("method", ""), tuple(flow))
        kept["flow"] = {key: value for key, value in flow.items() if key in taken}
    if isinstance(of := kept.get("data_set"), Mapping):
        kept["data_set"] = used(of)
    return kept


def figure_experiments(config: Config, figure: str) -> list[str]:
    """Return the experiments that a figure shows: one, or, where the configuration lists several, one per panel."""
    found = config["figures"][figure]
    return [found] if isinstance(found, str) else list(found)


def made_from(config: Config, table: str) -> dict[str, Any]:
    """Return what a table of results is made from, as plain values.

    Of the table ``plane`` these are its settings, as ``plane``; of a figure its runs, as ``runs``, each with the fields
    of a :class:`Run`.
    """
    if table == FROM_PLANE:
        return {"plane": settings(config, "scalar", "plane")}
    return {
        "runs": [asdict(run) for experiment in figure_experiments(config, table) for run in runs(config, experiment)]
    }


def run(config: Config, experiment: str, name: str) -> Run:
    """Return one run by its name."""
    return next(found for found in runs(config, experiment) if found.name == name)


def data_set(config: Config, name: str) -> dict[str, Any]:
    """Return the settings of a data set, in an order that does not depend on how they were written down.

    With a function of a user's own they have ``sources``, a digest of its files, by which a change of them is seen.
    """
    return _with_sources(used(ordered(config["data"][name])))


def settings(config: Config, kind: str, section: str) -> dict[str, Any]:
    """Return the settings of an analysis (``kind`` scalar, regression or linear) in an order that does not vary."""
    return ordered(config[kind][section])


def arora_settings(config: Config, problem: str) -> dict[str, Any]:
    """Return the settings of the runs of a problem (valley, scalar or regression) beside their limiting flow."""
    shared = {key: value for key, value in config["arora"].items() if not isinstance(value, Mapping)}
    return ordered({**shared, **config["arora"][problem]})


def downloads(settings: Mapping[str, Any]) -> bool:
    """Return whether a data set has to be downloaded."""
    return settings["source"] in ("cifar10", "svhn") and "file" not in settings


def _with_sources(settings: dict[str, Any]) -> dict[str, Any]:
    if "factory" not in settings:
        return settings
    return {**settings, "sources": _sources(settings["factory"], str(Path.cwd()))}


@cache  # asked for by every job of a workflow
def _sources(factory: str, folder: str) -> str | None:
    """The digest of a function's files as they are seen from a folder; None where it cannot be found."""
    try:
        return factories.digest(factory)
    except UserError:
        return None


def ordered(value: Any) -> Any:
    """Return plain dicts with sorted keys and lists, whatever types and order the reader of the files made."""
    # Parameters are compared as text: the order in which files were merged must not look like a change.
    if isinstance(value, Mapping):
        return {key: ordered(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [ordered(item) for item in value]
    return value
