"""Rule stable_set: the stable set of Damian et al. for scalar networks of depth 3."""

import numpy as np

import _job
from gfsharp.errors import UserError
from gfsharp.scalar import product, sharpness
from replication.storage import files, provenance
from replication.studies.scalar.stable_set import POINTS, PRODUCTS, stable_set


def main(snakemake: _job.Snakemake) -> None:
    import pandas as pd

    settings = snakemake.params.stable_set
    record = provenance.recorder(settings, section="scalar.stable_set")
    low, high = settings["products"]
    products = np.linspace(low, high, settings["points"])
    # At zero the gradient vanishes or has no top component; at one every stable minimum belongs to the set.
    products = products[(np.abs(products) > 1e-9) & (np.abs(products - 1) > 1e-9)]
    eta = settings["learning_rate"]
    found = stable_set(eta, products, log_ratio=settings["log_ratio"], shapes=settings["shapes"])
    if not len(found.points):
        raise UserError(
            f"the stable set has no point but minima at the {len(products)} products from {products[0]:.3g} to "
            f"{products[-1]:.3g}; let scalar.stable_set.products cover some from 0 to 1/2, or lower its learning_rate"
        )
    points = pd.DataFrame(found.points, columns=["w1", "w2", "w3"])
    points["product"], points["sharpness"] = product(found.points), sharpness(found.points)
    points["learning_rate"] = eta
    cosines = pd.DataFrame({"product": found.products, "least_cosine": found.least_cosine})
    counted = points["product"].round(9).value_counts()
    cosines["points"] = cosines["product"].round(9).map(counted).fillna(0).astype(np.int64)
    files.write_table(snakemake.output.points, points, record(), columns=POINTS)
    files.write_table(snakemake.output.products, cosines, record(), columns=PRODUCTS)


if "snakemake" in globals():
    _job.run(main, snakemake)
