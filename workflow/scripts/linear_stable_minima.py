"""Rule linear_stable_minima: how far out the stable minima of linear networks lie."""

import _job
from gfs import files, provenance
from gfs.linear import stable_minima


def main(snakemake):
    settings = snakemake.params.stable_minima
    record = provenance.recorder(settings)
    files.write_table(snakemake.output.table, stable_minima.table(settings), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
