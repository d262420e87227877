"""NaN, infinity, overflow and divergence in every model: recorded, drawn and judged as such, and the others go on."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from project import BROKEN

from replication import figure_registry

# How each run ends, and the status of its gradient flow solutions.
ENDS = {
    "scalar-depth2 lr0.5": ("converged", {"converged"}),
    "scalar-depth4 lr5.0": ("diverged", {"converged"}),
    "scalar-pairs lr2.0": ("diverged", {"converged"}),
    "scalar-bifurcation lr0.05": ("diverged", set()),
    "scalar-high-loss lr0.2": ("converged", {"converged"}),
    "regression seed0-fraction30.0": ("diverged", {"converged"}),
    "fc-hardtanh-digits seed0-lr0.1": ("out of iterations", {"converged"}),
    "fc-hardtanh-digits seed0-lr1000000.0": ("diverged", {"converged", "budget"}),
    "fc-relu-digits seed0-lr0.1": ("out of iterations", {"budget"}),
    "nan-at-once seed0-lr0.01": ("diverged", set()),
    "nan-later seed0-lr0.01": ("diverged", {"not finite"}),
    "overflow seed0-lr0.01": ("diverged", set()),
}


@pytest.mark.fault(
    "huge learning rates, NaN at the start and later, overflow, flows cut short, in every model",
    "recorded, said in words in log, figures and claims; all else is made",
)
@pytest.mark.parametrize("run", ENDS)
def test_how_a_run_ends_is_recorded(broken, run):
    experiment, name = run.split()
    table = pd.read_parquet(broken.folder / f"results/tables/{experiment}.parquet")
    rows = table[table["run"] == name]
    status, solutions = ENDS[run]
    assert list(rows["status"]) == ["running"] * (len(rows) - 1) + [status]
    found = set(rows["gfs_status"].dropna())
    assert found <= solutions
    assert bool(found) == bool(solutions)
    converged = rows["gfs_status"] == "converged"
    assert np.isfinite(rows.loc[converged, "gfs_sharpness"]).all()
    assert rows.loc[~converged, "gfs_sharpness"].isna().all()
    assert np.isfinite(rows["loss"].iloc[:-1]).all()
    assert (rows["loss"].iloc[-1] <= 1e12) == (status != "diverged")


@pytest.mark.fault(
    "huge learning rates, NaN at the start and later, overflow, flows cut short, in every model",
    "recorded, said in words in log, figures and claims; all else is made",
)
@pytest.mark.parametrize("run", ["nan-at-once/seed0-lr0.01", "overflow/seed0-lr0.01", "scalar-bifurcation/lr0.05"])
def test_what_is_not_finite_at_the_start_is_said_in_the_log(broken, run):
    log = (broken.folder / f"results/logs/train/{run}.log").read_text()
    assert re.search(r"diverged at its start: the loss of the initial weights is (nan|inf), before any step", log)


@pytest.mark.fault(
    "huge learning rates, NaN at the start and later, overflow, flows cut short, in every model",
    "recorded, said in words in log, figures and claims; all else is made",
)
def test_divergence_is_said_in_the_log(broken):
    log = (broken.folder / "results/logs/train/nan-later/seed0-lr0.01.log").read_text()
    assert "diverged at iterate 4, where the loss is nan" in log


# What each figure says in words. Figures 1, 3, 7 and 9 show nothing that went wrong.
SAID = {
    "figure02": ["diverged at 2", "diverges"],
    "figure04": ["gradient descent diverged at its start", "no iterate above"],
    "figure05": ["diverged at 3", "5 diverged", "1e+155 (not started)"],
    "figure06": ["diverged at its start: loss nan", "diverged at 4", "flow not finite"],
    "figure08": ["diverged at 2"],
    "figure10": ["gradient descent diverged at 3"],
    "figure11": ["gradient descent diverged at its start"],
    "figure12": ["flow unfinished"],
    "figure13": ["diverged at its start: loss inf"],
}


@pytest.mark.fault(
    "huge learning rates, NaN at the start and later, overflow, flows cut short, in every model",
    "recorded, said in words in log, figures and claims; all else is made",
)
@pytest.mark.parametrize("figure", figure_registry.FIGURES)
def test_figures_say_so_in_words_and_no_numbers_that_are_none(broken, figure):
    text = (broken.folder / f"figures/{figure}.svg").read_text()
    # Formulae are written letter by letter.
    shown = re.sub(r"<[^>]*>|\s", "", "".join(re.findall(r"<text[^>]*>(.*?)</text>", text, re.DOTALL)))
    for said in SAID.get(figure, []):
        assert said.replace(" ", "") in shown, shown
    assert ("diverge" in shown) == (figure in {*SAID, "figure03"} - {"figure12"})
    assert not re.search("nan|inf", re.sub("lossnan|lossinf|nanatonce|nanlater|finite", "", shown)), shown


@pytest.mark.fault(
    "huge learning rates, NaN at the start and later, overflow, flows cut short, in every model",
    "recorded, said in words in log, figures and claims; all else is made",
)
def test_claims_are_judged_with_the_reason(broken):
    claims = {claim["id"]: claim for claim in json.loads((broken.folder / "results/claims.json").read_text())}
    assert len(claims) > 60
    for claim in claims.values():
        assert claim["verdict"] in ("holds", "fails", "not attempted")
        assert (claim["measured"] is None) == (claim["verdict"] == "not attempted")
    for name, verdict, reason in [
        ("scalar-ends-below", "fails", "scalar-depth4 lr5.0 diverged at iterate 2"),
        ("regression-ends-at-threshold", "fails", "regression seed0-fraction30.0 diverged at iterate 3"),
        ("regression-all-runs", "not attempted", "5 of 10 runs diverged"),
        ("regression-scales", "not attempted", "no GFS sharpness at 1 of"),
        ("bifurcation", "not attempted", "scalar-bifurcation lr0.05 diverged at iterate 0"),
        ("network-ends-at-threshold", "fails", "3 of 4 runs diverged"),
        ("network-gfs-monotone", "not attempted", "no GFS sharpness at 2 of"),
        ("activation-gfs-monotone", "not attempted", "(budget: "),
        ("svhn-starts-above", "not attempted", "overflow seed0-lr0.01 diverged at iterate 0"),
    ]:
        assert claims[name]["verdict"] == verdict, claims[name]
        assert reason in claims[name]["note"], claims[name]
    # What has to do with none of that is judged as ever.
    assert claims["scalar-plane"]["verdict"] == claims["high-loss-ends-far"]["verdict"] == "holds"
    assert claims["scalar-plane"]["note"] is None


@pytest.mark.fault(
    "a function of the user's own raises, with `--keep-going`", "named in the last line of its log; the others go on"
)
def test_a_job_that_fails_stops_the_others_unless_told_to_keep_going(broken, tmp_path):
    """A factory that raises: what has nothing to do with it is made; the log has the traceback, its last line words."""
    overlay = tmp_path / "raising.yaml"
    network = yaml.safe_load(BROKEN[1].read_text())["experiments"]["nan-at-once"]
    raising = {**network, "factory": "broken_models:raising", "options": {}}
    directories = {"results": "raising/results", "figures": "raising/figures"}
    overlay.write_text(
        yaml.safe_dump(
            {"directories": directories, "experiments": {"raising": raising}, "figures": {"figure13": ["raising"]}}
        )
    )
    targets = ["figure13", "figure07", "figure01"]
    result = broken.run("--keep-going", *targets, "--configfile", *map(str, [*BROKEN, overlay]))
    assert result.returncode != 0
    folder = broken.folder / "raising"
    assert not (folder / "figures/figure13.svg").exists()
    assert (folder / "figures/figure07.svg").exists()
    assert (folder / "figures/figure01.svg").exists()
    log = (folder / "results/logs/train/raising/seed0-lr0.01.log").read_text()
    assert "return 1 / seed" in log
    assert (
        log.strip()
        .splitlines()[-1]
        .endswith(
            "broken_models:raising, a function of your own that the configuration names, "
            "raised ZeroDivisionError: division by zero"
        )
    )
