"""Rule theorems: the theorems and lemmas on scalar networks, examined on sampled points of one depth."""

from dataclasses import asdict

import _job
from replication import progress
from replication.storage import files, provenance
from replication.studies.scalar import sampling, theorems


def main(snakemake: _job.Snakemake) -> None:
    import pandas as pd

    depth, points, seed = int(snakemake.wildcards.depth), snakemake.params.points, snakemake.params.seed
    record = provenance.recorder({"depth": depth, "points": points}, section="scalar.theorems", seed=seed)
    rows = []
    with progress.bar(len(theorems.STATEMENTS), "statements") as bar:
        for statement in theorems.STATEMENTS:
            rows.append(asdict(theorems.examine(statement, depth, points, seed)))
            bar.update(1)
    files.write_table(snakemake.output.table, pd.DataFrame(rows), record(), columns=sampling.COLUMNS)


if "snakemake" in globals():
    _job.run(main, snakemake)
