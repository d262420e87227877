"""All figures as one job (workflow/scripts/redrawn.py): all or none are replaced, and whoever fails is heard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from project import ROOT

from replication.storage import files

SCRIPTS = {
    "good": """
import _job
from replication.storage import files

def main(snakemake):
    files.write_text(snakemake.output.page, files.sha256(snakemake.input.table) + str(snakemake.params.number))

_job.run(main, snakemake)
""",
    "refuses": """
import _job
from gfsharp.errors import UserError

def main(snakemake):
    raise UserError("this is why")

_job.run(main, snakemake)
""",
    "broken": "raise RuntimeError('before it has a log')",
    "killed": "import os\nos.kill(os.getpid(), 9)",
    "slow": "import time\nfrom pathlib import Path\nPath(snakemake.log[0]).write_text('at work')\ntime.sleep(60)",
}

# As Snakemake runs a script, which knows a driver by its name.
DRIVER = """
import json, runpy, sys
from types import SimpleNamespace
rules = json.load(open("rules.json"))
given = SimpleNamespace(rule="redrawn", params=SimpleNamespace(rules=rules), threads=2, log=["redrawn.log"])
runpy.run_path("redrawn.py", {"snakemake": given}, run_name="__main__")
"""


@pytest.fixture
def start(tmp_path):
    """Start the job with some of the scripts above, each of which makes a page of its name."""
    folder = tmp_path / "snakemake"
    folder.mkdir()
    for name in ("redrawn", "_job"):
        shutil.copy2(ROOT / f"workflow/scripts/{name}.py", folder)
    for name, script in SCRIPTS.items():
        (folder / f"{name}.py").write_text(script)
    (folder / "driver.py").write_text(DRIVER)
    (folder / "table").write_text("numbers")
    started = []

    def start(*names):
        rules = {
            name: {
                "input": {"table": "table"},
                "output": {"page": f"pages/{name}.md"},
                "params": {"number": 1},
                "log": [f"{name}.log"],
                "script": f"{name}.py",
            }
            for name in names
        }
        (folder / "rules.json").write_text(json.dumps(rules))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "workflow")])}
        command = [sys.executable, str(folder / "driver.py")]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return folder, process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_all_are_made(start):
    folder, process = start("good")
    assert process.wait(60) == 0
    assert (folder / "pages/good.md").read_text() == files.sha256(folder / "table") + "1"
    assert [path.name for path in (folder / "pages").iterdir()] == ["good.md"]


def test_if_one_fails_all_is_as_before_and_each_says_why(start, tmp_path):
    pages = tmp_path / "snakemake/pages"
    pages.mkdir()
    (pages / "good.md").write_text("as before")
    (tmp_path / "snakemake/broken.log").write_text("words of an earlier run")
    folder, process = start("good", "refuses", "broken", "killed")
    assert process.wait(60) == 1
    said = (folder / "redrawn.log").read_text()
    assert "3 of 4 could not be made, so all is as before" in said
    assert "refuses: error: this is why" in said
    assert "killed: ended by signal 9" in said
    assert "broken: ended with 1 before it had a log, for the reason above" in said
    assert "RuntimeError: before it has a log" in said
    assert "words of an earlier run" not in said
    assert [path.name for path in pages.iterdir()] == ["good.md"]
    assert (pages / "good.md").read_text() == "as before"


def test_a_log_that_cannot_be_written_is_named(start, tmp_path):
    (tmp_path / "snakemake/good.log").mkdir()
    folder, process = start("good")
    assert process.wait(60) == 1
    assert "error: cannot write the log good.log: " in (folder / "redrawn.log").read_text()
    assert not (folder / "pages").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_a_job_that_was_killed(start, how):
    folder, process = start("slow")
    deadline = time.monotonic() + 60
    while not (folder / "slow.log").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(how)
    process.wait(30)
    child.wait(30)  # which is 60 s asleep
