"""``make archive``: one file with what would be deposited, from which the figures and claims can be made again.

It holds the committed code with the lock and the configuration, the figures and the claims with the tables that they
were made from, SHA256SUMS and a record of it all (RO-Crate). The same commit and results give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import crate
import made_with
import rerun_command
from gfsharp.errors import UserError
from replication import claims, configuration, figure_registry, yaml_files
from replication.configuration import Config
from replication.storage import files

FORMATS = ("pdf", "png", "svg")
README, SUMS = "ARCHIVE.md", "SHA256SUMS"


def main(arguments: Sequence[str]) -> None:
    """Write the archive and print where it is."""
    parser = argparse.ArgumentParser(prog="make archive", description="Write what would be deposited as one file.")
    parser.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="what the results were made with")
    parser.add_argument("--output", type=Path, default=Path("archive"), metavar="FOLDER", help="default: archive")
    given = parser.parse_args(arguments)
    config = yaml_files.merged("config.yaml", *given.configfile)
    configuration.check(config)
    print(write(given.output, config, given.configfile))


def write(folder: Path, config: Config, overlays: Sequence[str]) -> Path:
    """Write the archive into ``folder`` and return its path.

    Raises:
        UserError: what is committed is not what is there, or results are missing, damaged, do not fit each other or
            were made with other settings.
    """
    commit, time = committed()
    version = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    name = f"gfsharp-{version}-{config['scale']}-{commit[:12]}"
    results = {path: Path(path).read_bytes() for path in sorted({*made(config)})}
    code = dict(tracked(commit))
    for path in overlays:
        if path not in code:
            raise UserError(f"{path} is not committed, so the archive would not have it; commit it")
    contents = {path: content for path, (content, _) in code.items() if content is not None} | results
    records = crate.records_of(contents, sorted(results))
    made_at = crate.commits(records)
    silent = made_with.check(config, records)
    contents[README] = readme(name, commit, made_at, config, overlays, silent).encode()
    record = crate.metadata(config, contents, sorted(results), overlays, commit, time, version)
    contents[crate.FILE] = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
    contents[SUMS] = "".join(f"{crate.sha256(contents[path])}  {path}\n" for path in sorted(contents)).encode()
    with files.whole_file(folder / f"{name}.tar.gz") as temporary:
        temporary.write_bytes(packed(name, contents, {path: entry for path, (_, entry) in code.items()}, time))
    return folder / f"{name}.tar.gz"


def committed() -> tuple[str, int]:
    """Return the commit and its time in seconds.

    Raises:
        UserError: this is no checkout, or it has changes that are not committed.
    """
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no").decode().splitlines()
        commit, time = _git("log", "-1", "--format=%H %ct").decode().split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"an archive is made from a git checkout with a commit, which this is not: {error}") from None
    if changed:
        names = ", ".join(line[3:] for line in changed[:5])
        raise UserError(f"not committed, so the archive would not say what it is: {names}; commit it, or put it aside")
    return commit, int(time)


def tracked(commit: str) -> Iterator[tuple[str, tuple[bytes | None, tarfile.TarInfo]]]:
    """Yield what is committed: its path with its content, None for a link, and how git packs it."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as archive:
        for entry in archive:
            if entry.isfile() or entry.issym():
                file = archive.extractfile(entry) if entry.isfile() else None
                yield entry.name, (file.read() if file else None, entry)


def made(config: Config) -> Iterator[str]:
    """Yield the figures, the claims and every table that they were made from, each with the record beside it.

    Raises:
        UserError: one is missing or damaged, or a figure was drawn, or the claims judged, from another table than is
            there.
    """
    results, figures = config["directories"]["results"], config["directories"]["figures"]
    for figure in figure_registry.FIGURES:
        numbers = f"{results}/figures/{figure}.parquet"
        record = files.read_provenance(_there(numbers))
        if not record.get("inputs"):
            raise UserError(f"{numbers} has a record that does not say what it was drawn from; run snakemake again")
        for table, checksum in record["inputs"].items():
            yield from _with_record(table)
            if files.sha256(table) != checksum:
                raise UserError(f"{figure} was drawn from another {table} than is there; run snakemake again")
        yield from _with_record(numbers)
        yield from (str(_there(f"{figures}/{figure}.{suffix}")) for suffix in FORMATS)
    verdicts = _there(f"{results}/claims.json")
    rows = json.loads(verdicts.read_text(encoding="utf-8"))
    # The rule asks for the tables of all experiments that are shown, whether a claim is judged by them or not.
    experiments = {
        name for figure in figure_registry.OF_EXPERIMENTS for name in configuration.figure_experiments(config, figure)
    }
    tables = {f"{results}/tables/{name}.parquet" for name in experiments}
    for table in tables.union(*(row["source"] or () for row in rows)):
        yield from _with_record(table)
    if rows != files.as_json(judged(rows, config["scale"])):
        raise UserError(f"{verdicts} is not what the tables and claims that are there give; run snakemake again")
    yield from (str(verdicts), str(_there(f"{results}/claims.md")))


