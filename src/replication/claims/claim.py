"""A claim: a relation between a number that is computed from a table and a bound, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, TypeAlias

import pandas as pd

from replication.figure_registry import FIGURES
from replication.papers import Origin

Verdict = Literal["holds", "fails", "not attempted"]
Relation = Literal["<=", ">=", "within", "is"]


@dataclass(frozen=True)
class Estimate:
    """A measured number and how far off it may be.

    Attributes:
        value: NaN where there is nothing to measure it by.
        error: half of the interval around it.
        of: whose it is, such as a network.
        why: why there is nothing to judge by, where the value is NaN.
        visible: of a rise, the smallest that would have shown; NaN where that is not asked.
    """

    value: float
    error: float = 0.0
    of: str = ""
    why: str = ""
    visible: float = math.nan


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


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement, of a paper or of our own, that a number decides.

    Attributes:
        id: a short name that stays.
        origin: whose statement it is, where it stands, and whose its number is.
        figures: the figures that show it, as the registry names them, each with the letter of its panel if it has one.
        statement: what is said, in our words.
        quantity: what is measured, in words.
        measure: computes the quantity from a table; NaN where the table has nothing to measure it by.
        table: the name of the table that ``measure`` takes.
        relation, bound, tolerance: it holds if ``measured <= bound + tolerance`` (``<=``), ``measured >= bound -
            tolerance`` (``>=``) or ``|measured - bound| <= tolerance`` (``within``; ``is`` has no tolerance), for the
            whole interval of what has an error.
        reason: why the bound and the tolerance are what they are.
        fails_if: what results would make it fail.
        control: results of which something is wrong, under which it fails.
        remark: says of the table what the number alone does not.
        check: why it is a check and no claim: it holds by how the results were chosen or made. Empty for a claim.
        runs: of a claim on training runs, a mapping for each run that its page lists.

    Raises:
        ValueError: a figure is none of the registry, or the tolerance does not fit the relation.
    """

    id: str
    origin: Origin
    figures: Mapping[str, str] = field(default_factory=dict, hash=False)
    statement: str
    quantity: str = ""
    measure: Callable[[pd.DataFrame], Measured] | None = None
    table: str | None = None
    relation: Relation = "is"
    bound: float = math.nan
    tolerance: float = 0.0
    reason: str = ""
    fails_if: str = ""
    control: Control | None = None
    remark: Callable[[pd.DataFrame], str] | None = None
    check: str = ""
    runs: Callable[[Sequence[str], pd.DataFrame], list[dict[str, Any]]] | None = None

    def __post_init__(self) -> None:
        if unknown := self.figures.keys() - FIGURES.keys():
            raise ValueError(f"claim {self.id}: no figure {', '.join(sorted(unknown))} in replication.figure_registry")
        if self.relation in ("within", "is") and (self.relation == "within") != (self.tolerance > 0):
            raise ValueError(f"claim {self.id}: {self.relation!r} with a tolerance of {self.tolerance:g}")

    @property
    def place(self) -> str:
        """Where it is from, in words.

        >>> shown = Claim(id="a", origin=Origin("own", "kreisler2023"), figures={"figure05": "d"}, statement="It falls")
        >>> shown.place
        '5d (beyond the paper)'
        """
        beside = self.origin.place or ("beyond the paper" if self.origin.kind == "own" else "")
        shown = ", ".join(f"{_called(figure)}{panel}" for figure, panel in self.figures.items())
        return f"{shown} ({beside})" if shown and beside else shown or beside

    def verdict(self, measured: Measured) -> Verdict:
        """Return whether ``measured`` agrees; with NaN, or an interval across the edge of what is allowed, it is open.

        Of several estimates one that fails is enough to fail, and one that is open leaves it open.

        >>> of_ours = {"origin": Origin("own"), "statement": "phi ends at 2/eta"}
        >>> about_one = Claim(id="ends-at-threshold", **of_ours, relation="within", bound=1.0, tolerance=0.05)
        >>> [about_one.verdict(measured) for measured in (0.97, 0.9, math.nan)]
        ['holds', 'fails', 'not attempted']
        >>> [about_one.verdict([Estimate(value, 0.02)]) for value in (1.02, 1.06, 1.08)]
        ['holds', 'not attempted', 'fails']
        """
        found = {verdict for _, verdict in self.judged(measured)}
        if "fails" in found:
            return "fails"
        return "holds" if found == {"holds"} else "not attempted"

    def worst(self, measured: Measured) -> Estimate:
        """Return the estimate that decides: one that fails before one that is open, then the farthest from bound."""
        rank = {"fails": 2, "not attempted": 1, "holds": 0}
        ranked = [((rank[verdict], self._distance(found.value)), found) for found, verdict in self.judged(measured)]
        return max(ranked, key=itemgetter(0))[1] if ranked else Estimate(math.nan)

    def judged(self, measured: Measured) -> list[tuple[Estimate, Verdict]]:
        """Return each of the estimates with the verdict that it would have alone."""
        estimates = measured if isinstance(measured, Sequence) else [Estimate(float(measured))]
        return [(estimate, self._verdict(estimate)) for estimate in estimates]

    def undecided(self, measured: Measured) -> str:
        """Return why there is no verdict: what is open, and by how much."""
        return ", ".join(_open(estimate) for estimate, verdict in self.judged(measured) if verdict == "not attempted")

    def _verdict(self, estimate: Estimate) -> Verdict:
        low, high = estimate.value - estimate.error, estimate.value + estimate.error
        if math.isnan(low) or math.isnan(high):
            return "not attempted"
        least = -math.inf if self.relation == "<=" else self.bound - self.tolerance
        most = math.inf if self.relation == ">=" else self.bound + self.tolerance
        # A difference is rounded otherwise than the ends of an interval.
        if self.relation in ("within", "is") and estimate.error == 0:
            return "holds" if abs(estimate.value - self.bound) <= self.tolerance else "fails"
        if least <= low and high <= most:
            return "holds"
        return "fails" if high < least or low > most else "not attempted"

    def _distance(self, value: float) -> float:
        if math.isnan(value):
            return math.inf
        return {"<=": value, ">=": -value}.get(self.relation, abs(value - self.bound))


