"""Rule redrawn: the scripts of all figures and of the claims, in processes that have everything imported already."""

import multiprocessing
import runpy
from multiprocessing import connection
from pathlib import Path
from types import SimpleNamespace

import matplotlib.backends.backend_pdf
import matplotlib.backends.backend_svg  # noqa: F401 - these two and the next are for the scripts

import _job
from gfs import claims, plotting  # noqa: F401
from gfs.errors import UserError

# Each process begins as a copy of this one, imports included.
FORK = multiprocessing.get_context("fork")


def main(snakemake):
    rules = snakemake.params.rules
    ended = run_all(rules, snakemake.threads)
    failed = [f"{name}: {said(code, rules[name])}" for name, code in ended.items() if code]
    if failed:
        raise UserError("\n".join([f"{len(failed)} of {len(ended)} could not be made, so all is as before", *failed]))


def run_all(rules, at_once):
    """Run the rules' scripts, ``at_once`` of them at a time; return how each ended."""
    waiting, running, ended = sorted(rules, key=lambda name: size(rules[name])), {}, {}
    while waiting or running:
        while waiting and len(running) < at_once:
            # The most to read first, so that no long one is left for the end.
            name = waiting.pop()
            process = FORK.Process(target=run_script, args=(name, rules[name]), name=name)
            process.start()
            running[process.sentinel] = process
        for sentinel in connection.wait(running):
            process = running.pop(sentinel)
            process.join()
            ended[process.name] = process.exitcode
    return ended


def size(rule):
    """How many bytes are read for it."""
    paths = (path for paths in rule["input"].values() for path in ([paths] if isinstance(paths, str) else paths))
    return sum(Path(path).stat().st_size for path in paths)


def run_script(name, rule):
    """Run a rule's script as Snakemake would."""
    output, params = (SimpleNamespace(**rule[key]) for key in ("output", "params"))
    given = SimpleNamespace(input=rule["input"], output=output, params=params, log=rule["log"])
    runpy.run_path(str(Path(__file__).with_name(f"{name}.py")), {"snakemake": given})


def said(code, rule):
    """What a script that failed has to say: its log."""
    log = Path(rule["log"][0])
    words = log.read_text(encoding="utf-8").strip() if log.is_file() else ""
    return words if code > 0 and words else f"ended by signal {-code}" if code < 0 else f"ended with {code}"


if "snakemake" in globals():
    _job.run(main, snakemake)
