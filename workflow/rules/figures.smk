# The figures: each depends on its tables and on the code that draws it. What they are called stands in the registry,
# replication.figure_registry; here is what each is drawn from.

DRAWN_FROM = {
    "figure01": {"iterates": gpgd_of("figure01", "iterates")},
    "figure02": {"table": table_of("figure02"), "plane": f"{SCALAR}/plane.parquet"},
    "figure03": {"plane": f"{SCALAR}/plane.parquet"},
    "figure04": {"iterates": gpgd_of("figure04", "iterates"), "orbits": gpgd_of("figure04", "orbits")},
    "figure05": {
        "table": table_of("figure05"),
        "runs": regression_run_tables(),
        "scales": f"{RESULTS}/regression/scales.parquet",
    },
    "figure06": {"table": tables_of("figure06")},
    "figure07": {
        "points": f"{SCALAR}/stable_set/points.parquet",
        "products": f"{SCALAR}/stable_set/products.parquet",
    },
    "figure08": {"table": table_of("figure08")},
    "figure09": {"table": table_of("figure09")},
    "figure10": {"iterates": gpgd_of("figure10", "iterates"), "orbits": gpgd_of("figure10", "orbits")},
    "figure11": {"iterates": gpgd_of("figure11", "iterates"), "orbits": gpgd_of("figure11", "orbits")},
    "figure12": {"table": tables_of("figure12")},
    "figure13": {"table": tables_of("figure13")},
    "figure_arora_networks": {"table": tables_of("figure_arora_networks")},
    "figure_arora_gfs": {"table": tables_of("figure_arora_gfs"), "rises": arora_rises()},
    "figure_arora_flow": arora_tables(),
    "figure_arora_error": arora_tables(),
    "figure_linear_map": {"table": f"{LINEAR}/gd_map.parquet", "preimages": f"{LINEAR}/preimages.parquet"},
    "figure_linear_minima": {"ranks": f"{LINEAR}/minimisers.parquet", "norms": f"{LINEAR}/stable_minima.parquet"},
    "figure_linear_convergence": {"table": f"{LINEAR}/convergence.parquet"},
    "figure_linear_gfs": {"table": f"{LINEAR}/gfs.parquet"},
}


if missing := missing_of_figures(DRAWN_FROM):
    raise WorkflowError(missing)


# The script's path is no f-string: in a loop Snakemake evaluates that when a job runs, and all would have the last one
# (snakemake/snakemake issue 2832).
for figure in figure_registry.FIGURES.values():

    rule:
        name:
            figure.name
        input:
            **DRAWN_FROM[figure.name],
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
            figure=figure.name,
            shows=config["figures"].get(figure.name),
        script:
            "../scripts/{params.figure}.py"
