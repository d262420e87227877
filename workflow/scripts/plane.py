"""Rule plane: gradient descent from a grid of starts in the plane of GFS sharpness and product."""

import numpy as np

import _job
from gfs import files, progress, provenance
from gfs.scalar import in_invariant_set, plane

# Runs that converge but whose GFS sharpness rises on the way are followed into the invariant set for so many steps.
STEPS_INTO_SET = 1000


def main(snakemake):
    import pandas as pd

    settings = snakemake.params.plane
    record = provenance.recorder(settings)
    eta = settings["learning_rate"]
    wanted = np.linspace(*settings["gfs_sharpness"], settings["points"][0]) * 2 / eta
    phi, product = np.meshgrid(wanted, np.linspace(*settings["products"], settings["points"][1]))
    w = plane.starts(settings["direction"], phi.ravel(), product.ravel())
    with progress.bar(len(w), "starts") as bar:
        found = plane.descend(
            w,
            eta,
            loss_tolerance=settings["stop"]["loss"],
            max_iterations=settings["stop"]["iterations"],
            threads=snakemake.threads,
        )
        bar.update(len(w))
    weights = {f"w{i + 1}": w[:, i] for i in range(w.shape[1])}
    table = pd.DataFrame({**weights, "product": product.ravel(), **vars(found), "in_set": in_invariant_set(w, eta)})
    rising = (table["rises"] > 0) & (table["status"] == "converged")
    table["first_in_set"] = -1
    table.loc[rising, "first_in_set"] = plane.first_in_set(w[rising], eta, STEPS_INTO_SET)
    table["threshold"] = 2 / eta
    files.write_table(snakemake.output.table, table, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
