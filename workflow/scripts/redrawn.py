"""Rule redrawn: the scripts of all figures and of the claims, in processes that have everything imported already."""

import os

if "snakemake" in globals():
    # For each script, one of several at work; before numpy is imported.
    os.environ.update({name: "1" for name in os.environ if name.endswith("_NUM_THREADS")})

import multiprocessing
import runpy
import shutil
import sys
from collections.abc import ItemsView, Iterable, Mapping
from multiprocessing import connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import matplotlib.backends.backend_pdf
import matplotlib.backends.backend_svg  # noqa: F401 - these two and the next are for the scripts

import _job
from gfsharp.errors import UserError
from replication import claims  # noqa: F401
from replication.figures import bifurcation, descents, drawing, networks, planes  # noqa: F401

# Each process begins as a copy of this one, imports included. Elsewhere libraries may not bear that.
PROCESSES: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")

# Its input, output, params and log, as common.smk lists them.
Rule: TypeAlias = Mapping[str, Any]

# Beside the place of each file, where it is kept until all are made.
STAGED = ".redrawn"


class Named(SimpleNamespace):
    """Files or parameters by name, as Snakemake gives them to a script."""

    def items(self) -> ItemsView[str, Any]:
        return vars(self).items()


def main(snakemake: _job.Snakemake) -> None:
    rules = snakemake.params.rules
    places = [Path(path) for rule in rules.values() for path in rule["output"].values()]
    for rule in rules.values():
        remove_log(rule)
    try:
        clear(places)
        ended = run_all({name: staged(rule) for name, rule in rules.items()}, snakemake.threads)
        failed = [f"{name}: {said(code, rules[name])}" for name, code in ended.items() if code]
        if failed:
            raise UserError(
                "\n".join([f"{len(failed)} of {len(ended)} could not be made, so all is as before", *failed])
            )
        for place in places:
            in_waiting(place).replace(place)
    finally:
        clear(places)


def in_waiting(place: Path) -> Path:
    """Where a file is until all are made."""
    return place.parent / STAGED / place.name


def staged(rule: Rule) -> Rule:
    """The rule with its outputs there."""
    return {**rule, "output": {key: str(in_waiting(Path(path))) for key, path in rule["output"].items()}}


def clear(places: Iterable[Path]) -> None:
    for folder in {place.parent / STAGED for place in places}:
        shutil.rmtree(folder, ignore_errors=True)


def run_all(rules: Mapping[str, Rule], at_once: int) -> dict[str, int]:
    """Run the rules' scripts, ``at_once`` of them at a time; return how each ended."""
    waiting = sorted(rules, key=lambda name: size(rules[name]))
    running: dict[Any, Any] = {}
    ended: dict[str, int] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            # The most to read first, so that no long one is left for the end.
            name = waiting.pop()
            process = PROCESSES.Process(target=run_script, args=(name, rules[name]), name=name)
            process.start()
            running[process.sentinel] = process
        for sentinel in connection.wait(running):
            process = running.pop(sentinel)
            process.join()
            ended[process.name] = process.exitcode
    return ended


def size(rule: Rule) -> int:
    """How many bytes are read for it."""
    paths = (path for paths in rule["input"].values() for path in ([paths] if isinstance(paths, str) else paths))
    return sum(Path(path).stat().st_size for path in paths)


def remove_log(rule: Rule) -> None:
    """Take away what an earlier run said."""
    (log,) = rule["log"]
    try:
        Path(log).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(_job.unwritable_log(log, error)) from error


def run_script(name: str, rule: Rule) -> None:
    """Run a rule's script with what Snakemake would tell it of files and parameters."""
    _job.end_at_once_on_ctrl_c()
    _job.end_with_the_workflow()
    given = {key: Named(**rule[key]) for key in ("input", "output", "params")}
    script = Path(__file__).with_name(rule["script"])
    runpy.run_path(str(script), {"snakemake": SimpleNamespace(**given, rule=name, log=rule["log"])})


def said(code: int, rule: Rule) -> str:
    """What a script that failed has to say: its log."""
    (log,) = rule["log"]
    if code < 0:
        return f"ended by signal {-code}"
    words = Path(log).read_text(encoding="utf-8").strip() if Path(log).is_file() else ""
    return words or f"ended with {code} before it had a log, for the reason above"


if "snakemake" in globals() and __name__ == "__main__":
    _job.run(main, snakemake)
