"""Rule figure13: the networks of figure 6 on other data; sharpness, GFS sharpness and 2/eta above the training loss."""

import _job
from replication.figures import plotting

if "snakemake" in globals():
    _job.run_figure(plotting.networks, snakemake)
