"""The reference results: whole, current, and enough to draw and judge everything from without any training."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from ideal import run_table
from project import ROOT

from gfsharp import scalar
from replication import agreement, claims, configuration
from replication.claims import printing
from replication.claims.__main__ import main, read
from replication.storage import files

REFERENCE = ROOT / "results/reference"
REDRAW = ["--snakefile", "workflow/redraw.smk", "--configfile", "config/paper.yaml", "config/reference.yaml"]


@pytest.fixture
def redrawing(fresh):
    """A project with the reference results and nothing else."""
    shutil.copytree(REFERENCE, fresh.folder / "results/reference", ignore=shutil.ignore_patterns("logs", "benchmarks"))
    return fresh


def rounded(found):
    """The same, each number as close to another as another processor may round it."""
    if isinstance(found, float):
        return pytest.approx(found, rel=1e-6, abs=1e-12)
    if isinstance(found, dict):
        return {key: rounded(part) for key, part in found.items()}
    return [rounded(part) for part in found] if isinstance(found, list) else found


def test_claims_are_those_of_the_tables(redrawing):
    result = redrawing.run(*REDRAW, "--force", "--", "results/reference/claims.json", "figure07")
    assert result.returncode == 0, result.stdout + result.stderr
    kept, judged = read(REFERENCE / "claims.json"), read(redrawing.folder / "results/reference/claims.json")
    for old, new in zip(kept, judged, strict=True):
        assert {**new, "note": None} == {**rounded(old), "note": None}
    assert (redrawing.folder / "figures/reference/figure07.svg").is_file()


def test_nothing_is_trained_for_the_figures(redrawing):
    for targets, jobs in (([], {"redrawn"}), (["figure01", "claims"], {"figure01", "claims"})):
        result = redrawing.run(*REDRAW, "--dry-run", "--forceall", "--", *targets)
        assert result.returncode == 0, result.stdout + result.stderr
        planned = re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
        assert set(planned) == {*((job, "1") for job in jobs), ("total", str(len(jobs)))}


def test_the_page_of_claims_is_that_of_its_record():
    assert (REFERENCE / "claims.md").read_text(encoding="utf-8") == printing.markdown(read(REFERENCE / "claims.json"))


def test_every_claim_is_there_for_both_scales():
    names = [claim.id for claim in claims.CLAIMS]
    for scale, name in (("default", "claims-default.json"), ("reference", "claims.json")):
        rows = read(REFERENCE / name)
        assert [row["id"] for row in rows] == names
        assert {row["scale"] for row in rows} == {scale}


def test_the_pages_have_the_claims_of_both_scales(tmp_path):
    pages = {ROOT / name: tmp_path / Path(name).name for name in ("README.md", "docs/results.md")}
    for page, copy in pages.items():
        shutil.copyfile(page, copy)
    options = [option for copy in pages.values() for option in ("--page", str(copy))]
    assert main([*options, str(REFERENCE / "claims-default.json"), str(REFERENCE / "claims.json")]) == 0
    for page, copy in pages.items():
        assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    assert printing.TOTALS_BEGIN in (ROOT / "README.md").read_text(encoding="utf-8")
    assert printing.BEGIN in (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert printing.NETWORKS_BEGIN in (ROOT / "docs/results.md").read_text(encoding="utf-8")


def test_totals_are_counted():
    results = [*rows(), *rows(verdict="fails"), *rows(verdict="not attempted"), *rows(check="by construction")]
    assert printing.totals([rows(), results]).splitlines() == [
        "| claims | holds | fails | not attempted |",
        "| --- | --- | --- | --- |",
        "| scale test | 1 | 0 | 0 |",
        "| scale test | 1 | 1 | 1 |",
    ]


def test_every_table_is_what_was_written_and_all_are_small():
    tables = sorted(REFERENCE.rglob("*.parquet"))
    assert len(tables) > 50
    for path in tables:
        if path.parent.name != "figures":  # which are drawn anew
            files.check(path)
    kept = [path for path in tables if path.parent.name != "figures"]
    # Two of these are the trajectory of Zhu et al. with 150,000 iterates.
    assert sum(path.stat().st_size for path in kept) < 14e6


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.01, 1)])
def test_a_fresh_run_is_compared_with_them(tmp_path, config, capsys, factor, code):
    """Gradient descent from the default configuration agrees; with a step size one percent larger it does not."""
    settings = config["experiments"]["scalar-depth2"]
    (eta,) = settings["learning_rates"]
    w, iterates = np.array(settings["initial_weights"]), []
    while not iterates or scalar.loss(iterates[-1]) > settings["stop"]["loss"]:
        iterates.append(w)
        w = scalar.gd_step(w, factor * eta)
    table = run_table(scalar.gfs_sharpness(np.array(iterates)), name=f"lr{eta}")
    table = table.assign(experiment="scalar-depth2", learning_rate=eta, gradient_evaluations=0)
    files.write_table(tmp_path / "scalar-depth2.parquet", table, {})
    assert agreement.main([str(tmp_path), str(REFERENCE / "tables")]) == code
    assert f"{'differs' if code else 'agrees'}  scalar-depth2/lr{eta}  end" in capsys.readouterr().out


def test_a_default_run_has_nothing_that_is_not_there_to_compare_with(config):
    for name in config["experiments"]:
        table = files.read_table(REFERENCE / f"tables/{name}.parquet")
        assert set(table["run"]) == {run.name for run in configuration.runs(config, name)}


# The printer.


def rows(**changes):
    row = {"id": "a-claim", "figure": "2b", "statement": "Something falls", "expected": "= 1", "measured": 1.02}
    row |= {"tolerance": 0.05, "verdict": "holds", "scale": "test", "note": None, "paper": "kreisler2023"}
    row |= {"source": ["a/table.parquet"], "error": None, "check": None, "fails_if": None, "control": None}
    row |= {"origin": {"kind": "stated", "part": None, "number": None}, "figures": {"figure02": "b"}, "reason": None}
    row |= {"relation": "within", "bound": 1.0, "quantity": None, "undecided": None, "runs": None, **changes}
    return [row]


def test_a_terminal_sees_columns_and_why_a_claim_does_not_hold():
    failed = rows(id="another-claim", verdict="fails", measured=1.5, note="one of three runs")
    lines = printing.aligned([*rows(), *failed]).splitlines()
    assert lines[0].split() == ["id", "verdict", "expected", "measured", "from"]
    assert lines[1] == "a-claim        holds    = 1 ± 0.05  1.02      2b"
    assert lines[4:7] == ["another-claim (2b): fails", "    Something falls", "    one of three runs"]
    assert lines[7] == "    measured in a/table.parquet"
    assert lines[-1] == "Scale: test. Of 2 claims 2 were attempted: 1 hold, 1 fails."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "= 1 ± 0.05"),
        ({"expected": "<= 0", "relation": "<=", "tolerance": 1e-12}, "<= 0 + 1e-12"),
        ({"expected": ">= 0.5", "relation": ">=", "tolerance": 0.1}, ">= 0.5 - 0.1"),
        ({"expected": "= 0", "relation": "is", "tolerance": 0.0}, "= 0"),
        ({"expected": None}, ""),
    ],
)
def test_what_is_expected_has_its_tolerance(changes, text):
    assert printing.expected(rows(**changes)[0]) == text


@pytest.mark.parametrize(
    ("figures", "part", "name"),
    [
        ({"figure02": "b", "figure08": ""}, None, "figure 2"),
        ({"figure12": ""}, None, "figure 12"),
        ({"figure01": ""}, "Section", "figure 1"),
        ({}, "Appendix", "other text"),
        ({}, "Lemma", "lemmas"),
        ({}, "Theorem", "theorems"),
        ({}, "Equation", "equations"),
    ],
)
def test_claims_are_counted_with_their_figure(figures, part, name):
    assert printing.group(rows(figures=figures, origin={"part": part})[0]) == name


def test_claims_of_other_papers_are_counted_by_paper_after_those_of_the_paper():
    results = [*rows(paper=None), *rows(paper="craciun2024"), *rows(paper="arora2022"), *rows()]
    counted = [line.split(" | ")[0] for line in printing.summary([results]).splitlines()[2:]]
    assert counted == [
        "| figure 2",
        "| Arora et al. (2022)",
        "| Crăciun and Ghoshdastidar (2024)",
        "| of no paper",
        "| all claims",
    ]


def test_a_summary_names_what_does_not_hold():
    text = printing.summary([rows(), rows(verdict="fails", measured=1.5, scale="other")])
    assert "| from | number | scale test | scale other |" in text
    assert "| figure 2 | 1 | 1 hold | 1 **fail** |" in text
    assert "- scale other, figure 2: `a-claim` fails: 1.5, expected = 1 ± 0.05" in text
    assert "does not hold" not in printing.summary([rows()])
    why = "undecided: a is 1.06 ± 0.02"
    unclear = rows(verdict="not attempted", measured=1.06, error=0.02, undecided=why, note=f"{why}; more")
    assert "figure 2: `a-claim` not attempted: undecided: a is 1.06 ± 0.02\n" in printing.summary([unclear]) + "\n"


def test_checks_are_counted_apart():
    results = [*rows(), *rows(id="a-check", check="eta is chosen so"), *rows(id="another", verdict="fails")]
    text = printing.summary([results])
    assert "| figure 2 | 2 | 1 hold, 1 **fail** |" in text
    assert "| all claims | 2 | 1 hold, 1 **fail** |" in text
    assert "| checks (true by choice or construction) | 1 | 1 hold |" in text
    lines = printing.aligned(results).splitlines()
    assert [line.split(" ")[0] for line in lines[:5]] == ["id", "a-claim", "another", "checks,", "a-check"]
    assert lines[-2:] == [
        "Scale: test. Of 2 claims 2 were attempted: 1 hold, 1 fails.",
        "Scale: test. Of 1 checks 1 were attempted: 1 hold, 0 fail.",
    ]
    page = printing.markdown(results)
    before, after = page.split("## Checks")
    assert "a-check" not in before
    assert "eta is chosen so" in after


def test_what_makes_a_claim_fail_is_printed():
    noise = {"words": "noise", "verdict": "fails", "measured": 3.0}
    (line,) = [
        line
        for line in printing.markdown(rows(fails_if="it rises", control=noise, reason="ours", error=0.01)).splitlines()
        if line.startswith("| a-claim")
    ]
    assert "| 1.02 ± 0.01 | 0.05 | holds | stated | ours | it rises | with noise: fails, 3 |" in line


def a_network(**changes):
    run = {"network": "net", "architecture": "vgg11_bn", "activation": None, "channels": 64, "images": 1000}
    run |= {"data": "cifar10", "threshold": 200.0, "iterations": 12345, "start": 701.23, "start_error": 28.7}
    return run | {"end": 198.873, "end_error": 0.138, "visible": 0.0071, "visible_worst": 0.135} | changes


def test_networks_are_a_table_between_markers(tmp_path):
    results = rows(runs=[a_network(), a_network(images=None, data=None, architecture=None, channels=None, end=None)])
    lines = printing.networks(results).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| net (vgg11 bn, 64 channels) | 1,000 cifar10 | 200 | 12,345 | 701 ± 29 | 198.87 ± 0.14 | 0.7%, 13.5% |"
    )
    assert lines[3] == "| net | - | 200 | 12,345 | 701 ± 29 | - | 0.7%, 13.5% |"
    assert printing.networks(rows()) == ""
    page = tmp_path / "page.md"
    places = [printing.BEGIN, printing.END, printing.NETWORKS_BEGIN, printing.NETWORKS_END]
    page.write_text("\n".join(["a", *places, "z"]), encoding="utf-8")
    printing.update(page, [rows(), results])
    text = page.read_text(encoding="utf-8")
    assert "\n".join(lines) in text.split(printing.NETWORKS_BEGIN)[1].split(printing.NETWORKS_END)[0]
    assert text.startswith("a\n")
    assert text.endswith("\nz")
    again = text
    printing.update(page, [rows(), results])
    assert page.read_text(encoding="utf-8") == again


def test_claims_of_an_older_version_are_refused(tmp_path):
    older = [{key: value for key, value in row.items() if key != "bound"} for row in rows()]
    (tmp_path / "old.json").write_text(json.dumps(older), encoding="utf-8")
    with pytest.raises(printing.UserError, match="an older version wrote it; run snakemake again"):
        read(tmp_path / "old.json")


def test_a_page_without_a_place_for_them_and_claims_that_are_none(tmp_path, capsys):
    page, none, some = tmp_path / "page.md", tmp_path / "none.json", tmp_path / "some.json"
    page.write_text("nothing", encoding="utf-8")
    none.write_text("[]", encoding="utf-8")
    some.write_text(json.dumps(rows()), encoding="utf-8")
    with pytest.raises(printing.UserError, match="claims:begin"):
        main(["--page", str(page), str(some)])
    assert page.read_text(encoding="utf-8") == "nothing"
    for path in (none, tmp_path / "nowhere.json"):
        with pytest.raises(printing.UserError, match=f"cannot read the claims {path}"):
            main([str(path)])
    assert main([str(some)]) == 0
    assert "a-claim  holds" in capsys.readouterr().out


def test_compact_tables_have_the_same_content(tmp_path):
    table = run_table([3.0, 2.0, np.nan]).assign(flag=[True, False, True], word=["a", None, "b"])
    files.write_table(tmp_path / "t.parquet", table, {}, compact=True)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "t.parquet"), table, check_dtype=False)
    assert yaml.safe_load((tmp_path / "t.json").read_text())["file"] == "t.parquet"
