"""A claim: a relation between a number that is computed from a table and an expected one, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

Verdict = Literal["holds", "fails", "not attempted"]
Relation = Literal["<=", ">=", "="]

PAPER = "kreisler2023"

# How the papers are named.
PAPERS = {
    PAPER: "Kreisler et al. (2023)",
    "arora2022": "Arora et al. (2022)",
    "craciun2024": "Crăciun and Ghoshdastidar (2024)",
}


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes:
        id: a short name that stays.
        figure: the figure, theorem, lemma or section that it is from: of the paper's figures the number, of others the
            name.
        statement: what is said, in our words.
        relation, expected, tolerance: it holds if ``measured <= expected + tolerance``, ``measured >= expected -
            tolerance`` or ``|measured - expected| <= tolerance``.
        measure: computes the measured number from a table; NaN where the table has nothing to measure it by.
        table: the name of the table that ``measure`` takes.
        remark: says of the table what the number alone does not.
        paper: whose statement it is, or next to whose it stands: a key of ``PAPERS``.
    """

    id: str
    figure: str
    statement: str
    relation: Relation = "="
    expected: float = math.nan
    tolerance: float = math.nan
    measure: Callable[[pd.DataFrame], float] | None = None
    table: str | None = None
    remark: Callable[[pd.DataFrame], str] | None = None
    paper: str = PAPER

    def verdict(self, measured: float) -> Verdict:
        """Return whether ``measured`` agrees; with NaN there is nothing to judge by.

        >>> about_one = Claim("ends-at-threshold", "2b", "phi ends at 2/eta", "=", expected=1.0, tolerance=0.05)
        >>> [about_one.verdict(measured) for measured in (0.97, 0.9, math.nan)]
        ['holds', 'fails', 'not attempted']
        """
        if math.isnan(measured):
            return "not attempted"
        within = {
            "<=": measured <= self.expected + self.tolerance,
            ">=": measured >= self.expected - self.tolerance,
            "=": abs(measured - self.expected) <= self.tolerance,
        }
        return "holds" if within[self.relation] else "fails"


def evaluate(
    claims: Iterable[Claim], tables: Mapping[str, tuple[Sequence[str], pd.DataFrame]], scale: str
) -> list[dict[str, Any]]:
    """Return each claim as a mapping with the keys ``id``, ``paper``, ``figure``, ``statement``, ``expected``,
    ``measured``, ``tolerance``, ``verdict``, ``scale``, ``source`` and ``note``.

    Args:
        tables: by name the paths of a table, which may be in several files, and the table.
        scale: the configuration's name for its set of values.

    >>> largest = Claim("small", "1", "the loss is small", "<=", 0.1, 0.0, lambda table: table["loss"].max(), "run")
    >>> (row,) = evaluate([largest], {"run": (["run.parquet"], pd.DataFrame({"loss": [0.05, 0.2]}))}, "default")
    >>> row["expected"], row["measured"], row["verdict"]
    ('<= 0.1', 0.2, 'fails')
    """
    return [_evaluated(claim, tables, scale) for claim in claims]


def _evaluated(claim: Claim, tables: Mapping[str, tuple[Sequence[str], pd.DataFrame]], scale: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": claim.id,
        "paper": claim.paper,
        "figure": claim.figure,
        "statement": claim.statement,
        "expected": None,
        "measured": None,
        "tolerance": None,
        "verdict": "not attempted",
        "scale": scale,
        "source": None,
        "note": "nothing measures it yet",
    }
    if claim.measure is None or claim.table is None or claim.table not in tables:
        return row
    paths, table = tables[claim.table]
    measured = float(claim.measure(table))
    remark = claim.remark(table) if claim.remark else None
    reasons = [*without_numbers(table)]
    if math.isnan(measured):
        reasons = [*([remark] if remark else []), *reasons]
        remark = "the results leave nothing to judge it by"
    return row | {
        "expected": f"{claim.relation} {claim.expected:g}",
        "measured": None if math.isnan(measured) else measured,
        "tolerance": claim.tolerance,
        "verdict": claim.verdict(measured),
        "source": [*paths],
        "note": "; ".join([*([remark] if remark else []), *reasons]) or None,
    }


def without_numbers(table: pd.DataFrame) -> Iterator[str]:
    """Say which runs of a table diverged, and at how many iterates no GFS sharpness was found and why."""
    if "run" in table and "status" in table:
        ends = table.sort_values("iteration", kind="stable").groupby(["experiment", "run"], sort=False).last()
        diverged = ends[ends["status"] == "diverged"]
        if len(diverged):
            (experiment, run), at = diverged.index[0], diverged["iteration"].iloc[0]
            others = "" if len(diverged) == 1 else f", such as {experiment} {run} at iterate {at}"
            which = f"{len(diverged)} of {len(ends)} runs" if others else f"{experiment} {run}"
            yield f"{which} diverged{others or f' at iterate {at}'}"
    elif "iteration" in table and "status" in table and table["status"].iloc[-1] == "diverged":
        yield f"gradient descent diverged at iterate {table['iteration'].iloc[-1]}"
    if "gfs_status" in table:
        found = table["gfs_status"].dropna()
        missing = found[found != "converged"]
        if len(missing):
            kinds = ", ".join(f"{status}: {count}" for status, count in missing.value_counts().items())
            yield f"no GFS sharpness at {len(missing)} of {len(found)} iterates ({kinds})"
