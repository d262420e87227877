"""Results on disk: Parquet tables, safetensors and JSON, each whole or not there at all.

A file is written beside its place under a temporary name and then renamed; what a process that was killed left of one
is removed when the next writes it. Every table and tensor file has a sidecar with its provenance, ``name.json`` beside
``name.parquet`` or ``name.safetensors``, which holds the file's checksum and, but for those of earlier versions, one of
its own: what is not what was written is never used.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import platform
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from gfsharp.errors import UnreadableError, UserError
from replication.storage import provenance as provenance_of
from replication.storage import table_schema

# What no program can help: a disk that is full, read-only, broken or somebody else's.
DISK_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR
}  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd  # a second to import: only tables need it

_OWN_CHECKSUM = "record_sha256"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` if the block succeeds, and vanishes if not.

    Raises:
        UserError: it cannot be written, as on a full disk.
    """
    path = Path(path)
    with _writing(path):
        temporary = _temporary(path)
        try:
            temporary.touch()
            permissions = stat.S_IMODE(temporary.stat().st_mode)  # of a new file here, whatever the block makes of it
            yield temporary
            temporary.chmod(permissions)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that takes its place if the block succeeds, and vanishes if not.

    Raises:
        UserError: it cannot be written, as on a full disk.
    """
    path = Path(path)
    with _writing(path):
        temporary = _temporary(path)
        temporary.mkdir()
        try:
            yield temporary
            # An old one is not replaced in one step, but nothing is ever half of it.
            if path.exists():
                path.rename(temporary.with_suffix(".old"))
            temporary.replace(path)
            shutil.rmtree(temporary.with_suffix(".old"), ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sidecar(path: str | Path) -> Path:
    """Return where the provenance of ``path`` is kept."""
    return Path(path).with_suffix(".json")


def write_table(
    path: str | Path,
    table: pd.DataFrame,
    provenance: Mapping[str, Any],
    *,
    columns: table_schema.Columns | None = None,
    compact: bool = False,
) -> None:
    """Write ``table`` as Parquet with its sidecar.

    Args:
        path, table, provenance: what is written where, and where it comes from.
        columns: what it may have, by which it is checked; see :func:`replication.storage.table_schema.typed`.
        compact: in half the room, at ten times the time.

    Raises:
        ValueError: it does not have these columns.
    """
    table = table_schema.typed(table, columns)
    with whole_file(path) as temporary:
        table.to_parquet(temporary, index=False, **(_compact(table) if compact else {}))
    _write_sidecar(path, provenance)


def _compact(table: pd.DataFrame) -> dict[str, Any]:
    """Return how the columns are kept: of numbers along a run, the bytes of one place are alike."""
    encodings = {"f": "BYTE_STREAM_SPLIT", "i": "DELTA_BINARY_PACKED"}
    numbers = {name: encodings[kind.kind] for name, kind in table.dtypes.items() if kind.kind in encodings}
    words = [name for name in table if name not in numbers]
    return {"compression": "zstd", "compression_level": 19, "column_encoding": numbers, "use_dictionary": words}


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a Parquet table.

    Raises:
        UserError: the file or its sidecar is missing, is not readable, or is not what was written.
    """
    import pandas as pd

    with _named_in_errors(path):
        check(path)
        return pd.read_parquet(path)


