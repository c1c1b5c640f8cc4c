"""Directories that were read of a filesystem, kept as far as there is room for their names."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

MOST_NAMES = 100_000


class _Directory(Protocol):
    @property
    def names(self) -> Mapping[bytes, int]: ...


D = TypeVar("D", bound=_Directory)


@dataclass(slots=True)
class KeptDirectories(Generic[D]):
    """By inode number; the ones that were kept first go first."""

    _kept: dict[int, D] = field(init=False, default_factory=dict)
    _names: int = field(init=False, default=0)

    def __contains__(self, number: int) -> bool:
        return number in self._kept

    def get(self, number: int) -> D | None:
        """A directory that is kept."""
        return self._kept.get(number)

    def items(self) -> ItemsView[int, D]:
        """All that are kept, by their numbers."""
        return self._kept.items()

    def keep(self, number: int, directory: D) -> None:
        """Keep one that is not kept yet."""
        while self._kept and self._names + len(directory.names) > MOST_NAMES:
            self._names -= len(self._kept.pop(next(iter(self._kept))).names)
        self._kept[number] = directory
        self._names += len(directory.names)
