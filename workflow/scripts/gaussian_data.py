"""Rule gaussian_data: Gaussian samples with the sharpness of their flattest interpolator."""

import _job
from gfs import files, provenance
from gfs.regression import runs


def main(snakemake):
    seed = int(snakemake.wildcards.seed)
    record = provenance.recorder(snakemake.params.data, seed=seed)
    files.write_tensors(snakemake.output.tensors, runs.tensors(snakemake.params.data, seed), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
