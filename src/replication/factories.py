"""Functions of a user's own, named in the configuration as ``package.module:function``."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from gfsharp.errors import FactoryError, UserError
from replication import source_digest


def call(name: str, *arguments: Any, global_seed: int = 0, **options: Any) -> Any:
    """Return what the function ``package.module:function`` returns.

    The global generators of Python, NumPy and torch start from ``global_seed`` while it runs and are put back after it:
    a function that forgets the seed it is given still draws the same in each job.

    Raises:
        UserError: there is no such module or function, or it says itself that its user has made a mistake.
        FactoryError: it, or its module, raised something else.
    """
    try:
        with _seeded(global_seed):
            return load(name)(*arguments, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise FactoryError(f"{name}, a function of your own that the configuration names, raised {said}") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Start the global generators from a seed in the block, and put them back after it."""
    import numpy as np
    import torch

    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - what a user's function may draw from
    with torch.random.fork_rng():
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


def load(name: str) -> Callable[..., Any]:
    """Return the function ``package.module:function``; modules are looked for in the working folder too.

    Raises:
        UserError: there is no such module or function, or the module cannot be imported.
    """
    module_name, _, function_name = name.partition(":")
    _look_in_working_folder()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"cannot import {module_name!r} of {name!r}: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"{module_name} ({module.__file__}) has no function {function_name!r}, which {name!r} names")
    return function


def digest(name: str) -> str:
    """Return a digest of the module of ``package.module:function`` and of all that it imports of the user's own files.

    These are the modules that are neither of Python nor installed, whose imports, wherever they stand in a file, are
    followed. If the module itself is installed, what it imports of its own package is. Nothing is run. What is imported
    under a name that is made up at run time is not seen, nor are files that are read.

    Raises:
        UserError: there is no such module.
    """
    _look_in_working_folder()
    importlib.invalidate_caches()
    module = name.partition(":")[0]
    found = source_digest.closure([module], partial(_own_file, start=module), _imported)
    if module not in found:
        raise UserError(f"cannot find the module of {name!r}")
    return source_digest.digest_of(found, lambda path: hashlib.sha256(path.read_bytes()).hexdigest())


def _own_file(module: str, start: str) -> Path | None:
    """Return the file of a module of the user's own, None of another, and where there is none."""
    spec = _spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return Path(spec.origin) if _is_own(Path(spec.origin), module, start) else None


def _is_own(path: Path, module: str, start: str) -> bool:
    if module.partition(".")[0] in ("gfsharp", "replication"):
        return False
    installed = {Path(folder).resolve() for folder in sysconfig.get_paths().values()}
    if not any(path.resolve().is_relative_to(folder) for folder in installed):
        return True
    return module.partition(".")[0] == start.partition(".")[0]


def _spec(module: str) -> ModuleSpec | None:
    """Find a module without running the packages that it is in, as :func:`importlib.util.find_spec` would."""
    path: Sequence[str] | None = None
    spec = None
    for part in module.split("."):
        # By its own name alone: with those of its packages they would have to be imported.
        spec = PathFinder.find_spec(part, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec


def _imported(module: str, path: Path) -> Iterator[str]:
    """Yield the names of the modules that a module's file imports; names that turn out to be no module do no harm."""
    if path.suffix != ".py":
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # whoever runs it will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base and alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def is_findable(name: str) -> bool:
    """Return whether the module of ``package.module:function`` is there, without running it."""
    _look_in_working_folder()
    try:
        return importlib.util.find_spec(name.partition(":")[0]) is not None
    except (ImportError, ValueError):
        return False


def instead_of(name: str) -> list[str] | None:
    """Return the functions of the module of ``package.module:function`` if by its source it does not have that one.

    None if it has, or the source does not tell, as with names that come from ``import *``. Nothing of it is run.

    Raises:
        UserError: the source is not Python.
    """
    module, _, function = name.partition(":")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(found.origin).read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{found.origin} is no Python: {error}") from error
    bound = {*_bound(tree)}
    used = {getattr(node, "id", None) or getattr(node, "attr", None) for node in ast.walk(tree)}
    if function in bound or bound & {"*", "__getattr__"} or used & _UNSEEN:
        return None
    return sorted(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))


# With one of these a module can have names that its source does not show.
_UNSEEN = {"globals", "locals", "vars", "setattr", "exec", "__dict__", "modules"}


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a module binds outside of its functions and classes, and those that these call global."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
            yield from (name for inner in ast.walk(child) if isinstance(inner, ast.Global) for name in inner.names)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        else:
            yield from _bound(child)


def _look_in_working_folder() -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
