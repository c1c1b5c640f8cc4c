"""A guest of mapped files, held in memory: for unit tests, and for trying an analyzer out.

It resolves links, globs and fails as the real one does, since all that is
built in :class:`guestrepair.guest.view.Guest`.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import stat as stat_module
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath


@dataclass(slots=True)
class Node:
    """One file of the in-memory guest; ``unreadable`` makes every look at it fail with that reason.

    ``damaged`` is why nothing of it can be had though its directory lists it.
    """

    mode: int
    content: bytes = b""
    target: str = ""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size_bytes: int | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    unreadable: str = ""
    damaged: str = ""


@functools.lru_cache(maxsize=4096)
def _stat(mode: int, uid: int, gid: int, size_bytes: int, mtime: int) -> Stat:
    """What many files have alike is made once: analyzers ask hundreds of times for each guest."""
    return Stat(mode, uid, gid, size_bytes, mtime)


class MemoryGuest(Guest):
    """A guest whose files are added by :meth:`file`, :meth:`directory`, :meth:`link` and :meth:`special`.

    Parents are made as 0755 root:root directories where they lack.
    """

    def __init__(
        self,
        *,
        os: OperatingSystem | None = None,
        block: BlockDevices | None = None,
        mounts: tuple[Mount, ...] = (),
    ) -> None:
        self.os = os or OperatingSystem("debian", "12", "Debian GNU/Linux 12", "x86_64", "deb", "guest")
        self.block = block or BlockDevices()
        self.mounts = mounts
        self.nodes: dict[GuestPath, Node] = {GuestPath("/"): Node(stat_module.S_IFDIR | 0o755)}
        self.devices: dict[str, bytes] = {}
        self.usages: dict[str, FilesystemUsage] = {}
        self.top_names: dict[str, tuple[str, ...]] = {}
        self.volumes: dict[str, dict[str, bytes]] = {}
        """Files of filesystems that are not mounted, by device and path."""
        self.checks: dict[str, CheckResult] = {}
        self.stored: dict[str, list[tuple[int, int]]] = {}
        """What the images keep: (offset, size) of each part in bytes, by disk."""
        self.deleted: dict[str, int] = {}
        self._damage: dict[str, str] = {}

    # --- building -------------------------------------------------------------

    def _add(self, path: str, node: Node) -> Node:
        where = GuestPath(path)
        for parent in list(where.parents)[::-1]:
            self.nodes.setdefault(parent, Node(stat_module.S_IFDIR | 0o755))
        self.nodes[where] = node
        return node

    def file(
        self, path: str, content: bytes | str = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0
    ) -> Node:
        """Add a regular file; text is stored as UTF-8."""
        data = content.encode() if isinstance(content, str) else content
        return self._add(path, Node(stat_module.S_IFREG | mode, data, uid=uid, gid=gid))

    def directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Node:
        """Add a directory."""
        return self._add(path, Node(stat_module.S_IFDIR | mode, uid=uid, gid=gid))

    def link(self, path: str, target: str) -> Node:
        """Add a symbolic link."""
        return self._add(path, Node(stat_module.S_IFLNK | 0o777, target=target))

    def special(self, path: str, file_type: int, *, mode: int = 0o644) -> Node:
        """Add a FIFO, socket or device node (``stat.S_IFIFO`` and its like)."""
        return self._add(path, Node(file_type | mode))

    def remove(self, path: str) -> None:
        """Take a path and everything under it away."""
        gone = GuestPath(path)
        for known in [p for p in self.nodes if p == gone or gone in p.parents]:
            del self.nodes[known]

    # --- primitives -----------------------------------------------------------

    @property
    def damage(self) -> Mapping[str, str]:
        """See :attr:`Guest.damage`."""
        return dict(self._damage)

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """See :meth:`Guest.lstat_many`."""
        return {path: self._lstat_one(path) for path in paths}

    def lstat(self, path: GuestPath) -> Stat | None:
        """See :meth:`Guest.lstat`."""
        return self._lstat_one(path)

    def _lstat_one(self, path: GuestPath) -> Stat | None:
        node = self._node(path)
        if node is None:
            return None
        if node.unreadable:
            raise GuestReadError(path, node.unreadable)
        if node.damaged:
            self._damage[str(path)] = node.damaged
            return None
        size = len(node.content) if node.size_bytes is None else node.size_bytes
        return _stat(node.mode, node.uid, node.gid, len(node.target) or size, node.mtime)

    def _node(self, path: GuestPath) -> Node | None:
        exact = self.nodes.get(path)
        if exact is not None:
            return exact
        # As the kernel does for lstat(2): the parents' links are followed, the last one is not.
        parent = path.parent
        known = self.nodes.get(parent)
        if known is not None and stat_module.S_ISDIR(known.mode):
            return None
        resolved = None if parent == path else self.resolve(parent)
        return None if resolved is None else self.nodes.get(resolved / path.name)

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """See :meth:`Guest.listdir`."""
        where = self.resolve(path)
        node = None if where is None else self.nodes[where]
        if where is None or node is None or not stat_module.S_ISDIR(node.mode):
            raise GuestReadError(path, "not a directory" if node else "no such directory")
        above = where.parts
        inside = (p.parts for p in self.nodes if len(p.parts) == len(above) + 1)
        return tuple(sorted(parts[-1] for parts in inside if parts[:-1] == above))

    def readlink(self, path: GuestPath) -> str:
        """See :meth:`Guest.readlink`."""
        node = self._node(path)
        if node is None or not stat_module.S_ISLNK(node.mode):
            raise GuestReadError(path, "not a symbolic link")
        return node.target

    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_range`."""
        node = self._node(path)
        if node is None or not stat_module.S_ISREG(node.mode):
            raise GuestReadError(path, "not a regular file")
        return node.content[offset_bytes : offset_bytes + size_bytes]

    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """See :meth:`Guest.read_tree`."""
        where = self.resolve(path)
        if where is None or not self.is_directory(where):
            raise GuestReadError(path, "not a directory")
        inside = {
            p: n
            for p, n in self.nodes.items()
            if where in p.parents
            and stat_module.S_ISREG(n.mode)
            and not any(fnmatch.fnmatchcase(p.name, pattern) for pattern in exclude)
        }
        for p, n in inside.items():
            if n.unreadable:
                raise GuestReadError(p, n.unreadable)
        found = {str(p.relative_to(where)): n.content for p, n in inside.items()}
        if sum(map(len, found.values())) > limit_bytes:
            raise GuestReadError(path, f"more than the {limit_bytes} bytes that are read")
        return found

    def digests(
        self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.digests`."""
        answer = {}
        for path in paths:
            node = self._node(path)
            if node is not None and stat_module.S_ISREG(node.mode) and not node.unreadable:
                answer[path] = hashlib.new(algorithm, node.content).hexdigest()
        return answer

    def xattr(self, path: GuestPath, name: str) -> bytes:
        """See :meth:`Guest.xattr`."""
        node = self._node(path)
        return b"" if node is None else node.xattrs.get(name, b"")

    def xattrs(self, path: GuestPath) -> Mapping[str, bytes]:
        """See :meth:`Guest.xattrs`."""
        node = self._node(path)
        return {} if node is None else dict(node.xattrs)

    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_device`."""
        if device not in self.devices:
            raise GuestReadError(device, "no such device")
        return self.devices[device][offset_bytes : offset_bytes + size_bytes]

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """See :meth:`Guest.stored_bytes`."""
        if disk not in self.stored:
            return super().stored_bytes(disk, offset_bytes, size_bytes)
        end = offset_bytes + size_bytes
        return sum(max(0, min(at + n, end) - max(at, offset_bytes)) for at, n in self.stored[disk])

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Guest.usage`."""
        if target not in self.usages:
            raise GuestReadError(target, "nothing is mounted there")
        return self.usages[target]

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`Guest.peek`."""
        if device not in self.top_names:
            raise GuestReadError(device, "cannot be mounted")
        return self.top_names[device]

    def peek_file(self, device: str, path: str, *, limit_bytes: int) -> bytes | None:
        """See :meth:`Guest.peek_file`."""
        if device not in self.volumes:
            raise GuestReadError(device, "cannot be mounted")
        found = self.volumes[device].get(path)
        if found is not None and len(found) > limit_bytes:
            raise GuestReadError(f"{device}: {path}", f"larger than {limit_bytes} bytes")
        return found

    def check_filesystem(self, device: str) -> CheckResult:
        """See :meth:`Guest.check_filesystem`."""
        if device not in self.checks:
            raise GuestReadError(device, "no checker for it")
        return self.checks[device]

    def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
        """See :meth:`Guest.deletion_times`."""
        return {path: self.deleted[str(path)] for path in paths if str(path) in self.deleted}
