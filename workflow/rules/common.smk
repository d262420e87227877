# What the stages share: the checked configuration, its runs, and where things are.
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Of the project, whichever Snakefile includes this.
ROOT = Path(str(workflow.current_basedir)).parents[1]

# The packages are importable here and in cluster jobs even where they are not installed.
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "src")]

import made_with
import rerun_command
from replication import configuration, figure_registry, source_digest, variants, yaml_files
from replication.storage import files
from replication.training.checkpoints import checkpoint_files
from gfsharp.errors import UserError

# Where the locale has ASCII alone, a name with other letters is shown escaped, not as an error of the logging.
for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")

rerun_command.remember_command()

# Of two flags of a kind Snakemake takes the last and says nothing.
if workflow.is_main_process and (dropped := rerun_command.dropped_options()):
    raise WorkflowError(dropped)

# Before Snakemake reads them, for it says neither the file nor the line.
CONFIGURATION_FILES = [path for path in ["config.yaml", *workflow.overwrite_configfiles] if os.path.lexists(path)]
try:
    for path in CONFIGURATION_FILES:
        yaml_files.read(path)
except UserError as error:
    raise WorkflowError(str(error))


configfile: "config.yaml"


# To Snakemake 1e-5 in a file is text, and so is every number within braces after --config.
yaml_files.read_anew(config, *CONFIGURATION_FILES)
configuration.take_numbers_in_braces(config, workflow.config_settings.config)


# A job of a cluster is of a configuration whose variants were checked when it was planned.
try:
    configuration.check(config, with_variants=workflow.is_main_process)
except configuration.ConfigurationError as error:
    raise WorkflowError(str(error))

RESULTS = config["directories"]["results"]
FIGURES = config["directories"]["figures"]
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
EXECUTION = config["execution"]
CAPTIONS = os.path.relpath(ROOT / "workflow/report")
ENVIRONMENT = ROOT / "envs/gfs.yaml"

RUN = f"{RESULTS}/runs/{{experiment}}/{{run}}"
SCALAR = f"{RESULTS}/scalar"
LINEAR = f"{RESULTS}/linear"
# Kept in version control.
REFERENCE = "results/reference"


# What a job's script imports and its results do not depend on: logs and errors; and what only other jobs call.
AROUND = ("_job", "rerun_command", *source_digest.NO_RESULT)
NOT_CALLED = {
    "train": source_digest.NOT_IN_TRAINING,
    **dict.fromkeys(("image_data", "gaussian_data", "collect_run", "collect"), ("gfsharp.flow",)),
    **dict.fromkeys(("regression_runs", "regression_scales"), ("gfsharp.flow", "gfsharp.networks")),
}


def depend_on_code():
    """Make the code of each rule's script, with all that it imports, one of its parameters.

    A change of a statement plans all that it may change, and one of a comment nothing.
    """
    folders = [ROOT / "src", ROOT / "workflow", ROOT / "workflow/scripts"]
    for made_by in workflow.rules:
        if made_by.script:
            without = (*AROUND, *NOT_CALLED.get(made_by.name, ()))
            # One script draws all figures: what it loads by name is the module of this one.
            figure = figure_registry.FIGURES.get(made_by.name)
            also = [f"replication.figures.{figure.module}"] if figure else []
            made_by.set_params(
                code=source_digest.digest(ROOT / figure_registry.script_of(made_by.name), folders, without, also)
            )


def one_of(names):
    """A wildcard that matches these names alone, so that no rule makes what the configuration does not have."""
    return "|".join(re.escape(name) for name in names)


wildcard_constraints:
    experiment=one_of(config["experiments"]),
    run=one_of({run.name for name in config["experiments"] for run in configuration.runs(config, name)}),
    dataset=one_of(config["data"]),
    seed=r"\d+",
    batch=r"\d+",
    depth=r"\d+",
    part=r"\d+",


def run_of(wildcards):
    return configuration.run(config, wildcards.experiment, wildcards.run)


def data_settings(wildcards):
    return configuration.data_set(config, wildcards.dataset)


def downloads_folder(wildcards):
    return config["directories"]["downloads"] if configuration.downloads(data_settings(wildcards)) else None


def data_file(wildcards):
    """The data that a run needs: none for a scalar network, unless its start is chosen from the plane."""
    run = run_of(wildcards)
    if run.starts_from_plane:
        return f"{SCALAR}/start.safetensors"
    return [] if run.data is None else f"{RESULTS}/data/{run.data}.safetensors"


def is_network(wildcards):
    return run_of(wildcards).parameters["model"] == "network"


# Results of other settings that this process has found, and has Snakemake make again.
OF_OTHER_SETTINGS = set()


