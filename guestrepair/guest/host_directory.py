"""A system's tree in a directory of this host (a chroot, a mounted donor), seen through the Guest view.

No link of the tree is ever followed by this host's kernel: links are resolved
by :class:`Guest` inside the tree, and every directory is opened component by
component with O_NOFOLLOW, so a hostile tree cannot lead out of itself.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import os
import stat as stat_module
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevices, OperatingSystem
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.view import Guest, Stat, is_possible
from guestrepair.model import GuestPath

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1024 * 1024
_NO_DISKS = "a directory of this host has no disks"


class HostDirectoryGuest(Guest):
    """A tree of this host, read-only. It has no devices and no mounts."""

    def __init__(self, root: Path, *, os_release: OperatingSystem | None = None) -> None:
        """Open the tree.

        Raises:
            GuestReadError: not a directory that can be opened.
        """
        self.root = root
        self.os = os_release or OperatingSystem()
        self.block = BlockDevices()
        self.mounts = ()
        self._real: dict[GuestPath, GuestPath | None] = {GuestPath("/"): GuestPath("/")}
        with self._opened(GuestPath("/")):
            pass

    # --- safe descent ---------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, directory: GuestPath) -> Iterator[int]:
        """A descriptor of a directory whose path holds no link."""
        try:
            current = os.open(self.root, _DIRECTORY & ~os.O_NOFOLLOW)
        except OSError as error:
            raise GuestReadError(self.root, error.strerror or str(error)) from error
        try:
            for name in directory.parts[1:]:
                below = os.open(name, _DIRECTORY, dir_fd=current)
                os.close(current)
                current = below
            yield current
        except OSError as error:
            raise GuestReadError(directory, error.strerror or str(error)) from error
        finally:
            os.close(current)

    def _directory(self, path: GuestPath) -> GuestPath | None:
        """The real directory behind a path; None when it is none. Cached."""
        if path not in self._real:
            resolved = self.resolve(path)
            found = None if resolved is None else self.lstat(resolved)
            self._real[path] = resolved if found is not None and found.is_directory else None
        return self._real[path]

    def _parent(self, path: GuestPath) -> GuestPath:
        directory = self._directory(path.parent)
        if directory is None:
            raise GuestReadError(path, "no such file or directory")
        return directory

    # --- primitives -----------------------------------------------------------

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """See :meth:`Guest.lstat_many`."""
        by_parent: dict[GuestPath, list[GuestPath]] = defaultdict(list)
        answer: dict[GuestPath, Stat | None] = {}
        for path in paths:
            by_parent[path.parent].append(path)
        for parent, children in by_parent.items():
            directory = self._directory(parent)
            if directory is None:
                answer.update(dict.fromkeys(children))
                continue
            with self._opened(directory) as descriptor:
                answer.update((child, _lstat(descriptor, child.name or ".", child)) for child in children)
        return answer

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """See :meth:`Guest.listdir`."""
        directory = self._directory(path)
        if directory is None:
            raise GuestReadError(path, "no such directory")
        with self._opened(directory) as descriptor:
            return tuple(sorted(entry.name for entry in os.scandir(descriptor)))

    def readlink(self, path: GuestPath) -> str:
        """See :meth:`Guest.readlink`."""
        with self._opened(self._parent(path)) as descriptor:
            return os.readlink(path.name, dir_fd=descriptor)

    @contextlib.contextmanager
    def _file(self, path: GuestPath) -> Iterator[int]:
        with self._opened(self._parent(path)) as directory:
            # Looked at before it is opened: to open a device can be to use it, as of a tape or a watchdog.
            found = _lstat(directory, path.name or ".", path)
            if found is None:
                raise GuestReadError(path, "no such file")
            if not found.is_file:
                raise GuestReadError(path, "not a regular file")
            descriptor = os.open(path.name, _FILE, dir_fd=directory)
            try:
                if not stat_module.S_ISREG(os.fstat(descriptor).st_mode):  # it may be another by now
                    raise GuestReadError(path, "not a regular file")
                yield descriptor
            finally:
                os.close(descriptor)

    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_range`."""
        with self._file(path) as descriptor:
            pieces = []
            while size_bytes > 0:
                piece = os.pread(descriptor, min(size_bytes, _CHUNK_BYTES), offset_bytes)
                if not piece:
                    break
                pieces.append(piece)
                offset_bytes += len(piece)
                size_bytes -= len(piece)
            return b"".join(pieces)

    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """See :meth:`Guest.read_tree`."""
        top = self._directory(path)
        if top is None:
            raise GuestReadError(path, "no such directory")
        tree: dict[str, bytes] = {}
        for found in self._walk(top):
            if any(fnmatch.fnmatchcase(found.name, pattern) for pattern in exclude):
                continue
            content = self.read(found, limit_bytes=limit_bytes)
            limit_bytes -= len(content)
            tree[str(found.relative_to(top))] = content
        return tree

    def _walk(self, top: GuestPath) -> Iterator[GuestPath]:
        pending = [top]
        while pending:
            directory = pending.pop()
            for path, found in self.lstat_many(directory / name for name in self.listdir(directory)).items():
                if found is not None and found.is_directory:
                    pending.append(path)
                elif found is not None and found.is_file:
                    yield path

    def digests(
        self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.digests`."""
        answer = {}
        for path in paths:
            with contextlib.suppress(GuestReadError), self._file(path) as descriptor:
                state = hashlib.new(algorithm, usedforsecurity=False)
                while piece := os.read(descriptor, _CHUNK_BYTES):
                    state.update(piece)
                answer[path] = state.hexdigest()
        return answer

    def xattr(self, path: GuestPath, name: str) -> bytes:
        """See :meth:`Guest.xattr`."""
        try:
            with self._opened(self._parent(path)) as directory:
                # There is no getxattrat(2) yet; the number of our descriptor leads nowhere else.
                place = f"/proc/self/fd/{directory}/{path.name}"
                return os.getxattr(place, name, follow_symlinks=False)
        except GuestReadError as error:
            if getattr(error.__cause__, "errno", None) not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise  # that it cannot be read is not that there is none
            return b""

    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_device`: there is none."""
        raise GuestReadError(device, _NO_DISKS)

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Guest.usage`: nothing is mounted."""
        raise GuestReadError(target, _NO_DISKS)

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`Guest.peek`: there is no device."""
        raise GuestReadError(device, _NO_DISKS)

    def peek_file(self, device: str, path: str, *, limit_bytes: int) -> bytes | None:
        """See :meth:`Guest.peek_file`: there is no device."""
        raise GuestReadError(device, _NO_DISKS)

    def check_filesystem(self, device: str) -> CheckResult:
        """See :meth:`Guest.check_filesystem`: there is no device."""
        raise GuestReadError(device, _NO_DISKS)


def _lstat(directory: int, name: str, path: GuestPath) -> Stat | None:
    if not is_possible(str(path)):
        return None
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GuestReadError(path, error.strerror or str(error)) from error
    return Stat(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size,
        int(found.st_mtime),
        found.st_ino,
        found.st_nlink,
        found.st_dev,
        int(found.st_ctime),
    )
