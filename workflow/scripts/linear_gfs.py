"""Rule linear_gfs: the GFS sharpness along gradient descent on linear networks."""

import _job
from gfs import files, provenance
from gfs.linear import gfs


def main(snakemake):
    settings = snakemake.params.gfs
    record = provenance.recorder(settings)
    files.write_table(snakemake.output.table, gfs.table(settings), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
