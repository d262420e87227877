# Arora, Li, Panigrahi (2022): normalised gradient descent and descent on sqrt(L) beside their limiting flows.


rule arora:
    output:
        table=f"{RESULTS}/arora/{{problem}}.parquet",
        provenance=f"{RESULTS}/arora/{{problem}}.json",
        rises=f"{RESULTS}/arora/rises/{{problem}}.parquet",
        rises_provenance=f"{RESULTS}/arora/rises/{{problem}}.json",
    log:
        f"{LOGS}/arora/{{problem}}.log",
    benchmark:
        f"{BENCHMARKS}/arora/{{problem}}.tsv"
    wildcard_constraints:
        problem=one_of(ARORA_PROBLEMS),
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards: configuration.arora_settings(config, wildcards.problem),
    script:
        "../scripts/arora.py"
