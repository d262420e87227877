"""Rule claims: every claim of the paper with its verdict."""

import _job
from replication import claims
from replication.storage import files


def main(snakemake: _job.Snakemake) -> None:
    tables = {name: _job.read_table(paths) for name, paths in snakemake.input.items()}
    results = claims.evaluate(claims.CLAIMS, tables, snakemake.params.scale)
    files.write_json(snakemake.output.json, results)
    files.write_text(snakemake.output.markdown, claims.markdown(results))


if "snakemake" in globals():
    _job.run(main, snakemake)
