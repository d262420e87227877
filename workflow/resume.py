"""Go on after Snakemake was killed: take away the locks that it left, unless one is still at work, and run it again.

Usage: python workflow/resume.py [the arguments that Snakemake had]

Snakemake itself cannot tell the lock of one that was killed from that of one at work. So each holds a lock file under
``.snakemake/drivers`` as well, which the system releases when it ends, however it ends. Each takes its own first and
then looks for others, so that of two that start together at least one sees the other.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

DRIVERS = Path(".snakemake/drivers")
SECONDS_KEPT = 3600
# Set for the Snakemake that a resume runs: the resume beside it is not another.
_RESUME = "GFS_RESUME"
_PREFIX = "resume-"


class AtWorkError(Exception):
    """Another Snakemake is at work in this folder."""


def hold() -> FileLock:
    """Say that this process is at work in the working folder, until it ends or releases what is returned.

    Raises:
        AtWorkError: a resume is at work here, or this very name is taken.
        OSError: the folder cannot be written, or its file system has no locks.
    """
    DRIVERS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_own(), fallback_to_soft=False)
    try:
        lock.acquire(timeout=1)
    except Timeout as error:
        raise AtWorkError(_said([_own().stem])) from error
    # Drivers of different targets may work side by side; Snakemake's own locks see to that. A resume takes these away.
    if resumes := [name for name in others() if name.startswith(_PREFIX)]:
        lock.release()
        raise AtWorkError(_said(resumes))
    return lock


def others() -> list[str]:
    """Return the processes that are at work in the working folder besides this one and the resume that runs it."""
    ours = {_own().stem, os.environ.get(_RESUME)}
    return [path.stem for path in sorted(DRIVERS.glob("*.lock")) if path.stem not in ours and _is_held(path)]


def main(arguments: list[str]) -> int:
    """Unlock and run Snakemake with ``arguments``; return its exit status."""
    os.environ[_RESUME] = f"{_PREFIX}{_process()}"
    try:
        own = hold()
    except AtWorkError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot tell whether a Snakemake is at work here ({error}). If none is: snakemake --unlock")
    try:
        if at_work := others():
            return _refuse(_said(at_work))
        return _snakemake("--unlock", *arguments) or _snakemake("--rerun-incomplete", *arguments)
    finally:
        own.release()


def _said(at_work: list[str]) -> str:
    processes = ", ".join(_in_words(name) for name in at_work)
    return (
        f"Snakemake is at work in this folder ({processes}). Let it end, or end it (Ctrl-C where it runs; kill -9 "
        "loses no more than a checkpoint), then give this command again."
    )


def _in_words(name: str) -> str:
    host, _, process = name.removeprefix(_PREFIX).rpartition("-")
    return f"process {process} on {host}"


def is_left_locked() -> bool:
    """Return whether Snakemake's locks are here though nobody is at work."""
    return any(Path(".snakemake/locks").glob("*.lock")) and not others() and _RESUME not in os.environ


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _snakemake(*arguments: str) -> int:
    # A process of its own, so that this one keeps others out meanwhile. What ends this one, ends it.
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *arguments])
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # A terminal sends it to Snakemake as well, which ends its jobs: wait for that.
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def _own() -> Path:
    # In a resume, and in nothing that it runs, the variable names this very process.
    resume = f"{_PREFIX}{_process()}"
    return DRIVERS / f"{resume if os.environ.get(_RESUME) == resume else _process()}.lock"


def _process() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _is_held(path: Path) -> bool:
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    # Not at once: its process may have made it just now and be about to lock it.
    if time.time() - path.stat().st_mtime > SECONDS_KEPT:
        path.unlink(missing_ok=True)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
