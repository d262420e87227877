"""``python -m replication.alone``: experiments in one process and within a given time; see :mod:`replication.alone`."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication import configuration, yaml_files
from replication.alone.clock import Clock, Stopped, TimeIsUp
from replication.configuration import Config, Run
from replication.storage import files, locks

EXAMPLE = """example, from a checkout, with nothing installed and images beside it:
  PYTHONPATH=src python -m replication.alone vgg11-cifar10 resnet20-cifar10 \\
      --configfile config/paper.yaml --data-file cifar10=cifar10.npz --device cuda --minutes 12 --output results/paper

The same command again goes on where it was left. Figures are drawn from the tables where Snakemake is:
  make redraw ARGS="--configfile config/paper.yaml -- figure06"
"""

# Kept for writing and packing at the end: a part of the minutes, at most so many seconds.
_KEPT, _KEPT_SECONDS = 0.05, 10.0
# Kept for the comparison with the processor, where that is asked for.
_FOR_AGREEMENT = 0.1
# Seconds, at least.
_BETWEEN_ARCHIVES = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return 0, or 128 and the number of the signal that ended it.

    Raises:
        UserError: the configuration, the data or the output folder cannot be used.
    """
    given = _parser().parse_args(arguments)
    if not given.minutes > 0:
        raise UserError(f"--minutes must be positive, found {given.minutes:g}")
    if given.pack and given.pack.is_dir():
        raise UserError(f"--pack takes the name of a file, such as results.tar.gz; {given.pack} is a folder")
    seconds = 60 * given.minutes
    clock = Clock(seconds - min(_KEPT * seconds, _KEPT_SECONDS) if math.isfinite(seconds) else math.inf)
    config = _configuration(given)
    results = Path(config["directories"]["results"])
    threads = _use_threads(config["execution"]["threads"])
    with clock.listening(), locks.held(results / ".alone.lock", f"{results} is worked on", seconds=10):
        status = 0
        runs = _runs(config, given.experiments)
        session = _Session(config, runs, clock, agreement=given.agreement, archive=given.pack)
        print(f"into {results}; runs: {len(session.runs)}, threads: {threads}", flush=True)
        try:
            session.run()
        except Stopped as stopped:
            status = 128 + stopped.signal
        finally:
            session.report()
    return status


class _Session:
    """One call of the command."""

    def __init__(
        self, config: Config, runs: Sequence[Run], clock: Clock, *, agreement: bool, archive: Path | None
    ) -> None:
        self.runs = runs
        self._config, self._clock, self._agreement = config, clock, agreement
        self._archive, self._packed = archive, -math.inf
        self._results = Path(config["directories"]["results"])
        self._works: list[Any] = []
        self._differences: list[Any] = []

    def run(self) -> None:
        """Make the data, train, follow flows, and compare with the processor, while there is time."""
        from replication.alone import images, schedule
        from replication.alone.work import Work

        images.prepare(self.runs, self._results, self._config["directories"]["downloads"])
        execution = self._config["execution"]
        batch = execution["checkpoint_files_per_gfs_job"]
        self._works = [
            Work(run, self._results, execution["device"], batch, self._clock, self._collect) for run in self.runs
        ]
        for run in self.runs:
            self._collect(run, if_stale=True)
        kept = _FOR_AGREEMENT * self._clock.left if self._agreement and math.isfinite(self._clock.left) else 0.0
        with self._clock.reserving(kept):
            schedule.advance(self._works, self._clock)
        if self._agreement:
            self._compare()

    def _compare(self) -> None:
        """Hold the last GFS sharpness that is known of each run against the processor: gradients first, then flows."""
        from replication.alone import comparison

        known = {work: [path for path in work.files() if work.has_value(path)] for work in self._works}
        last = {work: paths[-1] for work, paths in known.items() if paths}
        try:
            with self._clock.allotting(self._clock.left):
                for work, path in last.items():
                    self._note(*comparison.of_gradients(work, path))
                for work, path in sorted(last.items(), key=lambda pair: pair[0].cost_of(pair[1].name)):
                    found = comparison.of_gfs_sharpness(work, path, self._clock)
                    self._note(*([found] if found else []))
                    work.release()
        except TimeIsUp:
            print("no time for the rest of the comparison", flush=True)

    def _note(self, *differences: Any) -> None:
        for difference in differences:
            self._differences.append(difference)
            print(difference.in_words(), flush=True)

    def _collect(self, run: Run, *, if_stale: bool = False) -> None:
        """Write the table of an experiment, of its runs that have one; ``if_stale``: only if those are others now."""
        from replication import stages

        runs = configuration.runs(self._config, run.experiment)
        tables = {each.name: self._results / "runs" / run.experiment / each.name / "run.parquet" for each in runs}
        # One that was just being written when a process was killed is written anew when its run's turn comes.
        there = {name: path for name, path in tables.items() if files.is_whole(path)}
        table = self._results / "tables" / f"{run.experiment}.parquet"
        if if_stale and (not there or _recorded(table, "inputs") == files.checksums(there.values())):
            return
        beside = {
            "of_runs": {name: _of_run(files.read_provenance(path)) for name, path in there.items()},
            "missing_runs": [name for name in tables if name not in there],
        }
        stages.collect([*there.values()], table, beside=beside)
        # On the way too, for a machine that is taken away.
        if time.monotonic() > self._packed + _BETWEEN_ARCHIVES:
            self._pack()

    def _pack(self) -> None:
        from replication.alone.packing import pack

        if self._archive:
            size = pack(self._results, self._archive) / 2**20
            print(f"{self._archive}: {size:.2f} MiB of tables and records", flush=True)
        self._packed = time.monotonic()

    def report(self) -> None:
        """Print what each run has and what it cost, keep it with the comparison in ``alone.json``, and pack all."""
        from replication.storage import provenance

        rows = []
        for work in self._works:
            work.release()
            record = work.summary()
            rows.append({"experiment": work.run.experiment, "run": work.run.name, **record})
            print(_in_words(work.name, record), flush=True)
        left = self._clock.left
        content = {
            "runs": rows,
            "agreement": [difference.row() for difference in self._differences],
            "seconds_left": left if math.isfinite(left) else None,
            "commit": provenance.commit(),
            "versions": provenance.versions(),
            "hardware": provenance.hardware(),
        }
        files.write_record(self._results / "alone.json", content)
        self._pack()


