# What `snakemake --report` shows beside the figures; `make report` writes it.


# Beside Snakemake, and so without resources of its own.
localrules:
    report_pages,


rule report_pages:
    input:
        claims=f"{RESULTS}/claims.json",
        shown=expand(f"{CAPTIONS}/{{figure}}.rst", figure=figure_registry.FIGURES),
        pictures=expand(f"{FIGURES}/{{figure}}.png", figure=figure_registry.FIGURES),
    output:
        captions=expand(f"{RESULTS}/report/{{figure}}.rst", figure=figure_registry.FIGURES),
        overview=report(
            f"{RESULTS}/report/overview.html",
            caption="../report/overview.rst",
            category="All on one page",
            labels={"page": "figures and claims"},
        ),
        claims=report(
            f"{RESULTS}/report/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"page": "claims"},
        ),
        configuration=report(
            f"{RESULTS}/report/configuration.html",
            caption="../report/configuration.rst",
            category="Configuration",
            labels={"page": "configuration"},
        ),
    log:
        f"{LOGS}/report_pages.log",
    benchmark:
        f"{BENCHMARKS}/report_pages.tsv"
    conda:
        ENVIRONMENT
    params:
        scale=config["scale"],
        files=CONFIGURATION_FILES,
        configuration={key: value for key, value in config.items() if key != "execution"},
    script:
        "../scripts/report_pages.py"
