"""Rule regression_runs: squared regression over seeds and learning rates, the GFS sharpness at every iterate."""

import _job
from replication import data, progress
from replication.storage import files, provenance
from replication.studies import regression


def main(snakemake: _job.Snakemake) -> None:
    import pandas as pd

    settings = snakemake.params.runs
    seeds = snakemake.params.seeds
    parameters = {**settings, "seeds": seeds, "data_set": snakemake.params.data}
    record = provenance.recorder(parameters, section="regression.runs")
    data_set = data.gaussian_arguments(snakemake.params.data)
    fractions = settings["learning_rate_fractions"]
    tables = []
    with progress.bar(len(seeds) * len(fractions), "runs") as bar:
        for table in regression.seeds_and_rates(
            data_set, seeds, fractions, settings["initial_scale"], settings["stop"]
        ):
            tables.append(table)
            bar.update(1)
    files.write_table(snakemake.output.table, pd.concat(tables, ignore_index=True), record(), columns=regression.RUNS)


if "snakemake" in globals():
    _job.run(main, snakemake)