def _recorded(table: Path, key: str) -> Any:
    return files.read_provenance(table).get(key) if files.is_whole(table) else None


def _of_run(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record.get(key) for key in ("trained", "gfs_points", "cost")}


def _in_words(name: str, record: Mapping[str, Any]) -> str:
    points, cost = record["gfs_points"], record["cost"] or {}
    if not points:
        return f"{name}: nothing yet"
    of = points["known"] + len(points["missing"])
    said = (
        f"{name}: {'trained' if record['trained'] else 'not trained to its end'}, {points['known']} of {of} GFS points"
    )
    if cost.get("gradient_s"):
        said += f"; a gradient {cost['gradient_s']:.3g} s"
        said += f", a Hessian-vector product {cost['hessian_vector_product_s']:.3g} s"
    if cost.get("flow_s"):
        said += f", a flow {cost['flow_s']['median']:.3g} s (the longest {cost['flow_s']['largest']:.3g} s)"
    if cost.get("peak_memory_bytes"):
        said += f"; at most {cost['peak_memory_bytes'] / 2**30:.2f} GiB in use"
    return said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m replication.alone",
        description="Train the runs of experiments and follow their gradient flows, in this process and within the "
        "minutes that are given, most telling points first. Needs neither Snakemake nor a network.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="names, the most important first")
    parser.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="overlays of config.yaml, in order")
    parser.add_argument(
        "--data-file",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="a local .npz for a data set, or for cifar10, svhn",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help="default: execution.device")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="all in all, imports included; default: no limit"
    )
    parser.add_argument("--output", metavar="FOLDER", help="default: directories.results")
    parser.add_argument(
        "--pack", type=Path, metavar="FILE", help="write tables and records into this .tar.gz too, without checkpoints"
    )
    parser.add_argument(
        "--agreement", action="store_true", help="compare loss, gradient and, in time, GFS sharpness with a processor's"
    )
    return parser


def _configuration(given: argparse.Namespace) -> Config:
    from replication.alone.images import with_local_files

    config = with_local_files(yaml_files.merged("config.yaml", *given.configfile), given.data_file)
    if given.output:
        config = {**config, "directories": {**config["directories"], "results": given.output}}
    if given.device:
        config = {**config, "execution": {**config["execution"], "device": given.device}}
    configuration.check(config, with_variants=False)
    return config


def _runs(config: Config, experiments: Sequence[str]) -> list[Run]:
    from replication.alone.schedule import in_turn

    for name in experiments:
        if name not in config["experiments"]:
            close = difflib.get_close_matches(name, config["experiments"], n=3)
            raise UserError(
                f"there is no experiment {name!r}; {'near it: ' + ', '.join(close) if close else 'see --help'}"
            )
    return in_turn([configuration.runs(config, name) for name in dict.fromkeys(experiments)])


def _use_threads(count: int) -> int:
    """As Snakemake gives them to a job; before torch is there, for it looks at them once."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    return count


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in files.DISK_ERRORS:
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # before there was anything to finish
        sys.exit(128 + signal.SIGINT)
