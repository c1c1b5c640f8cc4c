"""Every name of a btrfs subvolume, and of those nested in it, with all its times, in one walk.

Source: Linux include/uapi/linux/btrfs_tree.h (struct btrfs_inode_item).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from guestrepair.formats.btrfs_items import DIRECTORY, SYMLINK, Inode
from guestrepair.formats.btrfs_tree import BtrfsTree
from guestrepair.formats.file_attributes import Found, Unsure

_SECOND = 1_000_000_000
_MAX_DEPTH = 4096
"""Of bytes in a path: a kernel takes no longer one."""


def records(tree: BtrfsTree, beyond: Collection[bytes] = ()) -> Iterator[Found | Unsure]:
    """All names; what lies below the paths ``beyond`` is left out.

    Raises:
        Whatever reading the device raises.
    """
    outside, seen = frozenset(beyond), {tree.root}
    pending = [(b"", tree.root)]
    while pending:
        path, number = pending.pop()
        held = _held(tree, path, number)
        if held is None:
            yield Unsure(path)
            continue
        for found, reached in held:
            yield found
            # A directory is entered once: a damaged filesystem may lead in circles.
            if found.mode & 0xF000 == DIRECTORY and found.path not in outside and reached not in seen:
                seen.add(reached)
                pending.append((found.path, reached))


def _held(tree: BtrfsTree, path: bytes, number: int) -> list[tuple[Found, int]] | None:
    """What a directory holds, with the number of each; None when one of it is not certain."""
    names = tree.names(number) if len(path) < _MAX_DEPTH else None
    if names is None:
        return None
    prefix = path + b"/" if path else b""
    held: list[tuple[Found, int]] = []
    for name, reached in names.items():
        inode = tree.inode(reached)
        if inode is None or (inode.kind == DIRECTORY and tree.parent(reached) != number):
            return None
        target = tree.link_target(reached) if inode.kind == SYMLINK else b""
        if target is None:
            return None
        held.append((_found(prefix + name, reached & (1 << 64) - 1, inode, target), reached))
    return held


def _found(path: bytes, number: int, inode: Inode, target: bytes) -> Found:
    created = inode.otime * _SECOND + inode.otime_ns
    return Found(
        path,
        number,
        inode.mode,
        inode.uid,
        inode.gid,
        inode.size,
        inode.atime * _SECOND + inode.atime_ns,
        inode.mtime * _SECOND + inode.mtime_ns,
        inode.ctime * _SECOND + inode.ctime_ns,
        created or None,
        None,
        target,
        deleted=False,
        reallocated=False,
    )