def write_tensors(path: str | Path, tensors: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> None:
    """Write named arrays as safetensors with their sidecar."""
    from safetensors.numpy import save_file

    with whole_file(path) as temporary:
        save_file({name: np.asarray(array, order="C") for name, array in tensors.items()}, temporary)
    _write_sidecar(path, provenance)


def read_tensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read named arrays from a safetensors file.

    Raises:
        UserError: the file or its sidecar is missing, is not readable, or is not what was written.
    """
    from safetensors.numpy import load_file

    with _named_in_errors(path):
        check(path)
        return load_file(path)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Read the sidecar of a table or tensor file.

    Raises:
        UserError: it is missing, is not readable, or is not what was written.
    """
    with _named_in_errors(path):
        return _record(sidecar(path))


def write_text(path: str | Path, text: str) -> None:
    """Write ``text``, in UTF-8."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as JSON, numbers that JSON has no name for (NaN, infinity) as strings."""
    write_text(path, json.dumps(_json_ready(content), indent=2, allow_nan=False) + "\n")


def as_json(content: Any) -> Any:
    """Return ``content`` as it is read again from a JSON file of ours."""
    return json.loads(json.dumps(_json_ready(content), allow_nan=False))


def write_record(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON with a checksum of its own."""
    ready = _json_ready(content)
    write_json(path, {**ready, _OWN_CHECKSUM: _digest(ready)})


def read_record(path: str | Path) -> dict[str, Any]:
    """Read what :func:`write_record` wrote.

    Raises:
        UserError: the file is missing, is not readable, or is not what was written.
    """
    with _named_in_errors(path):
        return _record(Path(path))


def check(path: str | Path) -> None:
    """Hold a table or tensor file against the checksum in its sidecar.

    Raises:
        OSError, ValueError: either is missing or is not what was written.
    """
    found = sha256(path)  # a file that is missing is named before its sidecar
    if found != _record(sidecar(path)).get("sha256"):
        raise ValueError(f"its checksum is not the one in {sidecar(path).name}, so it is not what was written")


def is_whole(path: str | Path) -> bool:
    """Return whether a table or tensor file is there and is what was written."""
    try:
        check(path)
    except (OSError, ValueError):
        return False
    return True


def unreadable(path: str | Path, reason: object) -> UnreadableError:
    """Return the error that names a file which cannot be used."""
    path = Path(path)
    # The checkpoints of a run are made together with its trajectory, so they can only be made again together.
    made_with = path.parent.with_name("trajectory.parquet") if path.parent.name == "checkpoints" else path
    return UnreadableError(f"cannot read {path}: {reason}. It has to be made again, with what depends on it", made_with)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of the file at ``path`` in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(paths: Iterable[str | Path]) -> dict[str, str]:
    """Return the SHA-256 of files by path: of one with a record what that says, to which reading holds the file.

    Raises:
        UserError: a file, or the record of one, is missing or not readable.
    """
    found = {}
    for path in map(Path, paths):
        with _named_in_errors(path):
            found[str(path)] = _record(sidecar(path))["sha256"] if has_record(path) else sha256(path)
    return found


def has_record(path: str | Path) -> bool:
    """Return whether a file is a table or tensor file with its record beside it."""
    return Path(path).suffix in (".parquet", ".safetensors") and sidecar(path).exists()


def records_behind(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the records of a result and of all that it is made from, by path, as far as records are there.

    Records of earlier versions do not name their inputs: there it ends.

    Raises:
        UserError: a record is not what was written.
    """
    found: dict[str, dict[str, Any]] = {}
    left = [str(path)]
    while left:
        path = left.pop()
        if path not in found and has_record(path):
            found[path] = read_provenance(path)
            left += found[path].get("inputs", ())
    return found


def digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of named arrays in hexadecimal."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        found.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return found.hexdigest()


def _temporary(path: Path) -> Path:
    """Return a name beside ``path`` that only this process uses, after removing those of processes that are no more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    host = platform.node()
    before, after = f".{path.stem}.{host}-", f".part{path.suffix}"
    for left in path.parent.glob(f"{glob.escape(before)}*"):
        process = left.name.removeprefix(before).removesuffix(after).removesuffix(".old")
        # One of this very number is of an earlier process: numbers come again.
        if process.isdecimal() and (int(process) == os.getpid() or not psutil.pid_exists(int(process))):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f"{before}{os.getpid()}{after}")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing ``path`` into an error that names it."""
    try:
        yield
    except Exception as error:
        # safetensors has an error of its own for this, and is not imported for it.
        if getattr(error, "errno", None) not in DISK_ERRORS and "I/O error" not in str(error):
            raise
        raise UserError(
            f"cannot write {path}: {error}. Nothing half-written was kept; once there is room, and leave to write, "
            "give the same command again"
        ) from error


def _write_sidecar(path: str | Path, provenance: Mapping[str, Any]) -> None:
    # What the process has spent is known best when all is written. Of a table that is passed on its record says it.
    about = {"file": Path(path).name, "sha256": sha256(path), **provenance_of.spent()}
    write_record(sidecar(path), {**about, **provenance})


def _record(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path.name} is not what was written")
    # By its look, for its name could be what was damaged. Records of earlier versions have none.
    name, checksum = content.popitem()
    if not (isinstance(checksum, str) and len(checksum) > 60):
        return {**content, name: checksum}
    if name != _OWN_CHECKSUM or checksum != _digest(content):
        raise ValueError(f"the checksum of {path.name} is not the one in it, so it is not what was written")
    return content


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@contextmanager
def _named_in_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise unreadable(path, error) from error


def _json_ready(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _json_ready(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_json_ready(value) for value in content]
    if isinstance(content, np.generic):
        return _json_ready(content.item())
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    if isinstance(content, Path):
        return str(content)
    return content
