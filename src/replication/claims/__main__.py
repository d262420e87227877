"""``python -m replication.claims results/claims.json``: the claims of a run with their verdicts, for a terminal.

``python -m replication.claims --page README.md --page docs/results.md A.json B.json`` writes the summary of two scales
into these pages instead, and the networks of the last one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gfsharp.errors import UserError
from replication.claims import printing


def main(arguments: list[str]) -> int:
    """Print or write what is asked for; return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.claims", description="The claims of a run with their verdicts."
    )
    parser.add_argument("claims", type=Path, nargs="+", help="what the rule claims wrote, such as results/claims.json")
    parser.add_argument(
        "--page",
        type=Path,
        action="append",
        default=[],
        help="write a summary into this page, between its markers; more than once for several",
    )
    chosen = parser.parse_args(arguments)
    scales = [read(path) for path in chosen.claims]
    for page in chosen.page:
        if not page.is_file():
            raise UserError(f"there is no page {page}")
        printing.update(page, scales)
    if not chosen.page:
        print("\n\n".join(printing.aligned(results) for results in scales))
    return 0


def read(path: Path) -> list[dict[str, Any]]:
    """Read the claims that a run wrote.

    Raises:
        UserError: the file is missing or is not what a run writes.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not (rows and all({"id", "verdict", "measured"} <= set(row) for row in rows)):
            raise ValueError("it holds no claims")
        if not all({"bound", "origin", "runs", "undecided"} <= set(row) for row in rows):
            raise ValueError("an older version wrote it; run snakemake again")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"cannot read the claims {path}: {error}; `make` writes results/claims.json with the figures, in some 20 "
            "minutes, and results/reference/claims.json is there already"
        ) from error
    return list(rows)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
