"""Rule image_data: images of a set, normalised, with one-hot targets; or data of a user's own."""

import _job
from gfs import data, files, provenance


def main(snakemake):
    settings = snakemake.params.data
    record = provenance.recorder(settings)
    tensors, statistics = data.labelled(settings, snakemake.params.downloads)
    of_images = {
        "statistics": statistics,
        "file_sha256": files.sha256(settings["file"]) if "file" in settings else None,
    }
    files.write_tensors(snakemake.output.tensors, tensors, record() | (of_images if statistics else {}))


if "snakemake" in globals():
    _job.run(main, snakemake)
