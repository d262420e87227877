"""Rule gpgd: GPGD, and the approximation of Zhu et al., from each iterate of a scalar network's run."""

import numpy as np

import _job
from replication.storage import files, provenance
from replication.studies.scalar import bifurcation

# Of a run that diverged at its start: two weights, as the figure in the plane looks for.
NO_CHECKPOINTS = {"iteration": np.empty(0, dtype=np.int64), "weights": np.empty((0, 2))}


def main(snakemake: _job.Snakemake) -> None:
    settings, eta = snakemake.params.gpgd, snakemake.params.learning_rate
    labels = snakemake.params.labels
    inputs = files.checksums([snakemake.input.trajectory, *snakemake.input.checkpoints])
    record = provenance.recorder({**settings, "learning_rate": eta, **labels}, section="scalar.gpgd", inputs=inputs)
    trajectory = files.read_table(snakemake.input.trajectory)
    blocks = [files.read_tensors(path) for path in snakemake.input.checkpoints] or [NO_CHECKPOINTS]
    iterations = np.concatenate([block["iteration"] for block in blocks])
    weights = np.concatenate([block["weights"] for block in blocks])
    iterates, orbits = bifurcation.beside_descent(iterations, weights, eta, **settings)
    iterates = bifurcation.with_ending(iterates, trajectory)
    files.write_table(snakemake.output.iterates, iterates.assign(**labels), record(), columns=bifurcation.ITERATES)
    files.write_table(snakemake.output.orbits, orbits.assign(**labels), record(), columns=bifurcation.ORBITS)


if "snakemake" in globals():
    _job.run(main, snakemake)
