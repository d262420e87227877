"""The claims as a page of Markdown, as a table for a terminal, and as summaries in other pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication.claims.networks import visible_rise
from replication.figure_registry import FIGURES
from replication.papers import KREISLER, PAPERS
from replication.storage.files import write_text

Row = Mapping[str, Any]

# Of a page of claims, with their headings.
COLUMNS = {
    "id": "id",
    "figure": "from",
    "statement": "statement",
    "check": "why it is no claim",
    "expected": "expected",
    "measured": "measured",
    "tolerance": "tolerance",
    "verdict": "verdict",
    "origin": "kind",
    "reason": "reason for the bound",
    "fails_if": "fails if",
    "control": "null control",
    "note": "note",
    "source": "table",
}

_PARTS = {"Theorem": "theorems", "Lemma": "lemmas", "Equation": "equations"}
_OTHERS, _OWN = "other text", "of no paper"

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"
NETWORKS_BEGIN, NETWORKS_END = "<!-- networks:begin -->", "<!-- networks:end -->"
TOTALS_BEGIN, TOTALS_END = "<!-- totals:begin -->", "<!-- totals:end -->"


def markdown(results: Sequence[Row]) -> str:
    """Return the claims as a page of Markdown, each with its statement and note; below them checks and networks.

    A *check* holds by how the results were chosen or made, and is not counted as a claim.
    """
    without_check = {column: heading for column, heading in COLUMNS.items() if column != "check"}
    lines = ["# Claims", "", _counted(results), "", *_table(claims_of(results), without_check)]
    checks = checks_of(results)
    if checks:
        lines += ["", "## Checks", "", "These hold by how the results were chosen or made. They are not counted above."]
        lines += ["", _counted(checks, "checks"), "", *_table(checks, COLUMNS)]
    shown_networks = networks(results)
    return "\n".join([*lines, *(["", "## Networks", "", shown_networks] if shown_networks else [])]) + "\n"


def claims_of(results: Iterable[Row]) -> list[Row]:
    """Return those that are claims."""
    return [row for row in results if not row["check"]]


def checks_of(results: Iterable[Row]) -> list[Row]:
    """Return those that are checks."""
    return [row for row in results if row["check"]]


def _table(rows: Iterable[Row], columns: Mapping[str, str]) -> list[str]:
    head = [f"| {' | '.join(columns.values())} |", f"|{'---|' * len(columns)}"]
    return [*head, *("| " + " | ".join(shown(row, column) for column in columns) + " |" for row in rows)]


_NETWORKS_HEAD = (
    "| network | images | 2/η | iterations | φ at the start | φ at the end | smallest rise that would show "
    "(median, at worst) |"
)


def networks(results: Iterable[Row]) -> str:
    """Return a Markdown table of the networks' runs, φ the GFS sharpness; empty where there are none.

    What the last column has is defined by :func:`replication.claims.networks.smallest_visible_rises`. A dash: the
    record of the run does not say.
    """
    runs = [run for row in results for run in row["runs"] or ()]
    return "\n".join([_NETWORKS_HEAD, f"|{'---|' * 7}", *map(_network, runs)]) if runs else ""


def _network(run: Mapping[str, Any]) -> str:
    known = [run["architecture"], run["activation"], run["channels"] and f"{run['channels']} channels"]
    described = ", ".join(str(part).replace("_", " ") for part in known if part)
    visible = [visible_rise(run[key]) if run[key] is not None else "-" for key in ("visible", "visible_worst")]
    cells = [
        f"{run['network']}{f' ({described})' if described else ''}",
        " ".join(str(part) for part in (run["images"] and f"{run['images']:,}", run["data"]) if part) or "-",
        f"{run['threshold']:.4g}",
        f"{run['iterations']:,}",
        _with_error(run["start"], run["start_error"]),
        _with_error(run["end"], run["end_error"]),
        f"{visible[0]}, {visible[1]}",
    ]
    return f"| {' | '.join(cells)} |"


def _with_error(value: float | None, error: float | None) -> str:
    """A value to the second digit of its error.

    >>> _with_error(682.134, 20.12), _with_error(198.8734, 0.1378), _with_error(3.0, None)
    ('682 ± 20', '198.87 ± 0.14', '3')
    """
    if value is None:
        return "-"
    if not error:
        return f"{value:.4g}"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def aligned(results: Sequence[Row]) -> str:
    """Return the claims, then the checks in columns for a terminal; below them what is said by those that do not hold,
    and why."""
    ordered = [*claims_of(results), *checks_of(results)]
    table = [("id", "verdict", "expected", "measured", "from")]
    table += [(row["id"], row["verdict"], expected(row), measured(row), row["figure"]) for row in ordered]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table)
    lines = [line.rstrip() for line in padded]
    if len(claims_of(ordered)) < len(ordered):
        lines.insert(1 + len(claims_of(ordered)), "checks, which hold by how the results were chosen or made:")
    for row in ordered:
        if row["verdict"] != "holds":
            lines += ["", f"{row['id']} ({row['figure']}): {row['verdict']}", f"    {stated(row)}"]
            lines += [f"    {row['note']}"] if row["note"] else []
            lines += [f"    measured in {source(row)}"] if row["source"] else []
    counted = [_counted(results), *([_counted(checks, "checks")] if (checks := checks_of(results)) else [])]
    return "\n".join([*lines, "", *counted])


def measured(row: Row) -> str:
    """Return what was measured; to more digits where the claim fails, as it may be next to what is allowed.

    >>> measured({"measured": 1.10024, "error": None, "verdict": "fails"})
    '1.10024'
    >>> measured({"measured": 1.05024, "error": 0.0372, "verdict": "holds"})
    '1.05 ± 0.037'
    """
    error = f" ± {cell(row['error'], 2)}" if row["error"] else ""
    return cell(row["measured"], 6 if row["verdict"] == "fails" else 4) + error


def source(row: Row) -> str:
    """Return the table that a claim was judged by; of one in several files their paths as a shell takes them.

    >>> source({"source": ["results/tables/a.parquet", "results/tables/b.parquet"]})
    'results/tables/{a,b}.parquet'
    """
    paths = [Path(path) for path in row["source"] or ()]
    if len(paths) > 1:
        return f"{paths[0].parent}/{{{','.join(path.stem for path in paths)}}}{paths[0].suffix}"
    return str(paths[0]) if paths else ""


def stated(row: Row) -> str:
    """Return what a claim says, with what is measured of it."""
    return row["statement"] + (f" ({row['quantity']})" if row["quantity"] else "")


def control(row: Row) -> str:
    """Return what a claim gives on its null control.

    >>> control({"control": {"words": "a shuffled loss", "verdict": "fails", "measured": 0.34567}})
    'with a shuffled loss: fails, 0.346'
    """
    if not row["control"]:
        return ""
    value, said = row["control"]["measured"], f"with {row['control']['words']}: {row['control']['verdict']}"
    # Counts are whole; infinity is a word in JSON.
    whole = isinstance(value, float) and value.is_integer()
    return said if value is None else f"{said}, {f'{value:.0f}' if whole else cell(value, 3)}"


# Columns that are shown otherwise than they are.
_SHOWN: Mapping[str, Callable[[Row], str]] = {
    "statement": stated,
    "measured": measured,
    "origin": lambda row: row["origin"]["kind"],
    "control": control,
    "source": source,
}


def shown(row: Row, column: str) -> str:
    """Return what a table shows in a column of a claim."""
    return _SHOWN[column](row) if column in _SHOWN else cell(row[column])


def expected(row: Row) -> str:
    """Return the relation that a claim asks for, its tolerance included; empty where nothing measures it."""
    if row["expected"] is None:
        return ""
    sign = {"<=": "+", ">=": "-"}.get(row["relation"], "±")
    return row["expected"] + (f" {sign} {cell(row['tolerance'])}" if row["tolerance"] else "")


def summary(scales: Sequence[Sequence[Row]]) -> str:
    """Return a Markdown table of how many claims of each figure and kind of statement hold, a column per scale.

    Its last row counts the checks, which are not among the claims. Below it stand those that do not hold, with their
    numbers. The scales have the same claims.
    """
    found = [claims_of(results) for results in scales]
    groups = sorted({group(row) for row in found[0]}, key=_place)
    names = [_scale(results) for results in scales]
    lines = ["| from | number | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(scales)]
    for name in groups:
        lines.append(_summed(name, [[row for row in results if group(row) == name] for results in found]))
    lines.append(_summed("all claims", found))
    checks = [checks_of(results) for results in scales]
    if checks[0]:
        lines.append(_summed("checks (true by choice or construction)", checks))
    rest = [row for results in scales for row in results if row["verdict"] != "holds"]
    return "\n".join([*lines, *(["", "What does not hold:", ""] if rest else []), *map(_item, rest)])


def _summed(name: str, parts: Sequence[Sequence[Row]]) -> str:
    return f"| {name} | {len(parts[0])} | " + " | ".join(_verdicts(part) for part in parts) + " |"


def group(row: Row) -> str:
    """Return what a claim is counted with: its figure, or the part of the paper; of other papers those."""
    if row["paper"] != KREISLER:
        return PAPERS[row["paper"]] if row["paper"] else _OWN
    if row["figures"]:
        return FIGURES[next(iter(row["figures"]))].label.lower()
    return _PARTS.get(row["origin"]["part"], _OTHERS)


def _place(name: str) -> int:
    """Figures in their order, then the other groups and papers in theirs."""
    figures = [figure.label.lower() for figure in FIGURES.values()]
    return [*figures, *_PARTS.values(), _OTHERS, *PAPERS.values(), _OWN].index(name)


def between(page: str, begin: str, end: str, text: str) -> str:
    """Return a page with ``text`` between two markers.

    Raises:
        UserError: the page has no such place.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise UserError(f"no place for the claims: the page needs {begin} and, further down, {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def update(path: Path, scales: Sequence[Sequence[Row]]) -> None:
    """Write the totals, the summary and the networks of the last scale into the page at ``path``, where it has a place.

    Raises:
        UserError: the page has a place for none of them.
    """
    page = path.read_text(encoding="utf-8")
    places = [
        (TOTALS_BEGIN, TOTALS_END, totals(scales)),
        (BEGIN, END, summary(scales)),
        (NETWORKS_BEGIN, NETWORKS_END, networks(scales[-1])),
    ]
    found = [place for place in places if place[0] in page]
    if not found:
        raise UserError(f"{path} has no place for the claims, such as {BEGIN} and, further down, {END}")
    for begin, end, text in found:
        page = between(page, begin, end, text)
    write_text(path, page)


def totals(scales: Sequence[Sequence[Row]]) -> str:
    """Return a Markdown table of how many claims hold, fail and are not attempted, a row per scale."""
    counts = [_count(claims_of(results)) for results in scales]
    rows = [[_scale(results), *map(str, count.values())] for results, count in zip(scales, counts, strict=True)]
    head = ["claims", *counts[0]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _scale(results: Sequence[Row]) -> str:
    return f"scale {results[0]['scale']}"


def _item(row: Row) -> str:
    """A claim that does not hold, in one item of a list."""
    number = row["undecided"] or f"{measured(row)}, expected {expected(row)}"
    return f"- {_scale([row])}, {group(row)}: `{row['id']}` {row['verdict']}: {number}"


def _count(results: Iterable[Row]) -> dict[str, int]:
    verdicts = [row["verdict"] for row in results]
    return {verdict: verdicts.count(verdict) for verdict in ("holds", "fails", "not attempted")}


def _counted(results: Sequence[Row], named: str = "claims") -> str:
    counted = results if named == "checks" else claims_of(results)
    count = _count(counted)
    attempted = count["holds"] + count["fails"]
    held = f"{count['holds']} hold, {count['fails']} {'fails' if count['fails'] == 1 else 'fail'}"
    scale = results[0]["scale"] if results else "none"
    return f"Scale: {scale}. Of {len(counted)} {named} {attempted} were attempted: {held}."


def _verdicts(results: Sequence[Row]) -> str:
    count = _count(results)
    said = {"holds": "hold", "fails": "**fail**", "not attempted": "not attempted"}
    return ", ".join(f"{count[verdict]} {words}" for verdict, words in said.items() if count[verdict])


def cell(value: Any, digits: int = 4) -> str:
    """Return a value as a table shows it; None, where nothing measures it, as nothing."""
    if value is None:
        return ""
    # Infinity is a word in JSON.
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
