# The figures of the paper. Each depends on its tables, its script and the style: a change of style redraws and no more.


rule figure01:
    input:
        iterates=gpgd_of("figure01", "iterates"),
    output:
        pdf=f"{FIGURES}/figure01.pdf",
        png=f"{FIGURES}/figure01.png",
        svg=report(
            f"{FIGURES}/figure01.svg",
            caption=caption_of("figure01"),
            category="Scalar networks",
            labels=labels_of("figure01"),
        ),
        numbers=f"{RESULTS}/figures/figure01.parquet",
        provenance=f"{RESULTS}/figures/figure01.json",
    log:
        f"{LOGS}/figure01.log",
    benchmark:
        f"{BENCHMARKS}/figure01.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure01.py"


rule figure02:
    input:
        table=table_of("figure02"),
        plane=f"{SCALAR}/plane.parquet",
    output:
        pdf=f"{FIGURES}/figure02.pdf",
        png=f"{FIGURES}/figure02.png",
        svg=report(
            f"{FIGURES}/figure02.svg",
            caption=caption_of("figure02"),
            category="Scalar networks",
            labels=labels_of("figure02"),
        ),
        numbers=f"{RESULTS}/figures/figure02.parquet",
        provenance=f"{RESULTS}/figures/figure02.json",
    log:
        f"{LOGS}/figure02.log",
    benchmark:
        f"{BENCHMARKS}/figure02.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure02.py"


rule figure03:
    input:
        plane=f"{SCALAR}/plane.parquet",
    output:
        pdf=f"{FIGURES}/figure03.pdf",
        png=f"{FIGURES}/figure03.png",
        svg=report(
            f"{FIGURES}/figure03.svg",
            caption=caption_of("figure03"),
            category="Scalar networks",
            labels=labels_of("figure03"),
        ),
        numbers=f"{RESULTS}/figures/figure03.parquet",
        provenance=f"{RESULTS}/figures/figure03.json",
    log:
        f"{LOGS}/figure03.log",
    benchmark:
        f"{BENCHMARKS}/figure03.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure03.py"


rule figure04:
    input:
        iterates=gpgd_of("figure04", "iterates"),
        orbits=gpgd_of("figure04", "orbits"),
    output:
        pdf=f"{FIGURES}/figure04.pdf",
        png=f"{FIGURES}/figure04.png",
        svg=report(
            f"{FIGURES}/figure04.svg",
            caption=caption_of("figure04"),
            category="Scalar networks",
            labels=labels_of("figure04"),
        ),
        numbers=f"{RESULTS}/figures/figure04.parquet",
        provenance=f"{RESULTS}/figures/figure04.json",
    log:
        f"{LOGS}/figure04.log",
    benchmark:
        f"{BENCHMARKS}/figure04.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure04.py"


rule figure05:
    input:
        table=table_of("figure05"),
        runs=regression_run_tables(),
        scales=f"{RESULTS}/regression/scales.parquet",
    output:
        pdf=f"{FIGURES}/figure05.pdf",
        png=f"{FIGURES}/figure05.png",
        svg=report(
            f"{FIGURES}/figure05.svg",
            caption=caption_of("figure05"),
            category="Squared regression",
            labels=labels_of("figure05"),
        ),
        numbers=f"{RESULTS}/figures/figure05.parquet",
        provenance=f"{RESULTS}/figures/figure05.json",
    log:
        f"{LOGS}/figure05.log",
    benchmark:
        f"{BENCHMARKS}/figure05.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure05.py"


rule figure06:
    input:
        table=tables_of("figure06"),
    output:
        pdf=f"{FIGURES}/figure06.pdf",
        png=f"{FIGURES}/figure06.png",
        svg=report(
            f"{FIGURES}/figure06.svg",
            caption=caption_of("figure06"),
            category="Networks",
            labels=labels_of("figure06"),
        ),
        numbers=f"{RESULTS}/figures/figure06.parquet",
        provenance=f"{RESULTS}/figures/figure06.json",
    log:
        f"{LOGS}/figure06.log",
    benchmark:
        f"{BENCHMARKS}/figure06.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure06.py"


rule figure07:
    input:
        points=f"{SCALAR}/stable_set/points.parquet",
        products=f"{SCALAR}/stable_set/products.parquet",
    output:
        pdf=f"{FIGURES}/figure07.pdf",
        png=f"{FIGURES}/figure07.png",
        svg=report(
            f"{FIGURES}/figure07.svg",
            caption=caption_of("figure07"),
            category="Scalar networks",
            labels=labels_of("figure07"),
        ),
        numbers=f"{RESULTS}/figures/figure07.parquet",
        provenance=f"{RESULTS}/figures/figure07.json",
    log:
        f"{LOGS}/figure07.log",
    benchmark:
        f"{BENCHMARKS}/figure07.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure07.py"


