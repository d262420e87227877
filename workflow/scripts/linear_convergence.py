"""Rule linear_convergence: the share of starts from which gradient descent on linear networks converges."""

import _job
from replication.studies.linear import convergence

if "snakemake" in globals():
    _job.run_table(convergence.table, "linear.convergence", convergence.COLUMNS, snakemake)
