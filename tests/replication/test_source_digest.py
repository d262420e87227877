"""What a result depends on of the code."""

import os
import subprocess
import sys

import pytest
from project import ROOT

from replication import source_digest

SCRIPT = """import helper
from package import part
print(helper.value, part)
"""
FILES = {
    "script.py": SCRIPT,
    "helper.py": "import json\n\nvalue = 1\n\n\ndef late():\n    import other\n    return other.value\n",
    "other.py": "value = {1, 2, 3}\nassert value\n",
    "package/__init__.py": '"""A package."""\n',
    "package/part.py": '"""Of it."""\n\n\ndef f(x):\n    """Return x."""\n    return x\n',
    "package/unused.py": "value = 5\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(folder, **options):
    source_digest._find.cache_clear()
    return source_digest.digest(folder / "script.py", [folder], **options)


def test_imports_are_followed_wherever_they_stand(folder):
    found = source_digest.modules(folder / "script.py", [folder])
    assert set(found) == {"__main__", "helper", "other", "package", "package.part"}
    assert set(source_digest.modules(folder / "script.py", [folder], ["package", "other"])) == {"__main__", "helper"}


def test_a_module_that_is_loaded_by_name_counts_where_it_is_named(folder):
    found = source_digest.modules(folder / "script.py", [folder], also=["package.unused"])
    assert set(found) == {"__main__", "helper", "other", "package", "package.part", "package.unused"}
    before = digest(folder, also=["package.unused"])
    (folder / "package/unused.py").write_text(FILES["package/unused.py"].replace("value = 5", "value = 6"))
    assert digest(folder, also=["package.unused"]) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", "part)", "part, 1)"),
        ("helper.py", "value = 1", "value = 2"),
        ("other.py", "{1, 2, 3}", "{1, 2, 4}"),
        ("package/__init__.py", '"""A package."""', "x = 1"),
        ("package/part.py", "return x", "return x + 0"),
        ("package/part.py", "def f(x)", "def f(x=1)"),
    ],
)
def test_a_statement_counts(folder, name, old, new):
    before = digest(folder)
    (folder / name).write_text(FILES[name].replace(old, new))
    assert digest(folder) != before
    (folder / name).write_text(FILES[name])
    assert digest(folder) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("helper.py", "value = 1", "# a comment\n\nvalue   =   1  # another"),
        ("package/part.py", '"""Return x."""', '"""Return x itself."""'),
        ("package/unused.py", "value = 5", "value = 6"),
        ("other.py", "assert value", "assert len(value) == 3"),
    ],
)
def test_prose_and_what_is_not_imported_do_not(folder, name, old, new):
    before = digest(folder)
    (folder / name).write_text(FILES[name].replace(old, new))
    assert digest(folder) == before


def test_it_is_the_same_in_each_process(folder):
    code = "import sys; from pathlib import Path; from replication.source_digest import digest; "
    code += "print(digest(Path(sys.argv[1], 'script.py'), [Path(sys.argv[1])]))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert found == {digest(folder)}


@pytest.mark.slow
def test_a_training_does_not_call_what_it_is_said_not_to_call(tmp_path):
    """So that an edit of an integrator trains nothing again."""
    code = """
import sys
from pathlib import Path
from replication import stages
settings = {"source": "digits", "images": 20, "normalisation": "channel"}
stages.image_data(settings, "data.safetensors")
run = {
    "model": "network", "data": "digits", "data_set": settings, "architecture": "fully_connected", "activation": "tanh",
    "widths": [5], "precision": "float64", "seed": 0, "learning_rate": 0.1, "stop": {"loss": 1e-9, "iterations": 4},
    "sharpness_every": 2, "checkpoint_every": 2,
}
stages.train(stages.Job.prepare(run, "data.safetensors", "cpu"), "trajectory.parquet", "checkpoints")
assert Path("trajectory.parquet").exists()
print(sorted(name for name in sys.modules if name.startswith(("gfsharp.flow", "replication.studies"))))
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
