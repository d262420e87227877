"""What the configuration's comments say of each value, and the page that is made of it."""

import re

import pytest
import yaml
from project import ROOT

from gfsharp.errors import UserError
from replication import claims, value_sources
from replication.reporting import deviations
from replication.variants import value_at

FILES = ["config.yaml", "config/paper.yaml"]


def read(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return [(found.key, found.value, found.mark, found.comment) for found in value_sources.read(path)]


def test_a_comment_is_of_the_key_below_it_whatever_is_nested_above(tmp_path):
    text = """
# [ours] A name.
scale: default
a:
  b-c: &anchor
    # [open] One,
    # in two lines.
    d: [1, 2]  # not this
    # Of no value.
    e: {f: 1}
  g:
    <<: *anchor
    # [text]
    h: "x: y"
# [text] Two, [open] these.
i:
  j: 1
# [named: Some et al. 2020, eq. 2] Three.
k: 3
# [named] Of no source, so no mark.
l: 4
"""
    assert read(tmp_path, text) == [
        ("scale", "default", "ours", "A name."),
        ("a.b-c.d", [1, 2], "open", "One, in two lines."),
        ("a.g.h", "x: y", "text", ""),
        ("i", {"j": 1}, "open", "Two, [open] these."),
        ("k", 3, "named", "Three."),
    ]


def test_a_named_value_says_its_source(tmp_path):
    (tmp_path / "config.yaml").write_text("# [named: Some et al. 2020] One.\na: 1\n# [text]\nb: 2\n")
    assert [found.source for found in value_sources.read(tmp_path / "config.yaml")] == ["Some et al. 2020", None]


def test_a_marked_comment_without_a_key_is_named_with_its_line(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml, line 3: the marked comment"):
        read(tmp_path, "a:\n  # [open] Which?\n  - 1\n")


@pytest.mark.parametrize(
    ("comment", "replaces"),
    [
        ("[ours] The paper: CIFAR-10.", True),
        ("[ours] 64 in the paper's size.", True),
        ("[ours] As at the paper's scale.", False),
        ("[ours] Threads.", False),
        ("[text] The paper.", False),
        ("[named: Some et al. 2020] The paper.", False),
    ],
)
def test_what_takes_the_place_of_the_paper_s_names_the_paper(tmp_path, comment, replaces):
    (tmp_path / "config.yaml").write_text(f"# {comment}\na: 1\n")
    (found,) = value_sources.read(tmp_path / "config.yaml")
    assert found.replaces_the_paper_s == replaces


@pytest.mark.parametrize("name", FILES)
def test_every_marked_value_is_found_with_its_value(name):
    found = list(value_sources.read(ROOT / name))
    content = yaml.safe_load((ROOT / name).read_text())
    assert len(found) == len(
        re.findall(r"^ *# \[(?:text|named: [^\]]+|open|ours)\]", (ROOT / name).read_text(), re.MULTILINE)
    )
    assert len({annotation.key for annotation in found}) == len(found)
    for annotation in found:
        assert annotation.value == value_at(content, annotation.key)


@pytest.mark.parametrize("name", FILES)
def test_what_is_open_says_why(name):
    assert [
        found.key for found in value_sources.read(ROOT / name) if found.mark == "open" and len(found.comment) < 5
    ] == []


@pytest.mark.slow
def test_the_page_is_current():
    assert deviations.PAGE.read_text(encoding="utf-8") == deviations.page(), "make deviations"


def test_the_page_has_what_is_open_and_every_tolerance():
    page = deviations.page()
    for annotation in value_sources.read(ROOT / "config.yaml"):
        if annotation.mark == "open" or annotation.replaces_the_paper_s:
            assert f"\n| `{annotation.key}` |" in page
    for claim in claims.CLAIMS:
        if claim.tolerance > 0:
            assert f"\n| `{claim.id}` |" in page


def test_what_the_page_links_to_is_there():
    linked = re.findall(r"\]\(([^)]+)\)", deviations.page())
    assert len(linked) > 10
    assert [link for link in linked if not (deviations.PAGE.parent / link).exists()] == []


@pytest.mark.slow
def test_a_change_of_the_configuration_makes_the_page_another(tmp_path, monkeypatch):
    before = deviations.page()
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text().replace("label_deviation: 1.0", "label_deviation: 1.5"))
    monkeypatch.setattr(deviations, "ROOT", tmp_path)
    monkeypatch.setattr(deviations, "_tolerances", list)
    assert "| `data.gaussian.label_deviation` | 1.5 |" in deviations.page()
    assert "| `data.gaussian.label_deviation` | 1.0 |" in before


def test_it_is_written_where_it_is_asked_for(tmp_path):
    deviations.main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text().startswith("# Deviations\n")
