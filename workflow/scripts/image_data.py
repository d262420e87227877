"""Rule image_data: images of a set, normalised, with one-hot targets; or data of a user's own."""

import _job
from gfs import data, files, provenance


def main(snakemake):
    settings = snakemake.params.data
    record = provenance.recorder(settings)
    if settings["source"] == "custom":
        inputs, targets = data.custom(settings["factory"], settings.get("options", {}))
        files.write_tensors(snakemake.output.tensors, {"inputs": inputs, "targets": targets}, record())
        return
    inputs, targets, statistics = data.images(
        settings["source"],
        settings["images"],
        skip=settings.get("skip", 0),
        file=settings.get("file"),
        root=snakemake.params.downloads or ".",
    )
    files.write_tensors(
        snakemake.output.tensors,
        {"inputs": inputs, "targets": targets},
        {
            **record(),
            "channel_statistics": f"mean and standard deviation of {statistics}",
            "file_sha256": files.sha256(settings["file"]) if "file" in settings else None,
        },
    )


if "snakemake" in globals():
    _job.run(main, snakemake)
