"""Reading and checking a configuration: numbers get their type, and what is wrong is said in one message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gfsharp.errors import UserError
from replication import variants, written_values
from replication.configuration import checks
from replication.configuration.experiments import Config, figure_experiments
from replication.configuration.messages import dotted, problem
from replication.configuration.schema import schema
from replication.configuration.sections import FROM_PLANE, Configuration
from replication.configuration.typed import made
from replication.configuration.values import Reader


class ConfigurationError(UserError):
    """The configuration can't be used; the message says why and how to mend it."""


def check(config: dict[str, Any], *, with_variants: bool = True) -> None:
    """Check ``config`` against :mod:`replication.configuration.sections`, and for what no type can say.

    Its numbers get the type that is declared for them, in place: ``1`` becomes ``1.0`` where any number is allowed,
    and text such as ``1e-5``, as which other readers leave it, a number.

    Args:
        with_variants: whether the variants of the sensitivity studies are checked too, each as a whole configuration.

    Raises:
        ConfigurationError: with every problem found.
    """
    _type_alternatives(config)
    read, wrong = _read(config)
    config.update(read)
    found = list(_unnamed_keys(config)) or wrong or list(_beyond_types(config))
    if not found and with_variants:
        found = list(_unusable_variants(config))
    if found:
        listed = "\n".join(dict.fromkeys(found))
        raise ConfigurationError(f"the configuration cannot be used; nothing was started.\n{listed}")


def _read(config: Config) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration with its numbers typed, and what is wrong with its single values."""
    reader = Reader(config, schema()["$defs"])
    return reader.read(config, schema()), reader.problems


def _beyond_types(config: Config, *, beside_the_plane: bool = True) -> Iterator[str]:
    yield from checks.not_finite(config)
    yield from checks.problems(made(Configuration, config), beside_the_plane=beside_the_plane)


def _unnamed_keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield problem(dotted(path), f"the key {key!r}", "keys that are text; put it in quotes or rename it")
            else:
                yield from _unnamed_keys(item, (*path, key))


def take_numbers_in_braces(config: dict[str, Any], given: Config) -> None:
    """Read the options of a user's own functions in ``given`` as a file would be, and put them into ``config``.

    Args:
        config: with ``given`` in it.
        given: what the command line has after ``--config``, whose numbers within braces Snakemake hands over as text.
            Of all other keys their types say which are numbers.
    """
    for section in ("experiments", "data"):
        entries = given.get(section)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            options = entry.get("options") if isinstance(entry, Mapping) else None
            if isinstance(options, Mapping):
                there = config[section][name]
                read = {**there["options"], **written_values.as_read(options)}
                config[section] = {**config[section], name: {**there, "options": read}}


def _type_alternatives(config: dict[str, Any]) -> None:
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
                typed[name]["settings"] = {key: _typed_at(config, key, value) for key, value in settings.items()}
            if isinstance(tried, Mapping):
                typed[name]["alternatives"] = {
                    key: [_typed_at(config, key, value) for value in values] if isinstance(values, list) else values
                    for key, values in tried.items()
                }


def _typed_at(config: Config, key: Any, value: Any) -> Any:
    parts = str(key).split(".")[:2]
    try:
        # What is beside the key says what kind of entry it is of, and no more is looked at than that entry.
        changed = variants.with_value(config, str(key), value)
        entry = variants.value_at(changed, ".".join(parts))
        nested = {parts[0]: {parts[1]: entry} if len(parts) > 1 else entry}
        return variants.value_at(_read(nested)[0], str(key))
    except (KeyError, TypeError):
        return value  # an unknown key: said elsewhere


def _unusable_variants(config: Config) -> Iterator[str]:
    """A variant has to be a configuration in its own right; if a key is unknown, nothing more can be said."""
    unknown = list(_unknown_keys_of_variants(config))
    yield from unknown
    for variant in () if unknown else variants.variants(config):
        changed = {**variant.configuration(config), "sensitivity": {}}
        table = config["sensitivity"][variant.study]["table"]
        # What starts from the plane is no part of a study of the plane.
        of_plane = table == FROM_PLANE
        found = list(_unnamed_keys(changed)) or _read(changed)[1]
        found = found or list(_beyond_types(changed, beside_the_plane=not of_plane))
        for wrong in found:
            yield f"  {variant.place} cannot be tried:\n{wrong}"
        for name in () if found or of_plane else figure_experiments(changed, table):
            if changed["experiments"][name].get("initial_weights") == FROM_PLANE:
                there = f"{table!r}, whose {name} starts from the plane"
                yield problem(f"sensitivity.{variant.study}.table", there, "a table whose runs start at given weights")


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
                    yield problem(f"sensitivity.{study}.{section}", repr(key), allowed, error.args[0], names)
