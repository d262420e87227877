# `make reference-figures`: figures and claims from tables that are there; no rule that trains anything is known here.
from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/figures.smk"
include: "rules/claims.smk"


rule all:
    default_target: True
    input:
        everything(),
