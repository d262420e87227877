"""Rule sensitivity_variant: the claims on a table of results that is made again with one value changed."""

import _job
from replication import sensitivity
from replication.storage import files, provenance
from replication.variants import Variant


def main(snakemake: _job.Snakemake) -> None:
    params = snakemake.params
    # The number is of the file's name, not of what is in it.
    variant = Variant(snakemake.wildcards.study, params.key, value=params.value)
    parameters = {**params.made_from, "key": params.key, "value": params.value}
    record = provenance.recorder(parameters, section=f"sensitivity.{variant.study}")
    found = sensitivity.measured(
        variant, params.table, params.made_from, device=snakemake.resources.device, downloads=params.downloads
    )
    files.write_table(snakemake.output.table, found, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
