"""The configuration: checked against its closed schema, and expanded into the runs of each experiment.

Nothing is done before every value has been looked at; what is wrong is said in one message that names the key, what
was found, what is allowed and the nearest valid name.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfsharp.errors import UserError
from gfsharp.flow_methods import METHODS
from replication import factories, figure_registry, setting_types, variants, yaml_files

if TYPE_CHECKING:
    import jsonschema  # not where replication.alone runs

Config = Mapping[str, Any]

# What an architecture needs to be told; an overlay that chooses another leaves what it does not need, unused.
_ARCHITECTURES = {
    "fully_connected": ("activation", "widths"),
    "vgg11_bn": ("channels",),
    "resnet20": ("channels",),
    "custom": ("factory", "options"),
}
_OPTIONAL = ("options",)

# What each integrator of the flow takes; an overlay that chooses another leaves what it does not need, unused.
_FLOW_OPTIONS = {
    name: ("method", "loss_tolerance", *method.options, "max_gradients") for name, method in METHODS.items()
}

# What is so without being said, so that saying it is no change: of experiments and of data sets.
_UNSAID: Mapping[str, Any] = {"descent": "plain", "skip": 0, "options": {}, "normalisation": "channel"}

# In place of initial weights: the start that is chosen from the plane.
FROM_PLANE = "plane"

# Where the runs of an experiment differ: the key of the learning rates, and their name in a run's folder.
_RATES = {
    "scalar": ("learning_rates", "lr"),
    "regression": ("learning_rate_fractions", "fraction"),
    "network": ("learning_rates", "lr"),
}

# Given to the GFS stage alone, so that a change of them does not train again.
_GFS_KEYS = ("flow",)


class ConfigurationError(UserError):
    """The configuration can't be used; the message says why and how to mend it."""


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


def check(config: dict[str, Any], schema_path: str | Path, *, with_variants: bool = True) -> None:
    """Check ``config`` against the schema and for what a schema cannot say: names that refer to each other, files.

    Its numbers get the type that the schema has for them, in place: ``1`` becomes ``1.0`` where any number is allowed,
    and text such as ``1e-5``, as which other readers leave it, a number.

    Args:
        with_variants: whether the variants of the sensitivity studies are checked too, each as a whole configuration.

    Raises:
        ConfigurationError: with every problem found.
    """
    schema = yaml_files.read(schema_path)
    validator = _validator(schema)
    give_types(config, schema)
    problems = list(_unnamed_keys(config)) or list(_problems(config, validator))
    if not problems and with_variants:
        problems = list(_unusable_variants(config, validator))
    _refuse(problems)


def check_without_schema(config: dict[str, Any], schema_path: str | Path) -> None:
    """Check ``config`` where jsonschema is not installed: for what a schema cannot say alone.

    Its numbers get the type that the schema has for them, in place.

    Raises:
        ConfigurationError: with every problem found; of a missing value, or one of another kind, what Python says.
    """
    try:
        give_types(config, yaml_files.read(schema_path))
        problems = list(_unnamed_keys(config)) or list(_beyond_the_schema(config))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        problems = [
            f"  a value is missing or of another kind ({type(error).__name__}: {error}); "
            "`python -m replication.check` says "
            "which, where jsonschema is installed"
        ]
    _refuse(problems)


def give_types(config: dict[str, Any], schema: Config) -> None:
    """Give each number of ``config`` the type that ``schema`` has for it, in place."""
    config.update(setting_types.typed(config, schema, schema))
    _type_alternatives(config, schema)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        listed = "\n".join(dict.fromkeys(problems))
        raise ConfigurationError(f"the configuration cannot be used; nothing was started.\n{listed}")


def _validator(schema: Config) -> Any:
    import jsonschema

    # JSON Schema takes 4.0 for a whole number; what it becomes (a path, a count of threads) does not.
    of_kind = jsonschema.validators.extend(
        jsonschema.Draft202012Validator,
        type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
            "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
        ),
    )
    return of_kind(schema)


