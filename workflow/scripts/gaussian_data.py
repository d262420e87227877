"""Rule gaussian_data: Gaussian samples with the sharpness of their flattest interpolator."""

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    seed, section = int(snakemake.wildcards.seed), f"data.{snakemake.wildcards.dataset}"
    stages.gaussian_data(snakemake.params.data, seed, snakemake.output.tensors, section=section)


if "snakemake" in globals():
    _job.run(main, snakemake)
