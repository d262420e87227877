# Gradient descent, one job per experiment, seed and learning rate.


# How many checkpoints there are is known only afterwards: training stops at a loss.
checkpoint train:
    input:
        data=data_file,
        nothing=training_as_set_now,
    output:
        table=f"{RUN}/trajectory.parquet",
        provenance=f"{RUN}/trajectory.json",
        checkpoints=directory(f"{RUN}/checkpoints"),
    log:
        f"{LOGS}/train/{{experiment}}/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{experiment}}/{{run}}.tsv"
    conda:
        ENVIRONMENT
    threads: EXECUTION["threads"]
    resources:
        device=EXECUTION["device"],
        gpu=gpus,
    params:
        run=lambda wildcards: run_of(wildcards).training_parameters,
    script:
        "../scripts/train.py"
