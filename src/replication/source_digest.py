"""What a result depends on of the code: a digest of a file and of all that it imports from given folders.

Nothing is run. Imports are followed wherever they stand in a file, also within functions. What counts is what Python
compiles, without docstrings and assertions, so that comments, blank lines and prose change nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType

# By regular expressions, as the syntax trees of all files take seconds. Names within a string do no harm.
_FROM = re.compile(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
_IMPORT = re.compile(rb"^[ \t]*import[ \t]+([^\n#]+)", re.MULTILINE)

# What no result depends on, though what computes it imports it.
NO_RESULT = ("replication.progress",)
# What trainings do not call, though what they import does.
NOT_IN_TRAINING = ("gfsharp.flow", "replication.studies")


def digest(start: Path, folders: Sequence[Path], without: Collection[str] = (), also: Iterable[str] = ()) -> str:
    """Return a digest of the file ``start`` and of the modules in ``folders`` that it imports, directly or not.

    Args:
        start: a Python file, such as a script.
        folders: where modules are looked for, the first that has one counts; all else is left out.
        without: modules, with what is below them, that do not count although they are imported.
        also: modules that it loads by name, where no import says so.
    """
    return digest_of(modules(start, folders, without, also), lambda path: _of_file(path, _changed(path)))


def modules(
    start: Path, folders: Sequence[Path], without: Collection[str] = (), also: Iterable[str] = ()
) -> dict[str, Path]:
    """Return the modules that :func:`digest` is of, by name, with their files; ``start`` is named ``__main__``."""

    def find(name: str) -> Path | None:
        left_out = any(f"{name}.".startswith(f"{other}.") for other in without)
        return None if left_out else _find(name, tuple(folders))

    first = [*_imported(start, _changed(start)), *also]
    return {"__main__": start, **closure(first, find, lambda _, path: _imported(path, _changed(path)))}


def closure(
    first: Iterable[str], find: Callable[[str], Path | None], imported: Callable[[str, Path], Iterable[str]]
) -> dict[str, Path]:
    """Return the modules that importing ``first`` can load, with their files.

    Args:
        first: names of modules; what is none does no harm.
        find: returns the file of a module, None of one that is not to be followed.
        imported: returns what a module, of a name and a file, imports.
    """
    found: dict[str, Path] = {}
    left, seen = [*first], {""}
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        # Importing a.b runs a/__init__.py too.
        left.append(name.rpartition(".")[0])
        path = find(name)
        if path is not None:
            found[name] = path
            left += imported(name, path)
    return found


def digest_of(files: Mapping[str, Path], of_file: Callable[[Path], str]) -> str:
    """Return a digest of files by name, of each of which a digest is given."""
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        found.update(f"{name} {of_file(path)}\n".encode())
    return found.hexdigest()


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


@cache
def _find(name: str, folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        path = folder.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def _imported(path: Path, _changed: int) -> tuple[str, ...]:
    """Return the names of the modules that a file imports, but for relative ones; some may be no modules."""
    source = path.read_bytes()
    found = [name for line in _IMPORT.findall(source) for name in _names(line)]
    for module, names in _FROM.findall(source):
        found += [module.decode(), *(f"{module.decode()}.{name}" for name in _names(names))]
    return tuple(found)


def _names(listed: bytes) -> Iterator[str]:
    for name in re.sub(rb"#[^\n]*|[()]", b"", listed).decode().split(","):
        if name.strip():
            yield name.split()[0]


@cache
def _of_file(path: Path, _changed: int) -> str:
    content = path.read_bytes()
    try:
        compiled = compile(content, "", "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, ValueError):
        return hashlib.sha256(content).hexdigest()  # whoever runs it will say so
    return hashlib.sha256(repr(_plain(compiled)).encode()).hexdigest()


def _plain(value: object) -> object:
    """Return compiled code without the places in the file, and constants in an order that does not change."""
    if isinstance(value, CodeType):
        kept = (value.co_name, value.co_code, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        return (*kept, *counts, value.co_exceptiontable, [_plain(constant) for constant in value.co_consts])
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value
