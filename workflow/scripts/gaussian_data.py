"""Rule gaussian_data: Gaussian samples with the sharpness of their flattest interpolator."""

import numpy as np

import _job
from gfs import data, files, provenance, regression


def main(snakemake):
    seed = int(snakemake.wildcards.seed)
    record = provenance.recorder(snakemake.params.data, seed=seed)
    X, y = data.gaussian(**data.gaussian_arguments(snakemake.params.data), seed=seed)
    flattest = np.float64(regression.flattest_sharpness(X, y))
    files.write_tensors(snakemake.output.tensors, {"X": X, "y": y, "flattest_sharpness": flattest}, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
