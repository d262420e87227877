"""Files appear whole or not at all, with their provenance."""

import json
import math
import os
import platform
import resource
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from project import commit_all, git

from gfsharp.errors import UnreadableError, UserError
from replication.storage import files, provenance


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("old")

    def write_half():
        with files.whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.txt"]


def test_folders_are_made_and_permissions_are_the_usual(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with files.whole_file(path) as temporary:
        temporary.write_text("whole")
    reference = tmp_path / "reference"
    reference.touch()
    assert path.stat().st_mode == reference.stat().st_mode


def test_table_round_trip_with_sidecar(tmp_path):
    table = pd.DataFrame({"iteration": [0, 1], "loss": [1.0, math.nan], "status": ["running", "diverged"]})
    record = provenance.recorder({"rate": math.inf}, seed=4)()
    files.write_table(tmp_path / "t.parquet", table, record)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "t.parquet"), table)
    written = json.loads((tmp_path / "t.json").read_text())
    assert written["sha256"] == files.sha256(tmp_path / "t.parquet")
    assert written["seed"] == 4
    assert written["parameters"] == {"rate": "inf"}
    assert {"python", "numpy", "torch"} <= set(written["versions"])
    assert written["hardware"]["cores"] >= 1


def test_tensor_round_trip_keeps_shapes(tmp_path):
    tensors = {"scalar": np.float64(2.5), "matrix": np.arange(6.0).reshape(2, 3).T}
    files.write_tensors(tmp_path / "x.safetensors", tensors, {})
    read = files.read_tensors(tmp_path / "x.safetensors")
    assert read["scalar"].shape == ()
    np.testing.assert_array_equal(read["matrix"], tensors["matrix"])


def test_same_content_same_bytes(tmp_path):
    table = pd.DataFrame({"x": [1.0, 2.0]})
    for name in ("a", "b"):
        files.write_table(tmp_path / f"{name}.parquet", table, provenance.recorder({})())
    assert files.sha256(tmp_path / "a.parquet") == files.sha256(tmp_path / "b.parquet")


@pytest.mark.parametrize("read", [files.read_table, files.read_tensors, files.read_record])
def test_unreadable_files_are_named_with_the_mend(tmp_path, read):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"{broken")
    for culprit in (path, tmp_path / "missing.parquet"):
        with pytest.raises(UnreadableError) as error:
            read(culprit)
        assert f"cannot read {culprit}" in str(error.value)
        assert error.value.made_with == culprit


def test_a_broken_checkpoint_asks_for_the_training_to_be_done_again(tmp_path):
    with pytest.raises(UnreadableError) as error:
        files.read_tensors(tmp_path / "checkpoints" / "0000000.safetensors")
    assert error.value.made_with == tmp_path / "trajectory.parquet"


@pytest.fixture
def written(tmp_path):
    """A table and a tensor file with what reads them."""
    files.write_table(tmp_path / "t.parquet", pd.DataFrame({"loss": [1.0, 2.0]}), {"rate": 0.1})
    files.write_tensors(tmp_path / "x.safetensors", {"weights": np.arange(4.0)}, {"rate": 0.1})
    return [(tmp_path / "t.parquet", files.read_table), (tmp_path / "x.safetensors", files.read_tensors)]


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_sidecar(path):
    files.sidecar(path).unlink()


def break_sidecar(path):
    files.sidecar(path).write_text("{}")


def empty(path):
    path.write_bytes(b"")


def alter_sidecar(path):
    """Its parameters, which say where the numbers come from, are part of it."""
    text = files.sidecar(path).read_text()
    files.sidecar(path).write_text(text.replace('"rate": 0.1', '"rate": 0.2'))


@pytest.mark.parametrize("damage", [cut, alter, empty, lose_sidecar, break_sidecar, alter_sidecar])
def test_what_is_not_what_was_written_is_never_used(written, damage):
    for path, read in written:
        read(path)
        damage(path)
        with pytest.raises(UnreadableError, match=f"cannot read {path}: .*It has to be made again"):
            read(path)


def test_every_byte_counts(tmp_path):
    """One bit anywhere, in the numbers too, where Parquet and safetensors would not notice."""
    path = tmp_path / "x.safetensors"
    files.write_tensors(path, {"weights": np.arange(3.0)}, {})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserError):
            files.read_tensors(path)


