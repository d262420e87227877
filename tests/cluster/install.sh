#!/usr/bin/env bash
# SLURM from Debian's packages, for slurm.sh; it needs root and a Debian or Ubuntu. Nothing is started.
set -euo pipefail

if command -v slurmctld > /dev/null && command -v munged > /dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || [ -z "$(command -v apt-get)" ]; then
    echo "installing SLURM takes root and apt-get" >&2
    exit 77
fi
export DEBIAN_FRONTEND=noninteractive
# A mirror that does not answer is asked again, and not for ever.
options=(-y -o Acquire::Retries=3 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60)
timeout 180 apt-get update "${options[@]}"
timeout 300 apt-get install "${options[@]}" --no-install-recommends slurm-wlm munge
