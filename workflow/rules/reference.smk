# `make reference-collect`: this scale's tables beside those of config/reference.yaml. Of scalar networks and squared
# regression they are the reference scale's as well, whose values these are; of networks they are for `make agreement`.


localrules:
    reference_collect,


rule reference_collect:
    input:
        tables=[*reference_tables().values()],
        claims=f"{RESULTS}/claims.json",
    output:
        tables=[*reference_tables()],
        provenance=[str(Path(path).with_suffix(".json")) for path in reference_tables()],
        claims=f"{REFERENCE}/claims-{config['scale']}.json",
    log:
        f"{LOGS}/reference_collect.log",
    benchmark:
        f"{BENCHMARKS}/reference_collect.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/reference_collect.py"