def judged(rows: Sequence[Mapping[str, Any]], scale: str) -> list[dict[str, Any]]:
    """Return the claims as they are judged from the tables that ``rows``, which were judged before, name."""
    sources = {row["id"]: row["source"] for row in rows}
    wanted = {claim.table: sources.get(claim.id) for claim in claims.CLAIMS if claim.table}
    tables = {
        name: (paths, pd.concat([files.read_table(path) for path in paths], ignore_index=True))
        for name, paths in wanted.items()
        if paths
    }
    return claims.evaluate(claims.CLAIMS, tables, scale)


def _there(path: str) -> Path:
    if not Path(path).exists():
        raise UserError(f"{path} is not there; an archive is made of finished results: run snakemake first")
    return Path(path)


def _with_record(path: str) -> Iterator[str]:
    _there(path)
    try:
        files.check(path)
    except (OSError, ValueError) as error:
        raise files.unreadable(path, error) from error
    yield from (path, str(files.sidecar(path)))


def readme(
    name: str, commit: str, made_at: Sequence[str], config: Config, overlays: Sequence[str], silent: Sequence[str]
) -> str:
    """Return the page that says what is in the archive and how it is used.

    ``silent`` is what no record says the settings of.
    """
    arguments = f' ARGS="--configfile {" ".join(overlays)}"' if overlays else ""
    results, figures = config["directories"]["results"], config["directories"]["figures"]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"gfsharp at commit {commit} with the results of its scale `{config['scale']}`,",
            f"made at commit {' and '.join(made_at)} (-dirty: with changes to it that were not committed; unknown:",
            "outside a checkout). README.md says what it is. Here are",
            "",
            f"- `{figures}/`, `{results}/claims.md`: the figures and the claims;",
            f"- `{results}/`: the tables that they were made from, each with its record (`.json`); no checkpoints;",
            f"- `{SUMS}`: `sha256sum --check {SUMS}`;",
            f"- `{crate.FILE}`: what is here and what made it, as an RO-Crate.",
            "",
            f"By their records the tables were made with what {', '.join(['config.yaml', *overlays])} asks for"
            + (", but for these, of which no record says it:" if silent else "."),
            *(["", *(f"- `{table}`" for table in silent)] if silent else []),
            "",
            "Draw all figures and judge all claims again from the tables, without any training:",
            "",
            f"    make redraw{arguments}",
            "",
            "Make everything again, training included (README.md): `make` or `uv run snakemake`"
            + (f" `--configfile {' '.join(overlays)}`." if overlays else "."),
            "",
        ]
    )


def packed(name: str, contents: Mapping[str, bytes], entries: Mapping[str, tarfile.TarInfo], time: int) -> bytes:
    """Return a ``.tar.gz`` with all below the folder ``name``, whose bytes depend on the contents alone."""
    packed_bytes = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed_bytes, mode="wb", mtime=time, filename="") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted({*contents, *entries}):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.mtime = time
            known = entries.get(path)
            if known is not None and known.issym():
                entry.type, entry.linkname = tarfile.SYMTYPE, known.linkname
                archive.addfile(entry)
            else:
                entry.mode = 0o755 if known is not None and known.mode & 0o100 else 0o644
                entry.size = len(contents[path])
                archive.addfile(entry, io.BytesIO(contents[path]))
    return packed_bytes.getvalue()


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {rerun_command.message(error)}")