def as_set_now(result, differing):
    """Have a result made again that other settings made, whatever Snakemake knows of it; asked for as an input: none.

    `differing` says of the record beside it which settings are others now.

    Snakemake compares settings with those that it noted for the same path. Of a folder that was copied, moved or named
    anew in the configuration it has no note, or that of other results; the record beside each result says what it is of.
    """
    if not workflow.is_main_process or workflow.dag is None:
        return []
    path = f"{result}.json"
    try:
        differ = differing(files.read_record(path))
    except (UserError, KeyError, TypeError, AttributeError):
        differ = []  # what is missing or damaged is made again, or named, elsewhere
    if not differ and path in OF_OTHER_SETTINGS:
        OF_OTHER_SETTINGS.remove(path)
        workflow.dag.forcefiles.discard(path)
    elif differ and path not in OF_OTHER_SETTINGS:
        OF_OTHER_SETTINGS.add(path)
        # Unless the user asks Snakemake not to look at settings.
        wanted = "params" in {str(trigger).lower() for trigger in workflow.rerun_triggers}
        if wanted:
            workflow.dag.forcefiles.add(path)
        remade = ": it is made again" if wanted else f"; to make it again: {rerun_command.command(path)}"
        print(f"{result} was made with other settings ({', '.join(differ)}){remade}", file=sys.stderr)
    return []


def training_as_set_now(wildcards):
    settings = run_of(wildcards).training_parameters
    return as_set_now(f"{RUN.format(**wildcards)}/trajectory", made_with.other_settings(settings))


def gfs_as_set_now(wildcards):
    settings = run_of(wildcards).parameters
    return as_set_now(f"{RUN.format(**wildcards)}/gfs/{wildcards.batch}", made_with.other_settings(settings))


def data_as_set_now(wildcards):
    parts = [wildcards.dataset, *([f"seed{wildcards.seed}"] if "seed" in wildcards.keys() else [])]
    result = f"{RESULTS}/data/{os.path.join(*parts)}"
    return as_set_now(result, made_with.other_settings(data_settings(wildcards)))


def table_as_set_now(wildcards):
    result = f"{RESULTS}/tables/{wildcards.experiment}"
    return as_set_now(result, made_with.other_runs(run_tables(wildcards)))


def gpus(wildcards):
    """How many GPUs a job asks a cluster for: one where the configuration says that this model runs on one."""
    return int(EXECUTION["device"] == "cuda" and is_network(wildcards))


# The DAG: what one stage takes from the one before.


def run_checkpoints(wildcards):
    """A run's checkpoint files; known once its training is done."""
    training = checkpoints.train.get(experiment=wildcards.experiment, run=wildcards.run)
    try:
        return [str(path) for path in checkpoint_files(training.output.checkpoints)]
    except UserError as error:
        raise WorkflowError(rerun_command.message(error))


def checkpoint_batches(wildcards):
    """A run's checkpoint files in batches, one batch a job."""
    names = run_checkpoints(wildcards)
    size = EXECUTION["checkpoint_files_per_gfs_job"]
    return [names[i : i + size] for i in range(0, len(names), size)]


def checkpoint_batch(wildcards):
    batches = checkpoint_batches(wildcards)
    if int(wildcards.batch) >= len(batches):
        raise WorkflowError(f"{wildcards.experiment}/{wildcards.run} has {len(batches)} batches of checkpoints")
    return batches[int(wildcards.batch)]


def gfs_tables(wildcards):
    folder = RUN.format(experiment=wildcards.experiment, run=wildcards.run)
    return [f"{folder}/gfs/{batch}.parquet" for batch in range(len(checkpoint_batches(wildcards)))]


def run_labels(wildcards):
    return run_of(wildcards).labels


def run_tables(wildcards):
    names = [run.name for run in configuration.runs(config, wildcards.experiment)]
    return expand(f"{RUN}/run.parquet", experiment=wildcards.experiment, run=names)


def figure_files(figure):
    return multiext(f"{FIGURES}/{figure}", ".pdf", ".png", ".svg")


def everything():
    """What `all` makes: every figure, and the claims, by the rules that make them."""
    figures = {figure: figure_files(figure) for figure in figure_registry.FIGURES}
    return {**figures, "claims": [f"{RESULTS}/claims.json", f"{RESULTS}/claims.md"]}


def caption_of(figure):
    """What the report says of a figure: with the claims about it once `report_pages` has been made."""
    made = Path(RESULTS, "report", f"{figure}.rst").resolve()
    return str(made) if made.exists() else f"../report/{figure}.rst"


def gpgd_of(figure, table):
    """GPGD beside the first run of each of the figure's experiments: its 'iterates' or 'orbits'."""
    experiments = configuration.figure_experiments(config, figure)
    names = [configuration.runs(config, experiment)[0].name for experiment in experiments]
    return expand(f"{RUN}/gpgd/{table}.parquet", zip, experiment=experiments, run=names)