rule figure08:
    input:
        table=table_of("figure08"),
    output:
        pdf=f"{FIGURES}/figure08.pdf",
        png=f"{FIGURES}/figure08.png",
        svg=report(
            f"{FIGURES}/figure08.svg",
            caption=caption_of("figure08"),
            category="Scalar networks",
            labels=labels_of("figure08"),
        ),
        numbers=f"{RESULTS}/figures/figure08.parquet",
        provenance=f"{RESULTS}/figures/figure08.json",
    log:
        f"{LOGS}/figure08.log",
    benchmark:
        f"{BENCHMARKS}/figure08.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure08.py"


rule figure09:
    input:
        table=table_of("figure09"),
    output:
        pdf=f"{FIGURES}/figure09.pdf",
        png=f"{FIGURES}/figure09.png",
        svg=report(
            f"{FIGURES}/figure09.svg",
            caption=caption_of("figure09"),
            category="Scalar networks",
            labels=labels_of("figure09"),
        ),
        numbers=f"{RESULTS}/figures/figure09.parquet",
        provenance=f"{RESULTS}/figures/figure09.json",
    log:
        f"{LOGS}/figure09.log",
    benchmark:
        f"{BENCHMARKS}/figure09.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure09.py"


rule figure10:
    input:
        iterates=gpgd_of("figure10", "iterates"),
        orbits=gpgd_of("figure10", "orbits"),
    output:
        pdf=f"{FIGURES}/figure10.pdf",
        png=f"{FIGURES}/figure10.png",
        svg=report(
            f"{FIGURES}/figure10.svg",
            caption=caption_of("figure10"),
            category="Scalar networks",
            labels=labels_of("figure10"),
        ),
        numbers=f"{RESULTS}/figures/figure10.parquet",
        provenance=f"{RESULTS}/figures/figure10.json",
    log:
        f"{LOGS}/figure10.log",
    benchmark:
        f"{BENCHMARKS}/figure10.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure10.py"


rule figure11:
    input:
        iterates=gpgd_of("figure11", "iterates"),
        orbits=gpgd_of("figure11", "orbits"),
    output:
        pdf=f"{FIGURES}/figure11.pdf",
        png=f"{FIGURES}/figure11.png",
        svg=report(
            f"{FIGURES}/figure11.svg",
            caption=caption_of("figure11"),
            category="Scalar networks",
            labels=labels_of("figure11"),
        ),
        numbers=f"{RESULTS}/figures/figure11.parquet",
        provenance=f"{RESULTS}/figures/figure11.json",
    log:
        f"{LOGS}/figure11.log",
    benchmark:
        f"{BENCHMARKS}/figure11.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure11.py"


rule figure12:
    input:
        table=tables_of("figure12"),
    output:
        pdf=f"{FIGURES}/figure12.pdf",
        png=f"{FIGURES}/figure12.png",
        svg=report(
            f"{FIGURES}/figure12.svg",
            caption=caption_of("figure12"),
            category="Networks",
            labels=labels_of("figure12"),
        ),
        numbers=f"{RESULTS}/figures/figure12.parquet",
        provenance=f"{RESULTS}/figures/figure12.json",
    log:
        f"{LOGS}/figure12.log",
    benchmark:
        f"{BENCHMARKS}/figure12.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure12.py"


rule figure13:
    input:
        table=tables_of("figure13"),
    output:
        pdf=f"{FIGURES}/figure13.pdf",
        png=f"{FIGURES}/figure13.png",
        svg=report(
            f"{FIGURES}/figure13.svg",
            caption=caption_of("figure13"),
            category="Networks",
            labels=labels_of("figure13"),
        ),
        numbers=f"{RESULTS}/figures/figure13.parquet",
        provenance=f"{RESULTS}/figures/figure13.json",
    log:
        f"{LOGS}/figure13.log",
    benchmark:
        f"{BENCHMARKS}/figure13.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure13.py"


rule figure_arora_networks:
    input:
        table=tables_of("figure_arora_networks"),
    output:
        pdf=f"{FIGURES}/figure_arora_networks.pdf",
        png=f"{FIGURES}/figure_arora_networks.png",
        svg=report(
            f"{FIGURES}/figure_arora_networks.svg",
            caption=caption_of("figure_arora_networks"),
            category="Arora et al.",
            labels=labels_of("figure_arora_networks"),
        ),
        numbers=f"{RESULTS}/figures/figure_arora_networks.parquet",
        provenance=f"{RESULTS}/figures/figure_arora_networks.json",
    log:
        f"{LOGS}/figure_arora_networks.log",
    benchmark:
        f"{BENCHMARKS}/figure_arora_networks.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_arora_networks.py"


rule figure_arora_gfs:
    input:
        table=tables_of("figure_arora_gfs"),
        rises=arora_rises(),
    output:
        pdf=f"{FIGURES}/figure_arora_gfs.pdf",
        png=f"{FIGURES}/figure_arora_gfs.png",
        svg=report(
            f"{FIGURES}/figure_arora_gfs.svg",
            caption=caption_of("figure_arora_gfs"),
            category="Arora et al.",
            labels=labels_of("figure_arora_gfs"),
        ),
        numbers=f"{RESULTS}/figures/figure_arora_gfs.parquet",
        provenance=f"{RESULTS}/figures/figure_arora_gfs.json",
    log:
        f"{LOGS}/figure_arora_gfs.log",
    benchmark:
        f"{BENCHMARKS}/figure_arora_gfs.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_arora_gfs.py"


