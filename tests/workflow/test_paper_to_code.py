"""docs/paper-to-code.md: every link leads somewhere, and nothing of the paper's list is left out."""

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from project import ROOT

from replication import claims, figure_registry
from replication.studies.scalar import theorems

PAGE = ROOT / "docs/paper-to-code.md"
TEXT = PAGE.read_text(encoding="utf-8")
HEAD = ["in the paper", "what", "code", "rule or key", "tests", "claims"]


@dataclass(frozen=True)
class Link:
    """A name in backquotes and the file that it leads to; None without one."""

    name: str
    path: Path | None


@dataclass(frozen=True)
class Row:
    paper: str
    cells: dict[str, str]

    def links(self, column: str) -> list[Link]:
        found = re.findall(r"(\[)?`([^`]+)`(?:\]\(([^)]+)\))?", self.cells[column])
        return [Link(name, (PAGE.parent / path).resolve() if path else None) for _, name, path in found]


def rows_of(text: str) -> list[Row]:
    lines = [line.strip("| ").split(" | ") if line.startswith("|") else None for line in text.splitlines()]
    rows = []
    for cells in lines:
        if cells is None or set(cells[0]) <= {"-", "|"}:
            continue
        cells = [cell.strip(" |") for cell in cells] + [""] * (len(HEAD) - len(cells))
        assert len(cells) == len(HEAD), cells
        if cells != HEAD:
            rows.append(Row(cells[0], dict(zip(HEAD, cells, strict=True))))
    return rows


ROWS = rows_of(TEXT)


def imported(name: str) -> object:
    """Return what a dotted name stands for; a name that a package exports goes before a module of that name."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


@cache
def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@cache
def rules_in(path: Path) -> set[str]:
    named = set(re.findall(r"^(?:rule|checkpoint) (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    return named | set(figure_registry.FIGURES) if path.name == "figures.smk" else named


def has_key(settings: object, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True


def numbers(prefix: str) -> set[int]:
    """The numbers after a word such as 'equation', single, listed or 'n to m', in the first column."""
    found: set[int] = set()
    for row in ROWS:
        for text in re.findall(rf"{prefix}s? ((?:\d+(?: to |, )?)+)", row.paper, re.IGNORECASE):
            for part in text.split(", "):
                first, *last = map(int, part.split(" to ")) if part else (0,)
                found |= set(range(first, (last[0] if last else first) + 1))
    return found


def is_code(link: Link, _) -> bool:
    if link.name.startswith(("gfsharp.", "replication.")):
        try:
            return link.path == Path(inspect.getsourcefile(inspect.unwrap(imported(link.name)))).resolve()
        except (ImportError, AttributeError):
            return False
    return link.path is None or (link.path.is_file() and link.name == link.path.name)


def is_test(link: Link, _) -> bool:
    file, name = link.name.split("::")
    return link.path.parents[1] == ROOT / "tests" and link.path.name == file and name in names_of_tests(link.path)


def is_rule_or_key(link: Link, config) -> bool:
    if link.path is None:
        return has_key(config, link.name)
    return link.path.parent == ROOT / "workflow/rules" and link.name in rules_in(link.path)


CHECKS = {"code": is_code, "rule or key": is_rule_or_key, "tests": is_test}


def dead(column: str, rows: list[Row], config) -> set[str]:
    """Return the names of a column that lead nowhere."""
    links = {link for row in rows for link in row.links(column)}
    assert links
    return {link.name for link in links if not CHECKS[column](link, config)}


def test_files_exist():
    paths = set(re.findall(r"\]\((?!#)([^)]+)\)", TEXT))
    assert not [path for path in paths if not (PAGE.parent / path).is_file()]


@pytest.mark.parametrize("column", CHECKS)
def test_no_link_is_dead(column, config):
    assert not dead(column, ROWS, config)


@pytest.mark.parametrize(
    ("column", "name", "other"),
    [
        ("code", "gfsharp.scalar.gpgd_step", "gfsharp.scalar.gpgd_stop"),
        ("code", "../src/gfsharp/scalar/network.py", "../src/gfsharp/scalar/solution.py"),
        ("code", "../src/replication/figures/figure01.py", "../src/replication/figures/figure99.py"),
        ("tests", "::test_holds", "::test_holds_not"),
        ("rule or key", "[`gpgd`]", "[`gpgb`]"),
        ("rule or key", "`scalar.start`", "`scalar.stop`"),
    ],
)
def test_a_dead_link_is_found(column, name, other, config):
    assert name in TEXT
    assert dead(column, rows_of(TEXT.replace(name, other)), config)


def test_claims_exist_and_all_are_there():
    named = {link.name for row in ROWS for link in row.links("claims")}
    assert named == {claim.id for claim in claims.CLAIMS}


def test_what_is_not_computed_says_why():
    for row in ROWS:
        code = row.cells["code"]
        if row.links("code"):
            assert row.links("tests"), row.paper
        else:
            assert re.match(r"none(?: by itself)?: \w.{20,}", code), row.paper


def test_every_figure_has_a_row_with_its_module_and_its_rule():
    assert numbers("figure") == set(range(1, 14))
    for figure in figure_registry.FIGURES:
        (row,) = [row for row in ROWS if row.paper == figure_registry.FIGURES[figure].label]
        assert [link.name for link in row.links("code")] == [f"{figure_registry.FIGURES[figure].module}.py"]
        assert row.links("rule or key")[0].name == figure


def test_every_statement_that_is_sampled_has_its_row():
    for statement in theorems.STATEMENTS:
        kind, number = statement.id.split("-")[:2]
        # Parts of one lemma, as 3.9.1, share its row.
        numbers = {number, ".".join(number.split(".")[:2])}
        rows = [
            row for row in ROWS if kind in row.paper.lower() and numbers & set(re.findall(r"\w+(?:\.\w+)*", row.paper))
        ]
        assert any(Link(statement.id, None) in row.links("claims") for row in rows), statement.id


def test_every_equation_definition_and_appendix_is_mentioned():
    assert numbers("equation") == set(range(1, 89))
    mentioned = set(re.findall(r"\w+(?:\.\w+)*", "\n".join(row.paper for row in ROWS)))
    wanted = {"1.1", "3.1", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"}
    wanted |= {"3.2", "3.3", "D.1", "F.1", "F.3", "G.1", "G.2", "G.5", "H.1", "I.1", *"ACDEFGHI"}
    wanted |= {f"B.{n}" for n in (1, 2, 3, 4, 5)} | {f"E.{n}" for n in (1, 3, 4, 5, 6)}
    assert wanted <= mentioned
