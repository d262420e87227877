"""Rule resources: what memory, time and disk the jobs of each rule took, and each figure with all that is behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import _job
from replication import figure_registry
from replication.markdown import markdown_table
from replication.storage import files, provenance

# Columns of Snakemake's benchmarks, and what they are called here. Memory and processor time are sampled there, every
# half second at first and then every 30 s, so that a peak between is missed: the records have the kernel's.
MEASURED = {"max_rss": "memory_mb", "cpu_time": "processor_s", "s": "seconds"}
RECORDED = {"peak_memory_mb": "memory_mb", "processor_time_s": "processor_s"}


Records = dict[str, Mapping[str, Any]]


def main(snakemake: _job.Snakemake) -> None:
    scale, folders = snakemake.params.scale, snakemake.params.folders
    record = provenance.recorder({"scale": scale})
    records = made_here(folders["results"])
    jobs = with_records(benchmarks(Path(folders["benchmarks"])), recorded(records, folders["logs"]))
    for name, paths in snakemake.input.items():  # what has no record: pictures, claims
        jobs.loc[jobs["job"] == name, "disk_mb"] += size(*paths)
    jobs = jobs[jobs["rule"] != snakemake.rule]
    of_rules = by_rule(jobs)
    of_figures = by_figure(jobs, {figure: behind(figure, **folders) for figure in figure_registry.FIGURES})
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores"
    nameless = sum(of_table.get("job") is None for of_table in records.values())
    files.write_text(snakemake.output.page, markdown(of_rules, of_figures, scale, machine, nameless))
    files.write_table(snakemake.output.table, of_rules, {**record(), "figures": of_figures.to_dict("records")})


def made_here(results: str) -> Records:
    """Return the records of all tables and tensor files that jobs left in the folder of results, by path."""
    found = {str(path): files.read_provenance(path) for path in Path(results).rglob("*.*") if files.has_record(path)}
    return {path: record for path, record in found.items() if "collected_from_sha256" not in record}


def job_of(record: Mapping[str, Any], logs: str) -> str | None:
    """Return the job that left a record, by its log and so by its benchmark; None of records of earlier versions."""
    job = record.get("job")
    return str(Path(job["log"]).relative_to(logs).with_suffix("")) if job else None


def behind(figure: str, results: str, logs: str, **_: Any) -> set[str | None]:
    """Return all jobs that a figure needs, its own among them."""
    records = files.records_behind(f"{results}/figures/{figure}.parquet")
    return {job_of(record, logs) for record in records.values()}


def size(*paths: str | Path) -> float:
    """Return the size of files in megabytes."""
    return sum(Path(path).stat().st_size for path in paths) / 1e6


def benchmarks(folder: Path) -> pd.DataFrame:
    """Return what Snakemake measured of each job, a row each."""
    tables = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values="-")[list(MEASURED)].rename(columns=MEASURED).astype(float)
        job = path.relative_to(folder).with_suffix("")
        tables.append(table.assign(rule=job.parts[0], job=str(job)))
    jobs = pd.concat(tables, ignore_index=True)
    # A job too short to be sampled.
    jobs.loc[jobs["memory_mb"] == 0, ["memory_mb", "processor_s"]] = float("nan")
    return jobs


def recorded(records: Records, logs: str) -> pd.DataFrame:
    """Return what the records say that each job took, of several the most, and the size of what they are of."""
    rows = [
        {"job": job_of(record, logs), "disk_mb": size(path, files.sidecar(path))}
        | {ours: record.get(name) for name, ours in RECORDED.items()}
        for path, record in records.items()
    ]
    table = pd.DataFrame(rows, columns=["job", "disk_mb", *RECORDED.values()])
    took = dict.fromkeys(RECORDED.values(), "max")
    return table.astype(dict.fromkeys(took, float)).groupby("job").agg({"disk_mb": "sum", **took})


def with_records(jobs: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Return the jobs with what their records say, where that is more than was sampled, or nothing was."""
    jobs = jobs.assign(disk_mb=jobs["job"].map(recorded["disk_mb"]).fillna(0))
    for name in RECORDED.values():
        jobs[name] = np.fmax(jobs[name], jobs["job"].map(recorded[name]).astype(float))
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


def by_rule(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the most that any job of a rule took, and the time and disk of all."""
    return jobs.groupby("rule").agg(**TAKEN).reset_index()


def by_figure(jobs: pd.DataFrame, needed: Mapping[str, set[str | None]]) -> pd.DataFrame:
    """Return the same of the jobs that each figure needs; what figures share counts for each of them."""
    shown = [jobs[jobs["job"].isin(names)].assign(figure=figure) for figure, names in needed.items()]
    return pd.concat(shown).groupby("figure").agg(**TAKEN).reset_index()


def markdown(of_rules: pd.DataFrame, of_figures: pd.DataFrame, scale: str, machine: str, nameless: int = 0) -> str:
    took = ["jobs", "most memory (MB)", "most processor time (s)", "longest (s)", "together (s)", "disk (MB)"]
    together = ["all", of_rules["jobs"].sum(), "", "", "", f"{of_rules['total_s'].sum():.0f}"]
    rows = [_row(row.rule, row) for row in of_rules.itertuples()]
    lines = [
        "# Resources: what the jobs took",
        "",
        "Written by `snakemake resources` from the last run of each job. Memory and processor time are the kernel's,",
        "from the records beside what a job wrote (of rules without a table, such as `claims`, Snakemake's, which",
        "samples): without Snakemake's own, and empty where neither is there. Beside other work jobs take longer, but",
        "little more processor time. Disk is what they left.",
        f"Scale: {scale}. Machine: {machine}.",
        *(
            [f"Of {nameless} files the records, of an earlier version, name no job: these are left out."]
            if nameless
            else []
        ),
        "",
        *markdown_table(["rule", *took], [*rows, [*together, f"{of_rules['disk_mb'].sum():.1f}"]]),
        "",
        "A figure with all that it is made from, from the data on; what several need counts for each of them.",
        "",
        *markdown_table(["figure", *took], (_row(row.figure, row) for row in of_figures.itertuples())),
    ]
    return "\n".join(lines) + "\n"


def _row(name: object, row: Any) -> list[object]:
    sampled = ["" if pd.isna(value) else f"{value:.0f}" for value in (row.most_memory_mb, row.most_processor_s)]
    return [name, row.jobs, *sampled, f"{row.longest_s:.0f}", f"{row.total_s:.0f}", f"{row.disk_mb:.1f}"]


if "snakemake" in globals():
    _job.run(main, snakemake)
