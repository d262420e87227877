"""The comments of a configuration file that say of each value where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gfsharp.errors import UserError
from replication import yaml_files
from replication.variants import value_at

Mark = Literal["text", "named", "open", "ours"]

# A named value says in which source it was read: [named: SOURCE].
_MARK = re.compile(r"\[(?:(?P<mark>text|open|ours)|named: (?P<source>[^\]\s][^\]]*))\]\s*")
_PAPER = re.compile(r"\bthe paper\b(?!'s scale)", re.IGNORECASE)
# A key with a value, an anchor (&) or neither; in a flow mapping there are no comments to look for.
_KEY = re.compile(r"(?P<indent> *)(?P<key>[\w-]+):(?P<value>\s.*)?$")


@dataclass(frozen=True)
class Annotation:
    """One value of a configuration file with what the comment above it says.

    Attributes:
        key: dotted, as in ``experiments.scalar-depth4.stop.loss``.
        value: at that key.
        mark: ``open`` where that is said at all, else the first one.
        comment: in one line, without the mark that it begins with.
        source: where a value was read that is not in the text itself; None of all others.
    """

    key: str
    value: Any
    mark: Mark
    comment: str
    source: str | None = None

    @property
    def replaces_the_paper_s(self) -> bool:
        """Whether it takes the place of something of the paper's, which the comment then names."""
        return self.mark == "ours" and _PAPER.search(self.comment) is not None


def read(path: str | Path) -> Iterator[Annotation]:
    """Yield the marked values of a configuration file, in its order.

    A comment counts for the key right below it. What an entry takes over from another (``<<``) is not repeated.

    Raises:
        UserError: the file cannot be read, or a comment with a mark has no key below it.
    """
    content = yaml_files.read(path)
    for key, comment in _commented_keys(Path(path).read_text(encoding="utf-8").splitlines(), path):
        text = " ".join(comment)
        if first := _MARK.match(text):
            mark: Any = "open" if "[open]" in text else first["mark"] or "named"
            yield Annotation(key, value_at(content, key), mark, text[first.end() :], first["source"])


def by_key(*paths: str | Path) -> dict[str, Annotation]:
    """Return the marked values of configuration files by key; of one that several mark, what the last says.

    Raises:
        UserError: as :func:`read`.
    """
    return {annotation.key: annotation for path in paths for annotation in read(path)}


def _commented_keys(lines: list[str], path: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each key, dotted, with the comment lines right above it."""
    comment: list[str] = []
    above: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        if found := _KEY.match(line):
            indent = len(found["indent"])
            above = [*(entry for entry in above if entry[0] < indent), (indent, found["key"])]
            yield ".".join(key for _, key in above), comment
        elif comment and _MARK.match(comment[0]):
            raise UserError(f"{path}, line {number}: the marked comment above it has no key below")
        comment = []
