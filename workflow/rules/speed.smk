# `make benchmark`: speed, measured side by side. Not part of `all`; alone on the machine, for it takes every core.


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
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        plane=configuration.scalar_settings(config, "plane"),
    script:
        "../scripts/scalar_speed.py"
