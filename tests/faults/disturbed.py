"""A pipeline that is killed, stopped and gone on with, and how its results are compared with undisturbed ones."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from project import checksums, copy_project

HERE = Path(__file__).parent
TARGETS = ["results/tables/slow.parquet", "results/tables/regression.parquet"]
# What is waited for at most: an hour would say no more.
PATIENCE = 300


class Pipeline:
    """A copy of the project with the slow network, in which Snakemake is started, killed and gone on with."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_project(folder).folder
        shutil.copy(HERE / "slow_network.py", self.folder)
        self.arguments = ["--cores", "2", "--configfile", str(HERE / "slow.yaml"), "--", *TARGETS]
        self.output = self.folder / "output.txt"
        # The iterate from which each training process went on.
        self.begun_at: dict[int, int] = {}
        # How many losses each training process had asked for when it was first seen with the lock.
        self.asked_at_lock: dict[int, int] = {}

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start Snakemake, as the leader of a process group as under a shell."""
        return self._start([sys.executable, "-m", "snakemake", *options, *self.arguments])

    def resume(self) -> subprocess.Popen[bytes]:
        """Start the one documented command that goes on after anything."""
        return self._start([sys.executable, "workflow/resume.py", *self.arguments])

    def finish(self) -> None:
        """Go on, undisturbed, to the end."""
        assert ended(self.resume()) == 0, self.printed()

    def printed(self) -> str:
        """Return what was printed since the last start."""
        return self.output.read_text()

    def is_planned(self) -> bool:
        """Return whether a dry run finds something to do."""
        assert ended(self.start("--dry-run")) == 0, self.printed()
        return "Nothing to be done" not in self.printed()

    def jobs(self, *rules: str) -> list[psutil.Process]:
        """Return the running scripts of these rules, or of all."""
        return [
            process
            for process in _processes_in(self.folder)
            if (name := script_of(process)) and (not rules or name in rules)
        ]

    def wait_for_silence(self) -> None:
        """Wait until no process works in the folder."""
        wait_until(lambda: not list(_processes_in(self.folder)), "processes outlive their workflow", seconds=60)

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of every table and tensor file."""
        return checksums((self.folder / "results").resolve())

    def left_overs(self) -> list[Path]:
        """Return what should not be there once all is done."""
        results = self.folder / "results"
        return [*results.rglob(".*.part*"), *results.rglob("unfinished")]

    def losses_asked_for(self, rule: str = "train") -> dict[int, int]:
        """Return for each process of the rule, in their order, how many losses it asked for."""
        path = self.folder / f"losses.{rule}"
        return dict(Counter(map(int, path.read_text().split()))) if path.exists() else {}

    def note_training(self) -> None:
        """Note where the last training process began, before the next one writes the log anew."""
        log = self.folder / "results/logs/train/slow/seed0-lr0.02.log"
        asked = list(self.losses_asked_for().items())
        # With its second loss it is past the loading of what an earlier one left.
        if asked and asked[-1][1] > 1 and log.exists():
            found = re.search(r"training goes on from iterate (\d+)", log.read_text())
            self.begun_at.setdefault(asked[-1][0], int(found[1]) if found else 0)

    def computing(self, *rules: str, losses: int = 1) -> list[psutil.Process]:
        """Return the running scripts of these rules that have asked for so many losses."""
        asked = {process: count for rule in rules for process, count in self.losses_asked_for(rule).items()}
        return [job for job in self.jobs(*rules) if asked.get(job.pid, 0) >= losses]

    def training(self) -> list[psutil.Process]:
        """Return the jobs that train: each has the lock of its run, and has since asked for a loss.

        To be asked again until there are some. How many losses come before the lock is no affair of a test.
        """
        asked = self.losses_asked_for()
        locking = [job for job in self.jobs("train") if self._has_the_lock(job)]
        for job in locking:
            self.asked_at_lock.setdefault(job.pid, asked.get(job.pid, 0))
        return [job for job in locking if asked.get(job.pid, 0) > self.asked_at_lock[job.pid]]

    @staticmethod
    def _has_the_lock(job: psutil.Process) -> bool:
        try:
            return any(Path(file.path).name == ".training.lock" for file in job.open_files())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def wait_until(condition, complaint: str, *, seconds: float = PATIENCE):
    """Return what ``condition`` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)
    return found


def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of ``process`` and return its exit status."""
    return process.wait(timeout=PATIENCE)


def driver_of(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Return the Snakemake that a resume is running, if it is."""
    try:
        children = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return None
    return next((child for child in children if _command(child)[1:3] == ["-m", "snakemake"]), None)


def script_of(process: psutil.Process) -> str | None:
    """Return the rule whose script a process runs."""
    command = _command(process)
    # Snakemake copies scripts to .snakemake/scripts/tmp<random>.<rule>.py.
    if len(command) > 1 and "/.snakemake/scripts/" in command[1]:
        return Path(command[1]).stem.split(".")[-1]
    return None


def _processes_in(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
