"""Rule gfs_sharpness: the gradient flow solutions from a batch of checkpoints."""

import _job
from gfs import stages


def main(snakemake):
    job = stages.Job.prepare(snakemake.params.run, snakemake.input.data or None, snakemake.resources.device)
    stages.gfs_sharpness(job, snakemake.input.checkpoints, snakemake.output.table)


if "snakemake" in globals():
    _job.run(main, snakemake)
