#!/usr/bin/env bash
# SLURM from Debian's packages, for slurm.sh; it needs root and a Debian or Ubuntu. Nothing is started.
set -euo pipefail
. "$(dirname "$0")/../debian.sh"

install_packages SLURM "slurmctld munged" slurm-wlm munge
