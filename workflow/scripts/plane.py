"""Rule plane: gradient descent from a grid of starts in the plane of GFS sharpness and product."""

import math

import _job
from replication import progress
from replication.storage import files, provenance
from replication.studies.scalar import plane


def main(snakemake: _job.Snakemake) -> None:
    settings = snakemake.params.plane
    record = provenance.recorder(settings, section="scalar.plane")
    starts = math.prod(settings["points"])
    with progress.bar(starts, "starts") as bar:
        table = plane.table(**settings, threads=snakemake.threads)
        bar.update(starts)
    files.write_table(snakemake.output.table, table, record(), columns=plane.COLUMNS)


if "snakemake" in globals():
    _job.run(main, snakemake)
