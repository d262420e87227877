"""Progress bars for long work: one line redrawn in a terminal, one line now and then in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LOG_LINES = 10


class _Lines:
    """A log file shown a line per update, where a terminal would redraw the bar in place."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            self._file.write(text + "\n")

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def bar(total: float, description: str, *, counted: bool = True, done: float = 0) -> Iterator[tqdm[Any]]:
    """Yield a tqdm bar on standard error; ``bar.set_postfix_str`` shows the loss beside the expected time left.

    ``counted`` bars show the steps done and their rate, others the share done alone. ``done`` is where it begins.
    """
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        initial=done,
        desc=description,
        unit="step",
        bar_format=None if counted else "{desc}: {percentage:5.1f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
        file=sys.stderr if terminal else _Lines(sys.stderr),
        miniters=0,
        mininterval=0.2 if terminal else SECONDS_BETWEEN_LOG_LINES,
        maxinterval=SECONDS_BETWEEN_LOG_LINES,
        dynamic_ncols=terminal,
        ncols=None if terminal else 110,
    ) as shown:
        yield shown
