"""One process at a time: locks that the system releases when their holder ends, however it ends."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gfsharp.errors import UserError

SECONDS_BETWEEN_TRIES = 0.2
# What a file system says that knows no locks, or whose server for them is away.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP}


@contextmanager
def held(path: str | Path, what: str, *, seconds: float) -> Iterator[None]:
    """Hold the lock file ``path`` for the block; the file itself stays, as its removal would let two in.

    Args:
        path: the lock file.
        what: what the lock stands for, for the messages.
        seconds: how long to wait for another process that holds it.

    Raises:
        UserError: another process still holds it then, or it cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lock that is a mere file would outlive its holder.
    lock = FileLock(path, poll_interval=SECONDS_BETWEEN_TRIES, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting up to {seconds:g} s: {what} in another process (it holds {path})", flush=True)
        _wait(lock, path, what, seconds)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise UserError(
                f"cannot lock {path}: {error.strerror}; mend that and give the same command again"
            ) from error
        print(f"no locks on this file system ({error.strerror}): see to it that no two processes work here", flush=True)
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, path: Path, what: str, seconds: float) -> None:
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise UserError(
            f"{what} in another process, which holds {path} (`fuser {path}` names it). Let it end or end it, then "
            "run the same command again; what it has finished stays."
        ) from error
