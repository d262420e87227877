"""Rule collect: one table of all runs of an experiment."""

import _job
from gfs import files, provenance, table_schema


def main(snakemake):
    runs = {path: files.read_provenance(path)["parameters"] for path in snakemake.input.runs}
    record = provenance.recorder({"runs": runs})
    _, table = _job.read_table(snakemake.input.runs)
    files.write_table(snakemake.output.table, table, record(), columns=table_schema.RUN)


if "snakemake" in globals():
    _job.run(main, snakemake)
