# `make redraw`, `make reference-figures`: figures and claims from tables that are there; no rule that trains is known here.
from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/figures.smk"
include: "rules/claims.smk"


# All of it as one job: alone, each takes longer to start than to draw.
rule redrawn:
    default_target: True
    input:
        [getattr(rules, name).input for name in DRAWN],
    output:
        # Not taken away before, and put back if it fails.
        [update(str(path)) for name in DRAWN for path in getattr(rules, name).output],
    log:
        f"{LOGS}/redrawn.log",
    benchmark:
        f"{BENCHMARKS}/redrawn.tsv"
    conda:
        ENVIRONMENT
    threads: 4
    params:
        rules={name: rule_in_words(name) for name in DRAWN},
    message:
        f"every figure into {FIGURES}, every claim into {RESULTS}/claims.md"
    script:
        "scripts/redrawn.py"


# Asked for by name, or by file, one of them is a job of its own.
for name in DRAWN:
    workflow.ruleorder(name, "redrawn")
