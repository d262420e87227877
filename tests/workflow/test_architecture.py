"""The rooms of the code: imports go one way, and the picture shows it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from project import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [re.split(r" \| ", layer) for layer in CONTRACTS[-1]["layers"]]


def linted(folder):
    """Run import-linter on a copy of the sources."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = {"PYTHONPATH": str(folder / "src"), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def sources(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        (None, None),
        ("gfsharp/descent.py", "from replication import data"),
        ("gfsharp/scalar/network.py", "import pandas"),
        ("replication/training/runs.py", "from replication.studies.scalar import plane"),
        ("replication/storage/files.py", "import snakemake"),
    ],
)
def test_an_import_the_wrong_way_is_refused(sources, module, imported):
    if module:
        path = sources / "src" / module
        path.write_text(f"{path.read_text()}\n\ndef _wrong() -> None:\n    {imported}  # noqa: F401\n")
    found = linted(sources)
    assert found.returncode == (1 if module else 0), found.stdout + found.stderr
    if module:
        assert module.removesuffix(".py").replace("/", ".") in found.stdout


def test_the_picture_has_the_layers_of_the_contract():
    picture = (ROOT / "docs/static/rooms.svg").read_text()
    boxes = re.findall(r'<text x="\d+" y="(\d+)" text-anchor="middle" font-weight="bold">([^<]+)<', picture)
    rows = {}
    for height, name in boxes:
        rows.setdefault(int(height), set()).add(name)
    shown = [row for _, row in sorted(rows.items())][1:-1]  # without workflow and gfsharp
    layers = [{re.sub(r".*\.", "", name) for name in layer} for layer in LAYERS]
    layers[-3:] = [set.union(*layers[-3:])]  # small ones, in one row
    assert len(shown) == len(layers)
    for row, layer in zip(shown, layers, strict=True):
        assert row <= layer
