"""kill -9 at random moments, of the driver and of jobs: the results are bit-identical, and little is computed twice."""

import random
import signal
import time
from collections import Counter
from functools import partial

import psutil
import pytest
from disturbed import Pipeline, driver_of, ended, script_of, wait_until

from gfs import files

JOBS = ("train", "gfs_sharpness")
# When a driver is killed: from its start, from the start of any job on, from the start of real work on.
DRIVER_KILLS = {"start": 3, "job": 3, "work": 12}
# Of each rule: from the start of a job, from the start of its real work on.
JOB_KILLS = {"job": 4, "work": 14}
LONGEST_WAIT = 3
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
    """Return how many losses training asked for again, after holding them against what may be asked for again.

    Each process builds the model, which takes one, and goes on at a checkpoint with the loss there. One that is killed
    may have gone up to an interval beyond its last checkpoint; in the first and in the last interval the sharpness is
    estimated besides.
    """
    (whole,) = undisturbed.losses_asked_for().values()
    table = files.read_table(undisturbed.folder / "results/runs/slow/seed0-lr0.02/trajectory.parquet")
    sharpness = whole - 1 - len(table)
    asked = list(pipeline.losses_asked_for().values())
    resumed_at = files.read_json(pipeline.folder / "results/runs/slow/seed0-lr0.02/trajectory.json")["resumed_at"]
    last_checkpoint = table["iteration"].iloc[-1] // INTERVAL * INTERVAL - INTERVAL
    in_first = len(asked) - 1 - len(resumed_at)
    in_last = sum(iteration >= last_checkpoint for iteration in resumed_at)
    again = sum(asked) - whole
    assert again <= (len(asked) - 1) * (1 + 1 + INTERVAL) + (in_first + in_last) * sharpness
    return again


def kill(process):
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True


def shuffled(kinds, generator):
    every = [kind for kind, count in kinds.items() for _ in range(count)]
    generator.shuffle(every)
    return every


def wait_for_moment(pipeline, process, kind):
    """Wait until Snakemake has begun, or a job, or its real work, or all has ended."""
    begun = {"start": lambda: True, "job": pipeline.jobs, "work": lambda: pipeline.computing(*JOBS)}[kind]
    wait_until(lambda: begun() or process.poll() is not None, f"no {kind}")


@pytest.mark.fault("kill -9 of Snakemake at random moments", "bit-identical after `make resume`; jobs end with it")
def test_the_driver_is_killed(pipelines, measured):
    generator, killed_in = random.Random(0), Counter()
    left, pipeline = shuffled(DRIVER_KILLS, generator), pipelines.new()
    while left:
        process = pipeline.resume()
        driver = wait_until(partial(driver_of, process), "no driver")
        wait_for_moment(pipeline, process, left[-1])
        time.sleep(generator.uniform(0, LONGEST_WAIT))
        driver = driver_of(process) or driver
        running = {script_of(job) for job in pipeline.jobs()} - {None}
        if kill(driver):
            left.pop()
            killed_in["+".join(sorted(running)) or "no job"] += 1
            assert ended(process) != 0
            pipeline.wait_for_silence()
        else:
            assert ended(process) == 0, pipeline.printed()
            pipelines.compare(pipeline)
            pipeline = pipelines.new()
    pipeline.finish()
    pipelines.compare(pipeline)
    stages = ", ".join(f"{count} beside {stage}" for stage, count in killed_in.most_common())
    measured(f"{killed_in.total()} kills ({stages}); {pipelines.repeated} losses asked for again")
    assert pipelines.repeated > 0, "no training was interrupted"


@pytest.mark.fault("kill -9 of training and of GFS jobs at random moments", "bit-identical after their retries")
def test_jobs_are_killed(pipelines, measured):
    generator = random.Random(1)
    left = {rule: shuffled(JOB_KILLS, generator) for rule in JOBS}
    while any(left.values()):
        pipeline = pipelines.new()
        process = pipeline.start("--retries", "100")
        while process.poll() is None:
            for rule in JOBS:
                kind = left[rule][-1] if left[rule] else None
                found = {"job": pipeline.jobs, "work": pipeline.computing}.get(kind, lambda rule: [])(rule)
                if found:
                    time.sleep(generator.uniform(0, LONGEST_WAIT))
                    if script_of(found[0]) == rule and kill(found[0]):
                        left[rule].pop()
            time.sleep(0.1)
        assert process.returncode == 0, pipeline.printed()
        pipelines.compare(pipeline)
    count = sum(JOB_KILLS.values())
    measured(f"{count} kills of each; {pipelines.repeated} losses asked for again by training")
    assert pipelines.repeated > 0, "no training was interrupted"
