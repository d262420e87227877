"""Rule linear_stable_minima: how far out the stable minima of linear networks lie."""

import _job
from replication.studies.linear import stable_minima

if "snakemake" in globals():
    _job.run_table(stable_minima.table, "linear.stable_minima", stable_minima.COLUMNS, snakemake)
