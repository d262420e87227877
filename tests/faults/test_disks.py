"""Disks that are full, read-only or elsewhere: named, nothing half-written kept, gone on with once there is room."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from disturbed import Pipeline, ended

# In a mount namespace of its own, where no root is needed; what is mounted goes with it.
NAMESPACE = ["unshare", "--map-root-user", "--mount", "--user", "bash", "-c"]


def can_mount():
    if not shutil.which("unshare"):
        return False
    trial = [*NAMESPACE, "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    not can_mount(), reason="this system lets nobody but root mount (unshare --user --mount)"
)


def in_namespace(pipeline, *steps):
    """Run the steps in a shell in which ``results`` can be mounted; ``run`` there is Snakemake."""
    command = " ".join([sys.executable, "-m", "snakemake", *pipeline.arguments])
    (pipeline.folder / "results").mkdir()
    script = "\n".join([f"run() {{ {command}; }}", *steps])
    return subprocess.run(
        [*NAMESPACE, script], cwd=pipeline.folder, capture_output=True, text=True, timeout=800, check=False
    )


def between(text, first, last):
    return text.split(first)[1].split(last)[0]


def assert_went_on(pipeline, undisturbed, result, said):
    """All steps did as they should, the system's words were passed on, and the copied results are bit-identical."""
    assert result.returncode == 0, result.stdout + result.stderr
    assert said in result.stdout + result.stderr
    shutil.rmtree(pipeline.folder / "results")
    (pipeline.folder / "copy").rename(pipeline.folder / "results")
    assert pipeline.checksums() == undisturbed.checksums()


@needs_mounts
@pytest.mark.fault(
    "the disk of the results is full", "says so without a traceback, keeps nothing half-written; goes on with room"
)
@pytest.mark.parametrize("kilobytes", [4, 60, 120])
def test_full(tmp_path, undisturbed, measured, kilobytes):
    pipeline = Pipeline(tmp_path / "project")
    result = in_namespace(
        pipeline,
        f"mount -t tmpfs -o size={kilobytes}k tmpfs results",
        "run && exit 9",
        "echo HALF-WRITTEN",
        "find results -name '.*.part*'",
        "echo END",
        "mount -o remount,size=100m results",
        "run || exit 8",
        "cp -a results copy",
    )
    assert_went_on(pipeline, undisturbed, result, "No space left on device")
    assert "Traceback" not in result.stdout + result.stderr
    assert between(result.stdout, "HALF-WRITTEN\n", "END\n") == ""
    measured(f"{kilobytes} kB")


@needs_mounts
@pytest.mark.fault(
    "the disk of everything is full, of Snakemake's own notes too",
    "says so in Snakemake's words; `make resume` goes on",
)
def test_everything_full(tmp_path, undisturbed):
    pipeline = Pipeline(tmp_path / "project")
    resume = " ".join([sys.executable, "workflow/resume.py", *pipeline.arguments])
    parts = "Snakefile config.yaml config envs examples profiles src workflow slow_network.py"
    result = in_namespace(
        pipeline,
        f"mkdir disk && mount -t tmpfs -o size=100m tmpfs disk && cp -a {parts} disk && cd disk",
        # Room for the first jobs and not for all.
        "mount -o remount,size=$(( $(du -sk . | cut -f 1) + 300 ))k .",
        f"{resume} && exit 9",
        "mount -o remount,size=100m .",
        f"{resume} || exit 8",
        "cp -a results ../copy",
    )
    assert_went_on(pipeline, undisturbed, result, "No space left on device")
    assert pipeline.left_overs() == []


@needs_mounts
@pytest.mark.fault(
    "the disk of the results is read-only", "says so without a traceback; goes on once it can be written"
)
def test_read_only(tmp_path, undisturbed):
    pipeline = Pipeline(tmp_path / "project")
    result = in_namespace(
        pipeline,
        "mount -t tmpfs -o size=100m tmpfs results",
        "mount -o remount,ro results",
        "run && exit 9",
        "mount -o remount,rw results",
        "run || exit 8",
        "cp -a results copy",
    )
    assert_went_on(pipeline, undisturbed, result, "Read-only file system")
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system (/dev/shm) here")
@pytest.mark.fault("results on another file system, through a link", "bit-identical")
def test_another_file_system(tmp_path, undisturbed):
    pipeline = Pipeline(tmp_path / "project")
    elsewhere = Path("/dev/shm") / f"gfs-{tmp_path.name}-{tmp_path.parent.name}"
    elsewhere.mkdir()
    try:
        (pipeline.folder / "results").symlink_to(elsewhere)
        assert elsewhere.stat().st_dev != pipeline.folder.stat().st_dev
        assert ended(pipeline.start()) == 0, pipeline.printed()
        assert pipeline.checksums() == undisturbed.checksums()
        assert pipeline.left_overs() == []
    finally:
        shutil.rmtree(elsewhere)
