"""Which points of a run say most if nothing follows."""

from __future__ import annotations

from collections import deque


def most_telling_first(count: int) -> list[int]:
    """Return ``0 .. count - 1`` with the first, the last, the middle, then the middles of what lies between.

    So whenever it is left, the gaps between the points are about equal: at most two to one but for rounding.

    >>> most_telling_first(9)
    [0, 8, 4, 2, 6, 1, 3, 5, 7]
    >>> [most_telling_first(count) for count in range(4)]
    [[], [0], [0, 1], [0, 2, 1]]
    """
    order = list(dict.fromkeys([0, count - 1])) if count else []
    gaps = deque([(0, count - 1)])
    while gaps:
        low, high = gaps.popleft()
        middle = (low + high) // 2
        if low < middle:
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order