def take_numbers_in_braces(config: dict[str, Any], given: Config) -> None:
    """Read the options of a user's own functions in ``given`` as a file would be, and put them into ``config``.

    Args:
        config: with ``given`` in it.
        given: what the command line has after ``--config``, whose numbers within braces Snakemake hands over as text.
            Of all other keys the schema says which are numbers.
    """
    for section in ("experiments", "data"):
        entries = given.get(section)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            options = entry.get("options") if isinstance(entry, Mapping) else None
            if isinstance(options, Mapping):
                there = config[section][name]
                read = {**there["options"], **setting_types.as_read(options)}
                config[section] = {**config[section], name: {**there, "options": read}}


def _type_alternatives(config: dict[str, Any], schema: Config) -> None:
    """Give the values that the sensitivity studies try the types of the keys that they are for."""
    studies = config.get("sensitivity")
    if not isinstance(studies, Mapping):
        return
    config["sensitivity"] = typed = {**studies}
    for name, study in studies.items():
        if isinstance(study, Mapping):
            settings, tried = study.get("settings"), study.get("alternatives")
            typed[name] = {**study}
            if isinstance(settings, Mapping):
                typed[name]["settings"] = {
                    key: _typed_at(config, schema, key, value) for key, value in settings.items()
                }
            if isinstance(tried, Mapping):
                typed[name]["alternatives"] = {
                    key: [_typed_at(config, schema, key, value) for value in values]
                    if isinstance(values, list)
                    else values
                    for key, values in tried.items()
                }


def _typed_at(config: Config, schema: Config, key: Any, value: Any) -> Any:
    parts = str(key).split(".")[:2]
    try:
        # What is beside the key says what kind of entry it is of, and no more is looked at than that entry.
        changed = variants.with_value(config, str(key), value)
        entry = variants.value_at(changed, ".".join(parts))
        nested = {parts[0]: {parts[1]: entry} if len(parts) > 1 else entry}
        return variants.value_at(setting_types.typed(nested, schema, schema), str(key))
    except (KeyError, TypeError):
        return value  # an unknown key: said elsewhere


def _problems(config: Config, validator: Any, *, beside_the_plane: bool = True) -> Iterator[str]:
    """What the schema says, and, if that is nothing, what it cannot say.

    Args:
        beside_the_plane: whether the experiments have to fit the plane.
    """
    errors = list(validator.iter_errors(_ordered(config)))
    for error in errors:
        yield from _explain(error, config)
    if not errors:
        yield from _beyond_the_schema(config, beside_the_plane=beside_the_plane)


def _beyond_the_schema(config: Config, *, beside_the_plane: bool = True) -> Iterator[str]:
    if beside_the_plane:
        yield from _other_learning_rates_than_the_plane_s(config)
    for look in (
        _not_finite,
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
    ):
        yield from look(config)


def runs(config: Config, experiment: str) -> list[Run]:
    """Return the runs of an experiment of a checked configuration: one per seed and learning rate."""
    settings = _ordered(config["experiments"][experiment])
    rates_key, rate_label = _RATES[settings["model"]]
    seeds: Sequence[int | None] = settings.get("seeds", [None])
    needed = _ARCHITECTURES.get(settings.get("architecture"), ())
    unused = {key for keys in _ARCHITECTURES.values() for key in keys} - {*needed}
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
    return _with_sources(used(_ordered(config["data"][name])))


def settings(config: Config, kind: str, section: str) -> dict[str, Any]:
    """Return the settings of an analysis (``kind`` scalar, regression or linear) in an order that does not vary."""
    return _ordered(config[kind][section])


def arora_settings(config: Config, problem: str) -> dict[str, Any]:
    """Return the settings of the runs of a problem (valley, scalar or regression) beside their limiting flow."""
    shared = {key: value for key, value in config["arora"].items() if not isinstance(value, Mapping)}
    return _ordered({**shared, **config["arora"][problem]})


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


def _ordered(value: Any) -> Any:
    """Plain dicts with sorted keys and lists, whatever types and order the reader of the files made."""
    # Parameters are compared as text: the order in which files were merged must not look like a change.
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value


