"""Damaged results: each is made again, or named with the command that mends it, and never used."""

import os
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import pytest
from project import BROKEN, Project, checksums

from replication.storage import files

FC, DEPTH2 = "runs/fc-hardtanh-digits/seed0-lr0.1", "runs/scalar-depth2/lr0.5"


@dataclass(frozen=True)
class Kind:
    """A file below results that a stage reads, what that stage makes, and the file by which it is made again."""

    path: str
    made_from_it: str
    mend: str = ""

    @property
    def remade(self):
        return f"results/{self.mend or self.path}"


# Together in one call of Snakemake: none is made from another.
KINDS = {
    "Gaussian data": Kind(
        "data/gaussian/seed0.safetensors", "results/runs/regression/seed0-fraction30.0/trajectory.parquet"
    ),
    "images": Kind("data/other-digits.safetensors", "results/runs/overflow/seed0-lr0.01/trajectory.parquet"),
    "plane": Kind("scalar/plane.parquet", "figures/figure03.svg"),
    "start": Kind("scalar/start.safetensors", "results/runs/scalar-high-loss/lr0.2/trajectory.parquet"),
    "checkpoint": Kind(
        f"{DEPTH2}/checkpoints/0000000.safetensors", f"results/{DEPTH2}/gfs/0.parquet", f"{DEPTH2}/trajectory.parquet"
    ),
    "trajectory": Kind(
        "runs/nan-later/seed0-lr0.01/trajectory.parquet", "results/runs/nan-later/seed0-lr0.01/run.parquet"
    ),
    "solutions": Kind(f"{FC}/gfs/0.parquet", f"results/{FC}/run.parquet"),
    "run": Kind("runs/fc-relu-digits/seed0-lr0.1/run.parquet", "results/tables/fc-relu-digits.parquet"),
    "table": Kind("tables/scalar-depth4.parquet", "figures/figure08.svg"),
    "GPGD's iterates": Kind(f"{DEPTH2}/gpgd/iterates.parquet", "figures/figure01.svg"),
    "GPGD's orbits": Kind("runs/scalar-pairs/lr2.0/gpgd/orbits.parquet", "figures/figure10.svg"),
    "stable set": Kind("scalar/stable_set/products.parquet", "figures/figure07.svg"),
}
# Read by jobs that read others of the above too.
LATER = {
    "scales": Kind("regression/scales.parquet", "figures/figure05.svg"),
    "seeds": Kind("regression/runs/0.parquet", "figures/figure05.svg"),
    "theorems": Kind("scalar/theorems/depth2.parquet", "results/claims.json"),
}
# Read at every start.
INDEX = Kind(f"{DEPTH2}/checkpoints/index.json", f"results/{DEPTH2}/gfs/0.parquet", f"{DEPTH2}/trajectory.parquet")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def lose_sidecar(path):
    files.sidecar(path).unlink()


def alter_sidecar(path):
    """One digit of what it says of the run, not of the file."""
    text = files.sidecar(path).read_text()
    altered = re.sub(r'("wall_time_s": \d)', r"\g<1>1", text)
    assert altered != text
    files.sidecar(path).write_text(altered)


DAMAGES = [truncate, alter, empty, remove, lose_sidecar, alter_sidecar]


def damage(project, kind, how):
    """Damage a file and keep its time stamp, so that nothing but its content can tell."""
    path = project.folder / "results" / kind.path
    stamps = [(file, file.stat()) for file in (path, files.sidecar(path)) if file.exists()]
    how(path)
    for file, stamp in stamps:
        if file.exists():
            os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


@pytest.fixture
def copied(broken, tmp_path):
    """Makes copies of the finished project, time stamps and all."""
    numbers = count()

    def copy():
        return Project(shutil.copytree(broken.folder, tmp_path / str(next(numbers)), symlinks=True))

    return copy


def forced(project, *targets, more=()):
    """Make the targets anew, and what is missing on the way to them."""
    arguments = ["--forcerun", *targets, "--configfile", *map(str, BROKEN), "--", *targets]
    result = project.run("--cores", "1", *more, *arguments)
    return result.returncode, result.stdout + result.stderr


def assert_named(printed, kind):
    """The file is named with the command that makes it again."""
    path = f"results/{kind.path}"
    named = re.findall(rf"cannot read {re.escape(path)}: .* run: (.*)", printed)
    assert named, f"{path} is not named in:\n{printed}"
    assert f"--forcerun {kind.remade}" in named[0]
    return named[0]


