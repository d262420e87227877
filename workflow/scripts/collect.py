"""Rule collect: one table of all runs of an experiment."""

import _job
from replication import stages


def main(snakemake: _job.Snakemake) -> None:
    stages.collect(list(snakemake.input.runs), snakemake.output.table)


if "snakemake" in globals():
    _job.run(main, snakemake)
