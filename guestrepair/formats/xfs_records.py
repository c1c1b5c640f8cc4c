"""Every name of an XFS filesystem with what its inode says, in one walk.

A directory in which something is not certain is named and left out with all that lies below it: whoever
asks has it from elsewhere. Of deleted files nothing is kept that could be believed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from guestrepair.formats.file_attributes import Found, Unsure
from guestrepair.formats.xfs_accepted import DIRECTORY, SYMLINK, Inode, times_of
from guestrepair.formats.xfs_tree import Tree

_MAX_DEPTH = 4096
"""Of bytes in a path: a kernel takes no longer one."""


def records(tree: Tree, beyond: Collection[bytes] = ()) -> Iterator[Found | Unsure]:
    """All names; what lies below the paths ``beyond`` is left out.

    Raises:
        Whatever reading the device raises.
    """
    outside, seen, pending = frozenset(beyond), {tree.root}, [(b"", tree.root)]
    while pending:
        path, number = pending.pop()
        found = _of_directory(tree, path, number)
        if found is None:
            yield Unsure(path)
            continue
        yield from found
        for each in found:
            # A directory is entered once: a damaged filesystem may lead in circles.
            if each.mode & 0xF000 == DIRECTORY and each.inode not in seen and each.path not in outside:
                seen.add(each.inode)
                pending.append((each.path, each.inode))


def _of_directory(tree: Tree, path: bytes, number: int) -> list[Found] | None:
    names = tree.names(number) if len(path) < _MAX_DEPTH else None
    if names is None:
        return None
    prefix, found = path + b"/" if path else b"", list[Found]()
    for name, target in names.items():
        inode = tree.inodes.inode(target)
        link = b"" if inode is None or inode.kind != SYMLINK else tree.link_target(target)
        if inode is None or link is None:
            return None
        if inode.kind == DIRECTORY and tree.parent(target) != number:
            return None
        found.append(_found(prefix + name, target, inode, link))
    return found


def _found(path: bytes, number: int, inode: Inode, target: bytes) -> Found:
    return Found(
        path, number, inode.mode, inode.uid, inode.gid, inode.size,
        *times_of(inode), None, target, deleted=False, reallocated=False,
    )  # fmt: skip
