"""Rule collect_run: a run's trajectory with its GFS sharpness."""

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    trajectory, gfs = snakemake.input.trajectory, list(snakemake.input.gfs)
    stages.collect_run(trajectory, gfs, snakemake.params.run, snakemake.params.labels, snakemake.output.table)


if "snakemake" in globals():
    _job.run(main, snakemake)