def test_what_a_killed_process_left_half_written_is_removed_by_the_next(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from replication.storage import files
write = files.whole_folder if sys.argv[1] == "folder" else files.whole_file
with write(Path(sys.argv[2]) / sys.argv[3]) as temporary:
    temporary.exists() or temporary.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for kind, name in (("file", "t.txt"), ("folder", "checkpoints")):
        subprocess.run([sys.executable, "-c", code, kind, str(tmp_path), name], check=False)
        (left,) = tmp_path.glob(".*.part*")
        write = files.whole_folder if kind == "folder" else files.whole_file
        with write(tmp_path / name) as temporary:
            assert left not in tmp_path.iterdir()
            temporary.exists() or temporary.touch()
        assert list(tmp_path.glob(".*")) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    temporary = tmp_path / f".t.{platform.node()}-{os.getppid()}.part.json"
    temporary.touch()
    files.write_json(tmp_path / "t.json", {})
    assert temporary.exists()


@contextmanager
def full_disk():
    """No file may grow beyond 1 kB: what the system says then is what a full disk says, but for its name.

    Not for longer than the writing takes: what the tests print may go to a file as well.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITES = {
    "table.parquet": lambda path: files.write_table(
        path, pd.DataFrame({"x": np.random.default_rng(0).random(9999)}), {}
    ),
    "x.safetensors": lambda path: files.write_tensors(path, {"weights": np.arange(9999.0)}, {}),
    "claims.json": lambda path: files.write_json(path, list(range(9999))),
}


@pytest.mark.parametrize("name", WRITES)
def test_files_have_the_permissions_of_new_ones(tmp_path, name):
    before = os.umask(0o027)
    try:
        WRITES[name](tmp_path / name)
    finally:
        assert os.umask(before) == 0o027
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, name):
    (tmp_path / name).write_text("old")
    message = rf"cannot write {tmp_path / name}: .*Nothing half-written was kept"
    with pytest.raises(UserError, match=message), full_disk():
        WRITES[name](tmp_path / name)
    assert (tmp_path / name).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_errors_are_not_taken_for_those_of_the_disk(tmp_path):
    with pytest.raises(KeyError), files.whole_file(tmp_path / "t.txt"):
        raise KeyError("x")


def test_every_byte_of_a_record_counts(tmp_path):
    path = tmp_path / "x.json"
    record = {"rate": 0.1, "seed": None, "versions": {"numpy": "2.4.6"}, "runs": [1, 2], "largest": math.inf}
    files.write_record(path, record)
    content, written = path.read_bytes(), files.read_record(path)
    assert written == {**record, "largest": "inf"}
    unnoticed = {}
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with suppress(UserError):
            unnoticed[place] = files.read_record(path)
    # White space between the values alone, and what takes the checksum away and nothing else.
    assert len(unnoticed) < len(content) / 5
    assert all({key: found.get(key) for key in written} == written for found in unnoticed.values())


def test_a_record_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({"sha256": "0", "parameters": {}}))
    assert files.read_record(tmp_path / "old.json") == {"sha256": "0", "parameters": {}}


def test_records_lead_from_a_result_to_all_that_it_is_made_from(tmp_path):
    text, data, table = (tmp_path / name for name in ("own.txt", "data.safetensors", "table.parquet"))
    text.write_text("numbers")

    def write(path, *inputs):
        record = provenance.recorder({}, section="some.section", inputs=files.checksums(inputs))
        files.write_tensors(path, {"x": np.ones(2)}, record())

    write(data, text)
    files.write_table(table, pd.DataFrame({"x": [1.0]}), {"parameters": {}})  # as of an earlier version
    figure = tmp_path / "figure.safetensors"
    write(figure, data, table)
    behind = files.records_behind(figure)
    assert behind.keys() == {str(path) for path in (figure, data, table)}
    assert behind[str(data)]["inputs"] == {str(text): files.sha256(text)}
    assert behind[str(figure)]["inputs"] == {str(path): files.sha256(path) for path in (data, table)}
    assert behind[str(figure)]["section"] == "some.section"
    assert "inputs" not in behind[str(table)]
    text.unlink()
    with pytest.raises(UnreadableError, match=f"cannot read {text}"):
        files.checksums([data, text])


def test_a_record_names_the_job_that_wrote_it(monkeypatch):
    monkeypatch.setattr(provenance, "_JOB", {})
    assert provenance.recorder({})()["job"] is None
    provenance.name_job("plane", "results/logs/plane.log")
    assert provenance.recorder({})()["job"] == {"rule": "plane", "log": "results/logs/plane.log"}


def test_the_commit_of_a_record_is_that_of_the_source(tmp_path):
    """Results in version control that are made again do not count, nor does what happens while a job runs."""
    folder = tmp_path / "src"
    shutil.copytree(Path(provenance.__file__).parents[2], folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.yaml", "results/page.md", "figures/figure.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as committed")

    def recorded(meanwhile="pass"):
        code = (
            "from pathlib import Path; from replication.storage import provenance; "
            f"record = provenance.recorder({{}}); {meanwhile}; print(record()['commit'])"
        )
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
        )
        return run.stdout.decode().strip()

    git(tmp_path, "init")
    commit_all(tmp_path)
    clean = git(tmp_path, "rev-parse", "HEAD")
    assert recorded() == clean
    (tmp_path / "results/page.md").unlink()
    (tmp_path / "figures/figure.png").write_text("another")
    assert recorded() == clean
    assert recorded("Path('config.yaml').write_text('edited meanwhile')") == clean
    assert recorded() == f"{clean}-dirty"
