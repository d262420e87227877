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


def read_table(paths: Any) -> tuple[str, Any]:
    """Return the path and content of an input; of a table in several files their folder and all rows."""
    import pandas as pd

    from gfs import files

    if isinstance(paths, str):
        return paths, files.read_table(paths)
    return str(Path(paths[0]).parent), pd.concat([files.read_table(path) for path in paths], ignore_index=True)


def run_figure(draw: Callable[..., Any], snakemake: Any) -> None:
    """Save what ``draw`` makes of the rule's tables in all formats, and the numbers behind it.

    ``draw`` takes the tables by the names of the rule's inputs. Their rows go into one table of numbers; where there
    are several, its column ``table`` says from which each row is.
    """
    import pandas as pd

    from gfs import files, plotting, provenance

    def main(snakemake: Any) -> None:
        inputs = {name: paths for name, paths in snakemake.input.items() if name != "style"}
        listed = [path for paths in inputs.values() for path in ([paths] if isinstance(paths, str) else paths)]
        record = provenance.recorder({"tables_sha256": {path: files.sha256(path) for path in listed}})
        tables = {name: read_table(paths)[1] for name, paths in inputs.items()}
        with plotting.style():
            plotting.save(draw(**tables), snakemake.output.pdf, snakemake.output.png, snakemake.output.svg)
        numbers = [plotting.drawn(table) for table in tables.values()]
        if len(numbers) > 1:
            numbers = [table.assign(table=name) for name, table in zip(tables, numbers, strict=True)]
        files.write_table(snakemake.output.numbers, pd.concat(numbers, ignore_index=True), record())

    run(main, snakemake)
