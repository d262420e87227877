"""Rule train: gradient descent, its trajectory and its checkpoints."""

import _job
from replication import stages


def main(snakemake):
    job = stages.Job.prepare(snakemake.params.run, snakemake.input.data or None, snakemake.resources.device)
    stages.train(job, snakemake.output.table, snakemake.output.checkpoints)


if "snakemake" in globals():
    _job.run(main, snakemake)
