"""Dry runs of the workflow in a few processes of their own, by which hundreds of configurations can be tried."""

import contextlib
import io
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from project import TINY, copy_project, rules_in

# Longer than any dry run takes: a configuration that is not refused must be planned. It takes a second or two of
# processor time, however busy the machine is; by the clock on the wall only what waits for ever takes so long.
PROCESSOR_SECONDS, SECONDS = 120, 600


@dataclass(frozen=True)
class DryRun:
    """What came of a configuration: whether all targets were planned, and what was printed."""

    what: str
    planned: bool
    printed: str
    left: tuple[str, ...]


def dry_runs(make: Callable[[int], tuple[str, bytes, list[str]]], seeds: range, workers: int = 2) -> Iterator[DryRun]:
    """Yield what comes of ``make(seed)`` for each seed.

    It returns what it did in words, the content of ``config.yaml`` and the paths of further configuration files.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (folder,)) as pool,
    ):
        yield from pool.map(_dry_run, [(make, seed) for seed in seeds], chunksize=1)


def rules_planned(targets: Sequence[str], workers: int = 2) -> dict[str, set[str]]:
    """Return the rules that each target of the small pipeline needs where nothing has been made."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (folder,)) as pool,
    ):
        planned = dict(zip(targets, pool.map(plan, [[str(TINY)]] * len(targets), targets, chunksize=1), strict=True))
    for target, (done, printed) in planned.items():
        assert done, f"{target}: {printed}"
    return {target: rules_in(printed) for target, (_, printed) in planned.items()}


def _begin(folder: str) -> None:
    """Each process has a copy of the project of its own."""
    os.chdir(copy_project(Path(folder) / str(os.getpid())).folder)
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, _too_long)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"no dry run within {PROCESSOR_SECONDS} s of processor time, or {SECONDS} s in all")


def _dry_run(task: tuple[Callable[[int], tuple[str, bytes, list[str]]], int]) -> DryRun:
    make, seed = task
    what, content, overlays = make(seed)
    Path("config.yaml").write_bytes(content)
    before = _files()
    timers = {signal.ITIMER_PROF: PROCESSOR_SECONDS, signal.ITIMER_REAL: SECONDS}
    for timer, seconds in timers.items():
        signal.setitimer(timer, seconds)
    planned, printed = plan(overlays)
    for timer in timers:
        signal.setitimer(timer, 0)
    return DryRun(f"{seed}: {what}", planned, printed, tuple(sorted(_files() - before)))


def _files() -> set[str]:
    kept = (".snakemake", "__pycache__", "overlays")
    return {str(path) for path in Path().rglob("*") if not any(part in kept for part in path.parts)}


def plan(overlays: list[str], target: str = "all") -> tuple[bool, str]:
    """Plan a target in the working folder, as ``snakemake -n --configfile ...`` does; what it prints comes back."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types

    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed), SnakemakeApi() as api:
        try:
            workflow = api.workflow(
                resource_settings=types.ResourceSettings(cores=2),
                config_settings=types.ConfigSettings(configfiles=[Path(path) for path in overlays]),
                snakefile=Path("Snakefile"),
            )
            dag = workflow.dag(types.DAGSettings(targets={target}))
            dag.execute_workflow(executor="dryrun", execution_settings=types.ExecutionSettings(lock=False))
        except Exception as error:  # whatever it is, it is for the test to judge what is said of it
            api.print_exception(error)
            return False, printed.getvalue()
    return True, printed.getvalue()
