"""The table of faults, ``docs/faults.md``, from the tests as they ran."""

import datetime
import platform

import psutil
import pytest
from disturbed import Pipeline, ended

HEADER = """# Faults tried

Written by `make test-faults` and `make test-cluster`; each row is a test. Times are those of this run, on {machine},
and no measure of speed.

| what was done to it | what has to happen | what happened | outcome | time |
|---|---|---|---|---|
"""


def pytest_addoption(parser):
    parser.addoption("--page", help="where the table of faults is written")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(done, expected): what the test does and expects, for the table of faults")
    config.stash[ROWS] = []


ROWS = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A pipeline that ran without any fault."""
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed") / "project")
    assert ended(pipeline.start()) == 0, pipeline.printed()
    return pipeline


@pytest.fixture
def measured(record_property):
    """Call it with what happened, in words and numbers, for the table."""
    return lambda text: record_property("measured", text)


def pytest_collection_modifyitems(items):
    for item in items:
        if marker := item.get_closest_marker("fault"):
            item.user_properties.append(("fault", marker.args))


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    properties = dict(report.user_properties)
    if "fault" in properties and (report.when == "call" or report.skipped):
        pytest_runtest_logreport.rows.append((properties, report))


pytest_runtest_logreport.rows = []


def pytest_sessionfinish(session):
    page = session.config.getoption("--page")
    if page and not hasattr(session.config, "workerinput"):
        machine = f"{platform.system()} with {psutil.cpu_count()} processors, {datetime.date.today():%Y-%m-%d}"
        rows = [row(*entry) for entry in pytest_runtest_logreport.rows]
        (session.config.rootpath / page).write_text(HEADER.format(machine=machine) + "\n".join(rows) + "\n")


def row(properties, report):
    done, expected = properties["fault"]
    outcome = {"passed": "as expected", "failed": "**failed**"}.get(report.outcome, report.outcome)
    if report.skipped:
        outcome = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
    return f"| {done} | {expected} | {properties.get('measured', '')} | {outcome} | {report.duration:.0f} s |"
