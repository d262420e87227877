"""The worked examples of CONTRIBUTING.md, carried out on a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from project import ROOT, copy_project

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|diff|rst)\n(?:# )?(\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def changed(text, change):
    """Return a file with a change: lines that begin with '+' come, with '-' go, the others tell where."""
    lines = [(line[:1], line[1:]) for line in change.splitlines(keepends=True)]
    before = "".join(line for mark, line in lines if mark != "+")
    after = "".join(line for mark, line in lines if mark != "-")
    if text.count(before) != 1:
        raise LookupError(f"found {text.count(before)} times:\n{before}")
    return text.replace(before, after)


def carry_out(folder):
    for language, path, content in BLOCKS:
        file = folder / path
        if language == "diff":
            file.write_text(changed(file.read_text(encoding="utf-8"), content), encoding="utf-8")
        elif file.exists():
            file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{content}", encoding="utf-8")
        else:
            file.write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the model, the figure and the claim."""
    project = copy_project(tmp_path_factory.mktemp("extended") / "project")
    shutil.copytree(ROOT / "tests", project.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", project.folder)
    carry_out(project.folder)
    return project


def python(project, *arguments):
    environment = {**os.environ, "PYTHONPATH": "src"}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=project.folder, env=environment, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def test_there_are_examples_of_each_kind():
    assert [language for language, _, _ in BLOCKS].count("diff") >= 10
    assert {
        "src/gfsharp/networks/convnet.py",
        "src/replication/figures/figure_loss.py",
        "workflow/report/figure_loss.rst",
    } <= {path for _, path, _ in BLOCKS}


def test_the_new_model_and_figure_are_planned(extended):
    planned = extended.planned("--config", "figures={figure06: [convnet-digits]}", "--", "figure06", "figure_loss")
    assert {"figure06", "figure_loss", "train", "collect"} <= planned


def test_the_new_tests_pass(extended):
    names = re.findall(r"^def (test_\w+)", "".join(content for _, _, content in BLOCKS), re.MULTILINE)
    assert len(names) == 2
    of_replication = [f"tests/replication/test_{name}.py" for name in ("claims", "configuration")]
    files = ["tests/gfsharp/test_networks.py", *of_replication]
    chosen = " or ".join([*names, "every_value_says"])
    code, printed = python(extended, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files, "-k", chosen)
    assert code == 0, printed


def test_the_new_code_is_as_ruff_would_have_it(extended):
    code, printed = python(extended, "-m", "ruff", "check", "--no-cache", "src", "workflow", "tests")
    assert code == 0, printed
    files = ["src/gfsharp/networks", "src/replication/claims", "src/replication/figures"]
    files += ["tests/gfsharp/test_networks.py", "tests/replication/test_claims.py"]
    code, printed = python(extended, "-m", "ruff", "format", "--check", "--no-cache", *files)
    assert code == 0, printed


def test_a_change_that_fits_nowhere_is_an_error():
    assert changed("a\nb\nc\n", " a\n-b\n+d\n") == "a\nd\nc\n"
    with pytest.raises(LookupError):
        changed("a\nb\n", " b\n+c\n b\n")
    with pytest.raises(LookupError):
        changed("a\na\n", " a\n+c\n")
