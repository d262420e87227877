"""No data that is read can run code: no pickle, no archive unpacked to disk, no text evaluated."""

import ast
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from project import ROOT

from gfsharp.errors import UserError
from replication import data, image_files, yaml_files
from replication.storage import files

SOURCES = sorted(path for name in ("src", "workflow", "examples") for path in (ROOT / name).rglob("*.py"))
RULES = sorted([ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")])

MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "joblib",
    "cloudpickle",
    "shelve",
    "marshal",
    "jsonpickle",
    "pickletools",
}
# Methods that unpickle or unpack whatever they belong to.
METHODS = {
    "read_pickle",
    "to_pickle",
    "extract",
    "extractall",
    "unpack_archive",
    "torch_load",
    "load_state_dict_from_url",
}
BUILT_IN = {"eval", "exec", "compile", "__import__"}
# What is compiled there, the project's own code, is looked at and not run: eval and exec are refused there too.
ALLOWED = {"src/replication/source_digest.py": ["compile"]}


def offences(source):
    """What in a module's source could run code that it reads, with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name.partition(".")[0] in MODULES)
            if isinstance(node, ast.ImportFrom):
                yield from ((node.lineno, alias.name) for alias in node.names if alias.name in METHODS)
        elif isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, found) for found in [refused_call(node)] if found)


def refused_call(call):
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in BUILT_IN or name in ("torch.load", "torch.jit.load", "yaml.unsafe_load", "yaml.full_load"):
        return name
    if name in ("np.load", "numpy.load", "np.lib.format.read_array") and keywords.get("allow_pickle") != "False":
        return f"{name} without allow_pickle=False"
    if name in ("yaml.load", "yaml.load_all") and "Safe" not in keywords.get("Loader", ""):
        return f"{name} without a safe loader"
    return None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_can_run_what_it_reads(path):
    found = [name for _, name in offences(path.read_text(encoding="utf-8"))]
    assert found == ALLOWED.get(str(path.relative_to(ROOT)), [])


def test_no_rule_can_run_what_it_reads():
    words = [*MODULES, "torch.load", "np.load", "extractall", "eval(", "exec(", "yaml.load"]
    assert not [(path.name, word) for path in RULES for word in words if word in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x')",
        "np.load('x', allow_pickle=True)",
        "pd.read_pickle('x')",
        "from pandas import read_pickle",
        "tarfile.open('x').extractall()",
        "zipfile.ZipFile('x').extract('y')",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "eval(text)",
    ],
)
def test_each_of_them_would_be_found(source):
    assert [*offences(source)]


class Trap:
    """What unpickles into it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (Path(self.file),)


@pytest.fixture
def trap(tmp_path):
    """Something that leaves a file behind when unpickled, and where."""
    made = tmp_path / "was_run"
    pickle.loads(pickle.dumps(Trap(made)))
    assert made.exists()
    made.unlink()
    return Trap(made), made


@pytest.mark.parametrize("name", ["x", "y"])
def test_an_npz_with_a_pickle_is_refused_and_not_run(tmp_path, trap, name):
    hidden, made = trap
    arrays = {"x": np.zeros((1, 3, 8, 8), dtype=np.uint8), "y": np.zeros(1, dtype=int)}
    arrays[name] = np.array([hidden], dtype=object)
    np.savez(tmp_path / "hidden.npz", **arrays)
    with pytest.raises(UserError, match=r"cannot read images from .*hidden\.npz"):
        data.images("npz", 1, file=str(tmp_path / "hidden.npz"))
    assert not made.exists()


def test_a_pickle_by_the_name_of_an_npz_is_refused_and_not_run(tmp_path, trap):
    hidden, made = trap
    (tmp_path / "hidden.npz").write_bytes(pickle.dumps(hidden))
    with pytest.raises(UserError, match="cannot read images"):
        data.images("npz", 1, file=str(tmp_path / "hidden.npz"))
    assert not made.exists()


@pytest.mark.parametrize("read", [files.read_table, files.read_tensors])
def test_a_pickle_by_the_name_of_a_result_is_refused_and_not_run(tmp_path, trap, read):
    hidden, made = trap
    path = tmp_path / "hidden.parquet"
    path.write_bytes(pickle.dumps(hidden))
    files.write_record(files.sidecar(path), {"sha256": files.sha256(path)})
    with pytest.raises(UserError, match="cannot read"):
        read(path)
    assert not made.exists()


def test_a_pickle_within_a_table_stays_bytes(tmp_path, trap):
    """In a column, and in what pandas keeps of a table beside its columns."""
    hidden, made = trap
    content = pickle.dumps(hidden)
    table = pa.table({"iteration": [0], "loss": pa.array([content], pa.binary())})
    path = tmp_path / "hidden.parquet"
    pq.write_table(table.replace_schema_metadata({b"pandas": content, b"PANDAS_ATTRS": content}), path)
    files.write_record(files.sidecar(path), {"sha256": files.sha256(path)})
    try:
        assert files.read_table(path)["loss"][0] == content
    except UserError as error:
        assert "cannot read" in str(error)  # noqa: PT017 - both are fine, but for the file
    assert not made.exists()


def test_a_column_of_objects_is_not_written(tmp_path, trap):
    hidden, made = trap
    with pytest.raises(pa.ArrowInvalid):
        files.write_table(tmp_path / "t.parquet", pd.DataFrame({"x": [hidden]}), {})
    assert not made.exists()
    assert not [*tmp_path.glob("*.parquet")]


OUTSIDE = ["../outside.bin", "/{folder}/outside.bin", "cifar-10-batches-bin/../../outside.bin"]


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("name", OUTSIDE)
def test_members_of_an_archive_stay_in_memory(tmp_path, name, link):
    folder = tmp_path / "downloads"
    folder.mkdir()
    archive = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, name.format(folder=tmp_path), bytes(3073))
        for i in range(1, 6):
            add(tar, f"cifar-10-batches-bin/data_batch_{i}.bin", bytes(3073))
        if link:
            member = tarfile.TarInfo("cifar-10-batches-bin/link")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(member)
            add(tar, "cifar-10-batches-bin/link/outside.bin", b"x")
    found = [*image_files.cifar10(archive)]
    assert [pixels.shape for pixels, _ in found] == [(1, 3, 32, 32)] * 5
    assert [*np.concatenate([labels for _, labels in found])] == [0] * 5
    assert [*tmp_path.rglob("*")] == [folder, archive]


def test_a_batch_that_is_a_link_to_a_file_outside_is_not_followed(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(3073))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for i in range(1, 6):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/data_batch_{i}.bin")
            member.type, member.linkname = tarfile.SYMTYPE, str(secret)
            tar.addfile(member)
    with pytest.raises(UserError, match="has no file"):
        next(image_files.cifar10(tmp_path / "a.tar.gz"))


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_what_reads_matlab_files_knows_no_pickle():
    """SVHN comes as one, by :func:`scipy.io.loadmat`."""
    import scipy.io.matlab

    folder = Path(scipy.io.matlab.__file__).parent
    for path in folder.glob("*.py"):
        assert not [found for found in offences(path.read_text(encoding="utf-8")) if found[1] in MODULES], path


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.system [true]", "python/name:os.system", "python/object/new:int"]
)
def test_tags_of_python_in_a_configuration_are_refused(tmp_path, tag):
    path = tmp_path / "tagged.yaml"
    path.write_text(f"scale: !!{tag}\n")
    with pytest.raises(UserError, match="line 1, column 8: could not determine a constructor"):
        yaml_files.read(path)