def results_of(project):
    """Checksums of all tables, tensors and figures. What a training can go on from is no result."""
    found = checksums(project.folder, "parquet", "safetensors", "svg")
    return {path: checksum for path, checksum in found.items() if "unfinished" not in path}


@pytest.mark.fault(
    "each kind of file truncated, altered by a bit, emptied, removed, its sidecar lost or altered",
    "named with the command that mends it, or made again; never used",
)
@pytest.mark.parametrize("how", DAMAGES)
def test_each_kind_of_file_is_named_or_made_again(copied, how):
    project = copied()
    before = results_of(project)
    # Where the list of checkpoints or one of them is missing, there is nothing to plan from.
    together = {name: kind for name, kind in KINDS.items() if not (how is remove and name == "checkpoint")}
    for kind in together.values():
        damage(project, kind, how)
    code, printed = forced(project, *(kind.made_from_it for kind in together.values()), more=["--keep-going"])
    if how is remove:
        assert code == 0, printed
        assert all((project.folder / kind.remade).exists() for kind in together.values())
        assert results_of(project) == before
    else:
        assert code != 0
        for kind in together.values():
            assert_named(printed, kind)
            assert not (project.folder / kind.made_from_it).exists()


@pytest.mark.fault(
    "each kind of file truncated, altered by a bit, emptied, removed, its sidecar lost or altered",
    "named with the command that mends it, or made again; never used",
)
@pytest.mark.parametrize("how", DAMAGES)
def test_each_kind_of_file_that_is_read_among_others(copied, how):
    def found(project, kind):
        before = results_of(project)
        damage(project, kind, how)
        code, printed = forced(project, kind.made_from_it)
        assert (code == 0) == (how is remove), printed
        if code:
            assert_named(printed, kind)
        else:
            assert results_of(project) == before

    side_by_side(found, [(copied(), kind) for kind in LATER.values()])


@pytest.mark.fault("a table altered, its time stamp kept, and then not", "not used unread; named once it is read")
def test_what_snakemake_does_not_see_is_not_used_and_what_it_sees_is_named(copied):
    """With its time stamp kept a damaged table goes unnoticed until something reads it; with a new one it is read."""
    project, kind = copied(), KINDS["table"]
    before = results_of(project)
    damage(project, kind, alter)
    result = project.run("--configfile", *map(str, BROKEN), "--", "figure08")
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout + result.stderr
    del before["results/tables/scalar-depth4.parquet"]
    assert before.items() <= results_of(project).items()
    (project.folder / "results" / kind.path).touch()
    result = project.run("--configfile", *map(str, BROKEN), "--", "figure08")
    assert result.returncode != 0
    assert_named(result.stdout + result.stderr, kind)


@pytest.mark.fault("the list of a run's checkpoints damaged, or a checkpoint removed", "named before any job starts")
@pytest.mark.parametrize(("kind", "how"), [*((INDEX, how) for how in DAMAGES[:4]), (KINDS["checkpoint"], remove)])
def test_a_damaged_list_of_checkpoints_stops_before_any_job(copied, kind, how):
    project = copied()
    damage(project, kind, how)
    code, printed = forced(project, kind.made_from_it)
    assert code != 0
    assert_named(printed, kind)
    # Snakemake shows the lines of an input function, whatever it raises, but below what is said.
    assert "Traceback (most recent" not in printed
    assert "localrule" not in printed
    assert "\nrule" not in printed


def mended(project, kind, how):
    """Damage, find out, and paste the command that the message names."""
    before = results_of(project)
    damage(project, kind, how)
    code, printed = forced(project, kind.made_from_it)
    assert code != 0
    command = assert_named(printed, kind)
    result = subprocess.run(
        shlex.split(command), cwd=project.folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, command + result.stdout + result.stderr
    assert results_of(project) == before, command


@pytest.mark.fault("each kind of file damaged, and the command pasted that the message names", "bit-identical again")
def test_the_command_that_is_named_mends_it(copied, measured):
    """Each kind with one of the damages, so that each damage is mended several times."""
    damages = [how for how in DAMAGES if how is not remove]
    cases = [(kind, damages[i % len(damages)]) for i, kind in enumerate([*KINDS.values(), *LATER.values()])]
    side_by_side(mended, [(copied(), kind, how) for kind, how in [*cases, (INDEX, empty)]])
    measured(f"{len(cases) + 1} kinds")


def side_by_side(check, cases):
    """Two at a time: most of what Snakemake takes is no work."""
    with ThreadPoolExecutor(2) as pool:
        errors = [task.exception() for task in [pool.submit(check, *case) for case in cases]]
    assert not [error for error in errors if error]
