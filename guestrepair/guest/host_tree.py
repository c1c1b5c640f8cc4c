"""Metadata read on the host: what a directory of the guest holds, from the disk's own bytes.

Under emulation a scan's many thousand questions to the appliance take seconds. For ext4 on a
partition or a whole disk the host finds the answers itself (:mod:`guestrepair.formats.ext_tree`).
It answers only what it is certain of; every other question, and every name that it does not find,
goes to the appliance as before, so nothing is called missing on the host's word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from guestrepair.disk.device import open_shared
from guestrepair.errors import GuestReadError, ImageError
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Attributes, Tree
from guestrepair.guest.hashing import Place, read_within
from guestrepair.guest.view import Stat


@dataclass(slots=True)
class HostTree:
    """The ext4 filesystems of a mounted guest, by device number (st_dev).

    ``flush`` makes the appliance write out what it holds; it is called once before the first read.
    ``mounted`` are the real paths that something is mounted on: the appliance answers for them.
    """

    places: Mapping[int, Place]
    mounted: frozenset[str]
    flush: Callable[[], None]
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _trees: dict[int, Tree | None] = field(init=False, default_factory=dict)

    def stats(self, top: Stat, directory: str, names: Iterable[str]) -> dict[str, Stat]:
        """Lstat of those names in a directory (whose own lstat is ``top``) that are certainly there."""
        found: dict[str, Stat] = {}
        for tree, name, number in self._numbers(top, names):
            if f"{directory.rstrip('/')}/{name}" in self.mounted:
                continue
            with self._trusted(top.device):
                attributes = tree.attributes(number)
                if attributes is not None:
                    found[name] = _stat(attributes, top.device)
        return found

    def listing(self, top: Stat) -> tuple[str, ...] | None:
        """All names in a directory, unsorted; None when that is not certain."""
        _, inside = self._look(top)
        return None if inside is None else tuple(name.decode(errors="surrogateescape") for name in inside)

    def targets(self, top: Stat, names: Iterable[str]) -> dict[str, str]:
        """Where those names lead that are certainly short symbolic links; "" for what is certainly none."""
        found: dict[str, str] = {}
        for tree, name, number in self._numbers(top, names):
            with self._trusted(top.device):
                target = tree.link_target(number)
                if target is not None:
                    found[name] = target.decode(errors="surrogateescape")
        return found

    def close(self) -> None:
        """Let the disks go: what is read from now on is asked of the appliance."""
        self._trees = dict.fromkeys(self.places)
        self._stack.close()

    def _numbers(self, top: Stat, names: Iterable[str]) -> Iterator[tuple[Tree, str, int]]:
        """The tree, and each of the names that stands in the directory, with its inode number."""
        tree, inside = self._look(top)
        if tree is None or inside is None:
            return
        for name in names:
            number = inside.get(name.encode(errors="surrogateescape"))
            if number is not None:
                yield tree, name, number

    def _look(self, top: Stat) -> tuple[Tree | None, Mapping[bytes, int] | None]:
        tree = self._tree(top.device)
        if tree is None or not top.is_directory:
            return None, None
        inside = None
        with self._trusted(top.device):
            inside = tree.names(top.inode)
        return tree, inside

    def _tree(self, device: int) -> Tree | None:
        if device not in self._trees:
            self._trees[device] = None
            place = self.places.get(device)
            if place is not None and place.content == "ext4":
                with contextlib.suppress(ImageError, GuestReadError):
                    self.flush()
                    disk = self._stack.enter_context(open_shared(place.overlay))
                    self._trees[device] = Tree(Inodes(partial(read_within, disk, place)))
        return self._trees[device]

    @contextlib.contextmanager
    def _trusted(self, device: int) -> Iterator[None]:
        """A filesystem that cannot be read here is not asked again."""
        try:
            yield
        except ImageError:
            self._trees[device] = None


def _stat(found: Attributes, device: int) -> Stat:
    return Stat(
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        size_bytes=found.size_bytes,
        mtime=found.mtime,
        inode=found.inode,
        links=found.links,
        device=device,
        ctime=found.ctime,
    )
