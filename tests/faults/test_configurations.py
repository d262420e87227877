"""Mutated configurations and configuration files through Snakemake: each is planned, or refused in one message."""

import random
import re
from pathlib import Path

import pytest
from dry_runs import dry_runs
from mutations import assert_planned_or_refused, mutated
from project import ROOT

MUTATIONS = 500
TEXTS = 150


@pytest.mark.fault("mutated configurations, planned by Snakemake", "planned, or refused in one message")
def test_mutated_configurations(share, measured):
    found = [*dry_runs(mutated, range(1000, 1000 + round(MUTATIONS * share)))]
    for run in found:
        assert_planned_or_refused(run)
    planned = sum(run.planned for run in found)
    measured(f"{len(found)} configurations: {planned} planned, {len(found) - planned} refused")
    assert len(found) == round(MUTATIONS * share)
    # Both ends are reached, or the mutations say nothing.
    assert 0.2 < planned / len(found) < 0.7


def mutated_text(seed):
    """The text of config.yaml with a slip of the hand, or of the disk."""
    seeded = random.Random(seed)
    lines = (ROOT / "config.yaml").read_text().splitlines(keepends=True)
    values = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    at = seeded.choice(values)
    line = lines[at]
    place = seeded.randrange(len(line))
    kind = seeded.choice(
        ["removed", "repeated", "tab", "indented", "outdented", "cut", "character", "swapped", "bytes", "key", "list"]
    )
    match kind:
        case "removed":
            del lines[at]
        case "repeated":
            lines.insert(at, line)
        case "tab":
            lines[at] = "\t" + line.lstrip()
        case "indented":
            lines[at] = " " + line
        case "outdented":
            lines[at] = line.removeprefix("  ")
        case "cut":
            lines = [*lines[:at], line[:place]]
        case "character":
            lines[at] = line[:place] + seeded.choice(":{}[],&*#?|-<>=!%@`\"'\\ \0é") + line[place:]
        case "swapped":
            other = seeded.choice(values)
            lines[at], lines[other] = lines[other], line
        case "key":
            lines[at] = line.replace(":", seeded.choice(["", "=", "::", " :", ":\t"]), 1)
        case "list":
            lines[at] = "- " + line
    content = "".join(lines).encode()
    if kind == "bytes":
        middle = seeded.randrange(len(content))
        content = content[:middle] + seeded.randbytes(3) + content[middle:]
    return f"{kind} in line {at + 1}", content, []


@pytest.mark.fault("`config.yaml` with a slip of the hand", "planned, or refused in one message with file and line")
def test_mutated_texts(share, measured):
    found = [*dry_runs(mutated_text, range(TEXTS))]
    for run in found:
        assert_planned_or_refused(run)
    refused = [run for run in found if not run.planned]
    unreadable = [run for run in refused if "the configuration file config.yaml" in run.printed]
    measured(f"{len(found)} texts: {len(refused)} refused, {len(unreadable)} of them no YAML or with a key twice")
    assert len(unreadable) > 0.2 * len(found)
    assert len(found) - len(refused) >= 3
    for run in unreadable:
        assert re.search(r"lines? \d+|it is not text|it holds", run.printed), run.what + run.printed


# Content, and what is said of it as config.yaml.
FILES = {
    "bad indentation": (b"scale: a\n x: 1\n", "line 2, column 3"),
    "a tab": (b"scale:\n\tx: 1\n", "line 2, column 1.*YAML takes no tabs"),
    "a key twice": (b"scale: a\nexecution: {}\nscale: b\n", "the key scale twice, in lines 1 and 3"),
    "a key twice within another": (
        b"execution:\n  threads: 1\n  threads: 2\n",
        "the key threads twice, in lines 2 and 3",
    ),
    "an open bracket": (b"figures: [a\nscale: b\n", "line 2"),
    "no such anchor": (b"scale: *nothing\n", "line 1.*undefined alias"),
    "a list within itself": (b"scale: &a [*a]\n", "line 1: the value that begins here contains itself"),
    "a date": (b"scale: 2026-13-99\n", "month must be in"),
    "binary": (b"\x00\xff\x01\x80", "it is not text"),
    "a zero byte": (b"scale: a\0b\n", "line 1: character 0: special characters are not allowed"),
    "empty": (b"", "it holds nothing"),
    "comments alone": (b"# nothing\n", "it holds nothing"),
    "a list": (b"- scale\n- figures\n", "it holds a list"),
    "a word": (b"scale\n", "it holds only 'scale'"),
    "two documents": (b"scale: a\n---\nscale: b\n", "line 2"),
    "JSON cut short": (b'{"scale": "a"', "line 1"),
    "a tag of Python": (b"scale: !!python/name:os.system\n", "line 1.*could not determine a constructor"),
}


def as_config_yaml(number):
    case = [*FILES][number]
    return case, FILES[case][0], []


@pytest.mark.fault(
    "`config.yaml` that is no configuration: binary, empty, a list, keys twice ...", "refused with its line"
)
def test_config_yaml_that_cannot_be_read(measured):
    found = [*dry_runs(as_config_yaml, range(len(FILES)))]
    for run, (_, says) in zip(found, FILES.values(), strict=True):
        assert_planned_or_refused(run)
        assert not run.planned, run.what
        assert re.search(says, run.printed), run.what + run.printed
    measured(f"{len(found)} files")


def as_overlay(number):
    case = [*FILES][number]
    path = Path("overlays/my.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(FILES[case][0])
    return case, (ROOT / "config.yaml").read_bytes(), [str(path)]


# What Snakemake says, which reads a file after --configfile before the Snakefile, and so before this project can.
SNAKEMAKE_S = (
    "Config file is not valid JSON or YAML. In case of YAML, make sure to not mix whitespace and tab indentation.",
    "Config file must be given as JSON or YAML with keys at top level.",
)


@pytest.mark.fault(
    "a file after `--configfile` that is none, or not there",
    "nothing is started or written; Snakemake's words for some",
)
def test_a_file_after_configfile_that_cannot_be_read():
    """Nothing is started or written; what is said is Snakemake's, but where it takes the file: a key twice, a tag."""
    found = [*dry_runs(as_overlay, range(len(FILES)))]
    for run in found:
        assert not run.planned, run.what
        assert not run.left, run.what
        ours = "my.yaml cannot be used; nothing was started" in run.printed
        theirs = any(said in run.printed for said in SNAKEMAKE_S)
        if "binary" in run.what:
            assert run.printed.strip().splitlines()[-1].startswith("UnicodeDecodeError")
        elif "date" in run.what:
            assert run.printed.strip().splitlines()[-1] == "ValueError: month must be in 1..12"
        else:
            assert ours + theirs == 1, run.what + run.printed
            assert "Traceback" not in run.printed


@pytest.mark.fault(
    "a file after `--configfile` that is none, or not there",
    "nothing is started or written; Snakemake's words for some",
)
@pytest.mark.parametrize(
    ("name", "says"), [("no/where.yaml", "No such file or directory"), ("config", "Is a directory")]
)
def test_a_configfile_that_is_not_there_is_named_in_the_last_line(fresh, name, says):
    """A traceback of Snakemake's own; this project is not asked before."""
    result = fresh.run("--configfile", name)
    assert result.returncode != 0
    last = (result.stdout + result.stderr).strip().splitlines()[-1]
    assert says in last
    assert repr(name) in last
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "figures").exists()
