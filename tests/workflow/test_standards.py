"""What catalogues and archives look for: the layout, the configuration's documentation, the citation."""

import re
import tomllib

import yaml
from project import ROOT

import gfsharp

CONFIGURATION_PAGE = ROOT / "config/README.md"


def test_the_workflow_catalog_finds_what_its_standardised_usage_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert isinstance(usage["mandatory-flags"]["flags"], list)
    assert usage["software-stack-deployment"] == {"conda": True, "apptainer": False, "apptainer+conda": False}
    assert usage["report"] is True
    for name in ("workflow/Snakefile", "config/README.md", "LICENSE", "README.md"):
        assert (ROOT / name).is_file()
    assert re.search("snakemake.*workflow|workflow.*snakemake", (ROOT / "README.md").read_text(), re.I | re.S)
    # Every rule can be deployed by conda, as it says.
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert text.count("conda:") == len(re.findall(r"^ *(?:rule|checkpoint)(?: \w+)?:", text, re.MULTILINE)), path


def test_the_workflow_runs_from_where_the_catalog_looks_for_it(fresh):
    result = fresh.run("--snakefile", "workflow/Snakefile", "--dry-run", "--", "figure01")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "figure01" in result.stdout + result.stderr


def test_every_section_of_the_configuration_is_documented():
    page = CONFIGURATION_PAGE.read_text()
    sections = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sections == list(yaml.safe_load((ROOT / "config.yaml").read_text()))
    for overlay in (ROOT / "config").glob("*.yaml"):
        assert f"]({overlay.name})" in page


def test_what_the_page_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", CONFIGURATION_PAGE.read_text())
    assert "paper.yaml" in links
    assert [link for link in links if not (CONFIGURATION_PAGE.parent / link).exists()] == []


def test_the_citation_has_what_its_format_asks_for_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert cited["version"] == project["version"] == gfsharp.__version__
    assert cited["license"] == project["license"]
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert [author["family-names"] for author in paper["authors"]] == ["Kreisler", "Nacson", "Soudry", "Carmon"]
    assert {identifier["type"] for identifier in paper["identifiers"]} <= {"doi", "url", "swh", "other"}
    for word in ("conference-paper", 2023):
        assert word in paper.values()
    for author in [*cited["authors"], *paper["authors"]]:
        assert "name" in author or "family-names" in author
