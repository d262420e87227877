"""Rule gfs_sharpness: the gradient flow solutions from a batch of checkpoints."""

import _job
from gfs import files, models, provenance, runs


def main(snakemake):
    parameters = snakemake.params.run
    record = provenance.recorder(parameters, seed=parameters["seed"])
    data = files.read_tensors(snakemake.input.data) if snakemake.input.data else {}
    model = models.build(parameters, data, device=snakemake.resources.device)
    files.write_table(snakemake.output.table, runs.gfs_table(model, snakemake.input.checkpoints), record())


if "snakemake" in globals():
    _job.run(main, snakemake)
