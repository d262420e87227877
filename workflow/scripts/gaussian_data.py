"""Rule gaussian_data: Gaussian samples with the sharpness of their flattest interpolator."""

import _job
from replication import stages


def main(snakemake):
    stages.gaussian_data(snakemake.params.data, int(snakemake.wildcards.seed), snakemake.output.tensors)


if "snakemake" in globals():
    _job.run(main, snakemake)
