"""Sets of whole numbers (addresses, ports, protocols) as sorted intervals that do not overlap."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple


class Intervals(NamedTuple):
    """Closed intervals, sorted, without overlap."""

    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, spans: Iterable[tuple[int, int]]) -> Intervals:
        """The union of closed intervals; an empty one (its end before its start) counts for nothing."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(span for span in spans if span[0] <= span[1]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def one(cls, value: int) -> Intervals:
        """The set of one number."""
        return cls(((value, value),))

    @classmethod
    def network(cls, text: str) -> Intervals:
        """All addresses of a network (or the one address).

        Raises:
            ValueError: it is none.
        """
        network = ipaddress.ip_network(text, strict=False)
        return cls(((int(network.network_address), int(network.broadcast_address)),))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(last - first + 1 for first, last in self.spans)

    def __and__(self, other: Intervals) -> Intervals:
        found, left, right = [], 0, 0
        while left < len(self.spans) and right < len(other.spans):
            mine, theirs = self.spans[left], other.spans[right]
            if max(mine[0], theirs[0]) <= min(mine[1], theirs[1]):
                found.append((max(mine[0], theirs[0]), min(mine[1], theirs[1])))
            left, right = (left + 1, right) if mine[1] < theirs[1] else (left, right + 1)
        return Intervals(tuple(found))

    def __or__(self, other: Intervals) -> Intervals:
        return Intervals.of((*self.spans, *other.spans))
