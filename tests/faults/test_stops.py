"""Ctrl-C, two at once, a lost terminal: what is said, how fast it ends, and how it goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from disturbed import Pipeline, driver_of, ended, wait_until

# A shell's child in a terminal: its session's leader, reading and writing there.
IN_A_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


class Terminal:
    """Snakemake in a terminal of its own."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, "-m", "snakemake", *pipeline.arguments],
            cwd=pipeline.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def interrupt(self) -> float:
        """Type Ctrl-C, and return when. One that Snakemake does not take is typed again, as a user would.

        That was seen once, on a machine with much else to do: the run went on to its end.
        """
        while True:
            begun = time.monotonic()
            self.type(b"\x03")
            try:
                self.process.wait(10)  # it has to end by then; a run may take no longer to its own end
            except subprocess.TimeoutExpired:
                continue
            return begun

    def close(self) -> None:
        os.close(self._ours)

    def wait(self) -> int:
        status = ended(self.process)
        self._reader.join(timeout=10)
        return status

    def _read(self) -> None:
        try:
            while text := os.read(self._ours, 65536):
                self.printed += text.decode(errors="replace")
        except OSError:  # how a terminal says that nobody writes to it any more
            pass


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline(tmp_path / "project")


@pytest.mark.fault(
    "Ctrl-C, during training and during GFS", "ends within seconds, says how to go on, needs no unlocking"
)
def test_ctrl_c(pipeline, undisturbed, measured):
    took = []
    for rule in ("train", "gfs_sharpness"):
        terminal = Terminal(pipeline)
        wait_until(partial(pipeline.computing, rule), f"no job of rule {rule}")
        time.sleep(0.5)
        begun = terminal.interrupt()
        assert terminal.wait() != 0, terminal.printed
        took.append(time.monotonic() - begun)
        pipeline.wait_for_silence()
        assert "give the same command again" in terminal.printed
        # Of a job that had just begun Python itself may say so, before a line of ours.
        assert terminal.printed.count("Traceback") == terminal.printed.count("\nKeyboardInterrupt")
        assert took[-1] < 10
    assert ended(pipeline.start()) == 0, pipeline.printed()
    assert pipeline.checksums() == undisturbed.checksums()
    assert pipeline.left_overs() == []
    measured(f"ended after {took[0]:.1f} s and {took[1]:.1f} s; then bit-identical")


@pytest.mark.fault("the terminal is closed during training", "jobs end; `make resume` goes on")
def test_a_terminal_that_is_closed(pipeline, undisturbed):
    terminal = Terminal(pipeline)
    wait_until(partial(pipeline.computing, "train"), "no training")
    terminal.close()
    assert ended(terminal.process) != 0
    pipeline.wait_for_silence()
    pipeline.finish()
    assert pipeline.checksums() == undisturbed.checksums()


@pytest.mark.fault("a second Snakemake in the same folder, and a resume", "both refused; the first is not disturbed")
def test_two_at_once(pipeline, undisturbed):
    first = pipeline.start()
    wait_until(partial(pipeline.computing, "train"), "no training")
    told = []
    for command in (
        [sys.executable, "-m", "snakemake", *pipeline.arguments],
        [sys.executable, "workflow/resume.py", *pipeline.arguments],
    ):
        second = subprocess.run(command, cwd=pipeline.folder, capture_output=True, text=True, timeout=300, check=False)
        assert second.returncode != 0
        told.append(second.stdout + second.stderr)
        assert "Traceback" not in told[-1]
    assert "Directory cannot be locked" in told[0]
    assert "Snakemake is at work in this folder (process" in told[1]
    assert ended(first) == 0, pipeline.printed()
    assert pipeline.checksums() == undisturbed.checksums()


@pytest.mark.fault(
    "a second training of a run that is being trained", "it waits and goes on from where that one was killed"
)
def test_two_trainings_of_one_run(pipeline, undisturbed):
    first = pipeline.start()
    (training,) = wait_until(pipeline.training, "no training")
    # Stopped, so that it neither ends with its workflow nor gives the lock back.
    training.suspend()
    try:
        os.kill(first.pid, signal.SIGKILL)
        ended(first)
        second = pipeline.resume()
        log = pipeline.folder / "results/logs/train/slow/seed0-lr0.02.log"
        wait_until(lambda: log.exists() and "waiting up to" in log.read_text(), "the second does not wait")
        assert driver_of(second)
    finally:
        training.kill()
    assert ended(second) == 0, pipeline.printed()
    assert pipeline.checksums() == undisturbed.checksums()
