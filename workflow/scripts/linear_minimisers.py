"""Rule linear_minimisers: ranks at sampled global minimisers of linear networks."""

import _job
from replication.studies.linear import minimisers

if "snakemake" in globals():
    _job.run_table(minimisers.table, "linear.minimisers", minimisers.COLUMNS, snakemake)
