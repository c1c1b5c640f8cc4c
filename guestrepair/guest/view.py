"""The read-only view of a guest that every analyzer works on.

:class:`Guest` is what analyzers see; there are two of it: the real one (``session/live.py``) and the one of
mapped files (``guest/memory.py``) that unit tests use. Paths are absolute guest paths. Only primitives are
abstract; everything else is built from them here, so both kinds of guest resolve links and glob alike.
Nothing here writes, and nothing follows a link out of the guest's root.
"""

from __future__ import annotations

import abc
import fnmatch
import functools
import stat as stat_module
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.file_records import FileRecord, FormerFile, record_of
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.model import GuestPath

MAX_LINKS = 40
"""Links followed in one path before ELOOP, as Linux does (path_resolution(7))."""

MAX_PATTERN = 4096
"""A longer pattern of names matches nothing: to compile it would take more than all else."""
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095
"""The longest name and path that a kernel looks up (limits.h: NAME_MAX, and PATH_MAX with its NUL)."""

LABEL_ATTRIBUTE = "security.selinux"
KNOWN_ATTRIBUTES = (
    "security.capability", "security.evm", "security.ima", LABEL_ATTRIBUTE, "system.posix_acl_access",
    "system.posix_acl_default",
)  # fmt: skip

DEFAULT_READ_LIMIT = 4 * 1024 * 1024
"""Bytes that :meth:`Guest.read` takes of a file unless told otherwise: no configuration file is larger."""


def is_possible(path: str) -> bool:
    """Whether there can be such a path at all: nothing is at one that is too long, or holds a NUL."""
    if "\0" in path:
        return False
    if len(path) <= MAX_NAME_BYTES and path.isascii():
        return True
    try:
        raw = path.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False  # half a character: no bytes on a disk are read as that
    return len(raw) <= MAX_PATH_BYTES and all(len(name) <= MAX_NAME_BYTES for name in raw.split(b"/"))


def components(path: GuestPath) -> list[str]:
    """The names in a path, the last one first."""
    return [part for part in path.parts if part.strip("/")][::-1]


@functools.lru_cache(maxsize=1024)
def _steps(directory: GuestPath) -> tuple[GuestPath, ...]:
    """A directory's parents below the root, and itself; the same objects each time, with hashes."""
    return (directory, *directory.parents)[-2::-1]


@dataclass(frozen=True, slots=True)
class Stat:
    """What lstat(2) says. ``mode`` holds type and permission bits; times are seconds since the epoch."""

    mode: int
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime: int = 0
    inode: int = 0
    links: int = 1
    device: int = 0
    ctime: int = 0

    @property
    def permissions(self) -> int:
        """The low twelve bits: rwx for all, setuid, setgid, sticky."""
        return stat_module.S_IMODE(self.mode)

    @property
    def is_file(self) -> bool:
        """A regular file."""
        return stat_module.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """A directory."""
        return stat_module.S_ISDIR(self.mode)

    @property
    def is_symlink(self) -> bool:
        """A symbolic link."""
        return stat_module.S_ISLNK(self.mode)


