"""Where a result comes from: settings, inputs, job, versions, commit, hardware, wall time, seed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "gfsharp",
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "cvxpy",
    "clarabel",
    "torch",
    "torchvision",
    "matplotlib",
    "seaborn",
)


# The workflow's job that this process is: its rule and its log. Empty outside of one.
_JOB: dict[str, str] = {}


def name_job(rule: str, log: str) -> None:
    """Have the records of this process name the job of the workflow that it is."""
    _JOB.update(rule=rule, log=log)


def recorder(
    parameters: Mapping[str, Any],
    *,
    section: str | None = None,
    inputs: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> Callable[[], dict[str, Any]]:
    """Start the clock; the returned function gives the record to be stored beside a result.

    Args:
        parameters: the settings that the result is made from.
        section: the section of the configuration that they are of, such as ``scalar.plane``; None outside of one.
        inputs: the checksums of the files that it is made from, by path (:func:`replication.storage.files.checksums`).
        seed: of its random numbers.
    """
    started = time.perf_counter()
    # That of the code that is running: at the end of a long job the checkout may be another.
    made_by = commit()

    def record() -> dict[str, Any]:
        return {
            "section": section,
            "parameters": dict(parameters),
            "inputs": dict(inputs or {}),
            "job": dict(_JOB) or None,
            "seed": seed,
            "wall_time_s": round(time.perf_counter() - started, 3),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": made_by,
            "versions": versions(),
            "hardware": hardware(),
        }

    return record


def spent() -> dict[str, float]:
    """Return the most memory that this process has had, in MiB, and the processor time that it took, by the kernel.

    Of memory this is ``VmHWM``, not ``ru_maxrss``: Linux counts there what the process that started this one had at
    that moment as well, which for a job is Snakemake's. Where there is no ``/proc``, as on macOS, it is that.
    """
    times = os.times()
    return {
        "peak_memory_mb": round(_peak_memory() / 2**20, 1),
        "processor_time_s": round(times.user + times.system + times.children_user + times.children_system, 2),
    }


def _peak_memory() -> int:
    """Return bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    if found := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
        return int(found[1]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@cache
def commit() -> str | None:
    """Return the commit of the source, ``-dirty`` appended if tracked files differ from it.

    Results and figures in version control are no source: a rule that makes them again has removed them when it starts.
    Outside a checkout, as in a copy of one on another machine, it is what the environment variable ``GFS_COMMIT`` says,
    or None.
    """
    try:
        known = _git("rev-parse", "HEAD")
        changed = _git("diff", "--name-only", "HEAD", "--", ":/", ":(top,exclude)results", ":(top,exclude)figures")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("GFS_COMMIT")
    return f"{known}-dirty" if changed else known


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return machine, processor, cores in use and, where torch is loaded and sees one, the GPU."""
    description: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        description["torch_threads"] = torch.get_num_threads()
    if torch is not None and torch.cuda.is_available():
        description["gpu"] = torch.cuda.get_device_name()
    return description


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
