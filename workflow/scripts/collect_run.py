"""Rule collect_run: a run's trajectory with its GFS sharpness."""

from pathlib import Path

import _job
from gfs import files, provenance, resumption, runs, table_schema


def main(snakemake):
    # A table that is passed on says itself where it comes from.
    made_from = [snakemake.input.trajectory, *snakemake.input.gfs]
    # What they do not say is as configured: a run that diverged at once has no flow, whose record has its options.
    parameters = {**snakemake.params.run, **snakemake.params.labels}
    for path in made_from[:2]:
        parameters |= files.read_provenance(path)["parameters"]
    record = provenance.recorder(parameters, seed=snakemake.params.labels["seed"])
    trajectory = files.read_table(snakemake.input.trajectory)
    gfs_tables = [files.read_table(path) for path in snakemake.input.gfs]
    table = runs.with_gfs(trajectory, gfs_tables).assign(**snakemake.params.labels)
    files.write_table(snakemake.output.table, table, record(), columns=table_schema.RUN)
    # Training and flows are done and noted: nothing will go on from there.
    resumption.forget(Path(snakemake.output.table).parent)


if "snakemake" in globals():
    _job.run(main, snakemake)
