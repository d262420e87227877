"""Configuration files as text: what is wrong with one is said with its name and the line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gfsharp.errors import UserError
from replication import written_values


class _Loader(yaml.SafeLoader):
    """The one in Python, slower than that in C, is what Snakemake reads files by: each refuses what the other takes.

    Numbers such as 1e-5, which YAML 1.1 takes for text, are numbers here.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"(?:{written_values.DECIMAL.pattern})\Z"), [*"-+.0123456789"]
)

# Plain words that YAML 1.1 does not take for the text that they are, by the end of their tags.
_READ_AS = {"int": "the number {}", "float": "the number {}", "bool": "{}", "timestamp": "the date {}"}
_TRUTH_WORDS = ("true", "false")


def read(path: str | Path) -> dict[str, Any]:
    """Return the keys and values of a YAML or JSON file.

    Raises:
        UserError: it cannot be read, is neither, has no keys at its top level, has one twice, of which YAML would
            take the last, or has a word that YAML 1.1 reads as something else: 010 (8), 12:30 (750), 1_000, no (false).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise _error(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise _error(path, f"it is not text: {error}") from None
    try:
        # As Snakemake does: YAML refuses the tabs that JSON may have.
        content = json.loads(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise _error(path, "its values are nested too deeply") from None
    except ValueError:
        content = _from_yaml(path, text)
    if not isinstance(content, dict):
        found = "nothing" if content is None else "a list" if isinstance(content, list) else f"only {content!r:.40}"
        raise _error(path, f"it holds {found}, where keys with values are needed, such as 'scale: mine'")
    return content


def merged(*paths: str | Path) -> dict[str, Any]:
    """Return the files merged as Snakemake merges them: what a later one says of a key wins."""
    config: dict[str, Any] = {}
    for path in paths:
        config = _merged(config, read(path))
    return config


def _merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Neither is changed: anchors make places share a value, and what is said of one is not for the others."""
    both = {key: value for key, value in overlay.items() if isinstance(value, dict) and isinstance(base.get(key), dict)}
    return {**base, **overlay, **{key: _merged(base[key], value) for key, value in both.items()}}


def _from_yaml(path: str | Path, text: str) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        for problem in _problems(node, set(), frozenset(), loader):
            raise _error(path, problem)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _error(path, _in_words(error, text)) from None
    except (ValueError, TypeError) as error:  # 2026-13-99 is no date
        raise _error(path, str(error)) from None
    except RecursionError:
        raise _error(path, "its values are nested too deeply") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError  # read as YAML it is refused with the lines
    return dict(pairs)


def read_anew(config: dict[str, Any], *paths: str | Path) -> None:
    """Put the numbers of files, such as 1e-5, into what another reader made of them, which left them as text.

    Args:
        config: what was read from the files, and changed since: what is not in them stays as it is.
        *paths: the files, in the order in which they were merged.
    """
    for key, value in _with_numbers(config, merged(*paths)).items():
        config[key] = value


def _with_numbers(read_before: Any, ours: Any) -> Any:
    if isinstance(read_before, Mapping) and isinstance(ours, Mapping):
        return {key: _with_numbers(value, ours.get(key)) for key, value in read_before.items()}
    if isinstance(read_before, list) and isinstance(ours, list) and len(read_before) == len(ours):
        return [_with_numbers(*pair) for pair in zip(read_before, ours, strict=True)]
    as_text = isinstance(read_before, str) and isinstance(ours, float)
    return ours if as_text and written_values.number(read_before) == ours else read_before


def _problems(node: yaml.Node, visited: set[int], within: frozenset[int], loader: yaml.SafeLoader) -> Iterator[str]:
    """Every key that a mapping has twice, every value that contains itself, every word that is read as another."""
    if id(node) in within:
        yield f"line {node.start_mark.line + 1}: the value that begins here contains itself"
    if id(node) in visited:
        return
    visited.add(id(node))
    within |= {id(node)}
    if isinstance(node, yaml.ScalarNode):
        yield from _misread(node, loader)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _problems(item, visited, within, loader)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    yield f"it has the key {key.value} twice, in lines {lines[key.value]} and {line}; keep one"
                lines[key.value] = line
                yield from _misread(key, loader)
            yield from _problems(value, visited, within, loader)


def _misread(node: yaml.ScalarNode, loader: yaml.SafeLoader) -> Iterator[str]:
    """Say it of a word that YAML 1.1 reads as another number than it looks, as a date, or as true or false."""
    reading = _READ_AS.get(node.tag.rpartition(":")[2])
    plain = node.style is None and reading
    if not plain or written_values.DECIMAL.fullmatch(node.value) or node.value.lower() in _TRUTH_WORDS:
        return
    if node.tag.endswith(":float") and node.value.lower().lstrip("-+") in (".inf", ".nan"):
        return  # said with its key where it is not allowed
    found = loader.construct_object(node)
    said = str(found).lower() if isinstance(found, bool) else str(found)
    yield (
        f"line {node.start_mark.line + 1}: YAML 1.1 reads {node.value} as {plain.format(said)}; if that is meant write "
        f"{said}, and if it is text put it in quotes"
    )


def _in_words(error: yaml.YAMLError, text: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    said = f"{what}, {context}" if context else f"{what}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"line {text.count(chr(10), 0, error.position) + 1}: character {error.character!r}: {said}"
    if mark is None:
        return said
    line = text.splitlines()[mark.line : mark.line + 1]
    hint = "; indent with spaces, for YAML takes no tabs" if line and line[0].lstrip(" ").startswith("\t") else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}{hint}"


def _error(path: str | Path, reason: str) -> UserError:
    return UserError(f"the configuration file {path} cannot be used; nothing was started.\n  {reason}")
