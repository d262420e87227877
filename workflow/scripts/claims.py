"""Rule claims: every claim of the paper with its verdict."""

from pathlib import Path

import _job
from gfs import claims, files


def read(paths):
    """The path and content of a table; of one in several files, their folder and all rows."""
    import pandas as pd

    if isinstance(paths, str):
        return paths, files.read_table(paths)
    return str(Path(paths[0]).parent), pd.concat([files.read_table(path) for path in paths], ignore_index=True)


def main(snakemake):
    tables = {name: read(paths) for name, paths in snakemake.input.items() if name != "definitions"}
    results = claims.evaluate(claims.CLAIMS, tables, snakemake.params.scale)
    files.write_json(snakemake.output.json, results)
    with files.whole_file(snakemake.output.markdown) as path:
        path.write_text(claims.markdown(results), encoding="utf-8")


if "snakemake" in globals():
    _job.run(main, snakemake)
