"""The real guest: a system mounted in the appliance, read by whoever answers first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.file_records import ContentPlace, FileRecord, FormerFile
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.view import Guest, Stat, is_possible
from guestrepair.model import GuestPath
from guestrepair.session.backends import Backend
from guestrepair.session.bulk import tree_files
from guestrepair.session.device_access import DeviceAccess
from guestrepair.session.metadata import Metadata
from guestrepair.session.paths import Directories, is_plain


class LiveGuest(Guest):
    """One system, whose files ``backend`` reads, and the disks under it.

    Links are resolved here, not by the appliance, because an absolute link
    means the guest's root and not the appliance's. Everything read is cached
    until :meth:`forget`.
    """

    def __init__(
        self,
        backend: Backend,
        devices: DeviceAccess,
        *,
        block: BlockDevices,
        mounts: Sequence[Mount] = (),
        unmounted: Sequence[tuple[str, str]] = (),
        os: OperatingSystem | None = None,
    ) -> None:
        self.backend = backend
        self.block = block
        self.mounts = tuple(mounts)
        self.unmounted = tuple(unmounted)
        self.os = os or OperatingSystem()
        self._devices = devices
        self._keep_nothing()

    def _keep_nothing(self) -> None:
        self._metadata = Metadata(self.backend)
        self._directories = Directories(self._metadata, self._seen_as)

    def forget(self) -> None:
        """Drop what was cached: the filesystems have been written to, or mounted again."""
        self.backend.forget()
        self._keep_nothing()

    def start_over(self) -> None:
        """See :meth:`Guest.start_over`; what is still to be verified is kept."""
        self.backend.start_over()
        self._keep_nothing()

    def mounted_as(
        self,
        mounts: Sequence[Mount],
        unmounted: Sequence[tuple[str, str]],
        os: OperatingSystem | None = None,
    ) -> LiveGuest:
        """The same files, with that mounted, and what was read of them so far."""
        guest = LiveGuest(
            self.backend,
            self._devices,
            block=self.block,
            mounts=mounts,
            unmounted=unmounted,
            os=os or self.os,
        )
        guest._metadata, guest._directories = self._metadata, self._directories
        return guest

    def inside(self, path: GuestPath) -> str:
        """The appliance's path of a guest path whose parents are resolved."""
        return self._seen_as(str(path))

    def _seen_as(self, path: str) -> str:
        return self.backend.prefix + (path if path != "/" else "") or "/"

    def doubt(self, paths: Iterable[str]) -> None:
        """No listing has named these real paths: to be verified with all else that the host calls missing.

        What lies below another missing path is so with that.

        Raises:
            GuestReadError: a directory of theirs cannot be read.
        """
        by_parent: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            parent, _, name = path.rpartition("/")
            by_parent[parent or "/"].append(name)
        for parent, names in by_parent.items():
            real = self._directory(GuestPath(parent))
            if real is not None and str(real) == parent:  # a link to elsewhere says nothing of those
                self.backend.doubt(parent, names)

    @property
    def damage(self) -> Mapping[str, str]:
        """See :attr:`Guest.damage`."""
        return dict(self.backend.damage)

    # --- metadata -------------------------------------------------------------------

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """See :meth:`Guest.lstat_many`."""
        asked = list(paths)
        found = self._lstats(map(str, asked))
        return {path: found[str(path)] for path in asked}

    def lstats(self, paths: Iterable[str]) -> Mapping[str, Stat | None]:
        """See :meth:`Guest.lstats`."""
        asked = list(paths)
        plain = {path: path if is_plain(path) else str(GuestPath(path)) for path in asked}
        found = self._lstats(plain.values())
        return {path: found[plain[path]] for path in asked}

    def _lstats(self, paths: Iterable[str]) -> dict[str, Stat | None]:
        by_parent: dict[str, list[tuple[str, str]]] = defaultdict(list)
        answer: dict[str, Stat | None] = {}
        for path in paths:
            parent, _, name = path.rpartition("/")
            if not is_possible(path):
                answer[path] = None
            elif name:
                by_parent[parent or "/"].append((path, name))
            else:
                answer[path] = self._metadata.root()
        for parent, children in by_parent.items():
            directory = self._directories.reach(parent)[0]
            if directory is None:
                answer.update((path, None) for path, _ in children)
                continue
            stats = self._metadata.stats(directory, [name for _, name in children])
            answer.update((path, stats[name]) for path, name in children)
        return answer

    def _directory(self, path: GuestPath) -> GuestPath | None:
        """The real directory behind a path; None when it is none or not there. Cached."""
        return _path(self._directories.reach(str(path))[0])

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """See :meth:`Guest.resolve`; what a directory was found to be is kept."""
        return _path(self._directories.resolve(str(path)))

    def stat(self, path: GuestPath) -> Stat | None:
        """See :meth:`Guest.stat`."""
        resolved = self._directories.resolve(str(path))
        return None if resolved is None else self._lstats((resolved,))[resolved]

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
        by_parent: dict[str, list[tuple[GuestPath, str]]] = defaultdict(list)
        for path in paths:
            parent, _, name = str(path).rpartition("/")
            by_parent[parent or "/"].append((path, name))
        answer: dict[GuestPath, str] = {}
        for parent, children in by_parent.items():
            directory = self._directories.reach(parent)[0]
            asked = [name for path, name in children if name and is_possible(str(path))]
            links = {} if directory is None else self._metadata.links(directory, asked)
            answer.update((path, links.get(name, "")) for path, name in children)
        return answer

    def xattr(self, path: GuestPath, name: str) -> bytes:
        """See :meth:`Guest.xattr`."""
        real = self._real(path)
        return self.backend.xattr(str(real), self.lstat(real), name)

    def xattrs(self, path: GuestPath) -> Mapping[str, bytes]:
        """See :meth:`Guest.xattrs`."""
        real = self._real(path)
        return self.backend.xattrs(str(real), self.lstat(real))

    # --- content --------------------------------------------------------------------

    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_range`."""
        real = self._real(path)
        found = self.lstat(real)
        # A FIFO would block the appliance for ever, a device node would read the appliance's own devices.
        if found is None or not found.is_file:
            raise GuestReadError(path, "not a regular file")
        size_bytes = min(size_bytes, max(0, found.size_bytes - offset_bytes))
        return self.backend.content(str(real), found, offset_bytes, size_bytes)

    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """See :meth:`Guest.read_tree`."""
        directory = self._directory(path)
        if directory is None:
            raise GuestReadError(path, "no such directory")
        found = self.backend.tree(str(directory), exclude, limit_bytes)
        return tree_files(self, directory, exclude, limit_bytes) if found is None else found

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
        hashed = self.backend.digests(algorithm, files, through_filesystem=through_filesystem)
        return {path: digest for real, digest in hashed.items() for path in regular[real]}

    # --- devices --------------------------------------------------------------------

    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_device`."""
        known = {d.name for d in self.block.devices} | {d.name for d in self.block.disks}
        if device not in known:
            raise GuestReadError(device, "not a device of this guest")
        return self._devices.read(device, offset_bytes, size_bytes)

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """See :meth:`Guest.stored_bytes`."""
        if disk not in {d.name for d in self.block.disks}:
            raise GuestReadError(disk, "not a disk of this guest")
        return self._devices.stored_bytes(disk, offset_bytes, size_bytes)

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`Guest.peek`."""
        return self._devices.peek(device)

    def peek_file(self, device: str, path: str, *, limit_bytes: int) -> bytes | None:
        """See :meth:`Guest.peek_file`."""
        if not is_possible(path) or ".." in path.split("/"):
            raise GuestReadError(f"{device}: {path}", "not a possible path")
        return self._devices.peek_file(device, path, limit_bytes)

    def check_filesystem(self, device: str) -> CheckResult:
        """See :meth:`Guest.check_filesystem`."""
        return self._devices.check(device)

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
            known = self.backend.deletion_times(
                self._metadata.directory(str(directory)), [path.name for path in wanted]
            )
            if known is None:
                unknown += wanted
            else:
                times.update((path, known[path.name]) for path in wanted if path.name in known)
        walked = self._walked() if unknown else {}
        return times | {path: walked[str(path)] for path in unknown if str(path) in walked}

    def _walked(self) -> Mapping[str, int]:
        """What The Sleuth Kit tells of the mounted filesystems, by guest path."""
        deleted: dict[str, int] = {}
        try:
            for target, name, when in self.backend.deleted(self.mounts):
                deleted[str(GuestPath(target) / name)] = when
        except GuestReadError:
            return deleted  # a filesystem that The Sleuth Kit does not know has nothing to tell
        return deleted

    def file_records(self) -> Iterator[FileRecord]:
        """See :meth:`Guest.file_records`."""
        targets = self._targets()
        for target in targets:
            found = self.backend.records(target, [other for other in targets if other != target])
            if found is None:
                yield from super().file_records()
                return
            yield from found
            yield from (former.record for former in self.backend.former_files(target) if former.record.path)

    def former_files(self) -> Iterator[FormerFile]:
        """See :meth:`Guest.former_files`."""
        for target in self._targets():
            yield from self.backend.former_files(target)

    def content_place(self, record: FileRecord) -> ContentPlace | None:
        """Where the content of a regular file of :meth:`file_records` lies; None when that is not certain."""
        return self.backend.place(record.path, record.inode, record.size_bytes)

    def _targets(self) -> list[str]:
        found = dict.fromkeys(self._real_target(mount.target) for mount in self.mounts)
        return list(found) or ["/"]

    def _real_target(self, target: str) -> str:
        found = self.resolve(GuestPath(target))
        return target if found is None else str(found)

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Guest.usage`."""
        if target not in {mount.target for mount in self.mounts}:
            raise GuestReadError(target, "nothing is mounted there")
        return self.backend.usage(target)


def _path(text: str | None) -> GuestPath | None:
    return None if text is None else GuestPath(text)