def tables_of(figure):
    """The tables that a figure can be drawn from, by the names that they have in the registry."""
    found = analysis_tables()
    if figure in figure_registry.OF_EXPERIMENTS:
        found["runs"] = expand(f"{RESULTS}/tables/{{experiment}}.parquet", experiment=config["figures"][figure])
        if isinstance(config["figures"][figure], str):
            (found["runs"],) = found["runs"]
        found |= {f"gpgd_{table}": gpgd_of(figure, table) for table in ("iterates", "orbits")}
    return found


def drawn_from(figure):
    """The tables that a figure of the registry is drawn from, by the names that its module has for them."""
    made, known = ROOT / f"src/replication/figures/{figure.module}.py", tables_of(figure.name)
    needed = {
        f"the module that draws it, {made.relative_to(ROOT)}": made.exists(),
        f"its caption, workflow/report/{figure.name}.rst": (ROOT / f"workflow/report/{figure.name}.rst").exists(),
        **{
            f"a table {table} in tables_of (workflow/rules/common.smk)": table in known
            for table in figure.tables.values()
        },
    }
    if absent := [what for what, there in needed.items() if not there]:
        raise WorkflowError(f"{figure.name} is in replication.figure_registry and lacks {' and '.join(absent)}")
    return {name: known[table] for name, table in figure.tables.items()}


# Seeds that one job of squared regression takes: a few seconds each.
SEEDS_PER_JOB = 10


def seeds_of_part(part):
    return list(range(config["regression"]["runs"]["seeds"]))[part * SEEDS_PER_JOB : (part + 1) * SEEDS_PER_JOB]


def regression_run_tables():
    parts = -(-config["regression"]["runs"]["seeds"] // SEEDS_PER_JOB)
    return [f"{RESULTS}/regression/runs/{part}.parquet" for part in range(parts)]


# The problems that Arora et al.'s methods are held against their limiting flows on.
ARORA_PROBLEMS = ("valley", "scalar", "regression")


def analysis_tables():
    """The tables of all analyses beyond single runs, by name."""
    return {
        "regression_runs": regression_run_tables(),
        "regression_scales": f"{RESULTS}/regression/scales.parquet",
        **{f"arora_{problem}": f"{RESULTS}/arora/{problem}.parquet" for problem in ARORA_PROBLEMS},
        "arora_rises": [f"{RESULTS}/arora/rises/{problem}.parquet" for problem in ARORA_PROBLEMS],
        "plane": f"{SCALAR}/plane.parquet",
        "stable_set": f"{SCALAR}/stable_set/products.parquet",
        "stable_set_points": f"{SCALAR}/stable_set/points.parquet",
        "theorems": expand(f"{SCALAR}/theorems/depth{{depth}}.parquet", depth=config["scalar"]["theorems"]["depths"]),
        **{f"linear_{stage}": f"{LINEAR}/{stage}.parquet" for stage in config["linear"]},
        "linear_preimages": f"{LINEAR}/preimages.parquet",
    }


def claim_tables():
    """Every table that a claim is judged by, under the name that it has there."""
    found = analysis_tables()
    del found["stable_set_points"]
    found["arora"] = [found.pop(f"arora_{problem}") for problem in ARORA_PROBLEMS]
    return {
        **{figure: tables_of(figure)["runs"] for figure in figure_registry.OF_EXPERIMENTS},
        **{f"{figure}_gpgd": gpgd_of(figure, "iterates") for figure in ("figure04", "figure10", "figure11")},
        **found,
    }


# The rules that make what `all` asks for, from tables alone.
DRAWN = [*figure_registry.FIGURES, "claims"]


def rule_in_words(name):
    """What a rule of these is given and makes, as another process can be told."""
    made_by = getattr(rules, name)

    def plain(files):
        return {key: str(path) if isinstance(path, str) else [*map(str, path)] for key, path in files.items()}

    return {
        "input": plain(made_by.input),
        "output": plain(made_by.output),
        "params": dict(made_by.params.items()),
        "script": Path(figure_registry.script_of(name)).name,
        "log": [*map(str, made_by.log)],
    }


def reference_tables():
    """The tables that figures and claims are made from, by where they are kept."""
    made_from = {path for name in DRAWN for path in getattr(rules, name).input}
    tables = sorted(path for path in made_from if path.endswith(".parquet"))
    return {f"{REFERENCE}/{os.path.relpath(path, RESULTS)}": path for path in tables}


# The variants of the sensitivity studies, by study and name.
VARIANTS = {(variant.study, variant.name): variant for variant in variants.variants(config)}


def variant_of(wildcards):
    return VARIANTS[wildcards.study, wildcards.variant]


def table_of_study(wildcards):
    return config["sensitivity"][wildcards.study]["table"]


def variant_made_from(wildcards):
    return configuration.made_from(variant_of(wildcards).configuration(config), table_of_study(wildcards))


def variant_downloads(wildcards):
    data_sets = [run["parameters"].get("data_set") for run in variant_made_from(wildcards).get("runs", [])]
    wanted = any(settings and configuration.downloads(settings) for settings in data_sets)
    return config["directories"]["downloads"] if wanted else None
