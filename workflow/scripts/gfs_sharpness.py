"""Rule gfs_sharpness: the gradient flow solutions from a batch of checkpoints."""

from pathlib import Path

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    checkpoints = list(snakemake.input.checkpoints)
    folder, data = Path(checkpoints[0]).parent, snakemake.input.data or None
    section = f"experiments.{snakemake.wildcards.experiment}"
    job = stages.Job.prepare(snakemake.params.run, data, snakemake.resources.device, folder, section=section)
    stages.gfs_sharpness(job, checkpoints, snakemake.input.trajectory, snakemake.output.table)


if "snakemake" in globals():
    _job.run(main, snakemake)
