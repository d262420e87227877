"""Rule linear_gfs: the GFS sharpness along gradient descent on linear networks."""

import _job
from replication.studies.linear import gfs

if "snakemake" in globals():
    _job.run_table(gfs.table, "linear.gfs", gfs.COLUMNS, snakemake)
