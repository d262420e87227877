# The figures of the paper. Each depends on its table, its script and the style: a change of style redraws and no more.


rule figure02:
    input:
        table=table_of("figure02"),
        style=STYLE,
    output:
        pdf=f"{FIGURES}/figure02.pdf",
        png=f"{FIGURES}/figure02.png",
        svg=report(
            f"{FIGURES}/figure02.svg",
            caption="../report/figure02.rst",
            category="Scalar networks",
        ),
        numbers=f"{RESULTS}/figures/figure02.parquet",
        provenance=f"{RESULTS}/figures/figure02.json",
    log:
        f"{LOGS}/figure02.log",
    benchmark:
        f"{BENCHMARKS}/figure02.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=15,
    script:
        "../scripts/figure02.py"


rule figure05:
    input:
        table=table_of("figure05"),
        style=STYLE,
    output:
        pdf=f"{FIGURES}/figure05.pdf",
        png=f"{FIGURES}/figure05.png",
        svg=report(
            f"{FIGURES}/figure05.svg",
            caption="../report/figure05.rst",
            category="Squared regression",
        ),
        numbers=f"{RESULTS}/figures/figure05.parquet",
        provenance=f"{RESULTS}/figures/figure05.json",
    log:
        f"{LOGS}/figure05.log",
    benchmark:
        f"{BENCHMARKS}/figure05.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=15,
    script:
        "../scripts/figure05.py"


rule figure06:
    input:
        table=table_of("figure06"),
        style=STYLE,
    output:
        pdf=f"{FIGURES}/figure06.pdf",
        png=f"{FIGURES}/figure06.png",
        svg=report(
            f"{FIGURES}/figure06.svg",
            caption="../report/figure06.rst",
            category="Networks",
        ),
        numbers=f"{RESULTS}/figures/figure06.parquet",
        provenance=f"{RESULTS}/figures/figure06.json",
    log:
        f"{LOGS}/figure06.log",
    benchmark:
        f"{BENCHMARKS}/figure06.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=15,
    script:
        "../scripts/figure06.py"
