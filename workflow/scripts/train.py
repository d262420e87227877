"""Rule train: gradient descent, its trajectory and its checkpoints."""

import _job
from gfs import files, models, provenance, runs


def main(snakemake):
    parameters = snakemake.params.run
    record = provenance.recorder(parameters, seed=parameters["seed"])
    data = files.read_tensors(snakemake.input.data) if snakemake.input.data else {}
    model = models.build(parameters, data, device=snakemake.resources.device)
    runs.train(
        model,
        models.learning_rate(parameters, data),
        **runs.arguments(parameters),
        trajectory=snakemake.output.table,
        checkpoints=snakemake.output.checkpoints,
        record=record,
        identity={
            "parameters": parameters,
            "data_sha256": files.sha256(snakemake.input.data) if snakemake.input.data else None,
            # What a user's own factory made; where it forgets its seed, each time something else.
            "constants": files.digest(model.constants()),
            # What the last digits depend on.
            **{key: value for key, value in provenance.hardware().items() if key in ("torch_threads", "gpu")},
        },
    )


if "snakemake" in globals():
    _job.run(main, snakemake)
