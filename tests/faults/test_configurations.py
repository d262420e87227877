"""Mutated configurations and configuration files through Snakemake: each is planned, or refused in one message."""

import re

import pytest
from dry_runs import dry_runs
from project import ROOT
from test_configuration_fuzz import assert_planned_or_refused, mutated

MUTATIONS = 500
TEXTS = 150


@pytest.mark.fault("mutated configurations, planned by Snakemake", "planned, or refused in one message")
def test_mutated_configurations(measured):
    found = [*dry_runs(mutated, range(1000, 1000 + MUTATIONS))]
    for run in found:
        assert_planned_or_refused(run)
    planned = sum(run.planned for run in found)
    measured(f"{len(found)} configurations: {planned} planned, {len(found) - planned} refused")
    assert len(found) == MUTATIONS
    # Both ends are reached, or the mutations say nothing.
    assert 0.2 * MUTATIONS < planned < 0.7 * MUTATIONS


def mutated_text(seeded):
    """The text of config.yaml with a slip of the hand, or of the disk."""
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
def test_mutated_texts(measured):
    found = [*dry_runs(mutated_text, range(TEXTS))]
    for run in found:
        assert_planned_or_refused(run)
    refused = [run for run in found if not run.planned]
    unreadable = [run for run in refused if "the configuration file config.yaml" in run.printed]
    measured(f"{len(found)} texts: {len(refused)} refused, {len(unreadable)} of them no YAML or with a key twice")
    assert len(unreadable) > 0.2 * TEXTS
    assert len(found) - len(refused) > 0.1 * TEXTS
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
    "a list within itself": (b"scale: &a [*a]\n", "cannot be used"),
    "a date": (b"scale: 2026-13-99\n", "month must be in"),
    "binary": (b"\x00\xff\x01\x80", "it is not text"),
    "a zero byte": (b"scale: a\0b\n", "cannot be used"),
    "empty": (b"", "it holds nothing"),
    "comments alone": (b"# nothing\n", "it holds nothing"),
    "a list": (b"- scale\n- figures\n", "it holds a list"),
    "a word": (b"scale\n", "it holds only 'scale'"),
    "two documents": (b"scale: a\n---\nscale: b\n", "line 2"),
    "JSON cut short": (b'{"scale": "a"', "line 1"),
    "a tag of Python": (b"scale: !!python/name:os.system\n", "line 1.*could not determine a constructor"),
}


@pytest.mark.fault(
    "`config.yaml` that is no configuration: binary, empty, a list, keys twice ...", "refused with file and line"
)
@pytest.mark.parametrize("case", FILES)
def test_config_yaml_that_cannot_be_read(fresh, case):
    content, says = FILES[case]
    (fresh.folder / "config.yaml").write_bytes(content)
    result = fresh.run("-n")
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert re.search(says, printed), printed
    assert printed.count("config.yaml cannot be used; nothing was started") == 1 or case == "a list within itself"
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()
