"""``python -m replication.agreement results/tables other/tables``: do the results of two machines agree?

On one machine the same settings give the same bytes. Another one rounds differently, and at the edge of stability
rounding grows until the iterates of two machines have nothing to do with each other. Two things remain comparable: the
GFS sharpness of the start, whose weights are the same, and where the run ends, in units of 2/eta.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from gfsharp.errors import UserError
from replication.storage import files

# Of closed forms and of the convex problem, which rounding leaves alone: 4e-10 seen between the kernels of processors
# with and without AVX. The step size of squared regression comes from another convex problem, to 1e-7.
_START = 1e-8
# Two machines may stop at other iterates, and between neighbours phi falls by up to some 1e-3 of 2/eta.
_END = 1e-3
# Of integrated flows: a hundredth beside the errors of both, since at kinks the error is missed by some per mille; and
# a tenth, which is how the claims on networks read 'about 2/eta'.
_NETWORK_START, NETWORK_END = 1e-2, 0.1


@dataclass(frozen=True)
class Agreement:
    """How far two machines are apart in one number of a run.

    Attributes:
        run: its experiment and name.
        quantity: ``start`` for the GFS sharpness at iterate 0, relative; ``end`` for the last GFS sharpness that there
            is, in units of 2/eta.
        difference, tolerance: how far apart they are and may be; NaN where that is not known.
    """

    run: str
    quantity: str
    difference: float
    tolerance: float

    @property
    def verdict(self) -> Literal["agrees", "differs", "unknown"]:
        """``unknown`` where a flow's error is not known, or the end was not followed.

        >>> Agreement("fc-tanh/seed0", "end", difference=0.02, tolerance=0.1).verdict
        'agrees'
        """
        if math.isnan(self.tolerance):
            return "unknown"
        return "agrees" if self.difference <= self.tolerance else "differs"


def compare(table: pd.DataFrame, other: pd.DataFrame) -> Iterator[Agreement]:
    """Yield the agreements of the runs that both tables have; ``table`` as in ``results/tables``.

    A run without GFS sharpness in either, as it diverged, has nothing to compare: it has to have none in the other. Of
    one whose last point was not followed, for want of time, the end is unknown.
    """
    runs = dict(list(other.groupby(["experiment", "run"])))
    for key, run in table.groupby(["experiment", "run"]):
        if key in runs:
            found = _of_run("/".join(map(str, key)), _points(run), _points(runs[key]))
            whole = _is_whole(run) and _is_whole(runs[key])
            yield from (
                each if whole or each.quantity == "start" else replace(each, tolerance=math.nan) for each in found
            )


def _is_whole(run: pd.DataFrame) -> bool:
    """Whether the flow was followed from the last iterate, unless that diverged."""
    last = run.sort_values("iteration").iloc[-1]
    return last.get("status") == "diverged" or pd.notna(last.get("gfs_status", "converged"))


def _points(run: pd.DataFrame) -> pd.DataFrame:
    return run[run["gfs_sharpness"].notna()].sort_values("iteration")


def _of_run(name: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[Agreement]:
    if ours.empty or theirs.empty:
        yield Agreement(name, "end", 0.0 if len(ours) == len(theirs) else np.inf, 0.0)
        return
    integrated = bool((ours["gradient_evaluations"] > 0).any())
    first, other_first = ours.iloc[0], theirs.iloc[0]
    if first["iteration"] == other_first["iteration"] == 0:
        phi, other_phi = first["gfs_sharpness"], other_first["gfs_sharpness"]
        errors = (first["gfs_error"] + other_first["gfs_error"]) / phi
        yield Agreement(name, "start", abs(phi - other_phi) / phi, errors + _NETWORK_START if integrated else _START)
    ends = [float(points["gfs_sharpness"].iloc[-1] * points["learning_rate"].iloc[-1] / 2) for points in (ours, theirs)]
    yield Agreement(name, "end", abs(ends[0] - ends[1]), NETWORK_END if integrated else _END)


def main(arguments: list[str]) -> int:
    """Print how far each run of two folders of tables is apart, and what only one has; return 1 if one is too far."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.agreement",
        description="Compare the GFS sharpness in the tables of two machines: of the start (its relative difference) "
        "and of the end (in units of 2/eta). Exits with 1 if a run differs by more than is stated.",
    )
    parser.add_argument("tables", type=Path, help="a folder of tables, such as results/tables")
    parser.add_argument("others", type=Path, help="that of the other machine")
    folders = parser.parse_args(arguments)
    tables, others = _tables(folders.tables), _tables(folders.others)
    found = [agreement for name in sorted({*tables} & {*others}) for agreement in compare(tables[name], others[name])]
    for agreement in found:
        apart = f"{agreement.difference:.2g} (at most {agreement.tolerance:.2g})"
        print(f"{agreement.verdict}  {agreement.run}  {agreement.quantity}: {apart}")
    for folder, ours, theirs in ((folders.tables, tables, others), (folders.others, others, tables)):
        for run in sorted(_runs(ours) - _runs(theirs)):
            print(f"only in {folder}  {run}")
    if not found:
        raise UserError("the two folders have no run in common, so there is nothing to compare")
    return int(any(agreement.verdict == "differs" for agreement in found))


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise UserError(f"there are no tables in {folder}: name a folder of them, such as results/tables")
    return {path.name: files.read_table(path) for path in paths}


def _runs(tables: Mapping[str, pd.DataFrame]) -> set[str]:
    return {
        f"{experiment}/{run}"
        for table in tables.values()
        for experiment, run in zip(table["experiment"], table["run"], strict=True)
    }


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
