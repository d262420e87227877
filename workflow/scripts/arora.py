"""Rule arora: normalised gradient descent and descent on sqrt(L) beside their limiting flow, on one problem."""

import _job
from replication.storage import files, provenance
from replication.studies.arora import phases


def main(snakemake: _job.Snakemake) -> None:
    settings = snakemake.params.runs
    problem = snakemake.wildcards.problem
    record = provenance.recorder(settings, section=f"arora.{problem}")
    files.write_table(snakemake.output.table, phases.table(problem, settings), record(), columns=phases.COLUMNS)
    files.write_table(snakemake.output.rises, phases.rises(problem, settings), record(), columns=phases.RISES)


if "snakemake" in globals():
    _job.run(main, snakemake)
