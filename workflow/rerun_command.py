"""What a user can do about an error: the command that makes a damaged file again, ready to be pasted."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from gfsharp.errors import UnreadableError, UserError

# Set by the workflow for its jobs, whose own command line is another where a cluster runs them.
_COMMAND = "GFS_SNAKEMAKE_COMMAND"

# Options with which nothing is made, or nothing said.
_NO_WORK = ("-n", "--dry-run", "--dryrun", "--unlock", "--touch", "-t", "-q", "--quiet")


def remember_command(arguments: Sequence[str] | None = None) -> None:
    """Keep the command line by which Snakemake was called, for the jobs that this process starts."""
    os.environ.setdefault(_COMMAND, json.dumps(_as_typed(list(sys.argv if arguments is None else arguments))))


def dropped_options(arguments: Sequence[str] | None = None) -> str | None:
    """Say which configuration Snakemake drops of a command line that names some twice; None if it drops none.

    Of two ``--configfile`` or ``--config`` flags it takes the last alone.
    """
    words = _as_typed(list(sys.argv if arguments is None else arguments))
    words = words[: words.index("--")] if "--" in words else words
    for option, pattern in (("--configfile", r"--configf\w*(=.*)?"), ("--config", r"--config(=.*)?|-C.*")):
        places = [place for place, word in enumerate(words) if re.fullmatch(pattern, word, re.DOTALL)]
        if len(places) > 1:
            lost = shlex.join(words[places[0] : places[1]])
            return (
                f"{option} is given {len(places)} times: Snakemake takes the last alone and would drop {lost}; "
                f"nothing was started. Name all after one {option}, later ones winning: {option} FIRST SECOND"
            )
    return None


def command(path: str | Path) -> str:
    """Return the user's own command with what makes it make ``path`` again; outside a workflow for all targets."""
    words = [_working(word) for word in _command() if word not in _NO_WORK]
    # What follows -- are targets, and --forcerun takes all words up to there.
    place = words.index("--") if "--" in words else len(words)
    return shlex.join([*words[:place], "--forcerun", str(path), *words[place:]])


def _command() -> list[str]:
    """Return the words of the user's own command."""
    words: list[str] = json.loads(os.environ.get(_COMMAND, '["snakemake"]'))
    return words


def _working(word: str) -> str:
    """Return an option, or several short ones in one word, without -n."""
    return word.replace("n", "", 1) if re.fullmatch(r"-[npFRq]{2,}", word) else word


def message(error: UserError) -> str:
    """Return what to say of an error."""
    if not isinstance(error, UnreadableError):
        return str(error)
    if any(Path(word).name == "redraw.smk" for word in _command()):
        return f"{error}; nothing is made from the start here: take it from the archive, or from version control, again"
    return f"{error}; run: {command(error.made_with)}"


def _as_typed(arguments: list[str]) -> list[str]:
    program = Path(arguments[0])
    if program.name == "__main__.py" and program.parent.name == "snakemake":
        return [_shortened(Path(sys.executable)), "-m", "snakemake", *arguments[1:]]
    if program.name == "snakemake":
        return [_shortened(program), *arguments[1:]]
    return ["snakemake"]  # through its API


def _shortened(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
