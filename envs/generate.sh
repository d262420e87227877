#!/bin/sh
# Write envs/gfs.yaml, the conda environment, from uv.lock: the same version of every package.
# Usage: UV=path/to/uv envs/generate.sh
set -eu
cd "$(dirname "$0")/.."
pins=$("${UV:-uv}" export --locked --quiet --no-default-groups --group replication --no-emit-project --no-hashes --no-annotate --no-header --prune snakemake \
    --prune snakemake-executor-plugin-slurm)
temporary=$(mktemp)
trap 'rm -f "$temporary"' EXIT
{
    echo "# Generated from uv.lock by envs/generate.sh; do not edit. Used by: snakemake --software-deployment-method conda"
    echo "channels: [conda-forge]"
    echo "dependencies:"
    echo "  - python=3.11"
    echo "  - pip"
    echo "  - pip:"
    echo "$pins" | sed "s/.*/      - \"&\"/"
} > "$temporary"
cat "$temporary" > envs/gfs.yaml
