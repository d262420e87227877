"""Functions of a user's own, named in the configuration as ``package.module:function``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gfs.errors import UserError


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


def _look_in_working_folder() -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
