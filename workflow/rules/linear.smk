# Linear networks at large step sizes, after arXiv 2402.13108.


rule linear_gd_map:
    output:
        table=f"{LINEAR}/gd_map.parquet",
        provenance=f"{LINEAR}/gd_map.json",
        preimages=f"{LINEAR}/preimages.parquet",
        preimages_provenance=f"{LINEAR}/preimages.json",
    log:
        f"{LOGS}/linear_gd_map.log",
    benchmark:
        f"{BENCHMARKS}/linear_gd_map.tsv"
    conda:
        ENVIRONMENT
    params:
        gd_map=configuration.settings(config, "linear", "gd_map"),
    script:
        "../scripts/linear_gd_map.py"


rule linear_minimisers:
    output:
        table=f"{LINEAR}/minimisers.parquet",
        provenance=f"{LINEAR}/minimisers.json",
    log:
        f"{LOGS}/linear_minimisers.log",
    benchmark:
        f"{BENCHMARKS}/linear_minimisers.tsv"
    conda:
        ENVIRONMENT
    params:
        minimisers=configuration.settings(config, "linear", "minimisers"),
    script:
        "../scripts/linear_minimisers.py"


rule linear_stable_minima:
    output:
        table=f"{LINEAR}/stable_minima.parquet",
        provenance=f"{LINEAR}/stable_minima.json",
    log:
        f"{LOGS}/linear_stable_minima.log",
    benchmark:
        f"{BENCHMARKS}/linear_stable_minima.tsv"
    conda:
        ENVIRONMENT
    params:
        stable_minima=configuration.settings(config, "linear", "stable_minima"),
    script:
        "../scripts/linear_stable_minima.py"


rule linear_convergence:
    output:
        table=f"{LINEAR}/convergence.parquet",
        provenance=f"{LINEAR}/convergence.json",
    log:
        f"{LOGS}/linear_convergence.log",
    benchmark:
        f"{BENCHMARKS}/linear_convergence.tsv"
    conda:
        ENVIRONMENT
    params:
        convergence=configuration.settings(config, "linear", "convergence"),
    script:
        "../scripts/linear_convergence.py"


rule linear_gfs:
    output:
        table=f"{LINEAR}/gfs.parquet",
        provenance=f"{LINEAR}/gfs.json",
    log:
        f"{LOGS}/linear_gfs.log",
    benchmark:
        f"{BENCHMARKS}/linear_gfs.tsv"
    conda:
        ENVIRONMENT
    params:
        gfs=configuration.settings(config, "linear", "gfs"),
    script:
        "../scripts/linear_gfs.py"