def _called(figure: str) -> str:
    """The paper's figures by their number, others by their name."""
    number = FIGURES[figure].number.lstrip("0")
    return number if number.isdigit() else figure


def _open(estimate: Estimate) -> str:
    if not math.isnan(estimate.value):
        return f"{estimate.of or 'it'} is {estimate.value:.4g} ± {estimate.error:.2g}"
    return f"{estimate.of} ({estimate.why})" if estimate.why else estimate.of


def evaluate(
    claims: Iterable[Claim], tables: Mapping[str, tuple[Sequence[str], pd.DataFrame]], scale: str
) -> list[dict[str, Any]]:
    """Return each claim as a mapping, as ``claims.json`` has it.

    The keys, None where there is nothing to say:

    - as the claim declares them ``id``, ``paper``, ``origin`` (``kind``, ``part``, ``number``), ``figures``,
      ``statement``, ``quantity``, ``relation``, ``bound``, ``tolerance``, ``reason``, ``fails_if``, ``check``; in words
      ``figure`` (where it is from) and ``expected``;
    - as it was judged ``verdict``, ``measured`` and ``error`` (of what decides), ``estimates`` (of several runs,
      networks or problems: ``of``, ``value``, ``error``, ``verdict``, ``why``, ``smallest_visible_rise``), ``control``
      (on a null control made of these tables: ``words``, ``verdict``, ``measured``), ``runs``; in words ``undecided``
      (why there is no verdict) and ``note`` (this, and what is to be said of the table);
    - ``scale`` and ``source``, the paths of the table.

    Args:
        tables: by name the paths of a table, which may be in several files, and the table.
        scale: the configuration's name for its set of values.

    >>> largest = Claim(id="small", origin=Origin("own"), statement="the loss is small", relation="<=", bound=0.1,
    ...                 measure=lambda table: table["loss"].max(), table="run")
    >>> (row,) = evaluate([largest], {"run": (["run.parquet"], pd.DataFrame({"loss": [0.05, 0.2]}))}, "default")
    >>> row["expected"], row["bound"], row["measured"], row["verdict"]
    ('<= 0.1', 0.1, 0.2, 'fails')
    """
    return [_declared(claim, scale) | _judged(claim, tables) for claim in claims]


