"""The record of an archive by the public validator of RO-Crates, its required rules, without a network."""

import json
from pathlib import Path

import pandas as pd
import pytest
import rocrate
import yaml
from project import ROOT
from rocrate_validator import services

import crate
from replication.storage import files

PROFILE = "ro-crate-1.3"
CRATE = "https://w3id.org/ro/crate/1.3/context"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"


class Answer:
    """What is got from the web in place of a context."""

    status_code = 200
    headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012

    def __init__(self, content):
        self.content = content
        self.text = json.dumps(content)

    def json(self):
        return self.content

    def raise_for_status(self):
        pass


@pytest.fixture
def contexts(monkeypatch):
    """Contexts from disk: the specification's comes with the package rocrate, the other has no term that is used."""
    specification = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text(encoding="utf-8"))
    assert specification["@id"] == CRATE
    known = {CRATE: specification, TERMS: {"@context": {}}}
    from rdflib.plugins.shared.jsonld import context
    from rocrate_validator.utils.http import HttpRequester

    monkeypatch.setattr(context, "source_to_json", lambda url, *_, **__: (known[url], None))
    monkeypatch.setattr(HttpRequester, "get", lambda self, url, **_: Answer(known[url]), raising=False)


def problems(folder, record):
    """What the validator has against a record."""
    folder.mkdir(exist_ok=True)
    (folder / "ro-crate-metadata.json").write_text(json.dumps(record), encoding="utf-8")
    settings = {
        "rocrate_uri": str(folder),
        "profile_identifier": PROFILE,
        "requirement_severity": "REQUIRED",
        "metadata_only": True,
        "offline": False,
    }
    return {issue.message for issue in services.validate(settings).get_issues()}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """The record of a few files: with hundreds the validator takes minutes, and they are alike."""
    monkeypatch.chdir(tmp_path)
    made = {"written": "2026-01-02T03:04:05+00:00", "wall_time_s": 60.0, "commit": "c0ffee"}
    versions = {"numpy": "2.0", "python": "3.11.7", "gfsharp": "0.1.0"}
    for name, rule, inputs in (("t", "plane", []), ("figures/figure03", "figure03", ["results/t.parquet"])):
        job = {"job": {"rule": rule, "log": f"results/logs/{rule}.log"}, "inputs": files.checksums(inputs)}
        record = {**made, **job, "versions": versions}
        files.write_table(f"results/{name}.parquet", pd.DataFrame({"x": [1.0]}), record)
    results = [f"results/{name}.{suffix}" for name in ("t", "figures/figure03") for suffix in ("json", "parquet")]
    scripts = [f"workflow/scripts/{rule}.py" for rule in ("plane", "figure")]
    code = [*scripts, "Snakefile", "config.yaml", "config/paper.yaml", "CITATION.cff", "README.md", "LICENSE"]
    contents = {name: (ROOT / name).read_bytes() for name in code} | {
        name: (tmp_path / name).read_bytes() for name in results
    }
    config = yaml.safe_load(contents["config.yaml"])
    return crate.metadata(config, contents, results, ["config/paper.yaml"], "c0ffee", 1_767_000_000, "0.1.0")


def test_the_record_meets_what_the_profile_requires(record, contexts, tmp_path):
    assert problems(tmp_path / "crate", record) == set()


def test_the_validator_does_look(record, contexts, tmp_path):
    """A null control: without what it asks for it says so."""
    for entity in record["@graph"]:
        if entity["@type"] == "SoftwareApplication":
            del entity["url"]
        elif entity["@type"] == "ComputerLanguage":
            del entity["version"]
        elif entity["@type"] == ["CreativeWork", "Profile"]:
            entity["@type"] = "CreativeWork"
    said = " ".join(problems(tmp_path / "crate", record))
    assert all(word in said for word in ("Profile", "`url`", "`version`"))
