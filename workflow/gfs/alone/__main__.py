"""``python -m gfs.alone``: experiments in one process and within a given time; see :mod:`gfs.alone`."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gfs import check, configuration, files, locks, yaml_files
from gfs.alone.clock import Clock, Stopped, TimeIsUp
from gfs.configuration import Config, Run
from gfs.errors import UserError

EXAMPLE = """example, from a checkout, with nothing installed and images beside it:
  PYTHONPATH=workflow python -m gfs.alone vgg11-cifar10 resnet20-cifar10 \\
      --configfile config/paper.yaml --data-file cifar10=cifar10.npz --device cuda --minutes 12 --output results/paper

The same command again goes on where it was left. Figures are drawn from the tables where Snakemake is:
  make redraw ARGS="--configfile config/paper.yaml -- figure06"
"""

# Kept for writing and packing at the end: a part of the minutes, at most so many seconds.
_KEPT, _KEPT_SECONDS = 0.05, 10.0
# Kept for the comparison with the processor, where that is asked for.
_FOR_AGREEMENT = 0.1


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return 0, or 128 and the number of the signal that ended it.

    Raises:
        UserError: the configuration, the data or the output folder cannot be used.
    """
    given = _parser().parse_args(arguments)
    if not given.minutes > 0:
        raise UserError(f"--minutes must be positive, found {given.minutes:g}")
    seconds = 60 * given.minutes
    clock = Clock(seconds - min(_KEPT * seconds, _KEPT_SECONDS) if math.isfinite(seconds) else math.inf)
    config = _configuration(given)
    results = Path(config["directories"]["results"])
    threads = _use_threads(config["execution"]["threads"])
    with clock.listening(), locks.held(results / ".alone.lock", f"{results} is worked on", seconds=10):
        status = 0
        session = _Session(config, _runs(config, given.experiments), clock, agreement=given.agreement)
        print(f"{len(session.runs)} runs into {results}, {threads} threads", flush=True)
        try:
            session.run()
        except Stopped as stopped:
            status = 128 + stopped.signal
        finally:
            session.report()
        if given.pack:
            from gfs.alone.packing import pack

            print(f"{given.pack}: {pack(results, given.pack) / 2**20:.2f} MiB of tables and records", flush=True)
    return status


class _Session:
    """One call of the command."""

    def __init__(self, config: Config, runs: Sequence[Run], clock: Clock, *, agreement: bool) -> None:
        self.runs = runs
        self._config, self._clock, self._agreement = config, clock, agreement
        self._results = Path(config["directories"]["results"])
        self._works: list[Any] = []
        self._differences: list[Any] = []

    def run(self) -> None:
        """Make the data, train, follow flows, and compare with the processor, while there is time."""
        from gfs.alone import images, schedule
        from gfs.alone.work import Work

        images.prepare(self.runs, self._results, self._config["directories"]["downloads"])
        execution = self._config["execution"]
        batch = execution["checkpoint_files_per_gfs_job"]
        self._works = [
            Work(run, self._results, execution["device"], batch, self._clock, self._collect) for run in self.runs
        ]
        kept = _FOR_AGREEMENT * self._clock.left if self._agreement and math.isfinite(self._clock.left) else 0.0
        with self._clock.reserving(kept):
            schedule.advance(self._works, self._clock)
        if self._agreement:
            self._compare()

    def _compare(self) -> None:
        """Hold the last GFS sharpness that is known of each run against the processor: gradients first, then flows."""
        from gfs.alone import comparison

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

    def _collect(self, run: Run) -> None:
        """Write the table of an experiment, of its runs that there are tables of."""
        from gfs import stages

        runs = configuration.runs(self._config, run.experiment)
        tables = {each.name: self._results / "runs" / run.experiment / each.name / "run.parquet" for each in runs}
        there = {name: path for name, path in tables.items() if path.exists()}
        beside = {
            "of_runs": {name: _of_run(files.read_provenance(path)) for name, path in there.items()},
            "missing_runs": [name for name in tables if name not in there],
        }
        stages.collect([*there.values()], self._results / "tables" / f"{run.experiment}.parquet", beside=beside)

    def report(self) -> None:
        """Print what each run has and what it cost, and keep it with the comparison in ``alone.json``."""
        from gfs import provenance

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
        prog="python -m gfs.alone",
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
    from gfs.alone.images import with_local_files

    config = with_local_files(yaml_files.merged("config.yaml", *given.configfile), given.data_file)
    if given.output:
        config = {**config, "directories": {**config["directories"], "results": given.output}}
    if given.device:
        config = {**config, "execution": {**config["execution"], "device": given.device}}
    try:
        import jsonschema  # noqa: F401
    except ImportError:
        print("jsonschema is not installed: the configuration is not held against its schema", flush=True)
        configuration.check_without_schema(config)
    else:
        configuration.check(config, check.SCHEMA, with_variants=False)
    return config


def _runs(config: Config, experiments: Sequence[str]) -> list[Run]:
    from gfs.alone.schedule import in_turn

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