def _declared(claim: Claim, scale: str) -> dict[str, Any]:
    sign = {"within": "=", "is": "="}.get(claim.relation, claim.relation)
    return {
        "id": claim.id,
        "paper": claim.origin.paper,
        "origin": {"kind": claim.origin.kind, "part": claim.origin.part, "number": claim.origin.number or None},
        "figures": dict(claim.figures),
        "figure": claim.place,
        "statement": claim.statement,
        "quantity": claim.quantity or None,
        "relation": claim.relation,
        "bound": _number(claim.bound),
        "tolerance": claim.tolerance,
        "reason": claim.reason or None,
        "expected": f"{sign} {claim.bound:g}" if claim.measure else None,
        "fails_if": claim.fails_if or None,
        "check": claim.check or None,
        "scale": scale,
    }


def _judged(claim: Claim, tables: Mapping[str, tuple[Sequence[str], pd.DataFrame]]) -> dict[str, Any]:
    if claim.measure is None or claim.table is None or claim.table not in tables:
        nothing = dict.fromkeys(("measured", "error", "estimates", "source", "control", "runs"))
        why = "nothing measures it yet"
        return {"verdict": "not attempted", **nothing, "undecided": why, "note": why}
    paths, table = tables[claim.table]
    measured = claim.measure(table)
    verdict, worst = claim.verdict(measured), claim.worst(measured)
    several = isinstance(measured, Sequence)
    undecided = None
    if verdict == "not attempted":
        unclear = claim.undecided(measured)
        undecided = f"undecided: {unclear}" if unclear else "the results leave nothing to judge it by"
    remark = claim.remark(table) if claim.remark else None
    return {
        "verdict": verdict,
        "measured": _number(worst.value),
        "error": worst.error if worst.error > 0 else None,
        "estimates": [_estimate(*judged) for judged in claim.judged(measured)] if several else None,
        "source": [*paths],
        "control": _outcome(claim, table),
        "runs": claim.runs(paths, table) if claim.runs else None,
        "undecided": undecided,
        "note": "; ".join(filter(None, [undecided, remark, *without_numbers(table)])) or None,
    }


def _estimate(estimate: Estimate, verdict: Verdict) -> dict[str, Any]:
    return {
        "of": estimate.of,
        "value": _number(estimate.value),
        "error": _number(estimate.error),
        "verdict": verdict,
        "why": estimate.why if verdict == "not attempted" and estimate.why else None,
        "smallest_visible_rise": _number(estimate.visible),
    }


def _outcome(claim: Claim, table: pd.DataFrame) -> dict[str, Any] | None:
    """What the claim gives on a null control made of the table."""
    if claim.control is None or claim.measure is None or not len(table):
        return None
    measured = claim.measure(claim.control.wrong(table))
    worst = _number(claim.worst(measured).value)
    return {"words": claim.control.words, "verdict": claim.verdict(measured), "measured": worst}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def percent(value: float, *, apart_from: float) -> str:
    """Return a share in percent, with as many decimals, at least one, as tell it from another.

    >>> percent(0.0203, apart_from=0.02), percent(0.0197, apart_from=0.02), percent(0.31, apart_from=0.02)
    ('2.03%', '1.97%', '31.0%')
    """
    shown = (f"{value:.{digits}%}" for digits in range(1, 9) if f"{value:.{digits}%}" != f"{apart_from:.{digits}%}")
    return next(shown, f"{value:.1%}")


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
