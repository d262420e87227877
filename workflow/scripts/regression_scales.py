"""Rule regression_scales: squared regression from lazy to rich initialisation."""

import _job
from replication import data
from replication.storage import files, provenance
from replication.studies import regression


def main(snakemake: _job.Snakemake) -> None:
    import pandas as pd

    settings = snakemake.params.scales
    parameters = {**settings, "data_set": snakemake.params.data}
    record = provenance.recorder(parameters, section="regression.scales", seed=settings["seed"])
    data_set = data.gaussian_arguments(snakemake.params.data)
    tables = regression.scales(data_set, settings["seed"], settings["values"], settings["start"], settings["stop"])
    files.write_table(snakemake.output.table, pd.concat(tables, ignore_index=True), record(), columns=regression.SCALES)


if "snakemake" in globals():
    _job.run(main, snakemake)
