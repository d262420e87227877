"""The pages: links to files and to headings lead somewhere."""

import re

import pytest
from project import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]


def headings(path):
    """Return the names by which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(path, text):
    """Return the links of a page that lead to no file, or to no heading of a page."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, heading = link.partition("#")
        target = path.parent / file if file else path
        if re.match(r"https?://", link):
            continue
        if not target.exists() or (heading and heading not in headings(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    assert not dead_links(path, path.read_text(encoding="utf-8"))


def test_dead_links_are_found():
    text = "[a](nothing.md) [b](LICENSE) [c](#three-commands) [d](#nothing) [e](README.md#nothing) [f](https://example.org)"
    assert dead_links(ROOT / "README.md", text) == ["nothing.md", "#nothing", "README.md#nothing"]


def missing_tests(text):
    """Return the tests that a page names, as ``file::name``, and that are not there."""
    missing = []
    for file, name in re.findall(r"`(\w+)::(\w+)`", text):
        paths = [*(ROOT / "tests").glob(f"*/test_{file}.py")]
        if not any(f"def test_{name}(" in path.read_text(encoding="utf-8") for path in paths):
            missing.append(f"{file}::{name}")
    return missing


def test_the_tests_that_a_page_names_are_there():
    text = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    assert text.count("::") > 20
    assert not missing_tests(text)
    assert missing_tests("`pages::dead_links_are_found` `pages::nothing` `nothing::dead_links_are_found`") == [
        "pages::nothing",
        "nothing::dead_links_are_found",
    ]
