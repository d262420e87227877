"""Rule linear_convergence: the share of starts from which gradient descent on linear networks converges."""

import _job
from gfs import files, provenance
from gfs.linear import convergence


def main(snakemake):
    settings = snakemake.params.convergence
    record = provenance.recorder(settings)
    files.write_table(snakemake.output.table, convergence.table(settings), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
