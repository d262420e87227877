"""``python -m gfs.agreement results/tables other/tables``: do the results of two machines agree?

On one machine the same settings give the same bytes. Another one rounds differently, and at the edge of stability
rounding grows until the iterates of two machines have nothing to do with each other. Two things remain comparable: the
GFS sharpness of the start, whose weights are the same, and where the run ends, in units of 2/eta.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gfs import files
from gfs.errors import UserError

# Of closed forms and of the convex problem, which rounding leaves alone: 4e-10 seen between the kernels of processors
# with and without AVX. The step size of squared regression comes from another convex problem, to 1e-7.
_START, _END = 1e-8, 1e-3
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
        difference, tolerance: how far apart they are and may be.
    """

    run: str
    quantity: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


def compare(table: pd.DataFrame, other: pd.DataFrame) -> Iterator[Agreement]:
    """Yield the agreements of the runs that both tables have; ``table`` as in ``results/tables``.

    A run without GFS sharpness in either, as it diverged, has nothing to compare: it has to have none in the other.
    """
    runs = dict(list(other.groupby(["experiment", "run"])))
    for key, run in table.groupby(["experiment", "run"]):
        if key in runs:
            yield from _of_run("/".join(map(str, key)), _points(run), _points(runs[key]))


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
    ends = [float(points["gfs_sharpness"].iloc[-1] / points["threshold"].iloc[-1]) for points in (ours, theirs)]
    yield Agreement(name, "end", abs(ends[0] - ends[1]), NETWORK_END if integrated else _END)


def main(arguments: list[str]) -> int:
    """Print how far each run of two folders of tables is apart; return 1 if some are too far, or nothing is shared."""
    parser = argparse.ArgumentParser(prog="python -m gfs.agreement", description="Compare the tables of two machines.")
    parser.add_argument("folders", nargs=2, type=Path, metavar="tables")
    ours, theirs = parser.parse_args(arguments).folders
    shared = sorted({path.name for path in ours.glob("*.parquet")} & {path.name for path in theirs.glob("*.parquet")})
    if not shared:
        raise UserError(f"{ours} and {theirs} have no table in common")
    found = [
        agreement
        for name in shared
        for agreement in compare(files.read_table(ours / name), files.read_table(theirs / name))
    ]
    for agreement in found:
        verdict = "agrees" if agreement.holds else "DIFFERS"
        print(
            f"{verdict}  {agreement.run}  {agreement.quantity}: {agreement.difference:.2g} "
            f"(at most {agreement.tolerance:.2g})"
        )
    return int(not all(agreement.holds for agreement in found))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
