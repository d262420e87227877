# Appendices B.3 and B.4: the data that the models train on.


rule gaussian_data:
    input:
        nothing=data_as_set_now,
    output:
        tensors=f"{RESULTS}/data/{{dataset}}/seed{{seed}}.safetensors",
        provenance=f"{RESULTS}/data/{{dataset}}/seed{{seed}}.json",
    log:
        f"{LOGS}/gaussian_data/{{dataset}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/gaussian_data/{{dataset}}-seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: EXECUTION["threads"]
    params:
        data=data_settings,
    script:
        "../scripts/gaussian_data.py"


rule image_data:
    input:
        file=lambda wildcards: data_settings(wildcards).get("file", []),
        nothing=data_as_set_now,
    output:
        tensors=f"{RESULTS}/data/{{dataset}}.safetensors",
        provenance=f"{RESULTS}/data/{{dataset}}.json",
    log:
        f"{LOGS}/image_data/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/image_data/{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    params:
        data=data_settings,
        downloads=downloads_folder,
    script:
        "../scripts/image_data.py"
