"""Rule resources: what memory, time and disk the jobs of each rule took, and each figure with all that is behind it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

import _job
import outputs
from replication import figure_registry
from replication.storage import files, provenance

# Columns of Snakemake's benchmarks, and what they are called here. Memory and processor time are sampled there, every
# half second at first and then every 30 s, so that a peak between is missed: the records have the kernel's.
MEASURED = {"max_rss": "memory_mb", "cpu_time": "processor_s", "s": "seconds"}
RECORDED = {"peak_memory_mb": "memory_mb", "processor_time_s": "processor_s"}


def main(snakemake):
    params = snakemake.params
    record = provenance.recorder({"scale": params.scale})
    jobs = benchmarks(Path(params.benchmarks))
    jobs = with_records(jobs, recorded(params.directories.values(), params.rules))
    left = outputs.sizes(params.directories.values(), params.rules)
    jobs["disk_mb"] = jobs["benchmark"].map(left).fillna(0) / 1e6
    jobs = jobs[jobs["rule"] != snakemake.rule]
    of_rules = by_rule(jobs)
    of_figures = by_figure(jobs, {figure: behind(figure, params) for figure in figure_registry.FIGURES})
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    files.write_text(snakemake.output.page, markdown(of_rules, of_figures, params.scale, machine))
    files.write_table(snakemake.output.table, of_rules, {**record(), "figures": of_figures.to_dict("records")})


def behind(figure, params):
    """Return the benchmarks of all jobs that a figure needs."""
    paths = outputs.behind(figure, **params.directories)
    return {outputs.benchmark_of(path, params.rules) for path in paths}


def benchmarks(folder):
    """Return what Snakemake measured of each job, a row each."""
    tables = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values="-")[list(MEASURED)].rename(columns=MEASURED).astype(float)
        rule = path.relative_to(folder).with_suffix("").parts[0]
        tables.append(table.assign(rule=rule, benchmark=str(path)))
    jobs = pd.concat(tables, ignore_index=True)
    # A job too short to be sampled.
    jobs.loc[jobs["memory_mb"] == 0, ["memory_mb", "processor_s"]] = float("nan")
    return jobs


def recorded(folders, rules):
    """Return what the records say that each job took, by its benchmark: of several the most."""
    rows = []
    for path in (path for folder in folders for path in Path(folder).rglob("*.json")):
        benchmark = outputs.benchmark_of(str(path), rules)
        if benchmark is None or not any(path.with_suffix(suffix).exists() for suffix in (".parquet", ".safetensors")):
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        rows.append({"benchmark": benchmark, **{ours: record.get(name) for name, ours in RECORDED.items()}})
    table = pd.DataFrame(rows, columns=["benchmark", *RECORDED.values()])
    return table.astype(dict.fromkeys(RECORDED.values(), float)).groupby("benchmark").max()


def with_records(jobs, recorded):
    """Return the jobs with what their records say, where that is more than was sampled, or nothing was."""
    jobs = jobs.copy()
    for name in RECORDED.values():
        jobs[name] = np.fmax(jobs[name], jobs["benchmark"].map(recorded[name]).astype(float))
    return jobs


TAKEN = {
    "jobs": ("seconds", "size"),
    "most_memory_mb": ("memory_mb", "max"),
    "most_processor_s": ("processor_s", "max"),
    "total_processor_s": ("processor_s", "sum"),
    "longest_s": ("seconds", "max"),
    "total_s": ("seconds", "sum"),
    "disk_mb": ("disk_mb", "sum"),
}


def by_rule(jobs):
    """Return the most that any job of a rule took, and the time and disk of all."""
    return jobs.groupby("rule").agg(**TAKEN).reset_index()


def by_figure(jobs, needed):
    """Return the same of the jobs that each figure needs; what figures share counts for each of them."""
    shown = [jobs[jobs["benchmark"].isin(benchmarks)].assign(figure=figure) for figure, benchmarks in needed.items()]
    return pd.concat(shown).groupby("figure").agg(**TAKEN).reset_index()


def markdown(of_rules, of_figures, scale, machine):
    header = [
        "jobs | most memory (MB) | most processor time (s) | longest (s) | together (s) | disk (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    lines = [
        "# Resources: what the jobs took",
        "",
        "Written by `snakemake resources` from the last run of each job. Memory and processor time are the kernel's,",
        "from the records beside what a job wrote (of rules without a table, such as `claims`, Snakemake's, which",
        "samples): without Snakemake's own, and empty where neither is there. Beside other work jobs take longer, but",
        "little more processor time. Disk is what they left.",
        f"Scale: {scale}. Machine: {machine}.",
        "",
        f"| rule | {header[0]}",
        header[1],
        *(_row(row.rule, row) for row in of_rules.itertuples()),
        f"| all | {of_rules['jobs'].sum()} | | | | {of_rules['total_s'].sum():.0f} | {of_rules['disk_mb'].sum():.1f} |",
        "",
        "A figure with all that it is made from, from the data on; what several need counts for each of them.",
        "",
        f"| figure | {header[0]}",
        header[1],
        *(_row(row.figure, row) for row in of_figures.itertuples()),
    ]
    return "\n".join(lines) + "\n"


def _row(name, row):
    sampled = ["" if pd.isna(value) else f"{value:.0f}" for value in (row.most_memory_mb, row.most_processor_s)]
    times = f"{row.longest_s:.0f} | {row.total_s:.0f}"
    return f"| {name} | {row.jobs} | {' | '.join(sampled)} | {times} | {row.disk_mb:.1f} |"


if "snakemake" in globals():
    _job.run(main, snakemake)
