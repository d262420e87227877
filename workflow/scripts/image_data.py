"""Rule image_data: images of a set, normalised, with one-hot targets; or data of a user's own."""

import _job
from replication import stages


def main(snakemake):
    stages.image_data(snakemake.params.data, snakemake.output.tensors, snakemake.params.downloads)


if "snakemake" in globals():
    _job.run(main, snakemake)
