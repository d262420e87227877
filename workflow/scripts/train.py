"""Rule train: gradient descent, its trajectory and its checkpoints."""

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    section = f"experiments.{snakemake.wildcards.experiment}"
    data, device = snakemake.input.data or None, snakemake.resources.device
    job = stages.Job.prepare(snakemake.params.run, data, device, section=section)
    stages.train(job, snakemake.output.table, snakemake.output.checkpoints)


if "snakemake" in globals():
    _job.run(main, snakemake)
