"""Rule regression_speed: how fast the GFS sharpness of squared regression is."""

import _job
from replication import data
from replication.benchmarks import regression
from replication.storage import files, provenance

SAMPLES = [20, 50, 100, 200, 500, 1000]
FACTORS = [2, 10]


def main(snakemake: _job.Snakemake) -> None:
    data_set = data.gaussian_arguments(snakemake.params.data)
    record = provenance.recorder(data_set)
    rows = regression.along_a_run(data_set, fraction=0.9, initial_scale=0.1)
    sizes = regression.by_size(SAMPLES, FACTORS)
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    files.write_text(snakemake.output.page, regression.markdown(rows, sizes, machine))
    files.write_table(snakemake.output.table, sizes, {**record(), "measured": rows})


if "snakemake" in globals():
    _job.run(main, snakemake)
