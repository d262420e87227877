"""Rule collect: one table of all runs of an experiment."""

import pandas as pd

import _job
from gfs import files, provenance


def main(snakemake):
    record = provenance.recorder({"runs": list(snakemake.input.runs)})
    tables = [files.read_table(path) for path in snakemake.input.runs]
    files.write_table(snakemake.output.table, pd.concat(tables, ignore_index=True), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
