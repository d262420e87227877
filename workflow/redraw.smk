# `make redraw`, `make reference-figures`: figures and claims from tables that are there; no rule that trains is known here.
# Not by --allowed-rules: where a table is missing, Snakemake 9.27 then runs other rules too, as one is a checkpoint.
from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/hooks.smk"
include: "rules/figures.smk"
include: "rules/claims.smk"


depend_on_code()


# All of it as one job: alone, each takes longer to start than to draw. What it makes stays in Snakemake's books what the
# rules of the figures and claims made, so it has no output of its own, and is done whenever it is asked for.
rule redrawn:
    default_target: True
    input:
        [getattr(rules, name).input for name in DRAWN],
    log:
        f"{LOGS}/redrawn.log",
    conda:
        ENVIRONMENT
    threads: 4
    params:
        rules={name: rule_in_words(name) for name in DRAWN},
    message:
        f"every figure into {FIGURES}, every claim into {RESULTS}/claims.md"
    script:
        "scripts/redrawn.py"
