"""How the time is shared out over the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from replication.alone.clock import Clock
from replication.alone.work import Work
from replication.configuration import Run


def in_turn(runs: Iterable[Sequence[Run]]) -> list[Run]:
    """Return the runs of experiments, each given in order, the first of each before the second of any.

    A figure shows the first.
    """
    numbered = [(number, run) for of_experiment in runs for number, run in enumerate(of_experiment)]
    return [
        run
        for _, group in groupby(sorted(numbered, key=lambda pair: pair[0]), lambda pair: pair[0])
        for _, run in group
    ]


def advance(works: Sequence[Work], clock: Clock) -> None:
    """Work on the runs until they are done or no time is left that one of them could use.

    Each gets an equal share of the time that is left; what it does not use is for those after it, and, in the next
    round, for all that are not done. In the end each may take all that is left.

    Args:
        works: the runs, most important first.
        clock: the time there is.

    Raises:
        Stopped: a signal came.
    """
    last_round = False
    while clock.left > 0:
        waiting = [work for work in works if not work.done]
        progress = False
        for place, work in enumerate(waiting):
            shares = 1 if last_round else len(waiting) - place
            try:
                progress |= work.advance(max(clock.left, 0.0) / shares, all_for_training=last_round)
            finally:
                if len(waiting) > 1:  # making it anew can take long
                    work.release()
        if not waiting or (last_round and not progress):
            return
        last_round = not progress
