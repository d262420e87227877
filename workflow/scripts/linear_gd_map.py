"""Rule linear_gd_map: the map of gradient descent on linear networks: near-singular points, and preimages."""

import _job
from replication.storage import files, provenance
from replication.studies.linear import gd_map


def main(snakemake: _job.Snakemake) -> None:
    settings = snakemake.params.gd_map
    record = provenance.recorder(settings, section="linear.gd_map")
    of_map = {key: value for key, value in settings.items() if key != "preimages"}
    files.write_table(snakemake.output.table, gd_map.table(**of_map), record(), columns=gd_map.COLUMNS)
    preimages = gd_map.preimage_table(**settings["preimages"])
    files.write_table(snakemake.output.preimages, preimages, record(), columns=gd_map.PREIMAGES)


if "snakemake" in globals():
    _job.run(main, snakemake)
