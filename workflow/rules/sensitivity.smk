# What the conclusions do with other values than ours: a job per variant. Not part of `all`: minutes that no figure needs.


wildcard_constraints:
    study=one_of(sorted({study for study, _ in VARIANTS})),
    variant=one_of(sorted({name for _, name in VARIANTS})),


rule sensitivity_variant:
    output:
        table=f"{RESULTS}/sensitivity/variants/{{study}}/{{variant}}.parquet",
        provenance=f"{RESULTS}/sensitivity/variants/{{study}}/{{variant}}.json",
    log:
        f"{LOGS}/sensitivity_variant/{{study}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/sensitivity_variant/{{study}}/{{variant}}.tsv"
    conda:
        ENVIRONMENT
    threads: EXECUTION["threads"]
    resources:
        device=EXECUTION["device"],
    params:
        key=lambda wildcards: variant_of(wildcards).key,
        value=lambda wildcards: variant_of(wildcards).value,
        table=table_of_study,
        made_from=variant_made_from,
        downloads=variant_downloads,
    script:
        "../scripts/sensitivity_variant.py"


# Beside Snakemake itself, as what collects.
localrules:
    sensitivity,


rule sensitivity:
    input:
        variants=[f"{RESULTS}/sensitivity/variants/{study}/{name}.parquet" for study, name in VARIANTS],
    output:
        page=f"{RESULTS}/sensitivity/sensitivity.md",
        table=f"{RESULTS}/sensitivity/sensitivity.parquet",
        provenance=f"{RESULTS}/sensitivity/sensitivity.json",
    log:
        f"{LOGS}/sensitivity.log",
    benchmark:
        f"{BENCHMARKS}/sensitivity.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=config["scale"],
        studies=config["sensitivity"],
    script:
        "../scripts/sensitivity.py"
