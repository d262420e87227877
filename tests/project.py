"""A small copy of the project, in which the workflow is run as a user would."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from replication.storage import files

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
# In each figure something diverges, overflows or is NaN.
BROKEN = [TINY, ROOT / "tests/faults/broken.yaml"]
# What a checkout has besides, and an archive needs.
BESIDE = [
    "pyproject.toml",
    "uv.lock",
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    "README.md",
    ".gitignore",
    "tests/tiny.yaml",
]
PARTS = ["Snakefile", "config.yaml", "config", "envs", "examples", "src", "workflow"]


@dataclass(frozen=True)
class Project:
    """A copy of the project, in which snakemake is run as a user would."""

    folder: Path

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake with the small configuration and return what it printed."""
        return self.run("--configfile", str(TINY), "--", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        # Threads that wait must not spin: beside other work on the machine that takes ten times as long.
        environment = {**os.environ, "COLUMNS": "200", "OMP_WAIT_POLICY": "PASSIVE"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=840, check=False
        )

    def planned(self, *arguments: str) -> set[str]:
        """Return the rules that a dry run would execute."""
        result = self.run("--dry-run", "--quiet", "host", "--configfile", str(TINY), *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return rules_in(result.stdout + result.stderr)


def rules_in(printed: str) -> set[str]:
    """Return the rules that a dry run has printed."""
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", printed, re.MULTILINE))


def checksums(folder: Path, *suffixes: str) -> dict[str, str]:
    """Return the SHA-256 of each file below ``folder`` with one of the suffixes, of all tables and tensors for none."""
    paths = [path for suffix in suffixes or ("parquet", "safetensors") for path in folder.rglob(f"*.{suffix}")]
    return {str(path.relative_to(folder)): files.sha256(path) for path in paths}


def copy_project(folder: Path) -> Project:
    """Copy what the workflow consists of, without results."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    (folder / "profiles").symlink_to("workflow/profiles")
    return Project(folder)


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody, and return what it prints."""
    settings = ["user.name=A", "user.email=a@example.org", "commit.gpgsign=false"]
    options = [word for setting in settings for word in ("-c", setting)]
    run = subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def make_checkout(folder: Path) -> None:
    """Make a copy of the project a git checkout, with what that has besides."""
    for name in BESIDE:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "init")
    commit_all(folder)


def commit_all(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "-m", "all")
