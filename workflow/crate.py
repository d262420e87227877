"""The record of a run for an archive: an RO-Crate that follows the profile Workflow Run Crate.

It says what is certain and no more: which files the workflow made from which configuration at which commits, between
which times, by which versions, and, where the records name jobs, which made what by which script from which of the
others. Who ran it is not known, so no agent is named.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rocrate.model import ContextEntity, File
from rocrate.rocrate import ROCrate

from replication.configuration import Config
from replication.figure_registry import script_of
from replication.storage.files import sidecar

FILE = "ro-crate-metadata.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.6": ("Process Run Crate", "0.6"),
    "https://w3id.org/ro/wfrun/workflow/0.6": ("Workflow Run Crate", "0.6"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.1": ("Workflow RO-Crate", "1.1"),
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
WORKFLOW = "Snakefile"
# The project itself, and under the name that it had when the reference results were made.
OURS = ("gfsharp", "gfs-sharpness")
FORMATS = {".parquet": "application/vnd.apache.parquet", ".md": "text/markdown", ".yaml": "application/yaml"}


def metadata(
    config: Config,
    contents: Mapping[str, bytes],
    results: Sequence[str],
    overlays: Sequence[str],
    commit: str,
    time: int,
    version: str,
) -> dict[str, Any]:
    """Return the JSON-LD of the crate.

    Args:
        config: what the results were made with.
        contents: every file of the archive with its content.
        results: those that the workflow made.
        overlays: configuration files on top of ``config.yaml``.
        commit, time, version: of the code; the time in seconds.
    """
    cited = yaml.safe_load(contents["CITATION.cff"])
    records = records_of(contents, results)
    crate = ROCrate()
    crate.metadata.extra_contexts.append(TERMS)
    crate.name = f"{cited['title']}: results of scale {config['scale']}"
    crate.description = "Code, configuration, tables, figures and claims of a replication: see README.md, ARCHIVE.md."
    crate.datePublished = datetime.fromtimestamp(time, UTC)
    licence = {"name": "MIT License", "identifier": cited["license"]}
    crate.license = crate.add(_entity(crate, f"https://spdx.org/licenses/{cited['license']}", "CreativeWork", licence))
    crate.root_dataset["conformsTo"] = [
        crate.add(_entity(crate, url, ["CreativeWork", "Profile"], {"name": name, "version": number}))
        for url, (name, number) in PROFILES.items()
    ]
    crate.root_dataset["citation"] = crate.add(_paper(crate, cited["references"][0]))
    described = {path: _file(crate, path, contents[path]) for path in sorted(contents)}
    home = {"@id": "https://snakemake.readthedocs.io"}
    language = _entity(
        crate,
        "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
        "ComputerLanguage",
        {"name": "Snakemake", "identifier": home, "url": home, "version": _snakemake(contents, records)},
    )
    authors = [
        _entity(crate, f"#author-{number}", "Organization", {"name": author["name"]})
        for number, author in enumerate(cited["authors"], start=1)
    ]
    crate.add(language, *authors)
    workflow = described[WORKFLOW]
    workflow["name"] = cited["title"]
    workflow["version"] = f"{version}, commit {commit}"
    workflow["programmingLanguage"] = language
    workflow["author"] = authors
    crate.root_dataset["mainEntity"] = workflow
    run = _run(crate, described, records, results, ["config.yaml", *overlays])
    crate.root_dataset["mentions"] = [run, *_jobs(crate, described, records, results)]
    return dict(crate.metadata.generate())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


Records = Mapping[str, Mapping[str, Any]]


def records_of(contents: Mapping[str, bytes], results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the records beside the tables among the results, by table."""
    tables = [path for path in results if path.endswith(".parquet")]
    return {path: json.loads(contents[str(sidecar(path))]) for path in tables}


def commits(records: Records) -> list[str]:
    """Return the commits of the code that made the results; of one that ran outside a checkout it is not known."""
    return sorted({str(record["commit"] or "unknown") for record in records.values()})


def _entity(crate: ROCrate, identifier: str, kind: str | list[str], properties: Mapping[str, Any]) -> ContextEntity:
    return ContextEntity(crate, identifier, properties={"@type": kind, **properties})


