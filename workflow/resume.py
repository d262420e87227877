"""Go on after Snakemake was killed: take away the locks that it left, unless one is still at work, and run it again.

Usage: python workflow/resume.py [the arguments that Snakemake had]

Snakemake itself cannot tell the lock of one that was killed from that of one at work. So each holds a lock file under
``.snakemake/drivers`` as well, which the system releases when it ends, however it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

DRIVERS = Path(".snakemake/drivers")


def hold() -> FileLock:
    """Say that this process is at work in the working folder, until it ends or releases what is returned."""
    DRIVERS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_own())
    lock.acquire(timeout=0)
    return lock


def others() -> list[str]:
    """Return the processes, as host-number, that are at work in the working folder besides this one."""
    return [path.stem for path in sorted(DRIVERS.glob("*.lock")) if path != _own() and _is_held(path)]


def main(arguments: list[str]) -> int:
    """Unlock and run Snakemake with ``arguments``; return its exit status."""
    own = hold()
    if at_work := others():
        print(
            f"error: Snakemake is at work in this folder (process {', '.join(at_work)}). Let it end, or end it with "
            "Ctrl-C where it runs or `kill -INT`, then give this command again.",
            file=sys.stderr,
        )
        return 1
    try:
        return _snakemake("--unlock", *arguments) or _snakemake("--rerun-incomplete", *arguments)
    finally:
        own.release()


def _snakemake(*arguments: str) -> int:
    # A process of its own, so that this one keeps others out meanwhile.
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *arguments])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # A terminal sends it to Snakemake as well, which ends its jobs: wait for that.
            continue


def _own() -> Path:
    return DRIVERS / f"{socket.gethostname()}-{os.getpid()}.lock"


def _is_held(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    path.unlink(missing_ok=True)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
