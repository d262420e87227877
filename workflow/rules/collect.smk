# One table per run, then one per experiment: each iterate with its loss, sharpness and GFS sharpness.


# Seconds each, less than a job of a cluster takes to start: there they run beside Snakemake itself.
localrules:
    collect_run,
    collect,


rule collect_run:
    input:
        trajectory=f"{RUN}/trajectory.parquet",
        # Named, or training would not be planned where they are missing.
        checkpoints=f"{RUN}/checkpoints",
        gfs=gfs_tables,
    output:
        table=f"{RUN}/run.parquet",
        provenance=f"{RUN}/run.json",
    log:
        f"{LOGS}/collect_run/{{experiment}}/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/collect_run/{{experiment}}/{{run}}.tsv"
    conda:
        ENVIRONMENT
    params:
        labels=run_labels,
        run=lambda wildcards: run_of(wildcards).parameters,
    script:
        "../scripts/collect_run.py"


rule collect:
    input:
        nothing=table_as_set_now,
        runs=run_tables,
    output:
        table=f"{RESULTS}/tables/{{experiment}}.parquet",
        provenance=f"{RESULTS}/tables/{{experiment}}.json",
    log:
        f"{LOGS}/collect/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/collect/{{experiment}}.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/collect.py"
