# What the stages share: the checked configuration, its runs, and where things are.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The package is importable here and in cluster jobs even where it is not installed.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from gfs import configuration, runs

try:
    configuration.check(config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
except configuration.ConfigurationError as error:
    raise WorkflowError(str(error))

RESULTS = config["directories"]["results"]
FIGURES = config["directories"]["figures"]
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
EXECUTION = config["execution"]
STYLE = os.path.relpath(Path(workflow.basedir) / "workflow/gfs/plotting.py")
CLAIMS = os.path.relpath(Path(workflow.basedir) / "workflow/gfs/claims.py")
ENVIRONMENT = Path(workflow.basedir) / "envs/gfs.yaml"

RUN = f"{RESULTS}/runs/{{experiment}}/{{run}}"


wildcard_constraints:
    experiment="[A-Za-z0-9_-]+",
    run="[A-Za-z0-9.+-]+",
    dataset="[A-Za-z0-9_-]+",
    seed=r"\d+",
    batch=r"\d+",


def run_of(wildcards):
    return configuration.run(config, wildcards.experiment, wildcards.run)


def data_file(wildcards):
    """The data that a run needs: no file for a scalar network."""
    data = run_of(wildcards).data
    return [] if data is None else f"{RESULTS}/data/{data}.safetensors"


def uses_torch(wildcards):
    return run_of(wildcards).parameters["model"] == "network"


def memory_mb(wildcards, attempt):
    return (3000 if uses_torch(wildcards) else 1000) * attempt


# The DAG: what one stage takes from the one before.


def checkpoint_batches(wildcards):
    """A run's checkpoint files in batches, one batch a job; known once its training is done."""
    training = checkpoints.train.get(experiment=wildcards.experiment, run=wildcards.run)
    names = [str(path) for path in runs.checkpoint_files(training.output.checkpoints)]
    size = EXECUTION["checkpoint_files_per_gfs_job"]
    return [names[i : i + size] for i in range(0, len(names), size)]


def checkpoint_batch(wildcards):
    return checkpoint_batches(wildcards)[int(wildcards.batch)]


def gfs_tables(wildcards):
    folder = RUN.format(experiment=wildcards.experiment, run=wildcards.run)
    return [f"{folder}/gfs/{batch}.parquet" for batch in range(len(checkpoint_batches(wildcards)))]


def run_labels(wildcards):
    run = run_of(wildcards)
    return {"experiment": run.experiment, "run": run.name, "seed": run.seed}


def run_tables(wildcards):
    names = [run.name for run in configuration.runs(config, wildcards.experiment)]
    return expand(f"{RUN}/run.parquet", experiment=wildcards.experiment, run=names)


def figure_files(figure):
    return multiext(f"{FIGURES}/{figure}", ".pdf", ".png", ".svg")


def table_of(figure):
    return f"{RESULTS}/tables/{config['figures'][figure]}.parquet"
