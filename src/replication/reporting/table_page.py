"""What the columns of every table mean, as results/README.md has it: ``python -m replication.reporting.table_page``."""

from __future__ import annotations

from pathlib import Path

from replication.claims.printing import between
from replication.storage import files
from replication.storage.table_schema import RUN, Columns, markdown
from replication.studies import regression
from replication.studies.arora import phases
from replication.studies.linear import convergence, gd_map, gfs, minimisers, stable_minima
from replication.studies.scalar import bifurcation, plane, sampling, stable_set

PAGE = Path("results/README.md")
BEGIN, END = "<!-- columns:begin -->", "<!-- columns:end -->"

# By the path of its files below results/: what it has one row per, and the columns.
TABLES: dict[str, tuple[str, Columns]] = {
    "tables/<experiment>.parquet": ("iterate of a run; `runs/<experiment>/<run>/run.parquet` has one run's", RUN),
    "scalar/plane.parquet": ("start of figures 2c and 3", plane.COLUMNS),
    "runs/<experiment>/<run>/gpgd/iterates.parquet": ("iterate, with GPGD beside it", bifurcation.ITERATES),
    "runs/<experiment>/<run>/gpgd/orbits.parquet": (
        "product in which an orbit ends: those of one period, or all that were kept; none of an unbounded orbit",
        bifurcation.ORBITS,
    ),
    "scalar/stable_set/points.parquet": ("point of the stable set that is not a minimum", stable_set.POINTS),
    "scalar/stable_set/products.parquet": ("product that was scanned", stable_set.PRODUCTS),
    "scalar/theorems/depth<depth>.parquet": ("statement, with its text in `claims.md`", sampling.COLUMNS),
    "regression/runs/<part>.parquet": ("iterate; ten seeds a file", regression.RUNS),
    "regression/scales.parquet": ("iterate", regression.SCALES),
    "arora/<problem>.parquet": ("iterate that is kept", phases.COLUMNS),
    "arora/rises/<problem>.parquet": ("run, looked at after every step", phases.RISES),
    "linear/gd_map.parquet": ("network, learning rate and epsilon", gd_map.COLUMNS),
    "linear/preimages.parquet": ("target of a grid", gd_map.PREIMAGES),
    "linear/minimisers.parquet": ("minimiser", minimisers.COLUMNS),
    "linear/stable_minima.parquet": ("network and search", stable_minima.COLUMNS),
    "linear/convergence.parquet": ("network and learning rate", convergence.COLUMNS),
    "linear/gfs.parquet": ("iterate", gfs.COLUMNS),
}


def columns() -> str:
    """Return the part of the page that describes the columns of all tables.

    What means the same as in a run's table is only named in others.
    """
    parts = []
    for path, (row, found) in TABLES.items():
        same = [name for name in found if found is not RUN and found[name] is RUN.get(name)]
        besides = f" As in a run's table: {', '.join(f'`{name}`' for name in same)}." if same else ""
        own = markdown({name: column for name, column in found.items() if name not in same})
        parts.append(f"`{path}`, one row per {row}.{besides}\n\n{own}")
    return "\n".join(parts).strip()


def main() -> None:
    """Write that part of the page anew."""
    files.write_text(PAGE, between(PAGE.read_text(encoding="utf-8"), BEGIN, END, columns()))


if __name__ == "__main__":
    main()
