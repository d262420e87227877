"""The papers, and where a statement comes from: whose it is, where it stands, and whose its number is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KREISLER, ARORA, CRACIUN = "kreisler2023", "arora2022", "craciun2024"

# How the papers are named in a text.
PAPERS = {
    KREISLER: "Kreisler et al. (2023)",
    ARORA: "Arora et al. (2022)",
    CRACIUN: "Crăciun and Ghoshdastidar (2024)",
}

Kind = Literal["stated", "our number", "derived", "own"]
Part = Literal["Section", "Appendix", "Theorem", "Lemma", "Equation", "Remark"]


@dataclass(frozen=True)
class Origin:
    """Where a statement comes from.

    Attributes:
        kind: ``stated``: the paper says it, with its number if it needs one. ``our number``: the paper says it, in
            words or with a number that its text no longer shows, and we chose the number. ``derived``: the paper's text
            does not show it, or not all of it, and we derived the rest. ``own``: the paper does not say it.
        paper: a key of ``PAPERS``. Of an ``own`` statement the paper that it is about; None if it is about none.
        part, number: where it stands in the paper, such as ``Lemma`` and ``3.7``.

    Raises:
        ValueError: there is no such paper, or none although the statement is a paper's.
    """

    kind: Kind
    paper: str | None = None
    part: Part | None = None
    number: str = ""

    def __post_init__(self) -> None:
        if self.paper not in (*PAPERS, *([None] if self.kind == "own" else [])):
            raise ValueError(f"a statement that is {self.kind!r} is of one of {', '.join(PAPERS)}, not {self.paper}")

    @property
    def place(self) -> str:
        """Where it stands in the paper.

        >>> Origin("stated", KREISLER, "Lemma", "3.7").place
        'Lemma 3.7'
        """
        return f"{self.part} {self.number}" if self.part else ""
