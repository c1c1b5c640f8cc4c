"""The real guest: the read-only view of a system mounted in the appliance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NoReturn

from guestrepair.appliance.handle import Handle, reading
from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import GuestReadError
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.view import CheckResult, FilesystemUsage, Guest, Stat, is_possible
from guestrepair.model import GuestPath
from guestrepair.session.bulk import tar_files, tree_files
from guestrepair.session.discovery import read_device
from guestrepair.session.host.tree import HostTree
from guestrepair.session.metadata import Metadata
from guestrepair.session.paths import Directories

_PREAD_BYTES = 1024 * 1024
_DOWNLOAD_FROM_BYTES = 3 * 1024 * 1024
"""Below, repeated pread is faster; above, the fixed cost of a download pays off."""


class LiveGuest(Guest):
    """One system, mounted under ``prefix`` of the appliance's root.

    Links are resolved here, not by the appliance, because an absolute link
    means the guest's root and not the appliance's. Everything read is cached
    until :meth:`forget`.
    """

    def __init__(
        self, handle: Handle, prefix: str, *, block: BlockDevices, mounts: tuple[Mount, ...] = ()
    ) -> None:
        self.handle = handle
        self.prefix = prefix
        self.block = block
        self.mounts = mounts
        self.os = OperatingSystem()
        self.unmounted: tuple[tuple[str, str], ...] = ()
        self.peeker: Callable[[str], tuple[str, ...]] = _nothing_to_ask
        self.checker: Callable[[str], CheckResult] = _nothing_to_ask
        self.walker: Callable[[], Iterable[tuple[str, str, int]]] = tuple
        self.hash_files: Callable[[str, Mapping[GuestPath, Stat], bool], Mapping[GuestPath, str]] = (
            _nothing_hashed
        )
        self.device_reader: Callable[[str], Read | None] = lambda _device: None
        self._host: HostTree | None = None
        self._metadata = Metadata(handle, prefix)
        self._directories = Directories(self._metadata)

    def forget(self) -> None:
        """Drop what was cached: the filesystems have been written to, or mounted anew."""
        self._metadata = Metadata(self.handle, self.prefix, self._host)
        self._directories = Directories(self._metadata)

    def start_over(self) -> None:
        """See :meth:`Guest.start_over`; what the host still has to have confirmed is kept."""
        self.forget()
        if self._host is not None:
            self._host.disks.start_over()

    def look_on_host(self, host: HostTree) -> None:
        """From now on, let the host answer for what it is certain of."""
        self._host = host
        self.forget()

    def inside(self, path: GuestPath) -> str:
        """The appliance's path of a guest path whose parents are resolved."""
        return self._metadata.inside(path)

    def refuted(self) -> str:
        """What the host took for missing and the appliance finds, the first of it; "" when there is none.

        Raises:
            GuestReadError: the appliance cannot look.
        """
        if self._host is None:
            return ""
        asked, self._host.missing = self._host.missing, defaultdict(set)
        for directory, names in sorted(asked.items()):
            name = self._metadata.refuted(directory, sorted(names))
            if name:
                return f"{directory.rstrip('/')}/{name}"
        return ""

    # --- metadata -------------------------------------------------------------------

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """See :meth:`Guest.lstat_many`."""
        by_parent: dict[str, list[tuple[GuestPath, str]]] = defaultdict(list)
        answer: dict[GuestPath, Stat | None] = {}
        for path in paths:
            # As text: tens of thousands of paths are asked for, and a path's parent is dear to make.
            text = str(path)
            parent, _, name = text.rpartition("/")
            if not is_possible(text):
                answer[path] = None
            elif name:
                by_parent[parent or "/"].append((path, name))
            else:
                answer[path] = self._metadata.root()
        for parent, children in by_parent.items():
            directory = self._directory(GuestPath(parent))
            if directory is None:
                answer.update((path, None) for path, _ in children)
                continue
            stats = self._metadata.stats(str(directory), [name for _, name in children])
            answer.update((path, stats[name]) for path, name in children)
        return answer

    def _directory(self, path: GuestPath) -> GuestPath | None:
        """The real directory behind a path; None when it is none or not there. Cached."""
        return self._directories.reach(path)[0]

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """See :meth:`Guest.resolve`; what a directory was found to be is kept."""
        return self._directories.resolve(path)

    def resolve_parent(self, path: GuestPath) -> GuestPath | None:
        """See :meth:`Guest.resolve_parent`; what a directory was found to be is kept."""
        if not is_possible(str(path)):
            return None
        if path.name in {"", ".."}:
            return self._directory(path)
        directory = self._directory(path.parent)
        return None if directory is None else directory / path.name

    def _real(self, path: GuestPath) -> GuestPath:
        """The path with its parents' links resolved.

        Raises:
            GuestReadError: a parent is not there.
        """
        if path == path.parent:
            return path
        directory = self._directory(path.parent)
        if directory is None:
            raise GuestReadError(path, "no such file or directory")
        return directory / path.name

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """See :meth:`Guest.listdir`."""
        directory = self._directory(path)
        if directory is None:
            raise GuestReadError(path, "no such directory")
        return self._metadata.listing(str(directory))

    def readlink(self, path: GuestPath) -> str:
        """See :meth:`Guest.readlink`."""
        target = self.readlinks((path,))[path]
        if not target:
            raise GuestReadError(path, "not a symbolic link")
        return target

    def readlinks(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.readlinks`."""
        by_parent: dict[GuestPath, list[GuestPath]] = defaultdict(list)
        for path in paths:
            by_parent[path.parent].append(path)
        answer: dict[GuestPath, str] = {}
        for parent, children in by_parent.items():
            directory = self._directory(parent)
            links = (
                {}
                if directory is None
                else self._metadata.links(
                    str(directory), [child.name for child in children if is_possible(str(child))]
                )
            )
            answer.update((child, links.get(child.name, "")) for child in children)
        return answer

    def xattr(self, path: GuestPath, name: str) -> bytes:
        """See :meth:`Guest.xattr`."""
        real = self._real(path)
        stat = self.lstat(real) if self._host is not None else None
        if stat is not None and self._host is not None and self._host.has_xattrs(str(real), stat) is False:
            return b""
        with reading(self.handle, path):
            found = self.handle.lgetxattrs(self.inside(real))
        return next((_bytes(x["attrval"]) for x in found if x["attrname"] == name), b"")

    # --- content --------------------------------------------------------------------

    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_range`."""
        real = self._real(path)
        found = self.lstat(real)
        # A FIFO would block the appliance for ever, a device node would read the appliance's own devices.
        if found is None or not found.is_file:
            raise GuestReadError(path, "not a regular file")
        size_bytes = min(size_bytes, max(0, found.size_bytes - offset_bytes))
        if self._host is not None:
            content = self._host.content(str(real), found, offset_bytes, size_bytes)
            if content is not None:
                return content
        if size_bytes >= _DOWNLOAD_FROM_BYTES:
            return self._download(real, offset_bytes, size_bytes)
        pieces = []
        while size_bytes > 0:
            with reading(self.handle, path):
                piece = self.handle.pread(self.inside(real), min(size_bytes, _PREAD_BYTES), offset_bytes)
            if not piece:
                break
            pieces.append(piece)
            offset_bytes += len(piece)
            size_bytes -= len(piece)
        return b"".join(pieces)

    def _download(self, real: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """That part of the file, and no other: the next part may be asked for next."""
        with temporary_file() as out:
            with reading(self.handle, real):
                self.handle.download_offset(self.inside(real), str(out), offset_bytes, size_bytes)
            return out.read_bytes()

    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """See :meth:`Guest.read_tree`."""
        directory = self._directory(path)
        if directory is None:
            raise GuestReadError(path, "no such directory")
        if self._host is not None and self._host.filesystem(str(directory)) is not None:
            return tree_files(self, directory, exclude, limit_bytes)
        return tar_files(self.handle, self.inside(directory), path, exclude, limit_bytes)

    def digests(
        self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.digests`."""
        regular: dict[GuestPath, list[GuestPath]] = defaultdict(list)
        files: dict[GuestPath, Stat] = {}
        for path, found in self.lstat_many(paths).items():
            if found is not None and found.is_file:
                real = self._real(path)
                regular[real].append(path)
                files[real] = found
        hashed = self.hash_files(algorithm, files, through_filesystem)
        return {path: digest for real, digest in hashed.items() for path in regular[real]}

    # --- devices --------------------------------------------------------------------

    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_device`."""
        known = {d.name for d in self.block.devices} | {d.name for d in self.block.disks}
        if device not in known:
            raise GuestReadError(device, "not a device of this guest")
        read = self.device_reader(device)
        if read is not None:
            return read(offset_bytes, size_bytes)
        return read_device(self.handle, device, offset_bytes, size_bytes)

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`Guest.peek`."""
        return self.peeker(device)

    def check_filesystem(self, device: str) -> CheckResult:
        """See :meth:`Guest.check_filesystem`."""
        return self.checker(device)

    def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
        """See :meth:`Guest.deletion_times`."""
        by_directory: dict[GuestPath, list[GuestPath]] = defaultdict(list)
        for path in paths:
            directory = self._directory(path.parent) if is_possible(str(path)) else None
            if directory is not None:  # else it is gone as well: what it held went with it
                by_directory[directory].append(path)
        times: dict[GuestPath, int] = {}
        unknown: list[GuestPath] = []
        for directory, wanted in by_directory.items():
            known = self._deleted_in(directory, [path.name for path in wanted])
            if known is None:
                unknown += wanted
            else:
                times.update((path, known[path.name]) for path in wanted if path.name in known)
        walked = self._walked() if unknown else {}
        return times | {path: walked[str(path)] for path in unknown if str(path) in walked}

    def _deleted_in(self, directory: GuestPath, names: Sequence[str]) -> Mapping[str, int] | None:
        if self._host is None:
            return None
        return self._host.deletion_times(str(directory), self.lstat(directory), names)

    def _walked(self) -> Mapping[str, int]:
        """What The Sleuth Kit tells of the mounted filesystems, by guest path."""
        deleted: dict[str, int] = {}
        try:
            for target, name, when in self.walker():
                deleted[str(GuestPath(target) / name)] = when
        except GuestReadError:
            return deleted  # a filesystem that The Sleuth Kit does not know has nothing to tell
        return deleted

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Guest.usage`."""
        if target not in {mount.target for mount in self.mounts}:
            raise GuestReadError(target, "nothing is mounted there")
        with reading(self.handle, target):
            found = self.handle.statvfs(self.inside(PurePosixPath(target)))
        return FilesystemUsage(
            size_bytes=found["blocks"] * found["frsize"],
            free_bytes=found["bfree"] * found["frsize"],
            available_bytes=found["bavail"] * found["frsize"],
            inodes=found["files"],
            inodes_free=found["ffree"],
        )


def _bytes(value: bytes | str) -> bytes:
    """Attribute values are binary; the bindings of some releases hand them out as text."""
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


def _nothing_hashed(_algorithm: str, _files: object, _through_filesystem: bool) -> dict[GuestPath, str]:
    return {}


def _nothing_to_ask(device: str) -> NoReturn:
    raise GuestReadError(device, "not open in a session")
