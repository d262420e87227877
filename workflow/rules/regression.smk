# Section 4.1 beyond single runs: many seeds and learning rates, and initialisations from lazy to rich.


rule regression_runs:
    output:
        table=f"{RESULTS}/regression/runs/{{part}}.parquet",
        provenance=f"{RESULTS}/regression/runs/{{part}}.json",
    log:
        f"{LOGS}/regression_runs/{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/regression_runs/{{part}}.tsv"
    conda:
        ENVIRONMENT
    params:
        # Without the number of seeds: a part depends on its own.
        runs={k: v for k, v in configuration.settings(config, "regression", "runs").items() if k != "seeds"},
        seeds=lambda wildcards: seeds_of_part(int(wildcards.part)),
        data=configuration.data_set(config, config["regression"]["runs"]["data"]),
    script:
        "../scripts/regression_runs.py"


rule regression_scales:
    output:
        table=f"{RESULTS}/regression/scales.parquet",
        provenance=f"{RESULTS}/regression/scales.json",
    log:
        f"{LOGS}/regression_scales.log",
    benchmark:
        f"{BENCHMARKS}/regression_scales.tsv"
    conda:
        ENVIRONMENT
    params:
        scales=configuration.settings(config, "regression", "scales"),
        data=configuration.data_set(config, config["regression"]["scales"]["data"]),
    script:
        "../scripts/regression_scales.py"
