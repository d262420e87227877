"""What is installed is complete: the wheel has what its modules read."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from project import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
IGNORED = shutil.ignore_patterns("__pycache__")


def copied(folder):
    """The package as the settings of the build say that a wheel has it."""
    for package in WHEEL["packages"]:
        shutil.copytree(ROOT / package, folder / package.rpartition("/")[2], ignore=IGNORED)
    for source, target in WHEEL["force-include"].items():
        (folder / target).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / source, folder / target)


def built(folder):
    """An unpacked wheel."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, by which wheels are built, is not installed here")
    project = folder.with_name("project")
    for name in [*WHEEL["packages"], *WHEEL["force-include"], "pyproject.toml", "README.md", "LICENSE"]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=IGNORED)
        else:
            shutil.copy2(ROOT / name, project / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.with_name("dist"))]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = folder.with_name("dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


@pytest.fixture(params=[copied, built])
def package(request, tmp_path):
    """A folder with the package as it is installed, and nothing of the project besides."""
    request.param(tmp_path / "installed")
    return tmp_path / "installed"


def run(package, folder, *arguments):
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(package)}
    # The checkout is in the environment as well: of two of a name the first on the path counts.
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_configuration_is_checked_by_what_the_package_has(package, tmp_path):
    empty = tmp_path / "empty"
    found = run(package, empty, "replication.check")
    assert found.returncode == 0, found.stderr
    assert f"that of {package}/replication/config.yaml" in found.stdout
    (empty / "my.yaml").write_text("execution: {treads: 2}\n")
    wrong = run(package, empty, "replication.check", "my.yaml")
    assert wrong.returncode == 1
    assert "execution.treads" in wrong.stderr
    assert "nearest: threads" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    # One in the working folder goes before it.
    (empty / "config.yaml").write_text("scale: mine\n")
    assert "experiments" in run(package, empty, "replication.check").stderr


def test_a_page_of_the_project_needs_the_project(package, tmp_path):
    found = run(package, tmp_path / "empty", "replication.reporting.deviations", "page.md")
    assert found.returncode == 1
    assert found.stderr.startswith("error: the page is of a checkout of the project")
    assert "Traceback" not in found.stderr


def test_every_module_of_the_wheel_can_be_imported(tmp_path):
    package = tmp_path / "installed"
    copied(package)
    code = (
        "import gfsharp, replication, importlib, pkgutil, pathlib\n"
        "for package in gfsharp, replication:\n"
        f"    assert pathlib.Path(package.__file__).is_relative_to({str(package)!r})\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
    )
    (tmp_path / "empty").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "empty", env=environment, check=True)