def _paper(crate: ROCrate, reference: Mapping[str, Any]) -> ContextEntity:
    authors = [f"{author['given-names']} {author['family-names']}" for author in reference["authors"]]
    (number,) = (i["value"].removeprefix("arXiv:") for i in reference["identifiers"] if i["value"].startswith("arXiv:"))
    about = {"name": reference["title"], "creditText": ", ".join(authors), "datePublished": str(reference["year"])}
    return _entity(crate, f"https://arxiv.org/abs/{number}", "ScholarlyArticle", about)


def _file(crate: ROCrate, path: str, content: bytes) -> File:
    kind = FORMATS.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "text/plain"
    about: dict[str, Any] = {"contentSize": str(len(content)), "encodingFormat": kind, "sha256": sha256(content)}
    if path == WORKFLOW:
        about["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    elif path.startswith("workflow/scripts/"):
        about |= {"@type": ["File", "SoftwareSourceCode"], "name": Path(path).name}
    return crate.add(File(crate, dest_path=path, properties=about))


def _software(name: str, number: str) -> dict[str, Any]:
    # This project itself is in no index: it is what is in the archive.
    elsewhere = {
        "python": f"https://www.python.org/downloads/release/python-{number.replace('.', '')}/",
        **dict.fromkeys(OURS, "./"),
    }
    url = elsewhere.get(name, f"https://pypi.org/project/{name}/{number}/")
    return {"name": name, "version": number, "softwareVersion": number, "url": {"@id": url}}


def _snakemake(contents: Mapping[str, bytes], records: Records) -> str:
    """Return the versions that made the results, or, where no record has one, the least that the workflow takes."""
    made_by = {record["versions"].get("snakemake") for record in records.values()} - {None}
    (least,) = re.findall(r'^min_version\("([^"]+)"\)', contents[WORKFLOW].decode(), re.MULTILINE)
    return " and ".join(sorted(made_by)) or f"{least} or later"


def _run(
    crate: ROCrate, described: Mapping[str, Any], records: Records, results: Sequence[str], configured: Sequence[str]
) -> ContextEntity:
    """Describe what made the results, from the records beside them."""
    versions = {(name, number) for record in records.values() for name, number in record["versions"].items()}
    action = _entity(
        crate,
        "#run",
        "CreateAction",
        {
            "name": "Run of the workflow",
            "description": f"Made at commit {' and '.join(commits(records))}; the times are those of the first and the "
            "last table that is here.",
            **_completed(records),
        },
    )
    crate.add(action)
    action["instrument"] = described[WORKFLOW]
    action["object"] = [described[path] for path in configured]
    action["result"] = [described[path] for path in results]
    used = [
        crate.add(_entity(crate, f"#{name}-{number}", "SoftwareApplication", _software(name, number)))
        for name, number in sorted(versions)
    ]
    described[WORKFLOW]["softwareRequirements"] = used
    return action


def _completed(records: Records) -> dict[str, Any]:
    ends = {path: datetime.fromisoformat(record["written"]) for path, record in records.items()}
    starts = [end - timedelta(seconds=records[path]["wall_time_s"]) for path, end in ends.items()]
    return {
        "startTime": min(starts).isoformat(timespec="seconds"),
        "endTime": max(ends.values()).isoformat(timespec="seconds"),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }


def _jobs(
    crate: ROCrate, described: Mapping[str, Any], records: Records, results: Sequence[str]
) -> list[ContextEntity]:
    """Describe each job that a record names: what it made by which script, of what is here."""
    made: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for path, record in records.items():
        if job := record.get("job"):  # none in records of earlier versions
            made.setdefault((job["rule"], job["log"]), {})[path] = record
    actions = []
    for (rule, log), tables in made.items():
        if (script := described.get(script_of(rule))) is None:
            continue  # of another name by now
        action = _entity(crate, f"#{log}", "CreateAction", {"name": f"Rule {rule}", **_completed(tables)})
        crate.add(action)
        action["instrument"] = script
        inputs = {path: described[path] for record in tables.values() for path in record["inputs"] if path in described}
        action["object"] = [*inputs.values()]
        # The pictures of a figure have its name.
        of_job = {*tables, *(str(sidecar(path)) for path in tables)}
        action["result"] = [described[path] for path in results if path in of_job or Path(path).stem == rule]
        actions.append(action)
    return actions
