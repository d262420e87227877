"""kill -9 at random moments, of the driver and of jobs: the results are bit-identical, and little is computed twice."""

import random
import signal
import time
from collections import Counter
from functools import partial

import psutil
import pytest
from disturbed import Pipeline, driver_of, ended, script_of, wait_until

from replication.storage import files

JOBS = ("train", "gfs_sharpness")
# When a driver is killed: some seconds after its start or that of any job, or when one of a rule has asked for losses.
DRIVER_KILLS = {("start", JOBS): 3, ("job", JOBS): 3, **{("work", (rule,)): 6 for rule in JOBS}}
# Of each rule: some seconds after the start of a job, or when it has asked for some losses.
JOB_KILLS = {"job": 4, "work": 14}
SECONDS, LOSSES = 3, 60
INTERVAL = 20


@pytest.fixture
def pipelines(tmp_path, undisturbed):
    """New pipelines, one after the other; each that has ended is compared with the undisturbed one."""

    class Pipelines:
        count, repeated = 0, 0

        def new(self):
            self.count += 1
            return Pipeline(tmp_path / f"project{self.count}")

        def compare(self, pipeline):
            assert pipeline.checksums() == undisturbed.checksums()
            assert pipeline.left_overs() == []
            assert not pipeline.is_planned(), pipeline.printed()
            self.repeated += repeated(pipeline, undisturbed)

    return Pipelines()


def repeated(pipeline, undisturbed):
    """Return how many losses training asked for again; from one process to the next it is at most an interval.

    Building the model takes a loss, and the sharpness of the first iterate some more.
    """
    pipeline.note_training()
    (whole,) = undisturbed.losses_asked_for().values()
    table = files.read_table(undisturbed.folder / "results/runs/slow/seed0-lr0.02/trajectory.parquet")
    sharpness = whole - 1 - len(table)
    asked = pipeline.losses_asked_for()
    reached = 0
    for process, start in pipeline.begun_at.items():
        assert start >= reached - INTERVAL, f"{reached} iterates were there, and training went on from {start}"
        # The last iterate's sharpness takes losses too.
        reached = max(reached, min(start + asked[process] - 2 - (0 if start else sharpness), len(table) - 1))
    return sum(asked.values()) - whole


def kill(process):
    try:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    except psutil.NoSuchProcess:
        return False
    return True


def shuffled(kinds, share, generator):
    every = [kind for kind, count in kinds.items() for _ in range(max(1, round(count * share)))]
    generator.shuffle(every)
    return every


def wait_for_moment(pipeline, process, kind, rules, generator):
    """Wait for a moment of this kind, or for the end of ``process``."""
    if kind == "work":
        losses = generator.randrange(1, LOSSES)
        begun = partial(pipeline.computing, *rules, losses=losses)
    else:
        begun = {"start": lambda: True, "job": partial(pipeline.jobs, *rules)}[kind]
    wait_until(lambda: begun() or process.poll() is not None, f"no {kind}")
    if kind != "work":
        time.sleep(generator.uniform(0, SECONDS))


@pytest.mark.fault("kill -9 of Snakemake at random moments", "bit-identical after `make resume`; jobs end with it")
def test_the_driver_is_killed(pipelines, share, measured):
    generator, killed_in = random.Random(0), Counter()
    left, pipeline = shuffled(DRIVER_KILLS, share, generator), pipelines.new()
    while left:
        process = pipeline.resume()
        driver = wait_until(partial(driver_of, process), "no driver")
        wait_for_moment(pipeline, process, *left[-1], generator)
        driver = driver_of(process) or driver
        running = {script_of(job) for job in pipeline.jobs()} - {None}
        if kill(driver):
            left.pop()
            killed_in["+".join(sorted(running)) or "no job"] += 1
            assert ended(process) != 0
            pipeline.wait_for_silence()
            pipeline.note_training()
        else:
            assert ended(process) == 0, pipeline.printed()
            pipelines.compare(pipeline)
            pipeline = pipelines.new()
    pipeline.finish()
    pipelines.compare(pipeline)
    stages = ", ".join(f"{count} beside {stage}" for stage, count in killed_in.most_common())
    measured(f"{killed_in.total()} kills ({stages}); {pipelines.repeated} losses asked for again")
    assert pipelines.repeated > 0, "no training was interrupted"
    assert set(JOBS) <= {rule for running in killed_in for rule in running.split("+")}


@pytest.mark.fault("kill -9 of training and of GFS jobs at random moments", "bit-identical after their retries")
def test_jobs_are_killed(pipelines, share, measured):
    generator = random.Random(1)
    left = {rule: shuffled(JOB_KILLS, share, generator) for rule in JOBS}
    count = len(left["train"])
    while any(left.values()):
        pipeline = pipelines.new()
        process = pipeline.start("--retries", "100")
        while process.poll() is None and (rules := [rule for rule in JOBS if left[rule]]):
            rule = next((script_of(job) for job in pipeline.jobs(*rules)), None)
            if rule is None:
                time.sleep(0.1)
                continue
            kind = left[rule][-1]
            wait_for_moment(pipeline, process, kind, [rule], generator)
            if any(kill(job) for job in pipeline.jobs(rule)[:1]):
                left[rule].pop()
                pipeline.note_training()
        assert ended(process) == 0, pipeline.printed()
        pipelines.compare(pipeline)
    measured(f"{count} kills of each; {pipelines.repeated} losses asked for again by training")
    assert pipelines.repeated > 0, "no training was interrupted"
