"""Rule collect: one table of all runs of an experiment."""

import _job
from gfs import files, provenance


def main(snakemake):
    record = provenance.recorder({"runs": list(snakemake.input.runs)})
    _, table = _job.read_table(snakemake.input.runs)
    files.write_table(snakemake.output.table, table, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
