"""Rule image_data: the first images of a set, normalised, with one-hot targets."""

import _job
from gfs import data, files, provenance


def main(snakemake):
    settings = snakemake.params.data
    record = provenance.recorder(settings)
    inputs, targets, statistics = data.images(
        settings["source"], settings["images"], file=settings.get("file"), root=snakemake.params.downloads or "."
    )
    files.write_tensors(
        snakemake.output.tensors,
        {"inputs": inputs, "targets": targets},
        {**record(), "channel_statistics": f"mean and standard deviation of {statistics}"},
    )


if "snakemake" in globals():
    _job.run(main, snakemake)
