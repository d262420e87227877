"""Rule linear_minimisers: ranks at sampled global minimisers of linear networks."""

import _job
from gfs import files, provenance
from gfs.linear import minimisers


def main(snakemake):
    settings = snakemake.params.minimisers
    record = provenance.recorder(settings)
    files.write_table(snakemake.output.table, minimisers.table(settings), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
