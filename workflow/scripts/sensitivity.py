"""Rule sensitivity: all variants in one table, and what became of the claims as a page."""

import _job
from gfs import files, provenance, sensitivity


def main(snakemake):
    import pandas as pd

    record = provenance.recorder({"scale": snakemake.params.scale, "sensitivity": snakemake.params.studies})
    found = pd.concat([files.read_table(path) for path in snakemake.input.variants], ignore_index=True)
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    with files.whole_file(snakemake.output.page) as path:
        page = sensitivity.markdown(found, snakemake.config, machine)
        path.write_text(page, encoding="utf-8")
    files.write_table(snakemake.output.table, found, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
