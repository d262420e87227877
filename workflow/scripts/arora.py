"""Rule arora: normalised gradient descent and descent on sqrt(L) beside their limiting flow, on one problem."""

import _job
from gfs import files, provenance
from gfs.arora import phases


def main(snakemake):
    settings = snakemake.params.runs
    record = provenance.recorder(settings)
    files.write_table(snakemake.output.table, phases.table(snakemake.wildcards.problem, settings), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