class Guest(abc.ABC):
    """One operating system, mounted read-only on its mount points, and the disks under it."""

    os: OperatingSystem
    block: BlockDevices
    mounts: tuple[Mount, ...]
    unmounted: tuple[tuple[str, str], ...] = ()
    """Mount points of the guest's fstab that could not be mounted here, with the reason."""

    @property
    def damage(self) -> Mapping[str, str]:
        """Paths met so far that cannot be read because their filesystem is damaged, each with the reason.

        :meth:`lstat_many` says that nothing is there, since nothing can be had of it.
        """
        return {}

    # --- primitives: one each for the live and the in-memory guest -----------

    @abc.abstractmethod
    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """Stat of each path without following a last link; None where nothing is there.

        Bulk and cached: the cost grows with the directories, not the paths.

        Raises:
            GuestReadError: the filesystem gives an error other than "not there".
        """

    @abc.abstractmethod
    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """Names in a directory, sorted, without ``.`` and ``..``; undecodable bytes as surrogates.

        Raises:
            GuestReadError: not there, not a directory, or unreadable.
        """

    @abc.abstractmethod
    def readlink(self, path: GuestPath) -> str:
        """Target of a symbolic link, as it stands.

        Raises:
            GuestReadError: not a link, or unreadable.
        """

    @abc.abstractmethod
    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """Bytes of a regular file (its links already resolved); short at its end.

        Raises:
            GuestReadError: not a regular file, or unreadable.
        """

    @abc.abstractmethod
    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """All regular files under a directory in one bulk call: relative path to content.

        ``exclude`` are shell patterns on the base name.

        Raises:
            GuestReadError: not a directory, unreadable, or larger than the limit.
        """

    @abc.abstractmethod
    def digests(
        self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
    ) -> Mapping[GuestPath, str]:
        """Hex digests (``md5``, ``sha1``, ``sha256``…) of regular files, hashed in bulk.

        A path that cannot be hashed is left out of the answer. With
        ``through_filesystem`` nothing is hashed from the disk's bytes alone:
        slower, and free of doubt where the quick way found a difference.
        """

    @abc.abstractmethod
    def xattr(self, path: GuestPath, name: str) -> bytes:
        """Value of one extended attribute, without following a last link; empty when there is none."""

    def xattrs(self, path: GuestPath) -> Mapping[str, bytes]:
        """All extended attributes of a path, a last link not followed; here those of known names.

        Raises:
            GuestReadError: unreadable.
        """
        found = {name: self.xattr(path, name) for name in KNOWN_ATTRIBUTES}
        return {name: value for name, value in found.items() if value}

    def label(self, path: GuestPath) -> str:
        """The SELinux label of a path, a last link not followed; "" when it has none."""
        return self.xattr(path, LABEL_ATTRIBUTE).rstrip(b"\0").decode("utf-8", "surrogateescape")

    @abc.abstractmethod
    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """Raw bytes of a block device of this guest; short at its end.

        Raises:
            GuestReadError: no such device, or unreadable.
        """

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """How much of a part of a disk its image keeps: all but what its format knows to be only zeros.

        Raises:
            GuestReadError: nothing is known of the disk's image.
        """
        raise GuestReadError(disk, f"what its image keeps at {offset_bytes}+{size_bytes} is not known")

    @abc.abstractmethod
    def usage(self, target: str) -> FilesystemUsage:
        """statvfs(3) of a mounted filesystem of this guest.

        Raises:
            GuestReadError: nothing is mounted there.
        """

    @abc.abstractmethod
    def peek(self, device: str) -> tuple[str, ...]:
        """Names in the top directory of one filesystem of the guest's disks, mounted here or not.

        Raises:
            GuestReadError: it cannot be mounted.
        """

    @abc.abstractmethod
    def peek_file(self, device: str, path: str, *, limit_bytes: int) -> bytes | None:
        """A regular file of one filesystem of the guest's disks, mounted here or not; None where none is.

        ``path`` begins in the top directory; no link is followed.

        Raises:
            GuestReadError: the filesystem cannot be mounted, or the file is larger than the limit.
        """

    @abc.abstractmethod
    def check_filesystem(self, device: str) -> CheckResult:
        """What the filesystem's own checker finds on a device, without changing what is analyzed.

        Raises:
            GuestReadError: no checker for that type in the appliance, or it did not run.
        """

    def deletion_times(self, _paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
        """When these paths, which are missing, were deleted, as far as the filesystem still knows.

        Seconds since the epoch. A path without such a trace is left out.
        """
        return {}

    def file_records(self) -> Iterator[FileRecord]:
        """Every name of the guest's mounted filesystems, and deleted ones that are still known, in any order.

        Here from :meth:`lstat_many`, in whole seconds and without what that does not tell.

        Raises:
            GuestReadError: a directory cannot be read.
        """
        pending = [GuestPath("/")]
        while pending:
            directory = pending.pop()
            paths = [directory / name for name in self.listdir(directory)]
            targets = self.readlinks(paths)
            for path, found in self.lstat_many(paths).items():
                if found is not None:
                    yield record_of(path, found, targets[path])
                    if found.is_directory:
                        pending.append(path)

    def former_files(self) -> Iterator[FormerFile]:
        """Deleted files, as far as the journals of the mounted filesystems still have them.

        Raises:
            GuestReadError: a disk cannot be read.
        """
        return iter(())

    def start_over(self) -> None:  # noqa: B027 (a guest that keeps nothing has nothing to do)
        """Drop all that was kept of earlier reads: one of them was ended in the middle."""

    # --- built from the primitives -------------------------------------------

    def readlinks(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, str]:
        """Targets of symbolic links, in bulk; "" for whatever is none."""
        return {path: self._readlink_or_nothing(path) for path in paths}

    def _readlink_or_nothing(self, path: GuestPath) -> str:
        try:
            return self.readlink(path)
        except GuestReadError:
            return ""

    def lstats(self, paths: Iterable[str]) -> Mapping[str, Stat | None]:
        """As :meth:`lstat_many`, of absolute paths as text: many thousand GuestPaths are dear to make."""
        asked = {path: GuestPath(path) for path in paths}
        found = self.lstat_many(asked.values())
        return {path: found[place] for path, place in asked.items()}

    def lstat(self, path: GuestPath) -> Stat | None:
        """Stat without following a last link; None where nothing is there."""
        return self.lstat_many((path,))[path]

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """The path with every link followed inside the guest's root; None when that leads nowhere."""
        return self._follow(path, follow_last=True)

    def resolve_parent(self, path: GuestPath) -> GuestPath | None:
        """The path with the links of its parent directories followed, its last component as it is.

        The last component need not exist; None when a parent does not.
        """
        return self._follow(path, follow_last=False)

    def _follow(self, path: GuestPath, *, follow_last: bool) -> GuestPath | None:
        if not is_possible(str(path)):
            return None
        few = path.root == "/" and 1 < len(path.parts) < 64 and ".." not in path.parts
        for step in (*_steps(path.parent), path) if few else ():
            if step is path and not follow_last:
                return path
            found = self.lstat(step)
            if found is None or (step is not path and not found.is_directory and not found.is_symlink):
                return None
            if found.is_symlink:
                break  # from here on the steps are not the path's own parents
            if step is path:
                return path
        return self._follow_each(path, follow_last=follow_last)

    def _follow_each(self, path: GuestPath, *, follow_last: bool) -> GuestPath | None:
        """One component after another, as the kernel goes; links are counted over the whole way."""
        budget, current, pending = MAX_LINKS, GuestPath("/"), components(path)
        while pending:
            name = pending.pop()
            if name == "..":
                current = current.parent
                continue
            step = current / name
            if not pending and not follow_last:
                return step
            found = self.lstat(step)
            if found is None or (pending and not found.is_directory and not found.is_symlink):
                return None
            if not found.is_symlink:
                current = step
                continue
            budget -= 1
            target = GuestPath(self.readlink(step)) if budget >= 0 else None
            if target is None or not is_possible(str(target)):
                return None
            current = GuestPath("/") if target.is_absolute() else current
            pending.extend(components(target))
        return current

    def stat(self, path: GuestPath) -> Stat | None:
        """Stat with links followed inside the guest; None where they lead nowhere."""
        resolved = self.resolve(path)
        return None if resolved is None else self.lstat(resolved)

    def exists(self, path: GuestPath) -> bool:
        """True when the path is there, links followed."""
        return self.stat(path) is not None

    def is_file(self, path: GuestPath) -> bool:
        """True for a regular file, links followed."""
        found = self.stat(path)
        return found is not None and found.is_file

    def is_directory(self, path: GuestPath) -> bool:
        """True for a directory, links followed."""
        found = self.stat(path)
        return found is not None and found.is_directory

    def read(self, path: GuestPath, *, limit_bytes: int = DEFAULT_READ_LIMIT) -> bytes:
        """Whole content of a regular file, links followed inside the guest.

        Raises:
            GuestReadError: not there, not a regular file, larger than the limit, or unreadable.
        """
        resolved = self.resolve(path)
        found = None if resolved is None else self.lstat(resolved)
        if resolved is None or found is None:
            raise GuestReadError(path, "no such file")
        if not found.is_file:
            raise GuestReadError(path, "not a regular file")
        if found.size_bytes > limit_bytes:
            raise GuestReadError(path, f"{found.size_bytes} bytes, more than the {limit_bytes} that are read")
        return self.read_range(resolved, 0, found.size_bytes)

    def read_if_there(self, path: GuestPath, *, limit_bytes: int = DEFAULT_READ_LIMIT) -> bytes | None:
        """As :meth:`read`, None where nothing is there."""
        return self.read(path, limit_bytes=limit_bytes) if self.exists(path) else None

    def glob(self, directory: GuestPath, pattern: str) -> tuple[GuestPath, ...]:
        """Paths in one directory whose name matches a shell pattern, sorted; empty when it is not there."""
        if len(pattern) > MAX_PATTERN or not self.is_directory(directory):
            return ()
        names = (n for n in self.listdir(directory) if fnmatch.fnmatchcase(n, pattern))
        hidden_wanted = pattern.startswith(".")
        return tuple(directory / n for n in sorted(names) if hidden_wanted or not n.startswith("."))
