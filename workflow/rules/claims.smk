# What the paper states, against what was measured here.


rule claims:
    input:
        **claim_tables(),
    output:
        json=f"{RESULTS}/claims.json",
        markdown=f"{RESULTS}/claims.md",
    log:
        f"{LOGS}/claims.log",
    benchmark:
        f"{BENCHMARKS}/claims.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=config["scale"],
    script:
        "../scripts/claims.py"
