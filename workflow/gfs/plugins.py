"""Functions of a user's own, named in the configuration as ``package.module:function``."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gfs.errors import FactoryError, UserError


def call(name: str, *arguments: Any, **options: Any) -> Any:
    """Return what the function ``package.module:function`` returns.

    Raises:
        UserError: there is no such module or function, or it says itself that its user has made a mistake.
        FactoryError: it, or its module, raised something else.
    """
    try:
        return load(name)(*arguments, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise FactoryError(f"{name}, a function of your own that the configuration names, raised {said}") from error


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
    """Return a digest of the Python files in the folder of the module of ``package.module:function``."""
    _look_in_working_folder()
    found = importlib.util.find_spec(name.partition(":")[0])
    if found is None or found.origin is None:
        raise UserError(f"cannot find the module of {name!r}")
    folder = Path(found.origin).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()


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
