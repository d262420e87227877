"""Tables of pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    r"""Yield the lines of a table in Markdown.

    Args:
        header: the columns.
        rows: their cells, of text or what is shown as its ``str``.

    >>> [*markdown_table(["x", "|x|"], [[-1, 1]])]
    ['| x | \\|x\\| |', '|---|---|', '| -1 | 1 |']
    """
    yield _row(header)
    yield "|---" * len(header) + "|"
    yield from map(_row, rows)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
