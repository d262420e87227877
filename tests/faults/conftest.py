"""The table of faults, ``docs/faults.md``, from the tests as they ran."""

import datetime
import shutil

import pytest
from disturbed import Pipeline, ended
from project import BROKEN, ROOT, copy_project

HEADER = """# Faults tried

Written by `make test-faults`: each row is one or more tests in `tests/faults`, as they last ran. Times are no measure
of speed. What was tried on a cluster: [cluster.md](cluster.md#what-was-tested).

| what was done to it | what has to happen | what happened | outcome | time | when |
|---|---|---|---|---|---|
"""


def pytest_addoption(parser):
    parser.addoption("--page", help="where the table of faults is written")
    parser.addoption("--few", action="store_true", help="a sixth of what is tried at random: for a first look, and CI")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(done, expected): what the test does and expects, for the table of faults")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A pipeline that ran without any fault."""
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed") / "project")
    assert ended(pipeline.start()) == 0, pipeline.printed()
    return pipeline


@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    """A project in which all has run though in each figure something diverges, overflows or is NaN."""
    project = copy_project(tmp_path_factory.mktemp("broken") / "project")
    shutil.copy2(ROOT / "tests/faults/broken_models.py", project.folder)
    result = project.run("all", "--configfile", *map(str, BROKEN))
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def share(request):
    """Of what is tried at random, so much."""
    return 1 / 6 if request.config.getoption("--few") else 1


@pytest.fixture
def measured(record_property):
    """Call it with what happened, in words and numbers, for the table."""
    return lambda text: record_property("measured", text)


def pytest_collection_modifyitems(items):
    for item in items:
        if marker := item.get_closest_marker("fault"):
            item.user_properties.append(("fault", marker.args))


def pytest_runtest_logreport(report):
    properties = dict(report.user_properties)
    if "fault" in properties and (report.when == "call" or report.outcome != "passed"):
        REPORTS.append((properties, report))


REPORTS = []


def pytest_sessionfinish(session):
    page = session.config.getoption("--page")
    if page and not hasattr(session.config, "workerinput"):
        path = session.config.rootpath / page
        # A run of some tests leaves the rows of the others.
        before = path.read_text().splitlines() if path.exists() else []
        kept = {line.split(" | ")[0]: line for line in before if line.startswith("| ")}
        kept.pop("| what was done to it", None)
        lines = kept | {row.split(" | ")[0]: row for row in rows()}
        path.write_text(HEADER + "\n".join(line for _, line in sorted(lines.items())) + "\n")


def rows():
    """A row for each fault; tests of the same one share it."""
    faults = {}
    for properties, report in REPORTS:
        faults.setdefault(tuple(properties["fault"]), []).append((properties, report))
    for (done, expected), entries in faults.items():
        reports = [report for _, report in entries]
        measured = "; ".join(properties["measured"] for properties, _ in entries if "measured" in properties)
        seconds = f"{sum(report.duration for report in reports):.0f} s"
        yield f"| {done} | {expected} | {measured} | {outcome(reports)} | {seconds} | {datetime.date.today()} |"


def outcome(reports):
    skipped = {report.longrepr[2].removeprefix("Skipped: ") for report in reports if report.skipped}
    if skipped:
        return f"skipped: {'; '.join(sorted(skipped))}"
    failed = sum(report.failed for report in reports)
    cases = f" ({len(reports)} cases)" if len(reports) > 1 else ""
    return f"**{failed} failed**{cases}" if failed else f"as expected{cases}"
