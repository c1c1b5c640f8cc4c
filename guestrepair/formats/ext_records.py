"""Every name of an ext4 filesystem with what its inode says, and what is left of deleted ones.

In one walk: directories as they lie, inodes from their tables. Unlike the rest of what is read here, an inode
is taken as it stands, whether or not its checksum is right: this is a record, and no basis for a repair.

Source: Documentation/filesystems/ext4 (inodes.rst, directory.rst, group_descr.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from guestrepair.formats.ext_accepted import DIRECTORY, FAST_LINK_BYTES, FLAG_EXTENTS, FLAG_INDEX, SYMLINK
from guestrepair.formats.ext_tree import ROOT_INODE, Tree, deleted_entries, parse_block
from guestrepair.formats.file_attributes import Found, Unsure

ORPHANS = b"$OrphanFiles"
"""The Sleuth Kit's name of a directory that is none: deleted files whose names are not known."""

_INODE = struct.Struct("<HHIiiiIHHII4x60s8xI8xHH")
_EXTRA = struct.Struct("<H2xIIIiI")
_SECOND = 1_000_000_000
_MAX_DEPTH = 4096
"""Of bytes in a path: a kernel takes no longer one."""


def records(tree: Tree, beyond: Collection[bytes] = ()) -> Iterator[Found | Unsure]:
    """All names, and those deleted; what lies below the paths ``beyond`` is left out.

    Raises:
        Whatever reading the device raises.
    """
    walk = _Walk(tree, frozenset(beyond))
    yield from walk.names()
    yield from walk.orphans()


class _Walk:
    def __init__(self, tree: Tree, beyond: frozenset[bytes]) -> None:
        self._tree = tree
        self._inodes = tree.inodes
        self._beyond = beyond
        self._seen: dict[int, bytearray] = {}

    def names(self) -> Iterator[Found | Unsure]:
        pending = [(b"", ROOT_INODE)]
        self._mark(ROOT_INODE)
        while pending:
            path, number = pending.pop()
            for found in self._of_directory(path, number):
                yield found
                if isinstance(found, Unsure) or found.deleted or found.mode & 0xF000 != DIRECTORY:
                    continue
                # A directory is entered once: a damaged filesystem may lead in circles.
                if self._mark(found.inode) and found.path not in self._beyond:
                    pending.append((found.path, found.inode))

    def _of_directory(self, path: bytes, number: int) -> Iterator[Found | Unsure]:
        blocks = self._tree.blocks(number) if len(path) < _MAX_DEPTH else None
        names: dict[bytes, int] = {}
        if blocks is None or not all(parse_block(block, self._inodes.count, names) for block in blocks):
            yield Unsure(path)
            return
        prefix = path + b"/" if path else b""
        for name, inode in names.items():
            found = self._found(prefix + name, inode)
            if found is not None:
                if found.mode & 0xF000 != DIRECTORY:
                    self._mark(inode)
                yield found
        gone: set[tuple[bytes, int]] = set()
        for block in self._leaves(number, blocks):
            for name, inode in deleted_entries(block, self._inodes.count):
                if names.get(name) == inode or (name, inode) in gone:
                    continue  # an older place of the same entry
                gone.add((name, inode))
                found = self._found(prefix + name, inode, deleted=True)
                if found is not None:
                    yield found

    def _leaves(self, number: int, blocks: list[bytes]) -> Iterator[bytes]:
        """The blocks that hold names: not those of the hash tree, whose numbers may look like some."""
        (flags,) = struct.unpack_from("<I", self._inodes.bytes_of(number), 32)
        for index, block in enumerate(blocks):
            is_node = block[:4] == bytes(4) and int.from_bytes(block[4:6], "little") >= len(block) & 0xFFFF
            if not (flags & FLAG_INDEX and (index == 0 or is_node)):
                yield block

    def orphans(self) -> Iterator[Found]:
        """Inodes that were freed and whose names are gone, in a directory of The Sleuth Kit's name."""
        nothing = (None, None, None, None, None)
        yield Found(
            ORPHANS, self._inodes.count + 1, 0, 0, 0, 0, *nothing, b"", deleted=False, reallocated=False
        )
        for numbers in self._inodes.used():
            for number in numbers:
                if number < 11 or self._is_marked(number):
                    continue
                found = self._found(ORPHANS + b"/OrphanFile-%d" % number, number, deleted=True)
                if found is not None and found.deleted_at and not found.reallocated:
                    yield found

    def _found(self, path: bytes, number: int, *, deleted: bool = False) -> Found | None:
        found = found_of(path, number, self._inodes.bytes_of(number), deleted=deleted)
        if found is not None and found.deleted_at is not None and deleted:
            self._mark(number)
        return found

    def _mark(self, number: int) -> bool:
        """Whether it is met for the first time."""
        page, bit = divmod(number, 32_768)
        bits = self._seen.get(page)
        if bits is None:
            bits = self._seen[page] = bytearray(4096)
        is_new = not bits[bit >> 3] >> (bit & 7) & 1
        bits[bit >> 3] |= 1 << (bit & 7)
        return is_new

    def _is_marked(self, number: int) -> bool:
        bits = self._seen.get(number // 32_768)
        return bits is not None and bool(bits[number % 32_768 >> 3] >> (number & 7) & 1)


def found_of(path: bytes, number: int, data: bytes, *, deleted: bool = False) -> Found | None:
    """A name with the bytes of its inode; of a deleted name, with whatever the inode is now."""
    if len(data) < 128:
        return None
    (
        mode, uid, size, accessed, changed, modified, dtime, gid, links, _, flags, places, size_high,
        uid_high, gid_high,
    ) = _INODE.unpack_from(data)  # fmt: skip
    if not mode:
        return None
    created = None
    times = accessed * _SECOND, modified * _SECOND, changed * _SECOND
    if len(data) >= 128 + _EXTRA.size:
        extra, ctime_x, mtime_x, atime_x, crtime, crtime_x = _EXTRA.unpack_from(data, 128)
        if extra >= 16:
            times = _wide(accessed, atime_x), _wide(modified, mtime_x), _wide(changed, ctime_x)
        if extra >= 24:
            created = _wide(crtime, crtime_x)
    is_free = not links and dtime > 0
    kind = mode & 0xF000
    is_fast = kind == SYMLINK and size < FAST_LINK_BYTES and not flags & FLAG_EXTENTS
    wide = size_high << 32 if kind == 0x8000 else 0
    return Found(
        path, number, mode, uid | uid_high << 16, gid | gid_high << 16, size | wide, *times, created,
        dtime * _SECOND if is_free else None, places[:size] if is_fast else b"",
        deleted, deleted and not is_free,
    )  # fmt: skip


def _wide(seconds: int, extra: int) -> int:
    """A time with its nanoseconds, and the two bits that carry it beyond 2038."""
    nanoseconds = extra >> 2
    return (seconds + ((extra & 3) << 32)) * _SECOND + (nanoseconds if nanoseconds < _SECOND else 0)
