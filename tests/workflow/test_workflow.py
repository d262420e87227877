"""The workflow as a user runs it: a small real run, what it leaves, and what a change redoes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from contextlib import contextmanager

import browser
import pandas as pd
import pytest
import yaml
from project import TINY, copy_project, make_checkout
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from replication import figure_registry
from replication.storage import files
from replication.training import checkpoints

FIGURES = list(figure_registry.FIGURES)
# What the browser is waited for at most, in seconds.
PATIENCE = 60


def test_small_run_makes_everything(finished):
    for figure in FIGURES:
        for suffix, magic in [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")]:
            assert (finished.folder / f"figures/{figure}.{suffix}").read_bytes().startswith(magic)
        numbers = pd.read_parquet(finished.folder / f"results/figures/{figure}.parquet")
        assert len(numbers) > 1
        assert numbers.select_dtypes("number").notna().any().any()


def test_number_of_gfs_jobs_follows_from_training(finished):
    folder = finished.folder / "results/runs/fc-hardtanh-digits/seed0-lr0.1"
    listed = json.loads((folder / "checkpoints/index.json").read_text())["files"]
    assert len(listed) > 3
    assert len(list((folder / "gfs").glob("*.parquet"))) == -(-len(listed) // 3)


def test_every_result_has_its_provenance(finished):
    results = finished.folder / "results"
    data_files = [path for suffix in ("parquet", "safetensors") for path in results.rglob(f"*.{suffix}")]
    assert len(data_files) > 10
    for path in data_files:
        record = json.loads(path.with_suffix(".json").read_text())
        for key in (
            "parameters",
            "section",
            "inputs",
            "seed",
            "versions",
            "commit",
            "hardware",
            "wall_time_s",
            "sha256",
        ):
            assert key in record, path
        assert record["file"] == path.name
        assert (finished.folder / record["job"]["log"]).is_file()
        for name, checksum in record["inputs"].items():
            assert files.sha256(finished.folder / name) == checksum


def test_logs_show_progress_and_benchmarks_are_kept(finished):
    log = (finished.folder / "results/logs/train/fc-hardtanh-digits/seed0-lr0.1.log").read_text()
    assert re.search(r"training: .*step/s, loss [0-9.e-]+", log)
    log = (finished.folder / "results/logs/gfs_sharpness/fc-hardtanh-digits/seed0-lr0.1/0.log").read_text()
    assert "gradients, loss" in log
    assert (finished.folder / "results/benchmarks/train/fc-hardtanh-digits/seed0-lr0.1.tsv").is_file()


@pytest.fixture(scope="module")
def report(finished):
    """The report of the small pipeline, as `make report` writes it."""
    as_html = ["--report", "results/report.html", "--report-stylesheet", "workflow/report/narrow.css"]
    for arguments in ([], as_html):
        result = finished.run("--configfile", str(TINY), *arguments, "--", "all", "report_pages")
        assert result.returncode == 0, result.stdout + result.stderr
    return finished.folder / "results/report.html"


def test_report_in_a_browser(report):
    """Every result is opened with its caption; nothing is asked of a network, and nothing goes wrong."""
    with browser.browser(1400) as reader:
        reader.get(report.as_uri())
        results = reader.execute_script("return Object.keys(results)")
        figures = [f"figures/{figure}.svg" for figure in FIGURES]
        pages = [f"results/report/{page}.html" for page in ("overview", "claims", "configuration")]
        assert sorted(results) == sorted([*figures, *pages])
        shown = [
            what_is_shown(reader, report, category, row)
            for category in reader.execute_script("return Object.keys(categories)")
            for row in range(len(results_of(reader, report, category)))
        ]
        assert shown.count("img") == len(figures)
        assert shown.count("page") == len(pages)
        # A warning there is, of Snakemake's own style sheet.
        assert [entry for entry in reader.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert asked_for(reader) == {report.as_uri()}


def results_of(reader, report, category):
    """Open a category from the start; return for each of its results what shows it and what says more of it."""
    reader.get(report.as_uri())
    click(reader, wait_for(reader, By.LINK_TEXT, category)[0])
    count = reader.execute_script(
        "return Object.values(categories[arguments[0]]).reduce((sum, part) => sum + part.length, 0)", category
    )

    def rows(_):
        found = [row.find_elements(By.TAG_NAME, "a")[-2:] for row in reader.find_elements(By.CSS_SELECTOR, "tbody tr")]
        return len(found) == count and all(len(links) == 2 for links in found) and found

    wait = WebDriverWait(reader, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(rows)


def what_is_shown(reader, report, category, row):
    """Open a result and then its caption; return ``img`` or ``page``."""
    click(reader, results_of(reader, report, category)[row][1])
    caption = wait_for(reader, By.CSS_SELECTOR, "li.prose")[0].text
    assert len(caption) > 50
    if category in ("Networks", "Scalar networks", "Squared regression"):
        assert "statement" in caption
    click(reader, results_of(reader, report, category)[row][0])
    (element,) = wait_for(reader, By.CSS_SELECTOR, "div.grow img, div.grow iframe, div.grow object, div.grow embed")
    if element.tag_name != "img":
        return "page"
    WebDriverWait(reader, PATIENCE).until(lambda _: element.get_property("naturalWidth") > 100)
    assert element.is_displayed()
    return "img"


def wait_for(reader, by, what):
    return WebDriverWait(reader, PATIENCE).until(lambda _: reader.find_elements(by, what))


def click(reader, element):
    """Click on it once it stands still: the menu slides into its place, and a click on the way meets another entry."""
    places = [None]

    def stands_still(_):
        places.append(element.rect)
        return places[-1] == places[-2]

    WebDriverWait(reader, PATIENCE, poll_frequency=0.3).until(stands_still)
    element.click()


def asked_for(reader):
    """Every address that was asked for, but for what the file itself has in it."""
    messages = [json.loads(entry["message"])["message"] for entry in reader.get_log("performance")]
    sent = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    return {url.partition("#")[0] for url in sent if not url.startswith(("data:", "blob:", "about:", "chrome:"))}


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("page", ["overview", "claims", "configuration"])
def test_pages_of_the_report_on_a_wide_and_a_narrow_screen(report, page, width):
    path = report.parent / f"report/{page}.html"
    with browser.browser(width) as reader:
        reader.get(path.as_uri())
        pictures = reader.find_elements(By.TAG_NAME, "img")
        assert len(pictures) == (len(FIGURES) if page == "overview" else 0)
        for picture in pictures:
            assert picture.get_property("naturalWidth") > 100
            assert 100 < picture.size["width"] <= width
        assert reader.execute_script("return document.documentElement.scrollWidth") <= width
        assert reader.get_log("browser") == []
        assert asked_for(reader) == {path.as_uri()}


def test_claims_have_the_promised_keys(finished):
    claims = json.loads((finished.folder / "results/claims.json").read_text())
    keys = {"id", "paper", "figure", "statement", "expected", "measured", "tolerance", "verdict", "scale", "source"}
    keys |= {"origin", "figures", "quantity", "relation", "bound", "reason", "estimates", "control", "undecided"}
    for claim in claims:
        assert keys <= set(claim)
        assert claim["verdict"] in {"holds", "fails", "not attempted"}
        assert claim["scale"] == "tiny"
        if claim["verdict"] == "not attempted":  # a number is there only if its error is too large to judge it by
            assert claim["note"]
            assert claim["measured"] is None or claim["error"] > 0
        else:
            assert claim["measured"] is not None
            assert claim["source"]
        assert all((finished.folder / path).is_file() for path in claim["source"] or ())
    table = (finished.folder / "results/claims.md").read_text()
    assert all(claim["id"] in table for claim in claims)


def test_collected_tables_are_enough_to_draw_and_judge_from(finished, tmp_path):
    collected = finished.snakemake("reference_collect")
    assert collected.returncode == 0, collected.stdout + collected.stderr
    kept = finished.folder / "results/reference"
    assert (kept / "claims-tiny.json").read_text() == (finished.folder / "results/claims.json").read_text()
    ours, theirs = (files.read_table(folder / "regression/runs/0.parquet") for folder in (kept, kept.parent))
    pd.testing.assert_frame_equal(ours, theirs.drop(columns="loss"))
    # In a folder of nothing else.
    elsewhere = copy_project(tmp_path / "elsewhere")
    shutil.copytree(kept, elsewhere.folder / "results/reference")
    change = tmp_path / "change.yaml"
    change.write_text(yaml.safe_dump({"directories": {"results": "results/reference", "figures": "drawn"}}))
    overlays = ["--configfile", str(TINY), str(change)]
    drawn = elsewhere.run("--snakefile", "workflow/redraw.smk", *overlays, "--", "figure05", "claims")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert (elsewhere.folder / "drawn/figure05.svg").read_bytes() == (
        finished.folder / "figures/figure05.svg"
    ).read_bytes()
    verdicts = [
        {row["id"]: row["verdict"] for row in json.loads((folder / "claims.json").read_text())}
        for folder in (elsewhere.folder / "results/reference", finished.folder / "results")
    ]
    assert verdicts[0] == verdicts[1]


def test_nothing_is_left_to_do(finished):
    assert finished.planned() == set()


@contextmanager
def edited(path, old, new):
    """Replace text in a file for the block; afterwards content and time stamp are as before."""
    original, stamp = path.read_text(), path.stat()
    assert old in original
    try:
        path.write_text(original.replace(old, new))
        yield
    finally:
        path.write_text(original)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_a_change_of_style_redraws_and_no_more(finished):
    with edited(finished.folder / "src/replication/figures/style.py", '"font.size": 8', '"font.size": 7'):
        assert finished.planned() == {*FIGURES, "all"}


def test_a_change_of_the_claims_judges_again_and_no_more(finished):
    with edited(finished.folder / "src/replication/claims/scalar.py", '"scalar-ends-close"', '"scalar-ends-near"'):
        assert finished.planned() == {"claims", "all"}


def test_a_change_of_one_figure_s_module_redraws_that_figure(finished):
    with edited(finished.folder / "src/replication/figures/figure05.py", "1e-8", "1e-9"):
        assert finished.planned() == {"figure05", "all"}


# By its path, what is replaced there, what has to be planned, and what may not be.
EDITS = {
    "a tolerance that a claim takes": (
        *("src/replication/agreement.py", "1e-2, 0.1", "1e-2, 0.2"),
        *({"claims"}, {"train", "collect", "figure06", "theorems"}),
    ),
    "a statement of the plane": (
        *("src/replication/studies/scalar/plane.py", "import numpy as np\n", "import numpy as np\n\nSIZE = 3\n"),
        *({"plane", "figure02", "claims"}, {"theorems", "figure01", "figure06", "regression_runs", "linear_gfs"}),
    ),
    "a theorem": (
        *("src/replication/studies/scalar/theorems.py", "import numpy as np\n", "import numpy as np\n\nSIZE = 3\n"),
        *({"theorems", "claims"}, {"train", "plane", "figure06", "collect"}),
    ),
    "an integrator": (
        *("src/gfsharp/flow/rkc.py", "import math\n", "import math\n\nSIZE = 3\n"),
        *({"gfs_sharpness", "linear_gfs", "claims"}, {"train", "plane", "theorems", "image_data", "regression_runs"}),
    ),
    "gradient descent": (
        *("src/gfsharp/descent.py", "import math\n", "import math\n\nSIZE = 3\n"),
        *({"train", "plane", "regression_runs"}, {"theorems", "linear_minimisers"}),
    ),
    "the report": (
        *("src/replication/reporting/report.py", "import re\n", "import re\n\nSIZE = 3\n"),
        *(set(), None),
    ),
    "a comment": ("src/gfsharp/descent.py", "import math\n", "import math  # for infinity\n\n# more\n", set(), None),
    "a docstring": ("src/gfsharp/flow/sharpness.py", "The GFS sharpness of any", "GFS sharpness of any", set(), None),
    "the log of a job": (
        "workflow/scripts/_job.py",
        "SECONDS_BETWEEN_LOOKS = 1",
        "SECONDS_BETWEEN_LOOKS = 2",
        set(),
        None,
    ),
    "a file that is touched": ("src/gfsharp/lanczos.py", "import math", "import math", set(), None),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_plans_what_depends_on_it(finished, edit):
    path, old, new, wanted, unwanted = EDITS[edit]
    with edited(finished.folder / path, old, new):
        planned = finished.planned()
    assert wanted <= planned
    assert planned <= wanted if unwanted is None else not planned & unwanted


def planned_after(finished, tmp_path, change):
    """What would be redone under the small configuration with ``change`` on top."""
    overlay = tmp_path / "change.yaml"
    overlay.write_text(yaml.safe_dump(change))
    # Later files win over earlier ones, so the change goes behind tests/tiny.yaml.
    return finished.planned(str(overlay))


def test_a_parameter_of_one_experiment_redoes_that_experiment(finished, tmp_path):
    change = {"experiments": {"scalar-depth4": {"initial_weights": [2.0, 1.0, 0.5, 0.6]}}}
    planned = planned_after(finished, tmp_path, change)
    assert planned == {"train", "collect_run", "collect", "figure02", "figure08", "claims", "all"}


def test_a_parameter_of_the_plane_redoes_what_starts_there(finished, tmp_path):
    planned = planned_after(finished, tmp_path, {"scalar": {"plane": {"products": [0.1, 6.0]}}})
    assert {"plane", "plane_start", "figure02", "figure03", "figure09", "claims"} <= planned
    assert not planned & {"figure01", "figure04", "figure07", "figure10", "figure11", "theorems", "stable_set"}


def test_a_depth_more_examines_that_alone(finished, tmp_path):
    overlay = tmp_path / "change.yaml"
    overlay.write_text(yaml.safe_dump({"scalar": {"theorems": {"depths": [2, 3, 5]}}}))
    result = finished.run("--dry-run", "--configfile", str(TINY), str(overlay))
    assert re.search(r"^theorems\s+1$", result.stdout + result.stderr, re.MULTILINE)


def test_gpgd_s_parameters_redo_no_training(finished, tmp_path):
    planned = planned_after(finished, tmp_path, {"scalar": {"gpgd": {"steps": 120}}})
    assert planned == {"gpgd", "figure01", "figure04", "figure10", "figure11", "claims", "all"}


def test_figure_9_starts_at_the_chosen_point(finished):
    start = files.read_tensors(finished.folder / "results/scalar/start.safetensors")["initial_weights"]
    folder = finished.folder / "results/runs/scalar-high-loss/lr0.2/checkpoints"
    first = files.read_tensors(checkpoints.checkpoint_files(folder)[0])
    assert first["weights"][0].tolist() == start.tolist()


def test_a_value_said_again_redoes_nothing(finished, tmp_path):
    change = {"experiments": {"fc-hardtanh-digits": {"stop": {"loss": 5.0e-2}}, "regression": {"initial_scale": 0.1}}}
    assert planned_after(finished, tmp_path, change) == set()


def test_a_folder_for_downloads_redoes_nothing_that_is_not_downloaded(finished, tmp_path):
    assert planned_after(finished, tmp_path, {"directories": {"downloads": "elsewhere"}}) == set()


@pytest.mark.parametrize(
    "target", ["results/tables/foo.parquet", "results/runs/regression/seed5-fraction0.9/run.parquet", "figure99"]
)
def test_unknown_targets_have_no_rule_and_no_traceback(finished, target):
    result = finished.run("-n", "--configfile", str(TINY), "--", target)
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert "No rule to produce" in printed
    assert "Traceback" not in printed


def test_a_broken_list_of_checkpoints_is_named_with_its_mend(finished):
    index = finished.folder / "results/runs/scalar-depth4/lr0.2/checkpoints/index.json"
    with edited(index, "files", "{"):
        index.write_text("{")
        result = finished.run("-n", "--configfile", str(TINY))
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert "cannot read results/runs/scalar-depth4/lr0.2/checkpoints/index.json" in printed
    mend = "--forcerun results/runs/scalar-depth4/lr0.2/trajectory.parquet"
    assert mend in printed
    with edited(index, "files", "{"):
        index.write_text("{")
        result = finished.run("-n", "--configfile", str(TINY), *mend.split())
    assert result.returncode == 0
    assert re.search(r"^train\s+1$", result.stdout + result.stderr, re.MULTILINE)


@contextmanager
def away(folder, *paths):
    """Take files or folders of a project away for the block."""
    moved = [(path, path.with_name(f"{path.name}.away")) for path in (folder / name for name in paths)]
    for path, elsewhere in moved:
        path.rename(elsewhere)
    try:
        yield
    finally:
        for path, elsewhere in moved:
            elsewhere.rename(path)


def test_checkpoints_that_are_gone_are_made_again_where_something_needs_them(finished):
    run = "results/runs/scalar-depth4/lr0.2"
    made_from_them = [f"{run}/run.parquet", "results/tables/scalar-depth4.parquet", "figures/figure02.pdf"]
    with away(finished.folder, f"{run}/checkpoints"):
        assert finished.planned("--", "figure02") == set()
        with away(finished.folder, *made_from_them):
            assert finished.planned("--", "figure02") == {"train", "collect_run", "collect", "figure02"}


def test_a_parameter_of_the_flow_does_not_train_again(finished, tmp_path):
    # Only rk4 has steps in units of 1/sharpness, and this flow is not of it.
    assert not planned_after(
        finished, tmp_path, {"experiments": {"fc-hardtanh-digits": {"flow": {"step_factor": 0.5}}}}
    )
    change = {"experiments": {"fc-hardtanh-digits": {"flow": {"tolerance": 2.0e-2}}}}
    assert planned_after(finished, tmp_path, change) == {
        "gfs_sharpness",
        "collect_run",
        "collect",
        "figure06",
        "claims",
        "all",
    }


def test_a_new_learning_rate_keeps_the_runs_there_are(finished, tmp_path):
    change = {"experiments": {"fc-hardtanh-digits": {"learning_rates": [0.1, 0.05]}}}
    planned = planned_after(finished, tmp_path, change)
    assert {"train", "collect_run", "collect", "figure06", "claims"} <= planned
    assert not planned & {"image_data", "gaussian_data", "figure02", "figure05"}


def test_resources_are_of_each_rule_and_of_each_figure_with_what_is_behind_it(finished):
    result = finished.snakemake("resources")
    assert result.returncode == 0, result.stdout + result.stderr
    results = finished.folder / "results"
    rules = pd.read_parquet(results / "speed/resources.parquet").set_index("rule")
    figures = json.loads((results / "speed/resources.json").read_text())["figures"]
    page = (results / "speed/resources.md").read_text()
    shutil.rmtree(results / "speed")
    assert (rules.loc[["train", "gfs_sharpness", "figure05"], "disk_mb"] > 0.001).all()
    jobs = {row["figure"]: row["jobs"] for row in figures}
    assert sorted(jobs) == sorted(FIGURES)
    # Data, training, a table of each batch of checkpoints, collected twice, and drawn.
    batches = len(list((results / "runs/fc-relu-digits").glob("*/gfs/*.parquet")))
    assert jobs["figure12"] == 1 + 1 + batches + 2 + 1
    assert jobs["figure03"] == 2
    assert all(f"| {figure} | {count} |" in page for figure, count in jobs.items())


def test_an_archive_draws_its_figures_again_without_training(finished, tmp_path):
    checkout = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".snakemake", "checkpoints", "__pycache__")
    shutil.copytree(finished.folder, checkout, symlinks=True, ignore=left_out)
    make_checkout(checkout)
    written = subprocess.run(
        [sys.executable, "workflow/archive.py", "--configfile", "tests/tiny.yaml"],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    with tarfile.open(checkout / written.stdout.strip()) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.glob("gfsharp-*-tiny-*")
    assert not list(folder.rglob("*.safetensors"))

    def redraw(arguments=""):
        """Run the archive's own target, with this Python's Snakemake."""
        environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
        command = ["make", "--old-file=.venv/installed", f"SNAKEMAKE={sys.executable} -m snakemake", "CORES=2"]
        arguments = f"ARGS=--configfile tests/tiny.yaml {arguments}"
        return subprocess.run(
            [*command, "redraw", arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    planned = redraw("--dry-run")
    assert set(re.findall(r"^(\w+) +1$", planned.stdout + planned.stderr, re.MULTILINE)) == {"redrawn", "total"}
    drawn = [f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png", "svg")]
    drawn += [f"results/figures/{name}.parquet" for name in FIGURES]
    shutil.rmtree(folder / "figures")
    (folder / "results/claims.json").unlink()
    done = redraw()
    assert done.returncode == 0, done.stdout + done.stderr
    for name in [*drawn, "results/claims.json", "results/claims.md"]:
        assert (folder / name).read_bytes() == (finished.folder / name).read_bytes()
    # What can't be made is said, and nothing is lost by it.
    table = folder / "results/linear/gfs.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    (folder / "figures/figure01.svg").write_text("as before")
    failed = redraw()
    assert failed.returncode, failed.stdout + failed.stderr
    assert "2 of 22 could not be made, so all is as before" in failed.stdout + failed.stderr
    assert "figure_linear_gfs: error: cannot read results/linear/gfs.parquet" in failed.stdout + failed.stderr
    assert (folder / "figures/figure01.svg").read_text() == "as before"
    assert all((folder / name).is_file() for name in drawn)


@pytest.mark.parametrize("experiment", ["scalar-depth4", "regression"])
def test_scalar_and_regression_jobs_do_not_import_torch(finished, experiment):
    """Their stages are run again in one process, which must end without torch."""
    code = f"""
import sys
from pathlib import Path
from replication import configuration
from replication.storage import files, provenance
from replication.training import checkpoints, models, runs
import yaml

config = yaml.safe_load(Path("config.yaml").read_text())
run = configuration.runs(config, {experiment!r})[0]
folder = Path("results/runs") / {experiment!r} / run.name
data = files.read_tensors(f"results/data/{{run.data}}.safetensors") if run.data else {{}}
model = models.build(run.parameters, data)
models.learning_rate(run.parameters, data)
runs.gfs_table(model, checkpoints.checkpoint_files(folder / "checkpoints")[:1])
model.sharpness(model.initial)
provenance.recorder({{}})()
sys.exit("torch" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=finished.folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
