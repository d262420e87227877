# Section 3 beyond single runs: the plane of starts, GPGD beside gradient descent, the stable set, theorems and lemmas.


rule plane:
    output:
        table=f"{SCALAR}/plane.parquet",
        provenance=f"{SCALAR}/plane.json",
    log:
        f"{LOGS}/plane.log",
    benchmark:
        f"{BENCHMARKS}/plane.tsv"
    conda:
        ENVIRONMENT
    threads: EXECUTION["threads"]
    params:
        plane=configuration.settings(config, "scalar", "plane"),
    script:
        "../scripts/plane.py"


rule plane_start:
    input:
        plane=f"{SCALAR}/plane.parquet",
    output:
        tensors=f"{SCALAR}/start.safetensors",
        provenance=f"{SCALAR}/start.json",
    log:
        f"{LOGS}/plane_start.log",
    benchmark:
        f"{BENCHMARKS}/plane_start.tsv"
    conda:
        ENVIRONMENT
    params:
        plane=configuration.settings(config, "scalar", "plane"),
        start=configuration.settings(config, "scalar", "start"),
    script:
        "../scripts/plane_start.py"


rule gpgd:
    input:
        trajectory=f"{RUN}/trajectory.parquet",
        checkpoints=run_checkpoints,
    output:
        iterates=f"{RUN}/gpgd/iterates.parquet",
        iterates_provenance=f"{RUN}/gpgd/iterates.json",
        orbits=f"{RUN}/gpgd/orbits.parquet",
        orbits_provenance=f"{RUN}/gpgd/orbits.json",
    log:
        f"{LOGS}/gpgd/{{experiment}}/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/gpgd/{{experiment}}/{{run}}.tsv"
    conda:
        ENVIRONMENT
    params:
        learning_rate=lambda wildcards: run_of(wildcards).parameters["learning_rate"],
        labels=lambda wildcards: {"experiment": wildcards.experiment, "run": wildcards.run},
        gpgd=configuration.settings(config, "scalar", "gpgd"),
    script:
        "../scripts/gpgd.py"


rule stable_set:
    output:
        points=f"{SCALAR}/stable_set/points.parquet",
        points_provenance=f"{SCALAR}/stable_set/points.json",
        products=f"{SCALAR}/stable_set/products.parquet",
        products_provenance=f"{SCALAR}/stable_set/products.json",
    log:
        f"{LOGS}/stable_set.log",
    benchmark:
        f"{BENCHMARKS}/stable_set.tsv"
    conda:
        ENVIRONMENT
    params:
        stable_set=configuration.settings(config, "scalar", "stable_set"),
    script:
        "../scripts/stable_set.py"


rule theorems:
    output:
        table=f"{SCALAR}/theorems/depth{{depth}}.parquet",
        provenance=f"{SCALAR}/theorems/depth{{depth}}.json",
    log:
        f"{LOGS}/theorems/depth{{depth}}.log",
    benchmark:
        f"{BENCHMARKS}/theorems/depth{{depth}}.tsv"
    conda:
        ENVIRONMENT
    params:
        points=config["scalar"]["theorems"]["points"],
        seed=config["scalar"]["theorems"]["seed"],
    script:
        "../scripts/theorems.py"
