"""What every adapter needs around its work: the package on the path, the job's log, errors without a traceback."""

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

# In an environment of Snakemake's own making (conda) the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gfs.errors import UserError


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with all output in the job's log; a user's mistake ends it with its message alone."""
    with (
        Path(snakemake.log[0]).open("w", encoding="utf-8", buffering=1) as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        try:
            main(snakemake)
        except UserError as error:
            print(f"error: {error}", file=log)
            sys.exit(1)
        except Exception:
            # The log takes the traceback too: on a cluster it is all there is to look at.
            import traceback

            traceback.print_exc(file=log)
            sys.exit(1)


def run_figure(draw: Callable[[Any], Any], snakemake: Any) -> None:
    """Save what ``draw`` makes of the table in all formats, and the numbers behind it."""
    from gfs import files, plotting, provenance

    def main(snakemake: Any) -> None:
        sha256 = files.sha256(snakemake.input.table)
        record = provenance.recorder({"table": snakemake.input.table, "table_sha256": sha256})
        table = files.read_table(snakemake.input.table)[plotting.COLUMNS]
        with plotting.style():
            plotting.save(draw(table), snakemake.output.pdf, snakemake.output.png, snakemake.output.svg)
        files.write_table(snakemake.output.numbers, table, record())

    run(main, snakemake)
