"""What no type can say of a configuration: names that refer to each other, numbers that have to fit, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import factories, figure_registry
from replication.configuration.messages import dotted, listed, problem
from replication.configuration.sections import (
    ARCHITECTURES,
    FROM_PLANE,
    Configuration,
    CustomData,
    Gaussian,
    LinearGfs,
    NetworkRuns,
    RegressionRuns,
    ScalarRuns,
)

# Of an architecture's keys those that may be left out.
_OPTIONAL = ("options",)


def problems(config: Configuration, *, beside_the_plane: bool = True) -> Iterator[str]:
    """Yield what is wrong with a configuration each value of which may be what it is.

    Args:
        beside_the_plane: whether the experiments have to fit the plane.
    """
    if beside_the_plane:
        yield from _other_learning_rates_than_the_plane_s(config)
    for look in _CHECKS:
        yield from look(config)


def not_finite(value: Any, path: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield each number that is none; NaN is within every limit."""
    if isinstance(value, float) and not math.isfinite(value):
        yield problem(dotted(path), repr(value), "a finite number")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from not_finite(item, (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from not_finite(item, (*path, i))


def _too_early_stops(config: Configuration) -> Iterator[str]:
    followed: dict[str, NetworkRuns | LinearGfs] = {
        f"experiments.{name}": settings
        for name, settings in config.experiments.items()
        if isinstance(settings, NetworkRuns)
    }
    for place, settings in (followed | {"linear.gfs": config.linear.gfs}).items():
        tolerance = settings.flow.loss_tolerance
        if settings.stop.loss <= tolerance:
            allowed = f"a loss above flow.loss_tolerance, {tolerance}; the last flows would end where they begin"
            yield problem(f"{place}.stop.loss", repr(settings.stop.loss), allowed)


def _overdetermined(config: Configuration) -> Iterator[str]:
    for name, data in config.data.items():
        if isinstance(data, Gaussian) and data.samples > data.dimension:
            allowed = f"at most the dimension, {data.dimension}: with more samples no interpolator exists"
            yield problem(f"data.{name}.samples", repr(data.samples), allowed)
    small = config.arora.regression.data
    if small.samples >= small.dimension:
        allowed = f"less than the dimension, {small.dimension}: along the minima there is to be a flow"
        yield problem("arora.regression.data.samples", repr(small.samples), allowed)


def _uneven_starts(config: Configuration) -> Iterator[str]:
    starts = config.arora.scalar.starts
    for i, start in enumerate(starts):
        if len(start) != len(starts[0]):
            allowed = f"{len(starts[0])} weights, as many as the first start has"
            yield problem(f"arora.scalar.starts[{i}]", repr(start), allowed)


def _empty_ranges(config: Configuration) -> Iterator[str]:
    for place in (
        "scalar.plane.gfs_sharpness",
        "scalar.plane.products",
        "scalar.stable_set.products",
        "linear.gd_map.epsilon",
        "linear.stable_minima.radius",
        "linear.gfs.sharpness",
    ):
        low, high = attrgetter(place)(config)
        if not low < high:
            yield problem(place, repr([low, high]), "a smaller number, then a larger one")
    plane = config.scalar.plane
    lowest, depth = plane.gfs_sharpness[0] * 2 / plane.learning_rate, len(plane.direction)
    if not lowest > depth:
        allowed = (
            f"more than {depth * plane.learning_rate / 2:.3g}, in units of 2/eta: every minimiser of depth {depth} "
            f"has a sharpness of {depth} or more"
        )
        yield problem("scalar.plane.gfs_sharpness[0]", repr(plane.gfs_sharpness[0]), allowed)
    if len(set(plane.direction)) == 1:
        yield problem("scalar.plane.direction", repr(plane.direction), "numbers that differ: they are the shape")
    gpgd = config.scalar.gpgd
    if gpgd.kept > gpgd.steps:
        yield problem("scalar.gpgd.kept", repr(gpgd.kept), f"at most scalar.gpgd.steps, {gpgd.steps}")


def _linear_networks_without_data(config: Configuration) -> Iterator[str]:
    for section, settings in vars(config.linear).items():
        given = vars(settings)
        for key in ("networks", "deficient"):
            for i, widths in enumerate(given.get(key, [])):
                where = f"linear.{section}.{key}[{i}]"
                values = len(given.get("singular_values", widths))
                if min(widths[0], widths[-1]) > values:
                    allowed = f"at most {values} inputs or outputs: linear.{section}.singular_values has no more"
                    yield problem(where, repr(widths), allowed)
                if widths[0] > given.get("samples", widths[0]):
                    allowed = f"at most {given['samples']} inputs, as many as linear.{section}.samples"
                    yield problem(where, repr(widths), allowed)


def _other_learning_rates_than_the_plane_s(config: Configuration) -> Iterator[str]:
    rate = config.scalar.plane.learning_rate
    for name, settings in config.experiments.items():
        if not isinstance(settings, ScalarRuns):
            continue
        if settings.initial_weights == FROM_PLANE and settings.learning_rates != [rate]:
            allowed = f"[{rate}], that of scalar.plane, from which its start is chosen"
            yield problem(f"experiments.{name}.learning_rates", repr(settings.learning_rates), allowed)


def _runs_that_figures_cannot_show(config: Configuration) -> Iterator[str]:
    of_gpgd = ("figure01", "figure04", "figure10", "figure11")
    for figure, name in ((shown, name) for shown in of_gpgd for name in _shown(config, shown)):
        settings = config.experiments.get(name)
        if not isinstance(settings, ScalarRuns):
            continue  # said elsewhere
        found = f"{name!r}, with a checkpoint every {settings.checkpoint_every} iterates"
        if figure == "figure10" and settings.checkpoint_every % 2 == 0:
            allowed = "an experiment with an odd checkpoint_every: of iterates that go to and fro it shows both kinds"
            yield problem(f"figures.{figure}", found, allowed)
        if figure != "figure10" and settings.checkpoint_every != 1:
            yield problem(f"figures.{figure}", found, "an experiment with checkpoint_every 1: it shows single steps")
        weights = settings.initial_weights
        depth = len(config.scalar.plane.direction if weights == FROM_PLANE else weights)
        if figure == "figure01" and depth != 2:
            yield problem(f"figures.{figure}", f"{name!r}, of depth {depth}", "an experiment of depth 2")
        pairs = depth == 4 and weights != FROM_PLANE and weights[0] == weights[1] and weights[2] == weights[3]
        if figure == "figure10" and not pairs:
            allowed = "an experiment of depth 4 with w1 = w2 and w3 = w4, the slice of Zhu et al."
            yield problem(f"figures.{figure}", f"{name!r}, which starts at {weights!r}", allowed)


def _shown(config: Configuration, figure: str) -> list[str]:
    found = getattr(config.figures, figure)
    return [found] if isinstance(found, str) else found


def _dangling_names(config: Configuration) -> Iterator[str]:
    for name, settings in config.experiments.items():
        if not isinstance(settings, ScalarRuns):
            gaussian = isinstance(settings, RegressionRuns)
            yield from _wrong_data(config, f"experiments.{name}", settings.data, gaussian=gaussian)
    yield from _wrong_data(config, "regression.runs", config.regression.runs.data, gaussian=True)
    yield from _wrong_data(config, "regression.scales", config.regression.scales.data, gaussian=True)


def _wrong_data(config: Configuration, where: str, name: str, *, gaussian: bool) -> Iterator[str]:
    fitting = [key for key, data in config.data.items() if isinstance(data, Gaussian) == gaussian]
    if name not in fitting:
        kind = "Gaussian" if gaussian else "image"
        allowed = f"a data set of {kind} data: {listed(fitting) or 'none is defined; add one under data'}"
        yield problem(f"{where}.data", repr(name), allowed, name, fitting)


def _incomplete_architectures(config: Configuration) -> Iterator[str]:
    for name, settings in config.experiments.items():
        if isinstance(settings, NetworkRuns):
            for key in ARCHITECTURES[settings.architecture]:
                if getattr(settings, key) is None and key not in _OPTIONAL:
                    allowed = f"this key is needed for {settings.architecture}; add it"
                    yield problem(f"experiments.{name}.{key}", "nothing", allowed)


def _wrong_figures(config: Configuration) -> Iterator[str]:
    for name in vars(config.figures):
        figure = figure_registry.FIGURES[name]
        fitting = [
            experiment
            for experiment, settings in config.experiments.items()
            if figure.shows in ("any", settings.model) and settings.descent in figure.descents
        ]
        for experiment in _shown(config, name):
            if experiment not in fitting:
                kind = "descent" if figure.shows == "any" else f"model {figure.shows} and descent"
                allowed = (
                    f"an experiment with {kind} {' or '.join(figure.descents)}: {listed(fitting) or 'none is defined'}"
                )
                yield problem(f"figures.{name}", repr(experiment), allowed, experiment, fitting)


def _missing_files(config: Configuration) -> Iterator[str]:
    for name, path in vars(config.directories).items():
        refused = _refused_path(path)
        if refused:
            yield problem(f"directories.{name}", f"{path!r}: {refused}", "a folder, there or to be made")
        elif Path(path).exists() and not Path(path).is_dir():
            yield problem(f"directories.{name}", f"{path!r}, which is a file", "a folder, there or to be made")
    for name, file in _files(config):
        refused = _refused_path(file)
        if refused:
            yield problem(f"data.{name}.file", f"{file!r}: {refused}", "an existing .npz file")
        elif not Path(file).is_file():
            folder = Path(file).parent
            there = sorted(path.name for path in folder.glob("*.npz")) if folder.is_dir() else []
            allowed = f"an existing .npz file; {folder} has {listed(there) or 'none'}"
            yield problem(f"data.{name}.file", f"{file!r}, which is not there", allowed, Path(file).name, there)


def _files(config: Configuration) -> Iterator[tuple[str, str]]:
    for name, data in config.data.items():
        if (file := getattr(data, "file", None)) is not None:
            yield name, file


def _refused_path(path: str) -> str:
    """What the system says against a path that no file can have; empty where there is nothing to say."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)
    return ""


def _missing_functions(config: Configuration) -> Iterator[str]:
    for section, entries in (("experiments", config.experiments), ("data", config.data)):
        for name, settings in entries.items():
            if isinstance(settings, NetworkRuns | CustomData) and settings.factory is not None:
                yield from _missing_function(f"{section}.{name}.factory", settings.factory)


def _missing_function(where: str, factory: str) -> Iterator[str]:
    module, _, function = factory.partition(":")
    if not factories.is_findable(factory):
        allowed = f"a module that can be imported from the working folder {Path.cwd()}; there is no {module}"
        yield problem(where, repr(factory), allowed)
        return
    try:
        others = factories.instead_of(factory)
    except UserError as error:
        yield problem(where, repr(factory), f"a module that can be imported: {error}")
        return
    if others is not None:
        allowed = f"a function of {module}: {listed(others) or 'it has none'}"
        yield problem(where, repr(factory), allowed, function, others)


def _too_few_images(config: Configuration) -> Iterator[str]:
    import numpy as np

    for name, file in _files(config):
        if not _refused_path(file) and Path(file).is_file():
            try:
                with Path(file).open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                    there = len(arrays["y"])
            except Exception:  # what is wrong with the file, the job that reads it says
                continue
            data: Any = config.data[name]
            if data.images + data.skip > there:
                found = f"{data.images} after {data.skip}"
                yield problem(f"data.{name}.images", found, f"{there} or less in all: {file}")


_CHECKS: tuple[Callable[[Configuration], Iterator[str]], ...] = (
    _too_early_stops,
    _overdetermined,
    _uneven_starts,
    _empty_ranges,
    _linear_networks_without_data,
    _runs_that_figures_cannot_show,
    _dangling_names,
    _incomplete_architectures,
    _wrong_figures,
    _missing_files,
    _missing_functions,
    _too_few_images,
)
