"""What an archive refuses, its bytes, and the record of the run; that it draws again is in test_workflow.py."""

import gzip
import hashlib
import json
import shutil
import tarfile

import numpy as np
import pytest
from project import BESIDE, commit_all, copy_project, make_checkout

import archive
from gfsharp.errors import UserError
from replication import claims, configuration, figure_registry, yaml_files
from replication.claims import Claim, printing
from replication.claims.claim import Estimate
from replication.papers import Origin
from replication.storage import files

RECORD = {
    "wall_time_s": 60.0,
    "written": "2026-01-02T03:04:05+00:00",
    "commit": "c0ffee",
    "versions": {"numpy": "2.0"},
}


def claim(name, **fields):
    return Claim(id=name, origin=Origin("own"), statement="x is at most one", **fields)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one small table behind every figure and one claim, made to order."""
    import pandas as pd

    folder = copy_project(tmp_path / "project").folder
    make_checkout(folder)
    monkeypatch.chdir(folder)
    table = "results/other/one.parquet"
    files.write_table(table, pd.DataFrame({"x": [1.0]}), {**RECORD, "parameters": {}})
    for name in yaml_files.read("config.yaml")["experiments"]:
        files.write_table(f"results/tables/{name}.parquet", pd.DataFrame({"x": [1.0]}), {**RECORD, "parameters": {}})
    draw()
    one = claim("one", measure=lambda of: float(of["x"].max()), table="one", relation="is", bound=1.0)
    monkeypatch.setattr("replication.claims.CLAIMS", (one, claim("none")))
    judge()
    with files.whole_file("results/claims.md") as path:
        path.write_text("# Claims\n")
    return folder


def draw(*overlays, jobs=False):
    """Draw each figure from the one table and those of its experiments."""
    import pandas as pd

    config = yaml_files.merged("config.yaml", *overlays)
    for figure in figure_registry.FIGURES:
        of_figure = {"shows": config["figures"].get(figure)}
        shown = configuration.figure_experiments(config, figure) if figure in figure_registry.OF_EXPERIMENTS else []
        tables = ["results/other/one.parquet", *(f"results/tables/{name}.parquet" for name in shown)]
        section = f"figures.{figure}" if of_figure["shows"] else None
        drawn = {**RECORD, "section": section, "parameters": of_figure, "inputs": files.checksums(tables)}
        drawn |= {"job": {"rule": figure, "log": f"results/logs/{figure}.log"}} if jobs else {}
        files.write_table(f"results/figures/{figure}.parquet", pd.DataFrame({"x": [2.0]}), drawn)
        for suffix in archive.FORMATS:
            with files.whole_file(f"figures/{figure}.{suffix}") as path:
                path.write_text(f"{figure}.{suffix}")


def judge(scale="default"):
    table = "results/other/one.parquet"
    rows = claims.evaluate(claims.CLAIMS, {"one": ([table], files.read_table(table))}, scale)
    files.write_json("results/claims.json", rows)


def written(*overlays):
    return archive.write(archive.Path("archive"), yaml_files.merged("config.yaml", *overlays), overlays)


def contents(path):
    with tarfile.open(path) as packed:
        entries = {entry.name.partition("/")[2]: entry for entry in packed}
        read = {name: packed.extractfile(entry).read() for name, entry in entries.items() if entry.isfile()}
    return entries, read


def test_it_has_code_lock_configuration_tables_figures_claims_and_their_checksums(checkout):
    (checkout / "results/checkpoints.parquet").write_text("not to be kept")
    path = written()
    entries, read = contents(path)
    assert {"Snakefile", "config.yaml", "config/paper.yaml", "src/replication/storage/files.py", *BESIDE} <= set(read)
    assert {"results/other/one.parquet", "results/other/one.json", "results/claims.json"} <= set(read)
    for figure in figure_registry.FIGURES:
        assert {f"figures/{figure}.pdf", f"results/figures/{figure}.parquet"} <= set(read)
    assert "results/checkpoints.parquet" not in read
    assert entries["profiles"].linkname == "workflow/profiles"
    assert entries["envs/uv.sh"].mode == 0o755
    sums = dict(line.split("  ")[::-1] for line in read["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in read.items() if name != "SHA256SUMS"}


def test_the_same_results_give_the_same_bytes(checkout):
    before = written().read_bytes()
    for path in checkout.rglob("*.pdf"):
        path.touch()
    assert written().read_bytes() == before
    assert gzip.decompress(before)
    (checkout / "figures/figure01.pdf").write_text("another")
    assert written().read_bytes() != before


def test_the_record_says_what_was_made_from_what(checkout):
    draw("tests/tiny.yaml")
    judge("tiny")
    path = written("tests/tiny.yaml")
    assert "-tiny-" in path.name
    read = contents(path)[1]
    record = json.loads(read["ro-crate-metadata.json"])
    entities = {entity["@id"]: entity for entity in record["@graph"]}
    assert len(entities) == len(record["@graph"])

    def linked(value):
        return {link["@id"] for link in (value if isinstance(value, list) else [value])}

    root, run = entities["./"], entities["#run"]
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert linked(root["conformsTo"]) == set(archive.crate.PROFILES)
    assert linked(root["mainEntity"]) == {"Snakefile"} == linked(run["instrument"])
    assert "ComputationalWorkflow" in entities["Snakefile"]["@type"]
    assert linked(root["mentions"]) == {"#run"}
    assert linked(root["hasPart"]) == set(read) - {"ro-crate-metadata.json", "SHA256SUMS"}
    assert {"name", "description", "datePublished", "license"} <= set(root)
    assert linked(root["citation"]) == {"https://arxiv.org/abs/2305.13064"}
    assert linked(run["object"]) == {"config.yaml", "tests/tiny.yaml"}
    made = {name for name in read if name.startswith(("results/", "figures/"))}
    assert linked(run["result"]) == made
    assert (run["startTime"], run["endTime"]) == ("2026-01-02T03:03:05+00:00", "2026-01-02T03:04:05+00:00")
    assert "c0ffee" in run["description"]
    numpy = entities["#numpy-2.0"]
    assert (numpy["version"], numpy["softwareVersion"], numpy["url"]["@id"]) == (
        "2.0",
        "2.0",
        "https://pypi.org/project/numpy/2.0/",
    )
    assert all("Profile" in entities[profile]["@type"] for profile in linked(root["conformsTo"]))
    language = entities[entities["Snakefile"]["programmingLanguage"]["@id"]]
    assert language["version"] == "9.20 or later"
    for name in linked(root["hasPart"]):
        assert entities[name]["sha256"] == hashlib.sha256(read[name]).hexdigest()
    # Every link within the record leads somewhere.
    for entity in record["@graph"]:
        for value in entity.values():
            for link in value if isinstance(value, list) else [value]:
                if isinstance(link, dict):
                    assert link["@id"] in entities or link["@id"].startswith("http")


def test_the_record_says_which_job_made_what_of_what(checkout):
    draw(jobs=True)
    graph = json.loads(contents(written())[1]["ro-crate-metadata.json"])["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    job = entities["#results/logs/figure03.log"]
    assert {"@id": job["@id"]} in entities["./"]["mentions"]
    assert job["instrument"] == {"@id": "workflow/scripts/figure.py"}
    assert "SoftwareSourceCode" in entities["workflow/scripts/figure.py"]["@type"]
    assert job["object"] == [{"@id": "results/other/one.parquet"}]
    pictures = [f"figures/figure03.{suffix}" for suffix in archive.FORMATS]
    assert [link["@id"] for link in job["result"]] == [
        *pictures,
        "results/figures/figure03.json",
        "results/figures/figure03.parquet",
    ]


def test_a_figure_of_an_earlier_version_is_refused_in_words(checkout):
    path = "results/figures/figure01.parquet"
    record = files.read_provenance(path)
    files.write_record(files.sidecar(path), {key: record[key] for key in record if key != "inputs"})
    with pytest.raises(UserError, match=f"{path} has a record that does not say what it was drawn from; run snakemake"):
        written()


def test_what_is_not_committed_is_named(checkout):
    (checkout / "config.yaml").write_text((checkout / "config.yaml").read_text() + "# more\n")
    with pytest.raises(UserError, match=r"not committed.*config\.yaml"):
        written()
    commit_all(checkout)
    (checkout / "mine.yaml").write_text("scale: mine\n")
    judge("mine")
    with pytest.raises(UserError, match=r"mine\.yaml is not committed"):
        written("mine.yaml")


def test_outside_a_checkout_there_is_none(checkout):
    shutil.rmtree(checkout / ".git")
    with pytest.raises(UserError, match="made from a git checkout"):
        written()


@pytest.mark.parametrize("name", ["figures/figure05.svg", "results/other/one.parquet", "results/claims.json"])
def test_what_is_missing_is_named(checkout, name):
    (checkout / name).unlink()
    with pytest.raises(UserError, match=f"{name}.*run snakemake first"):
        written()


def test_claims_of_another_table_and_of_another_scale_are_refused(checkout):
    rows = json.loads((checkout / "results/claims.json").read_text())
    for changed in ({"measured": 2.0}, {"scale": "mine"}, {"verdict": "fails"}):
        files.write_json("results/claims.json", [rows[0] | changed, *rows[1:]])
        with pytest.raises(UserError, match=r"claims\.json is not what the tables .* run snakemake again"):
            written()
    judge()
    assert written()


def test_claims_that_measure_infinity_or_nothing_are_those_of_their_tables(checkout, monkeypatch):
    measures = {"diverged": lambda of: float(of["x"].max()) * np.inf, "empty": lambda of: float("nan")}
    measures["loose"] = lambda of: [Estimate(1.0, np.inf)]
    judged = [claim(name, measure=of, table="one", relation="<=", bound=1.0) for name, of in measures.items()]
    monkeypatch.setattr("replication.claims.CLAIMS", judged)
    judge()
    rows = json.loads((checkout / "results/claims.json").read_text())
    assert [row["verdict"] for row in rows] == ["fails", "not attempted", "not attempted"]
    assert [printing.measured(row) for row in rows] == ["inf", "", "1 ± inf"]
    assert written()
    files.write_json("results/claims.json", [rows[0] | {"measured": "-inf"}, *rows[1:]])
    with pytest.raises(UserError, match=r"claims\.json is not what the tables"):
        written()


def test_damaged_tables_and_figures_of_other_tables_are_refused(checkout):
    import pandas as pd

    files.write_table("results/other/one.parquet", pd.DataFrame({"x": [3.0]}), {**RECORD, "parameters": {}})
    with pytest.raises(UserError, match=r"figure01 was drawn from another results/other/one\.parquet"):
        written()
    (checkout / "results/other/one.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot read results/other/one\.parquet"):
        written()


def test_results_of_other_settings_are_refused_and_those_of_unknown_ones_named(checkout):
    import pandas as pd

    (run,) = configuration.runs(yaml_files.merged("config.yaml"), "scalar-depth4")
    table = "results/tables/scalar-depth4.parquet"

    def made(**changes):
        runs = {"a/run.parquet": {"run": run.name, "experiment": run.experiment, **run.parameters, **changes}}
        section = "experiments.scalar-depth4"
        record = {**RECORD, "section": section, "parameters": {"runs": runs}}
        files.write_table(table, pd.DataFrame({"x": [1.0]}), record)
        draw()

    made(stop={**run.parameters["stop"], "loss": 0.5})
    with pytest.raises(UserError, match=rf"{table} was made with lr0\.2: stop\.loss = 0\.5, .* has 1e-08"):
        written()
    made()
    page = contents(written())[1]["ARCHIVE.md"].decode()
    assert "\n- `results/other/one.parquet`\n" in page
    assert table not in page
    draw("tests/tiny.yaml")
    with pytest.raises(
        UserError, match=r"figure06\.parquet was made with shows = .*, the configuration has .*; run snakemake again"
    ):
        written()
