"""The filesystems that the host can read by itself, and what each has to answer for that.

Another one is a module in ``formats/`` and an entry in :data:`FILESYSTEMS`. Its answers are given out as
facts about the guest, so a reader answers only what is certain: checksums verified, nothing waiting in
a journal, no feature that is not known. For everything else its answer is None, and the appliance is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self

from guestrepair.formats import ext_tree
from guestrepair.formats.extents import Layout
from guestrepair.formats.fat_tree import open_tree as open_fat
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.superblock.fat import root_names
from guestrepair.formats.superblock.model import Read


class ReadableFilesystem(Protocol):
    """Files by their inode numbers. None: not certain. Each method raises what reading the device raises."""

    @property
    def root(self) -> int:
        """The inode number of the top directory."""
        ...

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out.

        What is asked of the mapping is looked up as the kernel looks it up: where that is not by the exact
        bytes (FAT), the mapping finds more spellings than it lists.
        """
        ...

    def parent(self, directory: int) -> int | None:
        """The inode number that a directory's ``..`` stands for."""
        ...

    def attributes(self, number: int) -> Attributes | None:
        """What an inode in use says."""
        ...

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        """The extended attributes of an inode in use, by whole names, as root's getxattr(2) gives them."""
        ...

    def link_target(self, number: int) -> bytes | None:
        """Where a symbolic link leads, empty for what is none."""
        ...

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies on the device; None, too, where it does not."""
        ...

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file that has no layout (packed, or to be verified), short at its end."""
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

    def space(self) -> Space | None:
        """What statfs(2) says once it is mounted read-only, without options, by the appliance's kernel.

        To the byte as that kernel counts (what it takes for its own structures, keeps for root or holds
        back): rules compare the numbers with limits, and they are the same whoever was asked. None: not
        certain, for instance where two copies of a counter differ, or kernels count differently. A reader
        that does not count always answers None.
        """
        ...

    def adopt(self, former: Self, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep what another reader of the same device has found, where its bytes did not change since."""
        ...


Opener = Callable[[Read, int], ReadableFilesystem]
"""Opens what a function reads, on a device of so many bytes."""

TopNames = Callable[[Read, int], Sequence[str] | None]
"""The names in the top directory alone; None: not certain."""


def _open_xfs(read: Read, size_bytes: int) -> ReadableFilesystem:
    from guestrepair.formats.xfs_tree import open_tree as opened  # where there is one: it takes milliseconds

    return opened(read, size_bytes)


def _open_btrfs(read: Read, size_bytes: int) -> ReadableFilesystem:
    from guestrepair.formats.btrfs_tree import open_tree as opened  # as of XFS

    return opened(read, size_bytes)


def _open_subvolume(tree: ReadableFilesystem, path: str) -> ReadableFilesystem:
    from guestrepair.formats.btrfs_tree import open_subvolume as opened  # as of XFS

    return opened(tree, path)


FILESYSTEMS: Mapping[str, Opener] = MappingProxyType(
    {
        **dict.fromkeys(("ext2", "ext3", "ext4"), ext_tree.open_tree),
        "btrfs": _open_btrfs,
        "vfat": open_fat,
        "xfs": _open_xfs,
    }
)
"""By content as blkid(8) calls it."""

SUBVOLUMES: Mapping[str, Callable[[ReadableFilesystem, str], ReadableFilesystem]] = MappingProxyType(
    {"btrfs": _open_subvolume}
)
"""What opens another of several trees by its path, of a filesystem that is open. In a number that such a tree
gives, what stands above 64 bits tells in which tree below the opened one a file lies; 0: in itself."""

TOP_NAMES: Mapping[str, TopNames] = MappingProxyType({"vfat": root_names})
"""Of filesystems of which no more than that is certain."""
