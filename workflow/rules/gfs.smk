# The sharpness of the gradient flow solution from each checkpoint: closed form, convex problem or Runge-Kutta.


rule gfs_sharpness:
    input:
        data=data_file,
        nothing=gfs_as_set_now,
        checkpoints=checkpoint_batch,
        # Whose losses the model has to have at the checkpoints.
        trajectory=f"{RUN}/trajectory.parquet",
    output:
        table=f"{RUN}/gfs/{{batch}}.parquet",
        provenance=f"{RUN}/gfs/{{batch}}.json",
    log:
        f"{LOGS}/gfs_sharpness/{{experiment}}/{{run}}/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/gfs_sharpness/{{experiment}}/{{run}}/{{batch}}.tsv"
    conda:
        ENVIRONMENT
    threads: EXECUTION["threads"]
    resources:
        device=EXECUTION["device"],
        gpu=gpus,
    params:
        run=lambda wildcards: run_of(wildcards).parameters,
    script:
        "../scripts/gfs_sharpness.py"
