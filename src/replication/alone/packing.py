"""One archive of tables and records, for a machine from which little can be brought back."""

from __future__ import annotations

import tarfile
from pathlib import Path

from replication.storage import files

# Large, and made again by training: what cannot be brought back, and is needed only to follow more flows.
_LEFT_OUT = {"data", "checkpoints", "unfinished"}


def pack(results: Path, archive: Path) -> int:
    """Write tables and records below ``results`` into a ``.tar.gz``, without data and checkpoints; return its bytes.

    ``tar xzf ARCHIVE -C FOLDER`` unpacks it.
    """
    chosen = [path for path in sorted(results.rglob("*")) if path.suffix in (".parquet", ".json")]
    with files.whole_file(archive) as temporary, tarfile.open(temporary, "w:gz") as tar:
        for path in chosen:
            inside = path.relative_to(results)
            if not _LEFT_OUT & {*inside.parts} and not path.name.startswith("."):
                tar.add(path, inside)
    return archive.stat().st_size
