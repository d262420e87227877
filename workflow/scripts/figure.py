"""The rules of the figures: any figure of the registry, by the module of replication.figures that draws it."""

import _job
from replication.figures import drawing, style
from replication.storage import files, provenance


def main(snakemake: _job.Snakemake) -> None:
    inputs = dict(snakemake.input.items())
    listed = [path for paths in inputs.values() for path in ([paths] if isinstance(paths, str) else paths)]
    shows = snakemake.params.shows
    section = f"figures.{snakemake.rule}" if shows else None
    record = provenance.recorder({"shows": shows}, section=section, inputs=files.checksums(listed))
    tables = {name: _job.read_table(paths)[1] for name, paths in inputs.items()}
    with style.applied():
        figure = drawing.draw(snakemake.params.module, tables)
        drawing.save(figure, snakemake.output.pdf, snakemake.output.png, snakemake.output.svg)
    files.write_table(snakemake.output.numbers, drawing.numbers(tables), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
