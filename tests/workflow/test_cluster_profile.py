"""What the jobs ask a cluster for: against the rules, and against what was measured. A real SLURM: tests/cluster/."""

import re

import pandas as pd
import pytest
import yaml
from project import ROOT, TINY

from replication.figure_registry import FIGURES

PROFILE = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
RESOURCES = PROFILE["set-resources"]
MEASURED = pd.read_parquet(ROOT / "results/speed/resources.parquet").set_index("rule")
RULES = {path.name: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
# Files whose rules are targets of their own.
NOT_IN_ALL = ("reference.smk", "report.smk", "sensitivity.smk", "speed.smk")
# What SLURM counts besides the job: the Snakemake of its batch script, and the one that this starts (180 MB each).
SNAKEMAKES_MB = 400
# Until a job begins: Snakemake twice, and Python's imports, from a file system that may be slow.
START_S = 60


def names(pattern):
    return {name for text in RULES.values() for name in re.findall(pattern, text, re.MULTILINE)}


# Figures have one rule, in a loop.
ALL = names(r"^(?:rule|checkpoint) (\w+):") | set(FIGURES)
ON_THE_CLUSTER = ALL - {name for block in names(r"^localrules:\n((?: .*\n)+)") for name in re.findall(r"\w+", block)}


class Inputs(list):
    """What Snakemake passes as the input of a job."""

    def __init__(self, *megabytes):
        super().__init__(megabytes)
        self.size_mb = sum(megabytes)


# A batch of checkpoints of squared regression, the largest files of the default scale; 500 images of CIFAR-10 with one.
SMALL, LARGE = Inputs(0.04, *[1.7] * 6), Inputs(6.2, 1.1)


def asked(rule, resource, attempt=1, inputs=SMALL):
    """What the profile asks for, as Snakemake evaluates it."""
    return eval(RESOURCES[rule][resource], {"attempt": attempt, "input": inputs})


def test_every_rule_has_its_resources_in_the_profile_and_nowhere_else():
    assert set(RESOURCES) == ON_THE_CLUSTER
    assert all(set(resources) == {"mem_mb", "runtime"} for resources in RESOURCES.values())
    assert not any(re.search(r"mem_mb|runtime", text) for text in RULES.values())


@pytest.mark.parametrize("resource", ["mem_mb", "runtime"])
@pytest.mark.parametrize("inputs", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("rule", sorted(RESOURCES))
def test_each_attempt_gets_more(rule, resource, inputs):
    first, second, third = (asked(rule, resource, attempt, inputs) for attempt in (1, 2, 3))
    assert 2 * first <= second < third
    assert PROFILE["retries"] == 2


@pytest.mark.parametrize("rule", ["train", "gfs_sharpness"])
def test_networks_at_the_paper_s_scale_get_more(rule):
    assert asked(rule, "mem_mb", inputs=LARGE) >= 10_000
    assert asked(rule, "runtime", inputs=LARGE) >= 24 * 60
    assert asked(rule, "runtime", inputs=Inputs()) == asked(rule, "runtime")


def test_all_that_the_default_scale_runs_was_measured():
    not_in_all = {rule for name in NOT_IN_ALL for rule in re.findall(r"^rule (\w+):", RULES[name], re.MULTILINE)}
    assert set(MEASURED.index) == ALL - not_in_all
    assert f"{MEASURED['jobs'].sum()}" in (ROOT / "results/speed/resources.md").read_text()


@pytest.mark.parametrize("rule", sorted(ON_THE_CLUSTER & set(MEASURED.index)))
def test_memory_is_enough_and_not_wasted(rule):
    # A quarter more: the peak differs between machines. Beyond, the next attempt has twice as much.
    taken = MEASURED["most_memory_mb"][rule] + SNAKEMAKES_MB
    assert 1.25 * taken <= asked(rule, "mem_mb") <= 4 * taken


@pytest.mark.parametrize("rule", sorted(ON_THE_CLUSTER & set(MEASURED.index)))
def test_time_is_enough_and_not_wasted(rule):
    # Four times the processor time: other processors are slower. Ten minutes are as good as less to a cluster.
    taken = 4 * MEASURED["most_processor_s"][rule] + START_S
    assert taken <= 60 * asked(rule, "runtime") <= max(600, 4 * taken)


def test_groups_are_whole_and_of_rules_that_wait_for_no_training():
    groups = PROFILE["groups"]
    assert set(groups) <= ON_THE_CLUSTER
    assert set(PROFILE["group-components"]) == set(groups.values())
    assert min(PROFILE["group-components"].values()) >= 1000
    behind_training = {"train", "gfs_sharpness", "gpgd", "collect_run", "collect"}
    assert not behind_training & set(groups)


@pytest.mark.parametrize(("device", "networks"), [("auto", "0"), ("cpu", "0"), ("cuda", "1")])
def test_gpu_is_asked_for_only_where_a_network_is_to_run_on_one(fresh, tmp_path, device, networks):
    overlay = tmp_path / "device.yaml"
    overlay.write_text(yaml.safe_dump({"execution": {"device": device}}))
    targets = [
        f"results/runs/{run}/trajectory.parquet" for run in ("fc-relu-digits/seed0-lr0.1", "scalar-depth4/lr0.2")
    ]
    options = ["--dry-run", "--workflow-profile", "slurm", "--configfile", str(TINY), str(overlay)]
    result = fresh.run(*options, "--", *targets)
    assert result.returncode == 0, result.stderr
    jobs = result.stdout.split("\n[")
    asked = {
        re.search(r"experiment=([\w-]+)", job)[1]: re.search(r"\bgpu=(\d)", job)[1] for job in jobs if "gpu=" in job
    }
    assert asked == {"fc-relu-digits": networks, "scalar-depth4": "0"}
