"""What every adapter needs around its work: the package on the path, the job's log, errors without a traceback.

A script imports this module first. In a job of Snakemake that is when the job begins; elsewhere it changes nothing.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, TypeAlias

# What Snakemake tells a script: inputs, outputs, parameters ... of its rule, by their names there.
Snakemake: TypeAlias = Any

# Snakemake puts an object of this name into the script that it runs.
IN_A_JOB = hasattr(getattr(sys.modules["__main__"], "snakemake", None), "rule")


def end_at_once_on_ctrl_c() -> None:
    """In the middle of an import or of long work in C as well: nothing half-written counts."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if IN_A_JOB:  # what follows takes seconds to import
    end_at_once_on_ctrl_c()
    # In an environment of Snakemake's own making (conda) the packages are not installed.
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "src"), str(Path(__file__).resolve().parents[1])]
    os.environ["MPLBACKEND"] = "Agg"

import psutil

import rerun_command
from gfsharp.errors import UserError
from replication.storage import files, provenance

SECONDS_BETWEEN_LOOKS = 1
SHELLS = {"bash", "dash", "sh", "zsh"}


def run(main: Callable[[Snakemake], None], snakemake: Snakemake) -> None:
    """Call ``main(snakemake)`` with all output in the job's log; a user's mistake ends it with its message alone."""
    provenance.name_job(snakemake.rule, snakemake.log[0])
    with _log(snakemake.log[0]) as log, redirect_stdout(log), redirect_stderr(log):
        try:
            main(snakemake)
        except UserError as error:
            _end(f"error: {rerun_command.message(error)}", log)
        except OSError as error:
            # The log may be what could not be written.
            _end(f"error: {error}" if error.errno in files.DISK_ERRORS else traceback.format_exc(), log)
        except Exception:
            # The log takes the traceback too: on a cluster it is all there is to look at.
            _end(traceback.format_exc(), log)


@contextmanager
def _log(path: str) -> Iterator[TextIO]:
    try:
        # Line by line, so that it can be watched.
        log = Path(path).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
    except OSError as error:
        sys.exit(f"error: {unwritable_log(path, error)}")
    try:
        yield log
    finally:
        try:
            log.close()
        except OSError as error:
            print(f"error: cannot write the log {path}: {error.strerror}", file=sys.__stderr__)


def unwritable_log(path: str, error: OSError) -> str:
    """Say that a log cannot be written, and why."""
    return f"cannot write the log {path}: {error.strerror}; mend that and give the same command again"


def _end(message: str, log: TextIO) -> None:
    try:
        print(message, file=log)
    except OSError:
        print(message, file=sys.__stderr__)
    sys.exit(1)


def end_with_the_workflow() -> None:
    """End this process when the one that started it is gone.

    A job that outlives a workflow that was killed computes for nobody, beside the one that is started in its place.
    """
    driver = psutil.Process().parent()
    while driver is not None and driver.name() in SHELLS:
        driver = driver.parent()
    # What is no Snakemake may use it as a library, or have taken over a job whose workflow was gone at once.
    if driver is None or driver.pid == 1 or _is_snakemake(driver):
        threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: psutil.Process | None) -> None:
    while _is_at_work(driver):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    try:
        print(
            "the workflow that started this job is gone, so it ends; give the same command again to go on", flush=True
        )
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _is_at_work(driver: psutil.Process | None) -> bool:
    try:
        if driver is None or not driver.is_running() or driver.status() == psutil.STATUS_ZOMBIE:
            return False
        # The first process takes over those whose parents are gone; in a container it may be the workflow itself.
        return driver.pid != 1 or _is_snakemake(driver)
    except psutil.NoSuchProcess:
        return False


def _is_snakemake(process: psutil.Process) -> bool:
    return any("snakemake" in word for word in process.cmdline())


if IN_A_JOB:  # the adapter's imports take seconds too
    end_with_the_workflow()


def read_table(paths: Any) -> tuple[list[str], Any]:
    """Return the paths and the content of an input; of a table in several files all rows."""
    import pandas as pd

    if isinstance(paths, str):
        return [paths], files.read_table(paths)
    return list(paths), pd.concat([files.read_table(path) for path in paths], ignore_index=True)


def run_table(make: Callable[..., Any], section: str, columns: Any, snakemake: Snakemake) -> None:
    """Write the table, of these columns, that ``make`` makes of a section of the configuration, by its keys.

    The section's settings are the rule's first parameter.
    """

    def main(snakemake: Snakemake) -> None:
        settings = snakemake.params[0]
        record = provenance.recorder(settings, section=section)
        files.write_table(snakemake.output.table, make(**settings), record(), columns=columns)

    run(main, snakemake)
