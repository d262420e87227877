"""The time that there is, and being told to stop: both end long work from within, between two evaluations of a loss."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TimeIsUp(Exception):  # noqa: N818 - not an error: work that has to wait
    """The time that was allotted to a piece of work is used up."""


class Stopped(Exception):  # noqa: N818 - not an error: what the user asked for
    """The process was told to end; ``signal`` says how."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class Clock:
    """The seconds that are left, all in all and for the work at hand.

    >>> Clock(60).left <= 60
    True
    >>> clock = Clock(60)
    >>> with clock.allotting(1e-9):
    ...     try:
    ...         clock.check()
    ...     except TimeIsUp:
    ...         print("the time is up")
    the time is up
    >>> clock.check()  # for other work there still is some
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._end = self._limit = time.monotonic() + seconds
        self._signal: int | None = None

    @property
    def left(self) -> float:
        """Seconds until all has to end."""
        return self._end - time.monotonic()

    @contextmanager
    def allotting(self, seconds: float) -> Iterator[None]:
        """Give what is done in the block so many seconds, and no more than there are."""
        before = self._limit
        self._limit = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._limit = before

    @contextmanager
    def reserving(self, seconds: float) -> Iterator[None]:
        """Keep so many of the last seconds from what is done in the block."""
        end, limit = self._end, self._limit
        self._end, self._limit = end - seconds, limit - seconds
        try:
            yield
        finally:
            self._end, self._limit = end, limit

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM in the block for the wish to end soon; the second one ends the process at once."""
        before = {number: signal.signal(number, self._told) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: object) -> None:
        self._signal = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        print(f"told to end by {signal.Signals(number).name}: after this gradient; once more ends at once", flush=True)

    def check(self) -> None:
        """Return where there is time.

        Raises:
            Stopped: a signal came.
            TimeIsUp: no time is left for the work at hand.
        """
        self.heed_signals()
        if time.monotonic() > self._limit:
            raise TimeIsUp

    def heed_signals(self) -> None:
        """Return unless a signal came, which raises ``Stopped``."""
        if self._signal is not None:
            raise Stopped(self._signal)

    def watching(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a loss that looks at the clock first, and again whenever it is differentiated.

        A Hessian-vector product does so without another call of the loss.
        """

        def watched(w: Any) -> Any:
            self.check()
            if getattr(w, "requires_grad", False):
                w.register_hook(lambda gradient: self.check())
            return function(w)

        return watched
