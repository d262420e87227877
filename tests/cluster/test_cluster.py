"""The workflow on a real SLURM, with the profile that it comes with: see slurm.sh, and docs/cluster.md."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from project import ROOT, TINY, Project, copy_project

from replication import figure_registry
from replication.storage import files

# Of the whole, on a machine with other work; each wait has a bound of its own.
pytestmark = pytest.mark.timeout(1500)

SLURM = ROOT / "tests/cluster/slurm.sh"
NOT_HERE = 77  # slurm.sh: this machine cannot
# Polling is all that the tests change of the profile, unless they say so.
POLLING = {"slurm-init-seconds-before-status-checks": 2, "seconds-between-status-checks": 2, "latency-wait": 5}
# A figure of each kind: every group of jobs has a member.
SOME_FIGURES = ["figure02", "figure05", "figure06", "figure_arora_error", "figure_linear_map"]
FORMAT = "%i|%k|%P|%T|%C|%m|%l"  # squeue's letters for the fields of Job


@dataclass(frozen=True)
class Job:
    """A SLURM job as squeue shows it."""

    number: str
    comment: str
    partition: str
    state: str
    cpus: str
    memory: str
    time: str

    @property
    def gpus(self) -> int:
        command = ["scontrol", "show", "job", self.number]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return sum(map(int, re.findall(r"TresPerJob=gres:gpu:(\d+)", shown)))


@dataclass(frozen=True)
class Run:
    """How a driver ended."""

    returncode: int
    printed: str

    @property
    def submitted(self) -> list[str]:
        """The numbers of its SLURM jobs, in order; tasks of an array have one in common."""
        return re.findall(r"SLURM job ?id (\d+)", self.printed, re.IGNORECASE)

    @property
    def rules(self) -> list[str]:
        """The rule of each job that it planned, retries included."""
        return re.findall(r"^ *(?:local)?(?:rule|checkpoint) (\w+):$", self.printed, re.MULTILINE)

    @property
    def done(self) -> int:
        """The steps that are done, of those that it planned."""
        return int(re.findall(r"^(\d+) of \d+ steps", self.printed, re.MULTILINE)[-1])


def queue() -> list[Job]:
    """Every job that SLURM remembers."""
    command = ["squeue", "--noheader", "--states=all", f"--format={FORMAT}"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return [Job(*(field.strip() for field in line.split("|"))) for line in printed.splitlines()]


def jobs_of(run: Run) -> list[Job]:
    """Its SLURM jobs, in the order in which they were submitted."""
    jobs = [job for job in queue() if job.number.split("_")[0] in run.submitted]
    return sorted(jobs, key=lambda job: int(job.number.split("_")[0]))


DRIVERS = []


class Driver:
    """Snakemake with the cluster's profile, which is interrupted when its time is over."""

    def __init__(self, project: Project, *arguments: str, overlays: tuple[Path, ...] = ()) -> None:
        polling = [word for option, seconds in POLLING.items() for word in (f"--{option}", str(seconds))]
        configuration = ["--configfile", str(TINY), *map(str, overlays)]
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "slurm", *polling, *configuration]
        self.log = (project.folder / f"driver-{time.monotonic_ns()}.log").open("w+")
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=project.folder, stdout=self.log, stderr=subprocess.STDOUT
        )
        DRIVERS.append(self)

    def end(self, seconds: float = 240) -> Run:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            pytest.fail(f"not within {seconds} s:\n{self.printed}")
        return Run(self.process.returncode, self.printed)

    def stop(self) -> None:
        # Which cancels its jobs and unlocks the folder.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def printed(self) -> str:
        return Path(self.log.name).read_text()

    def job(self, comment: str) -> Job:
        """Wait for a job to run whose comment starts so."""
        return self.wait_for(lambda: [job for job in self.running() if job.comment.startswith(comment)])[0]

    def running(self) -> list[Job]:
        numbers = Run(0, self.printed).submitted
        return [job for job in queue() if job.number in numbers and job.state == "RUNNING"]

    def wait_for(self, found, seconds: float = 90):
        deadline = time.monotonic() + seconds
        while not (result := found()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                pytest.fail(f"never came, in {seconds} s:\n{self.printed}")
            time.sleep(0.2)
        return result


@pytest.fixture(scope="session", autouse=True)
def slurm():
    """A SLURM; one that was up before stays up."""
    was_up = subprocess.run([SLURM, "status"], capture_output=True, timeout=60).returncode == 0
    started = subprocess.run([SLURM, "start"], capture_output=True, text=True, timeout=120, check=False)
    if started.returncode == NOT_HERE:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    for driver in DRIVERS:
        driver.stop()
    if not was_up:
        subprocess.run([SLURM, "stop"], capture_output=True, timeout=180, check=True)


def edit(project: Project, rule: str, resource: str, old: str, new: str) -> None:
    """Change what the project's profile asks for a rule."""
    path = project.folder / "workflow/profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    expression = profile["set-resources"][rule][resource]
    assert old in expression
    profile["set-resources"][rule][resource] = expression.replace(old, new)
    path.write_text(yaml.safe_dump(profile))


# Data of a user's own, which take ten minutes the first time.
SLOW_DATA = """
import time
from pathlib import Path
import numpy as np

def images(been):
    if not Path(been).exists():
        Path(been).touch()
        time.sleep(600)
    return np.zeros((4, 1, 8, 8)), np.eye(10)[:4]
"""


@pytest.fixture(scope="session")
def overtime(slurm, tmp_path_factory):
    """A driver whose job is too slow the first time: mostly waiting, so that it runs beside the small pipeline."""
    folder = tmp_path_factory.mktemp("overtime")
    project = copy_project(folder / "project")
    edit(project, "image_data", "runtime", "10", "1")
    (project.folder / "slow.py").write_text(SLOW_DATA)
    data = {"source": "custom", "factory": "slow:images", "options": {"been": str(folder / "been")}}
    overlay = folder / "slow.yaml"
    overlay.write_text(yaml.safe_dump({"data": {"slow": data}}))
    return Driver(project, "--", "results/data/slow.safetensors", overlays=(overlay,))


@pytest.fixture(scope="session")
def small(overtime, request, tmp_path_factory):
    """A project in which the small pipeline has run on SLURM, how it ended, its jobs, and what it was asked for."""
    project = copy_project(tmp_path_factory.mktemp("small") / "project")
    targets = SOME_FIGURES if request.config.getoption("--some-figures") else ["all"]
    run = Driver(project, "--", *targets).end(1200)
    assert run.returncode == 0, run.printed
    return project, run, jobs_of(run), targets


@pytest.fixture
def with_data(fresh):
    """A project in which there is no more than a data set."""
    result = fresh.snakemake("results/data/digits.safetensors")
    assert result.returncode == 0, result.stdout + result.stderr
    return fresh


def test_small_pipeline(small):
    project, _, jobs, targets = small
    for figure in figure_registry.FIGURES if targets == ["all"] else targets:
        for suffix in ("pdf", "png", "svg"):
            assert (project.folder / f"figures/{figure}.{suffix}").stat().st_size
    if targets == ["all"]:
        claims = json.loads((project.folder / "results/claims.json").read_text())
        assert {claim["scale"] for claim in claims} == {"tiny"}
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert "Nothing to be done" in Driver(project, "--dry-run", "--", *targets).end().printed


def test_numbers_are_those_of_one_machine(small, fresh):
    tables = ["results/tables/scalar-depth4.parquet", "results/tables/fc-hardtanh-digits.parquet"]
    result = fresh.snakemake(*tables)
    assert result.returncode == 0, result.stdout + result.stderr
    for table in tables:
        on_cluster, here = (files.sha256(project.folder / table) for project in (small[0], fresh))
        assert on_cluster == here, table


def test_short_jobs_share_a_slurm_job(small):
    _, run, jobs, _ = small
    local = sum(rule in ("collect_run", "collect") for rule in run.rules)
    assert len(jobs) == len(run.submitted) < len(run.rules) - local
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    for group in set(profile["groups"].values()):
        members = [rule for rule in run.rules if profile["groups"].get(rule) == group]
        (job,) = [job for job in jobs if job.comment.startswith(f"rule_{group}_")]
        asked = [profile["set-resources"][rule] for rule in members]
        # One after the other: the most memory of any, the time of all.
        assert job.memory == f"{max(eval(each['mem_mb'], {'attempt': 1}) for each in asked)}M"
        assert minutes(job.time) == sum(eval(each["runtime"], {"attempt": 1}) for each in asked)
        assert int(job.cpus) <= 2


def minutes(limit: str) -> float:
    """A time limit of squeue's, such as 1:00:00 or 25:00."""
    hours, minute, _ = ([0, *map(int, limit.split(":"))])[-3:]
    return 60 * hours + minute


def test_array(fresh):
    runs = ["scalar-depth2/lr0.5", "scalar-depth4/lr0.2", "scalar-pairs/lr0.48"]
    targets = [f"results/runs/{run}/trajectory.parquet" for run in runs]
    run = Driver(fresh, "--slurm-array-jobs", "train", "--", *targets).end()
    assert run.returncode == 0, run.printed
    jobs = jobs_of(run)
    assert {job.number.split("_")[1] for job in jobs} == {"1", "2", "3"}
    assert len({job.number.split("_")[0] for job in jobs}) == 1
    assert all((fresh.folder / target).is_file() for target in targets)


def test_cancelled_job_is_named_and_a_rerun_redoes_what_is_missing(fresh):
    table = "results/tables/scalar-depth4.parquet"
    driver = Driver(fresh, "--retries", "0", "--", table)
    job = driver.job("rule_gfs_sharpness")
    # Snakemake is at work in it, and has some seconds to go.
    logs = fresh.folder / "results/logs/slurm"
    driver.wait_for(lambda: any(path.stat().st_size for path in logs.rglob(f"{job.number}.log")))
    subprocess.run(["scancel", job.number], check=True, timeout=30)
    run = driver.end()
    assert run.returncode != 0
    assert f"SLURM-job '{job.number}' failed, SLURM status is: 'CANCELLED'" in run.printed
    trained = (fresh.folder / "results/runs/scalar-depth4/lr0.2/trajectory.parquet").stat().st_mtime_ns
    run = Driver(fresh, "--", table).end()
    assert run.returncode == 0, run.printed
    assert set(run.rules) == {"gfs_sharpness", "collect_run", "collect"}
    assert (fresh.folder / "results/runs/scalar-depth4/lr0.2/trajectory.parquet").stat().st_mtime_ns == trained
    assert (fresh.folder / table).is_file()


def test_cancelled_group_keeps_what_it_had_finished(fresh):
    names = ["stable_set", "theorems/depth2", "theorems/depth5"]
    results = fresh.folder / "results"
    tables = ["results/scalar/stable_set/points.parquet"] + [f"results/scalar/{name}.parquet" for name in names[1:]]
    driver = Driver(fresh, "--retries", "0", "--", *tables)
    job = driver.job("rule_scalar")
    # The first is finished once the second writes its log.
    driver.wait_for(lambda: sum((results / f"logs/{name}.log").is_file() for name in names) == 2)
    subprocess.run(["scancel", job.number], check=True, timeout=30)
    run = driver.end()
    assert run.returncode != 0
    assert "Error in group scalar" in run.printed
    assert f"JOB {job.number} ON" in run.printed
    missing = [table for table in tables if not (fresh.folder / table).is_file()]
    assert 1 <= len(missing) <= 2
    run = Driver(fresh, "--", *tables).end()
    assert run.returncode == 0, run.printed
    assert len(run.rules) == len(missing)
    assert all((fresh.folder / table).is_file() for table in tables)


def test_a_partition_that_is_not_there_is_named_in_sbatch_s_own_words(fresh):
    partitions = fresh.folder / "workflow/profiles/slurm/partitions.yaml"
    there = partitions.read_text()
    partitions.write_text(there.replace("main: {}", "nowhere: {}"))
    assert partitions.read_text() != there
    targets = ["--retries", "0", "--", "results/runs/scalar-depth4/lr0.2/trajectory.parquet"]
    run = Driver(fresh, *targets).end()
    assert run.returncode != 0
    assert "SLURM sbatch failed" in run.printed
    assert "invalid partition specified: nowhere" in run.printed
    partitions.write_text(there)
    run = Driver(fresh, *targets).end()
    assert run.returncode == 0, run.printed


def test_job_over_its_memory_is_tried_again_with_more(with_data):
    # Torch alone takes more than the first attempt gets.
    edit(with_data, "train", "mem_mb", "2000", "700")
    target = "results/runs/fc-relu-digits/seed0-lr0.1/trajectory.parquet"
    run = Driver(with_data, "--", target).end()
    assert run.returncode == 0, run.printed
    killed, finished = jobs_of(run)
    assert (killed.memory, killed.state in {"FAILED", "OUT_OF_MEMORY"}) == ("700M", True)
    assert (finished.memory, finished.state) == ("1400M", "COMPLETED")
    assert pd.read_parquet(with_data.folder / target)["status"].iloc[-1] in {"converged", "out of iterations"}


def test_gpu_is_asked_for_only_where_a_network_is_to_run_on_one(with_data, tmp_path):
    overlay = tmp_path / "gpu.yaml"
    overlay.write_text(yaml.safe_dump({"execution": {"device": "cuda"}}))
    targets = [
        f"results/runs/{run}/trajectory.parquet" for run in ("fc-relu-digits/seed0-lr0.1", "scalar-depth4/lr0.2")
    ]
    run = Driver(with_data, "--retries", "0", "--", *targets, overlays=(overlay,)).end()
    network, scalar = sorted(jobs_of(run), key=lambda job: job.partition)
    assert run.returncode != 0  # there is none
    assert (network.partition, network.gpus, network.state) == ("gpu", 1, "FAILED")
    assert (scalar.partition, scalar.gpus, scalar.state) == ("main", 0, "COMPLETED")


def test_job_over_its_time_is_tried_again_with_more(overtime):
    run = overtime.end(300)
    assert run.returncode == 0, run.printed
    killed, finished = jobs_of(run)
    assert (killed.time, killed.state) == ("1:00", "TIMEOUT")
    assert (finished.time, finished.state) == ("2:00", "COMPLETED")
