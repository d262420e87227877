"""Rule sensitivity: all variants in one table, and what became of the claims as a page."""

import _job
from gfsharp.errors import UserError
from replication import sensitivity
from replication.storage import files, provenance


def main(snakemake: _job.Snakemake) -> None:
    import pandas as pd

    parameters = {"scale": snakemake.params.scale, "sensitivity": snakemake.params.studies}
    inputs = files.checksums(snakemake.input.variants)
    record = provenance.recorder(parameters, section="sensitivity", inputs=inputs)
    if not snakemake.input.variants:
        raise UserError("the configuration's section sensitivity has no study, so there is nothing to measure; add one")
    found = pd.concat([files.read_table(path) for path in snakemake.input.variants], ignore_index=True)
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    files.write_text(snakemake.output.page, sensitivity.markdown(found, snakemake.config, machine))
    files.write_table(snakemake.output.table, found, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
