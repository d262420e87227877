"""The claims as a page of Markdown, as a table for a terminal, and as the summary in README.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gfs.claims.claim import PAPER, PAPERS
from gfs.errors import UserError
from gfs.files import write_text

Row = Mapping[str, Any]

# Of a page of claims, with their headings.
_COLUMNS = {
    "id": "id",
    "figure": "from",
    "statement": "statement",
    "expected": "expected",
    "measured": "measured",
    "tolerance": "tolerance",
    "verdict": "verdict",
    "note": "note",
    "source": "table",
}

_KINDS = {"Theorem": "theorems", "Lemma": "lemmas", "Equation": "equations"}
_OTHERS = "other text"

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def markdown(results: Sequence[Row]) -> str:
    """Return the claims as a page of Markdown, each with its statement and note."""
    lines = [
        "# Claims",
        "",
        _counted(results),
        "",
        f"| {' | '.join(_COLUMNS.values())} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for row in results:
        lines.append("| " + " | ".join(shown(row, column) for column in _COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def aligned(results: Sequence[Row]) -> str:
    """Return the claims in columns for a terminal; below them what is said by those that do not hold, and why."""
    table = [("id", "verdict", "expected", "measured", "from")]
    table += [(row["id"], row["verdict"], expected(row), measured(row), row["figure"]) for row in results]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table)
    lines = [line.rstrip() for line in padded]
    for row in results:
        if row["verdict"] != "holds":
            lines += ["", f"{row['id']} ({row['figure']}): {row['verdict']}", f"    {row['statement']}"]
            lines += [f"    {row['note']}"] if row["note"] else []
            lines += [f"    measured in {source(row)}"] if row["source"] else []
    return "\n".join([*lines, "", _counted(results)])


def measured(row: Row) -> str:
    """Return what was measured; to more digits where the claim fails, as it may be next to what is allowed.

    >>> measured({"measured": 1.10024, "verdict": "fails"}), measured({"measured": 1.05024, "verdict": "holds"})
    ('1.10024', '1.05')
    """
    return cell(row["measured"], 6 if row["verdict"] == "fails" else 4)


def source(row: Row) -> str:
    """Return the table that a claim was judged by; of one in several files their paths as a shell takes them.

    >>> source({"source": ["results/tables/a.parquet", "results/tables/b.parquet"]})
    'results/tables/{a,b}.parquet'
    """
    paths = [Path(path) for path in row["source"] or ()]
    if len(paths) > 1:
        return f"{paths[0].parent}/{{{','.join(path.stem for path in paths)}}}{paths[0].suffix}"
    return str(paths[0]) if paths else ""


# Columns that are shown otherwise than they are.
_SHOWN = {"measured": measured, "source": source}


def shown(row: Row, column: str) -> str:
    """Return what a table shows in a column of a claim."""
    return _SHOWN[column](row) if column in _SHOWN else cell(row[column])


def expected(row: Row) -> str:
    """Return the relation that a claim asks for, its tolerance included; empty where nothing measures it."""
    if row["expected"] is None:
        return ""
    sign = {"<": "+", ">": "-", "=": "±"}[row["expected"][0]]
    return row["expected"] + (f" {sign} {cell(row['tolerance'])}" if row["tolerance"] else "")


def summary(scales: Sequence[Sequence[Row]]) -> str:
    """Return a Markdown table of how many claims of each figure and kind of statement hold, a column per scale.

    Below it stand those that do not hold, with their numbers. The scales have the same claims.
    """
    groups = sorted({group(row) for row in scales[0]}, key=_place)
    names = [_scale(results) for results in scales]
    lines = ["| from | claims | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(scales)]
    for name in groups:
        parts = [[row for row in results if group(row) == name] for results in scales]
        lines.append(f"| {name} | {len(parts[0])} | " + " | ".join(_verdicts(part) for part in parts) + " |")
    lines.append(f"| all | {len(scales[0])} | " + " | ".join(_verdicts(results) for results in scales) + " |")
    rest = [row for results in scales for row in results if row["verdict"] != "holds"]
    return "\n".join([*lines, *(["", "What does not hold:", ""] if rest else []), *map(_item, rest)])


def group(row: Row) -> str:
    """Return what a claim is counted with: its figure, or the kind of statement that it is; of other papers those."""
    if row["paper"] != PAPER:
        return PAPERS[row["paper"]]
    number = re.match(r"\d+", row["figure"])
    if number:
        return f"figure {number[0]}"
    kind = row["figure"].split(" ")[0]
    return _KINDS.get(kind, _OTHERS)


def _place(name: str) -> tuple[int, int]:
    """Figures in their order, then the other groups and papers in theirs."""
    if name.startswith("figure "):
        return 0, int(name.removeprefix("figure "))
    return 1, [*_KINDS.values(), _OTHERS, *PAPERS.values()].index(name)


def with_summary(page: str, text: str) -> str:
    """Return a page with ``text`` between its markers.

    Raises:
        UserError: the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"no place for the claims: the page needs {BEGIN} and, further down, {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def update(path: Path, scales: Sequence[Sequence[Row]]) -> None:
    """Write the summary into the page at ``path``."""
    write_text(path, with_summary(path.read_text(encoding="utf-8"), summary(scales)))


def _scale(results: Sequence[Row]) -> str:
    return f"scale {results[0]['scale']}"


def _item(row: Row) -> str:
    """A claim that does not hold, in one item of a list."""
    number = f"{measured(row)}, expected {expected(row)}" if row["measured"] is not None else _reason(row)
    return f"- {_scale([row])}, {group(row)}: `{row['id']}` {row['verdict']}: {number}"


def _reason(row: Row) -> str:
    """Why a claim is not judged: its note's first part, the rest of which is for the page of claims, and who it is."""
    first, _, rest = str(row["note"]).partition(";")
    undecided = re.findall(r"([\w-]+): [^;:]*too large to judge by", rest)
    return f"{first} ({', '.join(undecided)}: errors too large)" if undecided else first


def _count(results: Iterable[Row]) -> dict[str, int]:
    verdicts = [row["verdict"] for row in results]
    return {verdict: verdicts.count(verdict) for verdict in ("holds", "fails", "not attempted")}


def _counted(results: Sequence[Row]) -> str:
    count = _count(results)
    attempted = count["holds"] + count["fails"]
    held = f"{count['holds']} hold, {count['fails']} {'fails' if count['fails'] == 1 else 'fail'}"
    scale = results[0]["scale"] if results else "none"
    return f"Scale: {scale}. Of {len(results)} claims {attempted} were attempted: {held}."


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
