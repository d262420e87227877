"""A claim: a relation between a number that is computed from a table and an expected one, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

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
class Estimate:
    """A measured number and how far off it may be.

    Attributes:
        value: NaN where there is nothing to measure it by.
        error: half of the interval around it.
        of: whose it is, such as a network.
        why: why there is nothing to judge by, where the value is NaN.
    """

    value: float
    error: float = 0.0
    of: str = ""
    why: str = ""


# One number, or one for each of several runs, networks or problems, all of which have to agree.
Measured: TypeAlias = float | Sequence[Estimate]


@dataclass(frozen=True)
class Control:
    """A null control: results of which something is wrong.

    Attributes:
        words: what is wrong, after "with".
        wrong: makes such a table of a right one.
    """

    words: str
    wrong: Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes:
        id: a short name that stays.
        figure: the figure, theorem, lemma or section that it is from: of the paper's figures the number, of others the
            name.
        statement: what is said, in our words.
        relation, expected, tolerance: it holds if ``measured <= expected + tolerance``, ``measured >= expected -
            tolerance`` or ``|measured - expected| <= tolerance``, for the whole interval of what has an error.
        measure: computes the measured number from a table; NaN where the table has nothing to measure it by.
        table: the name of the table that ``measure`` takes.
        remark: says of the table what the number alone does not.
        paper: whose statement it is, or next to whose it stands: a key of ``PAPERS``.
        check: why it is a check and no claim: it holds by how the results were chosen or made. Empty for a claim.
        fails_if: what results would make it fail.
        control: results of which something is wrong, under which it fails.
        runs: of a claim on training runs, a mapping for each run that its page lists.
    """

    id: str
    figure: str
    statement: str
    relation: Relation = "="
    expected: float = math.nan
    tolerance: float = math.nan
    measure: Callable[[pd.DataFrame], Measured] | None = None
    table: str | None = None
    remark: Callable[[pd.DataFrame], str] | None = None
    paper: str = PAPER
    check: str = ""
    fails_if: str = ""
    control: Control | None = None
    runs: Callable[[Sequence[str], pd.DataFrame], list[dict[str, Any]]] | None = None

    def verdict(self, measured: Measured) -> Verdict:
        """Return whether ``measured`` agrees; with NaN, or an interval across the edge of what is allowed, it is open.

        Of several estimates one that fails is enough to fail, and one that is open leaves it open.

        >>> about_one = Claim("ends-at-threshold", "2b", "phi ends at 2/eta", "=", expected=1.0, tolerance=0.05)
        >>> [about_one.verdict(measured) for measured in (0.97, 0.9, math.nan)]
        ['holds', 'fails', 'not attempted']
        >>> [about_one.verdict([Estimate(value, 0.02)]) for value in (1.02, 1.06, 1.08)]
        ['holds', 'not attempted', 'fails']
        """
        found = {self._verdict(estimate) for estimate in _estimates(measured)}
        if "fails" in found:
            return "fails"
        return "holds" if found == {"holds"} else "not attempted"

    def worst(self, measured: Measured) -> Estimate:
        """Return the estimate that decides: one that fails before one that is open, then the farthest from expected."""
        rank = {"fails": 2, "not attempted": 1, "holds": 0}
        estimates = _estimates(measured)
        if not estimates:
            return Estimate(math.nan)
        return max(estimates, key=lambda found: (rank[self._verdict(found)], self._distance(found.value)))

    def undecided(self, measured: Measured) -> str:
        """Return why there is no verdict: what is open, and by how much."""
        return ", ".join(map(_open, (found for found in _estimates(measured) if self._is_open(found))))

    def _is_open(self, estimate: Estimate) -> bool:
        return self._verdict(estimate) == "not attempted"

    def _verdict(self, estimate: Estimate) -> Verdict:
        low, high = estimate.value - estimate.error, estimate.value + estimate.error
        if math.isnan(low) or math.isnan(high):
            return "not attempted"
        least = -math.inf if self.relation == "<=" else self.expected - self.tolerance
        most = math.inf if self.relation == ">=" else self.expected + self.tolerance
        # The same arithmetic as for a number without an error.
        if self.relation == "=" and estimate.error == 0:
            return "holds" if abs(estimate.value - self.expected) <= self.tolerance else "fails"
        if least <= low and high <= most:
            return "holds"
        return "fails" if high < least or low > most else "not attempted"

    def _distance(self, value: float) -> float:
        if math.isnan(value):
            return math.inf
        return {"<=": value, ">=": -value, "=": abs(value - self.expected)}[self.relation]


def _estimates(measured: Measured) -> list[Estimate]:
    return [*measured] if isinstance(measured, Sequence) else [Estimate(float(measured))]


def _open(estimate: Estimate) -> str:
    if not math.isnan(estimate.value):
        return f"{estimate.of or 'it'} is {estimate.value:.4g} ± {estimate.error:.2g}"
    return f"{estimate.of} ({estimate.why})" if estimate.why else estimate.of


def evaluate(
    claims: Iterable[Claim], tables: Mapping[str, tuple[Sequence[str], pd.DataFrame]], scale: str
) -> list[dict[str, Any]]:
    """Return each claim as a mapping with the keys ``id``, ``paper``, ``figure``, ``statement``, ``expected``,
    ``measured``, ``error``, ``tolerance``, ``verdict``, ``scale``, ``source``, ``note``, ``check``, ``fails_if``,
    ``control`` (the outcome of the null control on these tables) and ``runs``.

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
        "error": None,
        "tolerance": None,
        "verdict": "not attempted",
        "scale": scale,
        "source": None,
        "note": "nothing measures it yet",
        "check": claim.check or None,
        "fails_if": claim.fails_if or None,
        "control": None,
        "runs": None,
    }
    if claim.measure is None or claim.table is None or claim.table not in tables:
        return row
    paths, table = tables[claim.table]
    measured = claim.measure(table)
    verdict, worst = claim.verdict(measured), claim.worst(measured)
    said = [claim.remark(table)] if claim.remark else []
    if verdict == "not attempted":
        undecided = claim.undecided(measured)
        said = [f"undecided: {undecided}" if undecided else "the results leave nothing to judge it by", *said]
    return row | {
        "expected": f"{claim.relation} {claim.expected:g}",
        "measured": None if math.isnan(worst.value) else worst.value,
        "error": worst.error if worst.error > 0 else None,
        "tolerance": claim.tolerance,
        "verdict": verdict,
        "source": [*paths],
        "note": "; ".join([*said, *without_numbers(table)]) or None,
        "control": _outcome(claim, table),
        "runs": claim.runs(paths, table) if claim.runs else None,
    }


def _outcome(claim: Claim, table: pd.DataFrame) -> str | None:
    """What the claim gives on a null control made of the table."""
    if claim.control is None or claim.measure is None or not len(table):
        return None
    measured = claim.measure(claim.control.wrong(table))
    value, verdict = claim.worst(measured).value, claim.verdict(measured)
    # Counts are whole.
    shown = f"{value:.0f}" if math.isfinite(value) and value == round(value) else f"{value:.3g}"
    return f"with {claim.control.words}: {verdict}" + ("" if math.isnan(value) else f", {shown}")


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
