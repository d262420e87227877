# `make benchmark`: speed, measured side by side. Not part of `all`; alone on the machine, for it takes every core.
# `resources`: what memory, time and disk the jobs of `all` took, which workflow/profiles/slurm asks a cluster for.


rule scalar_speed:
    output:
        page=f"{RESULTS}/speed/scalar.md",
        picture=f"{RESULTS}/speed/scalar.png",
        table=f"{RESULTS}/speed/scalar.parquet",
        provenance=f"{RESULTS}/speed/scalar.json",
    log:
        f"{LOGS}/scalar_speed.log",
    benchmark:
        f"{BENCHMARKS}/scalar_speed.tsv"
    conda:
        ENVIRONMENT
    threads: workflow.cores
    params:
        plane=configuration.settings(config, "scalar", "plane"),
    script:
        "../scripts/scalar_speed.py"


rule regression_speed:
    output:
        page=f"{RESULTS}/speed/regression.md",
        table=f"{RESULTS}/speed/regression.parquet",
        provenance=f"{RESULTS}/speed/regression.json",
    log:
        f"{LOGS}/regression_speed.log",
    benchmark:
        f"{BENCHMARKS}/regression_speed.tsv"
    conda:
        ENVIRONMENT
    threads: workflow.cores
    params:
        data=configuration.data_set(config, config["regression"]["runs"]["data"]),
    script:
        "../scripts/regression_speed.py"


rule network_speed:
    output:
        page=f"{RESULTS}/speed/networks.md",
        picture=f"{RESULTS}/speed/networks.png",
        table=f"{RESULTS}/speed/networks.parquet",
        provenance=f"{RESULTS}/speed/networks.json",
    log:
        f"{LOGS}/network_speed.log",
    benchmark:
        f"{BENCHMARKS}/network_speed.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    script:
        "../scripts/network_speed.py"


rule coverage:
    output:
        page=f"{RESULTS}/speed/coverage.md",
        table=f"{RESULTS}/speed/coverage.parquet",
        provenance=f"{RESULTS}/speed/coverage.json",
    log:
        f"{LOGS}/coverage.log",
    benchmark:
        f"{BENCHMARKS}/coverage.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    script:
        "../scripts/coverage.py"


# Beside Snakemake, and so without resources of its own.
localrules:
    resources,


rule resources:
    input:
        **everything(),
    output:
        page=f"{RESULTS}/speed/resources.md",
        table=f"{RESULTS}/speed/resources.parquet",
        provenance=f"{RESULTS}/speed/resources.json",
    log:
        f"{LOGS}/resources.log",
    benchmark:
        f"{BENCHMARKS}/resources.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=config["scale"],
        folders={"results": RESULTS, "logs": LOGS, "benchmarks": BENCHMARKS},
    script:
        "../scripts/resources.py"
