"""The record of an archive by the public validator of RO-Crates, its required rules, without a network."""

import json
from pathlib import Path

import pytest
import rocrate
from test_archive import checkout, contents, written  # noqa: F401 - a fixture

services = pytest.importorskip(
    "rocrate_validator.services", reason="the RO-Crate validator is not installed: pip install roc-validator==0.13.0"
)

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
    """Contexts from disk: the one of the specification ships with the package rocrate, the other adds no term we use."""
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


def test_the_record_meets_what_the_profile_requires(checkout, contexts, tmp_path):  # noqa: F811
    record = json.loads(contents(written())[1]["ro-crate-metadata.json"])
    assert problems(tmp_path / "crate", record) == set()
    # It does look: without what the profile asks for it says so.
    for kind, key in (
        ("SoftwareApplication", "url"),
        ("SoftwareApplication", "version"),
        ("ComputerLanguage", "version"),
    ):
        worse = json.loads(json.dumps(record))
        for entity in worse["@graph"]:
            if entity["@type"] == kind:
                del entity[key]
        assert any(f"`{key}`" in said for said in problems(tmp_path / "crate", worse))
    worse = json.loads(json.dumps(record).replace('["CreativeWork", "Profile"]', '"CreativeWork"'))
    assert any("Profile" in said for said in problems(tmp_path / "crate", worse))
