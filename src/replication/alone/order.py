"""Which points of a run say most if nothing follows."""

from __future__ import annotations

import heapq


def most_telling_first(count: int) -> list[int]:
    """Return ``0 .. count - 1`` with the first, the last, then always the middle of the largest gap that is left.

    So whenever it is broken off, the largest gap is at most twice the smallest, and one.

    >>> most_telling_first(9)
    [0, 8, 4, 2, 6, 1, 3, 5, 7]
    >>> [most_telling_first(count) for count in range(4)]
    [[], [0], [0, 1], [0, 2, 1]]
    """
    order = list(dict.fromkeys([0, count - 1])) if count else []
    gaps = [(1 - count, 0)]  # minus their width, and where they begin
    while -gaps[0][0] > 1:
        width, low = heapq.heappop(gaps)
        half = -width // 2
        order.append(low + half)
        heapq.heappush(gaps, (-half, low))
        heapq.heappush(gaps, (width + half, low + half))
    return order