rule figure_arora_flow:
    input:
        **arora_tables(),
    output:
        pdf=f"{FIGURES}/figure_arora_flow.pdf",
        png=f"{FIGURES}/figure_arora_flow.png",
        svg=report(
            f"{FIGURES}/figure_arora_flow.svg",
            caption=caption_of("figure_arora_flow"),
            category="Arora et al.",
            labels=labels_of("figure_arora_flow"),
        ),
        numbers=f"{RESULTS}/figures/figure_arora_flow.parquet",
        provenance=f"{RESULTS}/figures/figure_arora_flow.json",
    log:
        f"{LOGS}/figure_arora_flow.log",
    benchmark:
        f"{BENCHMARKS}/figure_arora_flow.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_arora_flow.py"


rule figure_arora_error:
    input:
        **arora_tables(),
    output:
        pdf=f"{FIGURES}/figure_arora_error.pdf",
        png=f"{FIGURES}/figure_arora_error.png",
        svg=report(
            f"{FIGURES}/figure_arora_error.svg",
            caption=caption_of("figure_arora_error"),
            category="Arora et al.",
            labels=labels_of("figure_arora_error"),
        ),
        numbers=f"{RESULTS}/figures/figure_arora_error.parquet",
        provenance=f"{RESULTS}/figures/figure_arora_error.json",
    log:
        f"{LOGS}/figure_arora_error.log",
    benchmark:
        f"{BENCHMARKS}/figure_arora_error.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_arora_error.py"


rule figure_linear_map:
    input:
        table=f"{LINEAR}/gd_map.parquet",
        preimages=f"{LINEAR}/preimages.parquet",
    output:
        pdf=f"{FIGURES}/figure_linear_map.pdf",
        png=f"{FIGURES}/figure_linear_map.png",
        svg=report(
            f"{FIGURES}/figure_linear_map.svg",
            caption=caption_of("figure_linear_map"),
            category="Linear networks",
            labels=labels_of("figure_linear_map"),
        ),
        numbers=f"{RESULTS}/figures/figure_linear_map.parquet",
        provenance=f"{RESULTS}/figures/figure_linear_map.json",
    log:
        f"{LOGS}/figure_linear_map.log",
    benchmark:
        f"{BENCHMARKS}/figure_linear_map.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_linear_map.py"


rule figure_linear_minima:
    input:
        ranks=f"{LINEAR}/minimisers.parquet",
        norms=f"{LINEAR}/stable_minima.parquet",
    output:
        pdf=f"{FIGURES}/figure_linear_minima.pdf",
        png=f"{FIGURES}/figure_linear_minima.png",
        svg=report(
            f"{FIGURES}/figure_linear_minima.svg",
            caption=caption_of("figure_linear_minima"),
            category="Linear networks",
            labels=labels_of("figure_linear_minima"),
        ),
        numbers=f"{RESULTS}/figures/figure_linear_minima.parquet",
        provenance=f"{RESULTS}/figures/figure_linear_minima.json",
    log:
        f"{LOGS}/figure_linear_minima.log",
    benchmark:
        f"{BENCHMARKS}/figure_linear_minima.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_linear_minima.py"


rule figure_linear_convergence:
    input:
        table=f"{LINEAR}/convergence.parquet",
    output:
        pdf=f"{FIGURES}/figure_linear_convergence.pdf",
        png=f"{FIGURES}/figure_linear_convergence.png",
        svg=report(
            f"{FIGURES}/figure_linear_convergence.svg",
            caption=caption_of("figure_linear_convergence"),
            category="Linear networks",
            labels=labels_of("figure_linear_convergence"),
        ),
        numbers=f"{RESULTS}/figures/figure_linear_convergence.parquet",
        provenance=f"{RESULTS}/figures/figure_linear_convergence.json",
    log:
        f"{LOGS}/figure_linear_convergence.log",
    benchmark:
        f"{BENCHMARKS}/figure_linear_convergence.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_linear_convergence.py"


rule figure_linear_gfs:
    input:
        table=f"{LINEAR}/gfs.parquet",
    output:
        pdf=f"{FIGURES}/figure_linear_gfs.pdf",
        png=f"{FIGURES}/figure_linear_gfs.png",
        svg=report(
            f"{FIGURES}/figure_linear_gfs.svg",
            caption=caption_of("figure_linear_gfs"),
            category="Linear networks",
            labels=labels_of("figure_linear_gfs"),
        ),
        numbers=f"{RESULTS}/figures/figure_linear_gfs.parquet",
        provenance=f"{RESULTS}/figures/figure_linear_gfs.json",
    log:
        f"{LOGS}/figure_linear_gfs.log",
    benchmark:
        f"{BENCHMARKS}/figure_linear_gfs.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/figure_linear_gfs.py"