def _explain(error: jsonschema.ValidationError, config: Config) -> Iterator[str]:
    where = _dotted(error.absolute_path)
    found: Any = error.instance
    value: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            allowed = sorted(schema["properties"])
            for key in found:
                if key not in allowed:
                    yield _problem(
                        _dotted([*error.absolute_path, key]), "an unknown key", _names(allowed), key, allowed
                    )
        case "required":
            for key in value:
                if key not in found:
                    given = set(map(str, found)) - set(schema.get("properties", {}))
                    hint = f"; add it{_nearest(key, given, ' (or rename {})')}{_misspelt_entry(error, config)}"
                    yield _problem(_dotted([*error.absolute_path, key]), "nothing", f"this key is needed{hint}")
        case "enum":
            yield _problem(where, repr(found), _names(value), found, value)
        case "const":
            yield _problem(where, repr(found), repr(value))
        case "type":
            yield _problem(
                where, _described(found), _TYPES[value] + _number_hint(found, value) + _text_hint(found, value)
            )
        case "exclusiveMinimum":
            yield _problem(where, repr(found), f"a number above {value}")
        case "minimum":
            yield _problem(where, repr(found), f"{value} or more")
        case "maximum":
            yield _problem(where, repr(found), f"{value} or less")
        case "maxItems":
            yield _problem(where, repr(found), f"{value} of them")
        case "minItems" | "minProperties":
            yield _problem(where, f"{found!r}", f"at least {value} of them" if found else "not empty")
        case "uniqueItems":
            yield _problem(where, repr(found), "each value once")
        case "pattern":
            yield _problem(where, repr(found), schema["description"])
        case _:
            yield _problem(where, repr(found), error.message)


def _misspelt_entry(error: jsonschema.ValidationError, config: Config) -> str:
    """An overlay's entry with a misspelt name is a new one, in which all is missing: name the one that was meant."""
    path = list(error.absolute_path)
    if len(path) != 2 or path[0] not in ("experiments", "data"):
        return ""
    others = {str(name) for name in config[path[0]]} - {path[1]}
    return _nearest(str(path[1]), others, f". Or was {{}} meant by {path[1]}?")


