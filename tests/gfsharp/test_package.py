"""What is installed is the science alone: its wheel, what it depends on, and what works with how little."""

import email
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from project import ROOT

IGNORED = shutil.ignore_patterns("__pycache__")
# Without torch: closed forms and what they are made of.
LIGHT = ["scalar", "scalar.columns", "regression", "descent", "spectrum", "monotonicity", "errors", "progress"]
ONLY = """
import importlib, importlib.abc, importlib.metadata, sys
MISSING = set(importlib.metadata.packages_distributions()) - PRESENT
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with the unpacked wheel, built by what pip builds it by, from the files that a checkout has."""
    folder = tmp_path_factory.mktemp("wheel")
    project = folder / "project"
    shutil.copytree(ROOT / "src", project / "src", ignore=IGNORED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, project)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (built,) = folder.glob("gfsharp-*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run(wheel, code, present):
    """Run code where the wheel is installed, beside no other packages than these."""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1"}
    code = f"PRESENT = {{'gfsharp', {', '.join(map(repr, present))}}}\n{ONLY}\n{code}"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def metadata(wheel):
    (path,) = wheel.glob("*.dist-info/METADATA")
    return email.message_from_string(path.read_text(encoding="utf-8"))


def test_it_holds_the_science_alone_and_needs_numpy_and_scipy(wheel):
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == {"gfsharp"}
    needed = [line for line in metadata(wheel).get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in needed) == ["numpy", "scipy"]
    assert set(metadata(wheel).get_all("Provides-Extra")) == {"torch", "convex", "follow"}


def test_closed_forms_need_numpy_and_scipy_alone(wheel):
    code = f"""
for name in {LIGHT}:
    module = importlib.import_module("gfsharp." + name)
    assert module.__file__.startswith({str(wheel)!r}), module.__file__
from gfsharp import regression, scalar
assert abs(scalar.gfs_sharpness([2.0, 1.0]) - 13**0.5) < 1e-12
problem = regression.SquaredRegression([[1.0, 2.0]], [1.0])
print(problem.gfs_sharpness([1.0, 1.0], [1.0, 1.0]))
"""
    found = run(wheel, code, ["numpy", "scipy"])
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) > 0


@pytest.mark.slow
def test_flows_need_torch_besides(wheel):
    code = """
import pkgutil, gfsharp
for module in pkgutil.walk_packages(gfsharp.__path__, "gfsharp."):
    importlib.import_module(module.name)
import torch
from gfsharp.flow import gfs_sharpness
found = gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, torch.tensor([2.0, 1.0], dtype=torch.float64))
print(found.status)
"""
    # What torch itself needs.
    torch = ["torch", "torchgen", "functorch", "typing_extensions", "sympy", "mpmath", "jinja2", "markupsafe", "numpy"]
    found = run(wheel, code, [*torch, "scipy"])
    assert found.returncode == 0, found.stderr
    assert found.stdout == "converged\n"


def test_what_is_not_there_is_said_by_its_name(wheel):
    found = run(wheel, "import gfsharp.flow", ["numpy", "scipy"])
    assert found.returncode == 1
    assert "No module named 'torch'" in found.stderr
