"""Rule image_data: images of a set, normalised, with one-hot targets; or data of a user's own."""

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    params, section = snakemake.params, f"data.{snakemake.wildcards.dataset}"
    stages.image_data(params.data, snakemake.output.tensors, params.downloads, section=section)


if "snakemake" in globals():
    _job.run(main, snakemake)
