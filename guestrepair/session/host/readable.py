"""The filesystems that the host can read by itself, and what each has to answer for that.

Another one is a module in ``formats/`` and an entry in :data:`FILESYSTEMS`. Its answers are given out as
facts about the guest, so a reader answers only what is certain: checksums verified, nothing waiting in
a journal, no feature that is not known. For everything else its answer is None, and the appliance is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self

from guestrepair.formats.ext_tree import open_tree
from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Unsure
from guestrepair.formats.superblock.fat import root_names
from guestrepair.formats.superblock.model import Read


class ReadableFilesystem(Protocol):
    """Files by their inode numbers. None: not certain. Each method raises what reading the device raises."""

    @property
    def root(self) -> int:
        """The inode number of the top directory."""
        ...

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out."""
        ...

    def parent(self, directory: int) -> int | None:
        """The inode number that a directory's ``..`` stands for."""
        ...

    def attributes(self, number: int) -> Attributes | None:
        """What an inode in use says."""
        ...

    def has_xattrs(self, number: int) -> bool | None:
        """Whether an inode in use has extended attributes."""
        ...

    def link_target(self, number: int) -> bytes | None:
        """Where a symbolic link leads, empty for what is none."""
        ...

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies on the device."""
        ...

    def deletion_times(
        self, directory: int, wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        """When those names went that a directory still holds traces of; seconds since the epoch."""
        ...

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        """Every name with all its times, and what is left of deleted ones; not what lies below ``beyond``."""
        ...

    def former_files(self) -> Iterator[Former]:
        """Deleted files as its journal still has them."""
        ...

    def adopt(self, former: Self, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep what another reader of the same device has found, where its bytes did not change since."""
        ...


Opener = Callable[[Read, int], ReadableFilesystem]
"""Opens what a function reads, on a device of so many bytes."""

TopNames = Callable[[Read, int], Sequence[str] | None]
"""The names in the top directory alone; None: not certain."""

FILESYSTEMS: Mapping[str, Opener] = MappingProxyType(dict.fromkeys(("ext2", "ext3", "ext4"), open_tree))
"""By content as blkid(8) calls it."""

TOP_NAMES: Mapping[str, TopNames] = MappingProxyType({"vfat": root_names})
"""Of filesystems of which no more than that is read here."""
