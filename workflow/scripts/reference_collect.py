"""Rule reference_collect: the tables that figures and claims are made from, as small as they can be kept."""

import json
from pathlib import Path

import _job
from replication.storage import files, provenance

# Columns that take much room and that no figure and no claim needs, by the folder of a table.
NOT_KEPT = {"regression/runs": ["loss"]}


def main(snakemake: _job.Snakemake) -> None:
    for source, target in zip(snakemake.input.tables, snakemake.output.tables, strict=True):
        dropped = [name for folder, names in NOT_KEPT.items() if folder in source for name in names]
        table = files.read_table(source).drop(columns=dropped)
        record = files.read_provenance(source)
        # What making it took is as its record says, or not known: not what copying it takes.
        unknown = dict.fromkeys(provenance.spent())
        origin = unknown | {name: value for name, value in record.items() if name not in ("file", "sha256")}
        files.write_table(target, table, {**origin, "collected_from_sha256": record["sha256"]}, compact=True)
    files.write_json(snakemake.output.claims, json.loads(Path(snakemake.input.claims).read_text(encoding="utf-8")))


if "snakemake" in globals():
    _job.run(main, snakemake)
