"""Rule resources: what memory and time the jobs of each rule took."""

from pathlib import Path

import pandas as pd

import _job
from gfs import files, provenance

# Columns of Snakemake's benchmarks, and what they are called here.
MEASURED = {"max_rss": "memory_mb", "cpu_time": "processor_s", "s": "seconds"}


def main(snakemake):
    record = provenance.recorder({"scale": snakemake.params.scale})
    jobs = benchmarks(Path(snakemake.params.benchmarks))
    table = by_rule(jobs[jobs["rule"] != snakemake.rule])
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    with files.whole_file(snakemake.output.page) as path:
        path.write_text(markdown(table, snakemake.params.scale, machine), encoding="utf-8")
    files.write_table(snakemake.output.table, table, record())


def benchmarks(folder):
    """Return what Snakemake measured of each job, a row each."""
    tables = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values="-")[list(MEASURED)].rename(columns=MEASURED).astype(float)
        tables.append(table.assign(rule=path.relative_to(folder).with_suffix("").parts[0]))
    jobs = pd.concat(tables, ignore_index=True)
    # A job too short to be sampled.
    jobs.loc[jobs["memory_mb"] == 0, ["memory_mb", "processor_s"]] = float("nan")
    return jobs


def by_rule(jobs):
    """Return the most that any job of a rule took, and the time of all."""
    return (
        jobs.groupby("rule")
        .agg(
            jobs=("seconds", "size"),
            most_memory_mb=("memory_mb", "max"),
            most_processor_s=("processor_s", "max"),
            longest_s=("seconds", "max"),
            total_s=("seconds", "sum"),
        )
        .reset_index()
    )


def markdown(table, scale, machine):
    lines = [
        "# Resources: what the jobs took",
        "",
        "Written by `snakemake resources` from what Snakemake measured in the last run of each job. Memory is of its",
        "own process, sampled: without Snakemake's, and empty where every job was too short. Beside other work jobs",
        "take longer, but little more processor time.",
        f"Scale: {scale}. Machine: {machine}.",
        "",
        "| rule | jobs | most memory (MB) | most processor time (s) | longest (s) | together (s) |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        sampled = ["" if pd.isna(value) else f"{value:.0f}" for value in (row.most_memory_mb, row.most_processor_s)]
        lines.append(f"| {row.rule} | {row.jobs} | {' | '.join(sampled)} | {row.longest_s:.0f} | {row.total_s:.0f} |")
    lines.append(f"| all | {table['jobs'].sum()} | | | | {table['total_s'].sum():.0f} |")
    return "\n".join(lines) + "\n"


if "snakemake" in globals():
    _job.run(main, snakemake)
