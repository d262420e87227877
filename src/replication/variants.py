"""The variants of the configuration's section ``sensitivity``: one value changed, all others as they are.

Without pandas, since the workflow lists them at every start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

# The name of the variant with no value changed.
OURS = "ours"


@dataclass(frozen=True)
class Variant:
    """One value in place of ours.

    Attributes:
        study: the entry of ``sensitivity`` that it is of.
        key: what is changed, as in ``experiments.scalar-depth4.learning_rates``; None in that with nothing changed.
        number: of the value among the alternatives for the key.
        value: in place of ours; of the one with nothing changed None.
    """

    study: str
    key: str | None = None
    number: int = 0
    value: Any = None

    @property
    def name(self) -> str:
        """The name of its file, made of the key and the number."""
        return OURS if self.key is None else f"{self.key}-{self.number}"

    @property
    def place(self) -> str:
        """Where the configuration has it."""
        where = f"sensitivity.{self.study}"
        return f"{where}.settings" if self.key is None else f"{where}.alternatives.{self.key}[{self.number}]"

    def configuration(self, config: Config) -> Config:
        """Return ``config`` as it is for this variant, without the section ``sensitivity``."""
        changes = {**config["sensitivity"][self.study]["settings"]} | ({self.key: self.value} if self.key else {})
        changed: Config = {key: value for key, value in config.items() if key != "sensitivity"}
        for key, value in changes.items():
            changed = with_value(changed, key, value)
        return changed


def variants(config: Config) -> Iterator[Variant]:
    """Yield all variants, for each study the one with nothing changed first."""
    for study, settings in config["sensitivity"].items():
        yield Variant(study)
        for key, values in settings["alternatives"].items():
            for number, value in enumerate(values):
                yield Variant(study, key, number, value)


def value_at(config: Config, key: str) -> Any:
    """Return the value at a dotted key.

    Raises:
        KeyError: there is none; its argument is the part of the key up to what is missing.
    """
    found: Any = config
    parts = key.split(".")
    for i, part in enumerate(parts):
        if not isinstance(found, Mapping) or part not in found:
            raise KeyError(".".join(parts[: i + 1]))
        found = found[part]
    return found


def with_value(config: Config, key: str, value: Any) -> Config:
    """Return ``config`` with another value at a dotted key; ``config`` itself stays as it is.

    Raises:
        KeyError: there is no such key.
    """
    value_at(config, key)
    first, _, rest = key.partition(".")
    return {**config, first: with_value(config[first], rest, value) if rest else value}
