# The figures: each depends on its tables and on the code that draws it. All that is said of one stands in the registry,
# replication.figure_registry.
for figure in figure_registry.FIGURES.values():

    rule:
        name:
            figure.name
        input:
            **drawn_from(figure),
        output:
            pdf=f"{FIGURES}/{figure.name}.pdf",
            png=f"{FIGURES}/{figure.name}.png",
            svg=report(
                f"{FIGURES}/{figure.name}.svg",
                caption=caption_of(figure.name),
                category=figure.category,
                labels={"figure": figure.number, "shows": figure.title},
            ),
            numbers=f"{RESULTS}/figures/{figure.name}.parquet",
            provenance=f"{RESULTS}/figures/{figure.name}.json",
        log:
            f"{LOGS}/{figure.name}.log",
        benchmark:
            f"{BENCHMARKS}/{figure.name}.tsv"
        conda:
            ENVIRONMENT
        params:
            module=figure.module,
            shows=config["figures"].get(figure.name),
        script:
            "../scripts/figure.py"
