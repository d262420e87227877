"""Rule gfs_sharpness: the gradient flow solutions from a batch of checkpoints."""

from pathlib import Path

import _job
from gfs import checkpoints, files, models, provenance, runs


def main(snakemake):
    parameters = snakemake.params.run
    record = provenance.recorder(parameters, seed=parameters["seed"])
    data = files.read_tensors(snakemake.input.data) if snakemake.input.data else {}
    constants = checkpoints.constants(Path(snakemake.input.checkpoints[0]).parent)
    model = models.build(parameters, data, device=snakemake.resources.device, constants=constants)
    trajectory = files.read_table(snakemake.input.trajectory)
    files.write_table(snakemake.output.table, runs.gfs_table(model, snakemake.input.checkpoints, trajectory), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
