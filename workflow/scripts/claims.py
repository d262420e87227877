"""Rule claims: every claim of the paper with its verdict."""

import _job
from gfs import claims, files


def main(snakemake):
    paths = {name: path for name, path in snakemake.input.items() if name.startswith("figure")}
    tables = {figure: (path, files.read_table(path)) for figure, path in paths.items()}
    results = claims.evaluate(tables, snakemake.params.scale)
    files.write_json(snakemake.output.json, results)
    with files.whole_file(snakemake.output.markdown) as path:
        path.write_text(claims.markdown(results), encoding="utf-8")


if "snakemake" in globals():
    _job.run(main, snakemake)
