"""Locks that their holder's end releases, and going on after Snakemake was killed."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from project import ROOT

import resume as resuming
from gfsharp.errors import UserError
from replication.storage import locks

HOLD = """
import sys, time
from replication.storage import locks
with locks.held(sys.argv[1], "x", seconds=0):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock, until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_holds_it(tmp_path, holder):
    with pytest.raises(UserError, match=rf"it is in use in another process, which holds {tmp_path}/lock"):  # noqa: SIM117
        with locks.held(tmp_path / "lock", "it is in use", seconds=0.5):
            pass


def test_the_end_of_the_holder_releases_it(tmp_path, holder, capsys):
    holder.kill()
    holder.wait()
    with locks.held(tmp_path / "lock", "it is in use", seconds=10):
        assert (tmp_path / "lock").exists()


def test_what_waits_goes_on_when_the_holder_ends(tmp_path, holder, capsys):
    stop = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(0.5); os.kill({holder.pid}, 9)"])
    begun = time.monotonic()
    with locks.held(tmp_path / "lock", "it is in use", seconds=60):
        assert time.monotonic() - begun > 0.3
    assert "waiting up to 60 s: it is in use in another process" in capsys.readouterr().out
    stop.wait()


def test_a_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with locks.held(tmp_path / "lock", "it is in use", seconds=0):
            pass


def resume(folder, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "workflow/resume.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


AT_WORK = """
import sys, time
sys.path.insert(0, sys.argv[1])
import resume
lock = resume.hold()
print(flush=True)
time.sleep(600)
"""
AS_RESUME = "import os, socket\nos.environ['GFS_RESUME'] = f'resume-{socket.gethostname()}-{os.getpid()}'\n"


def test_resume_leaves_one_at_work_alone_and_goes_on_after_one_that_was_killed(tmp_path):
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "done"\n    shell: "touch done"\n')
    command = [sys.executable, "-c", AT_WORK, str(ROOT / "workflow")]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    process.stdout.readline()
    refused = resume(tmp_path, "--cores", "1")
    assert refused.returncode == 1
    assert f"at work in this folder (process {process.pid} on {os.uname().nodename})" in refused.stderr
    assert not (tmp_path / "done").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    went_on = resume(tmp_path, "--cores", "1")
    assert went_on.returncode == 0, went_on.stderr
    assert (tmp_path / "done").exists()


def test_resume_takes_the_locks_of_a_killed_snakemake_away(tmp_path):
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "done"\n    shell: "touch done"\n')
    stale = tmp_path / ".snakemake/locks/0.output.lock"
    stale.parent.mkdir(parents=True)
    stale.write_text(f"{tmp_path}/done\ndone\n")
    plain = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert plain.returncode != 0
    assert "cannot be locked" in plain.stderr
    with contextlib.chdir(tmp_path):
        assert resuming.is_left_locked()
    assert resume(tmp_path, "--cores", "1").returncode == 0
    assert (tmp_path / "done").exists()


def test_resume_passes_on_what_snakemake_says(tmp_path):
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "done"\n    shell: "false"\n')
    assert resume(tmp_path, "--cores", "1").returncode != 0


def test_a_snakemake_that_starts_beside_a_resume_gives_way(tmp_path, monkeypatch):
    """However the two interleave: each holds its own before it looks for others."""
    monkeypatch.chdir(tmp_path)
    started = subprocess.Popen(
        [sys.executable, "-c", AS_RESUME + AT_WORK, str(ROOT / "workflow")], cwd=tmp_path, stdout=subprocess.PIPE
    )
    started.stdout.readline()
    with pytest.raises(resuming.AtWorkError, match=f"process {started.pid} on {os.uname().nodename}"):
        resuming.hold()
    started.kill()
    started.communicate()
    resuming.hold().release()


def test_drivers_of_different_targets_do_not_keep_each_other_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", AT_WORK, str(ROOT / "workflow")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    first.stdout.readline()
    resuming.hold().release()
    first.kill()
    first.communicate()


def test_a_file_system_without_locks_is_said_and_worked_on(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    with locks.held(tmp_path / "lock", "it is in use", seconds=0):
        pass
    assert "no locks on this file system (No locks available)" in capsys.readouterr().out
