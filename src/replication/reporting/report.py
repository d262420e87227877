"""What a report says beside the figures: captions with each figure's claims, and pages of their own."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from replication.claims.printing import Row, cell, measured, shown, stated
from replication.figure_registry import FIGURES

# The width of the pictures on a page.
_PIXELS = 1200

_HEADER = ("statement", "expected", "here", "verdict")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 sans-serif; margin: 1.5em auto; padding: 0 1em; max-width: 75em; color: #222; }}
img {{ max-width: min(100%, 45em); max-height: 60em; }}
section {{ border-top: 1px solid #ccc; margin-top: 2em; }}
table {{ border-collapse: collapse; }}
th, td {{ border-bottom: 1px solid #ccc; padding: .35em .7em; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; min-width: 4em; }}
td p {{ margin: 0; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.fails td {{ background: #fbe3d6; }}
@media (max-width: 50em) {{
  table:not(.data) {{ table-layout: fixed; width: 100%; font-size: 12px; }}
  table:not(.data) td, table:not(.data) th {{ padding: .3em; min-width: 0; }}
  table.data thead {{ display: none; }}
  table.data tr, table.data td {{ display: block; border: 0; padding: .1em 0; }}
  table.data tr {{ border-bottom: 1px solid #ccc; padding: .6em 0; }}
  table.data td:not(:empty)::before {{ content: attr(title) ": "; color: #777; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def claims_of(results: Iterable[Row], figure: str) -> list[Row]:
    """Return those of the claims that are about a figure.

    Args:
        results: of :func:`replication.claims.evaluate`.
        figure: its name, such as ``figure02``.
    """
    return [row for row in results if figure in row["figures"]]


def caption(shown: str, results: Sequence[Row], deviations: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a figure shows, its claims as a table, and what in it is not the paper's, in reStructuredText.

    Args:
        shown: what the figure shows, in reStructuredText.
        results: the claims about it.
        deviations: of :func:`replication.reporting.deviations.of_figure`.
    """
    return "\n".join([shown.rstrip(), "", *_claims(results), *_deviations(deviations)])


def _deviations(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not found:
        return []
    lines = ["Not the paper's, or no longer to be seen in its text (docs/deviations.md has the reasons):", ""]
    for section, values in found.items():
        listed = "; ".join(f"{key}: {value}" for key, value in values.items())
        lines += [f"- *{_plain(section)}* {_plain(listed)}"]
    return [*lines, ""]


def _claims(results: Sequence[Row]) -> list[str]:
    if not results:
        return []
    rows = [_HEADER, *(_claim(row) for row in results)]
    directive = [".. list-table::", "   :header-rows: 1", "   :widths: 50 18 17 15", ""]
    return [*directive, *(line for row in rows for line in _list_item(row)), ""]


def _claim(row: Row) -> list[str]:
    expected = cell(row["expected"]) + (f" (tolerance {cell(row['tolerance'])})" if row["tolerance"] else "")
    said = f" {row['note']}." if row["verdict"] != "holds" and row["note"] else ""
    return [f"{stated(row)} ({row['id']}).{said}", expected, measured(row), row["verdict"]]


def _list_item(cells: Sequence[str]) -> list[str]:
    first, *others = map(_plain, cells)
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def _plain(text: str) -> str:
    """Text in which reStructuredText finds no markup."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def page(title: str, body: str) -> str:
    """Return an HTML page that needs nothing but itself and reads on narrow screens too.

    Args:
        title: of the page, as text.
        body: what is below it, in HTML.
    """
    return _PAGE.format(title=escape(title), body=body)


def table(rows: Iterable[Row], columns: Mapping[str, str]) -> str:
    """Return rows as a table in HTML, those whose ``verdict`` is ``fails`` coloured.

    Args:
        rows: by column what is in it.
        columns: for each column that is shown its heading.
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in columns.values())
    body = "\n".join(_table_row(row, columns) for row in rows)
    return f'<table class="data">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _table_row(row: Row, columns: Mapping[str, str]) -> str:
    cells = [f'<td title="{escape(heading)}">{escape(shown(row, name))}</td>' for name, heading in columns.items()]
    return f'<tr class="{escape(str(row.get("verdict", "")))}">{"".join(cells)}</tr>'


def figure(name: str, png: str | Path, description: str) -> str:
    """Return a section with a figure, in HTML.

    Args:
        name: of the figure, such as ``figure02``.
        png: the picture. It is shown a little smaller: browsers open no page above 2 MB within another.
        description: what is below it, in HTML.
    """
    figure, source = FIGURES[name], b64encode(_smaller(png)).decode()
    title = f"{figure.label}. {figure.title}"
    picture = f'<img alt="{figure.label}" src="data:image/webp;base64,{source}">'
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{picture}\n{description}\n</section>'


def _smaller(png: str | Path) -> bytes:
    smaller = BytesIO()
    with Image.open(png) as picture:
        picture.thumbnail((_PIXELS, 2 * _PIXELS))
        picture.convert("RGB").save(smaller, "webp", quality=80, method=6)
    return smaller.getvalue()
