"""What is installed where: the lock, the conda environment, the checks before a commit, the layout."""

import re
import tomllib

import yaml
from project import ROOT

from replication.figure_registry import FIGURES

LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_conda_environment_agrees_with_the_lock():
    locked = {package["name"]: package["version"] for package in LOCK["package"]}
    environment = yaml.safe_load((ROOT / "envs/gfs.yaml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    pins = {}
    for requirement in pip:
        name, version = re.match(r"([\w.-]+)==([^ ;]+)", requirement).groups()
        pins[name] = version
    assert {name: locked[name] for name in pins} == pins
    direct = {re.match(r"[\w-]+", dependency).group() for dependency in PROJECT["dependency-groups"]["replication"]}
    # Snakemake and its executors start the jobs; within one they are not needed.
    assert {name for name in direct if not name.startswith("snakemake")} <= set(pins)


def test_lock_has_one_version_of_each_package():
    names = [package["name"] for package in LOCK["package"]]
    assert len(set(names)) == len(names)


def test_the_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    version = PROJECT["project"]["version"]
    # Until it is released the first version is the one that is being prepared.
    assert sections[1:2] == [version] or f"Version {version} is in preparation" in text
    locked = {package["name"]: package["version"] for package in LOCK["package"]}
    assert locked["gfsharp"] == version


def test_what_is_checked_before_a_commit_is_make_lint():
    recipe = re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    lint = [line.replace("$(SNAKEMAKE)", ".venv/bin/snakemake") for line in recipe.split("\n\t")]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == [line.strip() for line in lint]
    # The whole project at each commit, by what the lock has installed: nothing else is downloaded.
    assert repository["repo"] == "local"
    for hook in hooks:
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", False, True), hook["id"]


def test_every_rule_has_a_script_of_its_name_and_every_figure_a_caption():
    rules = set()
    for path in [*(ROOT / "workflow/rules").glob("*.smk"), ROOT / "workflow/redraw.smk"]:
        text = path.read_text()
        # The rules of the figures, made in a loop, have one script.
        names = re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE)
        names += ["figure"] * text.count("    rule:\n")
        scripts = re.findall(r'"(?:\.\./)?scripts/(\w+)\.py"', text)
        assert scripts == names
        # What is drawn again is no new measurement.
        for keyword in ("log:", "conda:", *(["benchmark:"] if names != ["redrawn"] else [])):
            assert text.count(keyword) == len(names), (path, keyword)
        rules |= set(names)
    assert {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")} == rules | {"_job"}
    assert set(FIGURES) <= {path.stem for path in (ROOT / "workflow/report").glob("*.rst")}