_TYPES = {
    "object": "a mapping of keys to values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def _problem(where: str, found: str, allowed: str, name: object = None, names: Sequence[str] = ()) -> str:
    suggestion = _nearest(str(name), names, "\n    nearest: {}") if name is not None else ""
    return f"  {where}\n    found:   {found}\n    allowed: {allowed}{suggestion}"


def _nearest(name: str, names: Sequence[str] | set[str], template: str) -> str:
    close = difflib.get_close_matches(name, [str(candidate) for candidate in names], n=1, cutoff=0.5)
    return template.format(close[0]) if close else ""


def _described(value: object) -> str:
    if value is None:
        return "nothing (an empty value)"
    kinds = {bool: "a truth value", str: "text", int: "a whole number", float: "a number", list: "a list"}
    kind = kinds.get(type(value), "a mapping" if isinstance(value, Mapping) else type(value).__name__)
    return f"{value!r} ({kind})"


def _text_hint(found: object, wanted: str) -> str:
    """YAML 1.1 reads no, on and 2026-01-01 as something else than text."""
    return (
        "; put it in quotes" if wanted == "string" and found is not None and not isinstance(found, list | dict) else ""
    )


def _number_hint(found: object, wanted: str) -> str:
    """How to write the number that was probably meant; none is said where it is not certain which."""
    if wanted not in ("number", "integer") or not isinstance(found, str):
        return ""
    text = found.strip()
    if setting_types.DECIMAL.fullmatch(text):
        if setting_types.number(text) is None:
            return "; it is beyond what a floating-point number can be (about 1e-308 to 1e308)"
        return f"; write {text}" if text != found and wanted == "number" else ""
    if re.fullmatch(r"[-+]?[0-9]+(_[0-9]+)+", text, re.ASCII):
        return "; write it without '_'"
    if re.fullmatch(r"[-+]?0[0-9_]+", text, re.ASCII):
        return "; write it without leading zeros"
    if re.fullmatch(r"0[xob][0-9a-fA-F]+", text, re.ASCII | re.IGNORECASE):
        return "; write it in decimal"
    return ""


def _dotted(path: Sequence[Any] | Any) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "(top level)"


def _names(names: Sequence[object]) -> str:
    return ", ".join(str(name) for name in names)


def _not_finite(value: Any, path: tuple[Any, ...] = ()) -> Iterator[str]:
    # JSON Schema compares NaN as within every bound.
    if isinstance(value, float) and not math.isfinite(value):
        yield _problem(_dotted(path), repr(value), "a finite number")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _not_finite(item, (*path, i))


def _unnamed_keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield _problem(_dotted(path), f"the key {key!r}", "keys that are text; put it in quotes or rename it")
            else:
                yield from _unnamed_keys(item, (*path, key))


def _too_early_stops(config: Config) -> Iterator[str]:
    followed = {f"experiments.{name}": settings for name, settings in config["experiments"].items()}
    for place, settings in {**followed, "linear.gfs": config["linear"]["gfs"]}.items():
        if "flow" in settings and settings["stop"]["loss"] <= settings["flow"]["loss_tolerance"]:
            tolerance = settings["flow"]["loss_tolerance"]
            allowed = f"a loss above flow.loss_tolerance, {tolerance}; the last flows would end where they begin"
            yield _problem(f"{place}.stop.loss", repr(settings["stop"]["loss"]), allowed)


def _overdetermined(config: Config) -> Iterator[str]:
    for name, settings in config["data"].items():
        if settings["source"] == "gaussian" and settings["samples"] > settings["dimension"]:
            allowed = f"at most the dimension, {settings['dimension']}: with more samples no interpolator exists"
            yield _problem(f"data.{name}.samples", repr(settings["samples"]), allowed)
    small = config["arora"]["regression"]["data"]
    if small["samples"] >= small["dimension"]:
        allowed = f"less than the dimension, {small['dimension']}: along the minima there is to be a flow"
        yield _problem("arora.regression.data.samples", repr(small["samples"]), allowed)


def _uneven_starts(config: Config) -> Iterator[str]:
    starts = config["arora"]["scalar"]["starts"]
    for i, start in enumerate(starts):
        if len(start) != len(starts[0]):
            allowed = f"{len(starts[0])} weights, as many as the first start has"
            yield _problem(f"arora.scalar.starts[{i}]", repr(start), allowed)


def _empty_ranges(config: Config) -> Iterator[str]:
    for place in (
        "scalar.plane.gfs_sharpness",
        "scalar.plane.products",
        "scalar.stable_set.products",
        "linear.gd_map.epsilon",
        "linear.stable_minima.radius",
        "linear.gfs.sharpness",
    ):
        low, high = variants.value_at(config, place)
        if not low < high:
            yield _problem(place, repr([low, high]), "a smaller number, then a larger one")
    plane = config["scalar"]["plane"]
    lowest, depth = plane["gfs_sharpness"][0] * 2 / plane["learning_rate"], len(plane["direction"])
    if not lowest > depth:
        allowed = (
            f"more than {depth * plane['learning_rate'] / 2:.3g}, in units of 2/eta: every minimiser of depth {depth} "
            f"has a sharpness of {depth} or more"
        )
        yield _problem("scalar.plane.gfs_sharpness[0]", repr(plane["gfs_sharpness"][0]), allowed)
    if len(set(plane["direction"])) == 1:
        yield _problem("scalar.plane.direction", repr(plane["direction"]), "numbers that differ: they are the shape")
    gpgd = config["scalar"]["gpgd"]
    if gpgd["kept"] > gpgd["steps"]:
        yield _problem("scalar.gpgd.kept", repr(gpgd["kept"]), f"at most scalar.gpgd.steps, {gpgd['steps']}")


def _linear_networks_without_data(config: Config) -> Iterator[str]:
    for section, settings in config["linear"].items():
        for key in ("networks", "deficient"):
            for i, widths in enumerate(settings.get(key, [])):
                where = f"linear.{section}.{key}[{i}]"
                values = len(settings.get("singular_values", widths))
                if min(widths[0], widths[-1]) > values:
                    allowed = f"at most {values} inputs or outputs: linear.{section}.singular_values has no more"
                    yield _problem(where, repr(widths), allowed)
                if widths[0] > settings.get("samples", widths[0]):
                    allowed = f"at most {settings['samples']} inputs, as many as linear.{section}.samples"
                    yield _problem(where, repr(widths), allowed)


def _other_learning_rates_than_the_plane_s(config: Config) -> Iterator[str]:
    rate = config["scalar"]["plane"]["learning_rate"]
    for name, settings in config["experiments"].items():
        if settings.get("initial_weights") == FROM_PLANE and list(settings["learning_rates"]) != [rate]:
            allowed = f"[{rate}], that of scalar.plane, from which its start is chosen"
            yield _problem(f"experiments.{name}.learning_rates", repr(list(settings["learning_rates"])), allowed)


def _runs_that_figures_cannot_show(config: Config) -> Iterator[str]:
    of_gpgd = ("figure01", "figure04", "figure10", "figure11")
    for figure, name in ((shown, name) for shown in of_gpgd for name in figure_experiments(config, shown)):
        settings = config["experiments"].get(name, {})
        if settings.get("model") != "scalar":
            continue  # said elsewhere
        if figure == "figure10" and settings["checkpoint_every"] % 2 == 0:
            found = f"{name!r}, with a checkpoint every {settings['checkpoint_every']} iterates"
            allowed = "an experiment with an odd checkpoint_every: of iterates that go to and fro it shows both kinds"
            yield _problem(f"figures.{figure}", found, allowed)
        if figure != "figure10" and settings["checkpoint_every"] != 1:
            found = f"{name!r}, with a checkpoint every {settings['checkpoint_every']} iterates"
            yield _problem(f"figures.{figure}", found, "an experiment with checkpoint_every 1: it shows single steps")
        weights = settings["initial_weights"]
        depth = len(config["scalar"]["plane"]["direction"]) if weights == FROM_PLANE else len(weights)
        if figure == "figure01" and depth != 2:
            yield _problem(f"figures.{figure}", f"{name!r}, of depth {depth}", "an experiment of depth 2")
        pairs = depth == 4 and weights != FROM_PLANE and weights[0] == weights[1] and weights[2] == weights[3]
        if figure == "figure10" and not pairs:
            allowed = "an experiment of depth 4 with w1 = w2 and w3 = w4, the slice of Zhu et al."
            yield _problem(f"figures.{figure}", f"{name!r}, which starts at {weights!r}", allowed)


def _unusable_variants(config: Config, validator: Any) -> Iterator[str]:
    """A variant has to be a configuration in its own right; if a key is unknown, nothing more can be said."""
    unknown = list(_unknown_keys_of_variants(config))
    yield from unknown
    for variant in () if unknown else variants.variants(config):
        changed = variant.configuration(config)
        table = config["sensitivity"][variant.study]["table"]
        # What starts from the plane is no part of a study of the plane.
        of_plane = table == FROM_PLANE
        problems = list(_unnamed_keys(changed)) or list(
            _problems({**changed, "sensitivity": {}}, validator, beside_the_plane=not of_plane)
        )
        for problem in problems:
            yield f"  {variant.place} cannot be tried:\n{problem}"
        for name in () if problems or of_plane else figure_experiments(changed, table):
            if changed["experiments"][name].get("initial_weights") == FROM_PLANE:
                found = f"{table!r}, whose {name} starts from the plane"
                yield _problem(f"sensitivity.{variant.study}.table", found, "a table whose runs start at given weights")


def _unknown_keys_of_variants(config: Config) -> Iterator[str]:
    rest = {key: value for key, value in config.items() if key != "sensitivity"}
    for study, settings in config["sensitivity"].items():
        for section in ("settings", "alternatives"):
            for key in settings[section]:
                try:
                    variants.value_at(rest, key)
                except KeyError as error:
                    parent, _, missing = error.args[0].rpartition(".")
                    others = variants.value_at(rest, parent) if parent else rest
                    names = [f"{parent}.{name}".lstrip(".") for name in others] if isinstance(others, Mapping) else []
                    allowed = f"a key of the configuration; {parent or 'it'} has no {missing}"
                    yield _problem(f"sensitivity.{study}.{section}", repr(key), allowed, error.args[0], names)


def _dangling_names(config: Config) -> Iterator[str]:
    for name, settings in config["experiments"].items():
        if "data" in settings:
            yield from _wrong_data(config, f"experiments.{name}", settings, gaussian=settings["model"] == "regression")
    for name, settings in config["regression"].items():
        yield from _wrong_data(config, f"regression.{name}", settings, gaussian=True)


def _wrong_data(config: Config, where: str, settings: Mapping[str, Any], *, gaussian: bool) -> Iterator[str]:
    fitting = [key for key, data in config["data"].items() if (data["source"] == "gaussian") == gaussian]
    if settings["data"] not in fitting:
        kind = "Gaussian" if gaussian else "image"
        allowed = f"a data set of {kind} data: {_names(fitting) or 'none is defined; add one under data'}"
        yield _problem(f"{where}.data", repr(settings["data"]), allowed, settings["data"], fitting)


def _incomplete_architectures(config: Config) -> Iterator[str]:
    for name, settings in config["experiments"].items():
        architecture = settings.get("architecture")
        for key in _ARCHITECTURES.get(architecture, ()):
            if key not in settings and key not in _OPTIONAL:
                yield _problem(f"experiments.{name}.{key}", "nothing", f"this key is needed for {architecture}; add it")


def _wrong_figures(config: Config) -> Iterator[str]:
    for figure in config["figures"]:
        if figure not in figure_registry.FIGURES:
            known = list(figure_registry.FIGURES)
            yield _problem(f"figures.{figure}", "a name", "a figure of replication.figure_registry", figure, known)
            continue
        model = figure_registry.FIGURES[figure].shows
        descents = figure_registry.FIGURES[figure].descents
        fitting = [
            name
            for name, settings in config["experiments"].items()
            if model in ("any", settings["model"]) and settings.get("descent", "plain") in descents
        ]
        for experiment in figure_experiments(config, figure):
            if experiment not in fitting:
                kind = "descent" if model == "any" else f"model {model} and descent"
                allowed = f"an experiment with {kind} {' or '.join(descents)}: {_names(fitting) or 'none is defined'}"
                yield _problem(f"figures.{figure}", repr(experiment), allowed, experiment, fitting)


def _missing_files(config: Config) -> Iterator[str]:
    for name, path in config["directories"].items():
        refused = _refused_path(path)
        if refused:
            yield _problem(f"directories.{name}", f"{path!r}: {refused}", "a folder, there or to be made")
        elif Path(path).exists() and not Path(path).is_dir():
            yield _problem(f"directories.{name}", f"{path!r}, which is a file", "a folder, there or to be made")
    for name, settings in config["data"].items():
        file = settings.get("file")
        if file is not None and _refused_path(file):
            yield _problem(f"data.{name}.file", f"{file!r}: {_refused_path(file)}", "an existing .npz file")
        elif file is not None and not Path(file).is_file():
            folder = Path(file).parent
            there = sorted(path.name for path in folder.glob("*.npz")) if folder.is_dir() else []
            allowed = f"an existing .npz file; {folder} has {_names(there) or 'none'}"
            yield _problem(f"data.{name}.file", f"{file!r}, which is not there", allowed, Path(file).name, there)


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


def _missing_functions(config: Config) -> Iterator[str]:
    for section in ("experiments", "data"):
        for name, settings in config[section].items():
            if "factory" in settings:
                yield from _missing_function(f"{section}.{name}.factory", settings["factory"])


def _missing_function(where: str, factory: str) -> Iterator[str]:
    module, _, function = factory.partition(":")
    if not factories.is_findable(factory):
        allowed = f"a module that can be imported from the working folder {Path.cwd()}; there is no {module}"
        yield _problem(where, repr(factory), allowed)
        return
    try:
        others = factories.instead_of(factory)
    except UserError as error:
        yield _problem(where, repr(factory), f"a module that can be imported: {error}")
        return
    if others is not None:
        allowed = f"a function of {module}: {_names(others) or 'it has none'}"
        yield _problem(where, repr(factory), allowed, function, others)


def _too_few_images(config: Config) -> Iterator[str]:
    import numpy as np

    for name, settings in config["data"].items():
        if "file" in settings and not _refused_path(settings["file"]) and Path(settings["file"]).is_file():
            try:
                with Path(settings["file"]).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    there = len(arrays["y"])
            except Exception:  # what is wrong with the file, the job that reads it says
                continue
            last = settings["images"] + settings.get("skip", 0)
            if last > there:
                found = f"{settings['images']} after {settings.get('skip', 0)}"
                yield _problem(f"data.{name}.images", found, f"{there} or less in all: {settings['file']}")
