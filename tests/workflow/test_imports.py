"""Importing a module of the project does nothing besides: what a process has set is as it was."""

import json
import os
import subprocess
import sys

import pytest
from project import ROOT

PACKAGES = [
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for package in ("gfsharp", "replication")
    for path in sorted((ROOT / "src" / package).rglob("*.py"))
]
HELPERS = [path.stem for path in sorted((ROOT / "workflow").glob("*.py"))]
SCRIPTS = [path.stem for path in sorted((ROOT / "workflow/scripts").glob("*.py"))]

# Libraries come first, for what theirs do is theirs.
PROGRAM = """
import faulthandler, importlib, json, os, signal, sys, threading
import cvxpy, matplotlib.pyplot, numpy, pandas, psutil, scipy, seaborn, sklearn, snakemake, torch, torchvision
from matplotlib import rcParams

def settings():
    mask = os.umask(0o27)
    os.umask(mask)
    return {
        "signal handlers": {s.name: repr(signal.getsignal(s)) for s in signal.valid_signals() if hasattr(s, "name")},
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "umask": mask,
        "path": list(sys.path),
        "environment": dict(os.environ),
        "working folder": os.getcwd(),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.stdout), repr(sys.stderr)],
        "matplotlib": {key: repr(rcParams._get(key)) for key in rcParams},
        "numpy's errors": numpy.geterr(),
        "numpy's printing": repr(numpy.get_printoptions()),
        "numpy's generator": repr(numpy.random.get_state()[1][:9]),
        "pandas": repr(pandas.options.display.max_rows),
        "torch's threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch's generator": torch.initial_seed(),
        "torch": [
            repr(torch.get_default_dtype()),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.fp32_precision,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.backends.mkldnn.enabled,
        ],
    }

changed = []
for modules in json.loads(sys.argv[1]):
    before = settings()
    for name in modules:
        importlib.import_module(name)
    after = settings()
    changed.append({key: [before[key], after[key]] for key in before if before[key] != after[key]})
print(json.dumps(changed))
"""

# Modules that each do something, and what of the settings that changes.
OFFENCES = {
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)": "signal handlers",
    "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()": "threads",
    "import os; os.umask(0o77)": "umask",
    "import sys; sys.path.append('/elsewhere')": "path",
    "import matplotlib; matplotlib.use('Agg')": "matplotlib",
    "import torch; torch.set_num_threads(torch.get_num_threads() + 1)": "torch's threads",
    "import torch; torch.set_default_dtype(torch.float64)": "torch",
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """What changes as the packages, then the workflow, then each of the offences is imported, in one process."""
    folder = tmp_path_factory.mktemp("offences")
    for i, statement in enumerate(OFFENCES):
        (folder / f"offence_{i}.py").write_text(statement)
    groups = [PACKAGES, [*HELPERS, *SCRIPTS], *([f"offence_{i}"] for i in range(len(OFFENCES)))]
    folders = [ROOT / "src", ROOT / "workflow", ROOT / "workflow/scripts", folder]
    environment = {**os.environ, "MPLBACKEND": "svg", "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", PROGRAM, json.dumps(groups)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_imports_change_nothing(changed):
    assert len(PACKAGES) > 100
    assert len(SCRIPTS) > 20
    assert changed[:2] == [{}, {}]


def test_each_change_would_be_seen(changed):
    assert [list(found) for found in changed[2:]] == [[setting] for setting in OFFENCES.values()]
