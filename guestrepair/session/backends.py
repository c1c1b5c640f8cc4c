"""Who answers a question about a mounted guest: the appliance, or the host, where it is certain.

Paths are real ones: every link of their parents is resolved (``session/paths.py`` does that). A
:class:`Backend` answers everything or raises GuestReadError; a :class:`PartialBackend` answers what it is
certain of, with None for all else. :class:`HostFirst` makes one backend of the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from guestrepair.disk.known_digests import KnownDigests
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, Mount
from guestrepair.guest.file_records import ContentPlace, FileRecord, FormerFile
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session.hashing import Hasher, HashInAppliance, LayoutsOnHost


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its real path, with its own lstat; None for the top directory, known by its mount."""

    path: str
    stat: Stat | None = None

    def inside(self, name: str) -> str:
        """The path of a name in it."""
        return f"{self.path.rstrip('/')}/{name}"


class Backend(Protocol):
    """A mounted guest, all of it. Each method raises GuestReadError for what cannot be read."""

    prefix: str
    """Where in the appliance the guest is mounted."""

    @property
    def damage(self) -> Mapping[str, str]:
        """Real paths that could not be read because their filesystem is damaged, each with the reason."""
        ...

    def top(self) -> Stat:
        """Lstat of the top directory."""
        ...

    def stats(self, directory: Directory, names: Sequence[str]) -> Mapping[str, Stat | None]:
        """Lstat of each of the names in a directory that is there; None for what is missing."""
        ...

    def names(self, directory: Directory) -> Iterable[str]:
        """All names in a directory, in any order; undecodable bytes as surrogates."""
        ...

    def targets(self, directory: Directory, names: Sequence[str]) -> Mapping[str, str]:
        """Where each of the names leads; "" for what is no symbolic link."""
        ...

    def content(self, path: str, stat: Stat, offset: int, size: int) -> bytes:
        """Bytes of a regular file, of which ``stat`` is the lstat; short at its end."""
        ...

    def tree(self, path: str, exclude: Sequence[str], limit_bytes: int) -> Mapping[str, bytes] | None:
        """The regular files under a directory; None where it is as quick to ask for each of them."""
        ...

    def xattr(self, path: str, stat: Stat | None, name: str) -> bytes:
        """Value of an extended attribute; empty when there is none."""
        ...

    def xattrs(self, path: str, stat: Stat | None) -> Mapping[str, bytes]:
        """All extended attributes."""
        ...

    def digests(
        self, algorithm: str, files: Mapping[GuestPath, Stat], *, through_filesystem: bool
    ) -> Mapping[GuestPath, str]:
        """Hex digests of regular files; what cannot be hashed is left out."""
        ...

    def deletion_times(self, directory: Directory, names: Collection[str]) -> Mapping[str, int] | None:
        """When those names went, as far as the directory shows; None where :meth:`deleted` has to tell."""
        ...

    def deleted(self, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
        """Mount point, path below it and time of each deleted name that those filesystems still know."""
        ...

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord] | None:
        """Every name below a mount point, with all its times; None where it is asked for one by one.

        What is mounted on one of ``beyond`` is named, and not entered.
        """
        ...

    def former_files(self, path: str) -> Iterator[FormerFile]:
        """Deleted files of what is mounted on a path, as far as its journal can be read and has them."""
        ...

    def place(self, path: str, inode: int, size_bytes: int) -> ContentPlace | None:
        """Where the content of a regular file of that inode and size lies; None: nobody has to know."""
        ...

    def usage(self, target: str) -> FilesystemUsage:
        """statvfs(3) of what is mounted on a path."""
        ...

    def doubt(self, directory: str, names: Collection[str]) -> None:
        """Those names, which no listing has named, are to be verified where that rests on the host alone."""
        ...

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """From now on a filesystem is mounted on a real path; None: one that only the appliance reads."""
        ...

    def forget(self) -> None:
        """Ask again what was asked before: something was written, or mounted."""
        ...

    def start_over(self) -> None:
        """As :meth:`forget`, and also what the host has read: a read was ended in the middle."""
        ...


class Appliance(Backend, HashInAppliance, Protocol):
    """The backend that knows: what others say can be verified by it."""

    def present(self, wanted: Mapping[str, Collection[str]]) -> str:
        """The first path of those names, by their directory, that is there; "" when none is. Asked again."""
        ...


class PartialBackend(LayoutsOnHost, Protocol):
    """What is certain of a mounted guest without the appliance; None, or left out, is what is not."""

    def top(self, path: str = "/") -> Stat | None:
        """Lstat of a directory that something is mounted on."""
        ...

    def number(self, directory: Directory, name: str) -> int | None:
        """The number of the filesystem that a name in a directory lies on, as :meth:`stats` has it."""
        ...

    def stats(self, directory: Directory, names: Sequence[str]) -> Mapping[str, Stat | None]:
        """As :meth:`Backend.stats`; None for what is certainly missing."""
        ...

    def names(self, directory: Directory) -> Iterable[str] | None:
        """As :meth:`Backend.names`."""
        ...

    def targets(self, directory: Directory, names: Sequence[str]) -> Mapping[str, str]:
        """As :meth:`Backend.targets`."""
        ...

    def content(self, path: str, stat: Stat, offset: int, size: int) -> bytes | None:
        """As :meth:`Backend.content`."""
        ...

    def xattrs(self, path: str, stat: Stat) -> Mapping[str, bytes] | None:
        """As :meth:`Backend.xattrs`, of a file that is there."""
        ...

    def deletion_times(self, directory: Directory, names: Collection[str]) -> Mapping[str, int] | None:
        """As :meth:`Backend.deletion_times`."""
        ...

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord | str] | None:
        """As :meth:`Backend.records`; a directory whose names are not certain, by its path."""
        ...

    def former_files(self, path: str) -> Iterator[FormerFile]:
        """As :meth:`Backend.former_files`."""
        ...

    def place(self, path: str, inode: int, size_bytes: int) -> ContentPlace | None:
        """As :meth:`Backend.place`."""
        ...

    def usage(self, target: str) -> FilesystemUsage | None:
        """As :meth:`Backend.usage`; None also for what nothing is mounted on."""
        ...

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """As :meth:`Backend.mounted`."""
        ...

    def start_over(self) -> None:
        """What was read is read again."""
        ...


class HostFirst:
    """The host's answers where it is certain; the appliance's to everything else.

    What the host calls missing is kept in mind: :meth:`contradicted` asks the appliance about all of that
    together, and until it has, nobody should rely on it.
    """

    def __init__(self, host: PartialBackend, appliance: Appliance, known: KnownDigests | None = None) -> None:
        self.prefix = appliance.prefix
        self._host = host
        self._appliance = appliance
        self._hasher = Hasher(appliance, host, known=known)
        self._missing: dict[str, set[str]] = defaultdict(set)
        """By directory, the names that the host calls missing and that nobody else was asked about yet."""

    @property
    def damage(self) -> Mapping[str, str]:
        """See :attr:`Backend.damage`: of what the host is not certain, the appliance is asked."""
        return self._appliance.damage

    def top(self) -> Stat:
        """See :meth:`Backend.top`."""
        found = self._host.top()
        return self._appliance.top() if found is None else found

    def stats(self, directory: Directory, names: Sequence[str]) -> Mapping[str, Stat | None]:
        """See :meth:`Backend.stats`."""
        found = dict(self._host.stats(directory, names))
        missing = [name for name, stat in found.items() if stat is None]
        if missing:
            self._missing[directory.path].update(missing)
        left = [name for name in names if name not in found]
        asked = self._appliance.stats(directory, left) if left else {}
        found.update((name, self._numbered(directory, name, stat)) for name, stat in asked.items())
        return found

    def _numbered(self, directory: Directory, name: str, stat: Stat | None) -> Stat | None:
        """The appliance's answer, with the host's number of the filesystem where it has one."""
        number = None if stat is None else self._host.number(directory, name)
        return stat if stat is None or number is None else replace(stat, device=number)

    def names(self, directory: Directory) -> Iterable[str]:
        """See :meth:`Backend.names`."""
        found = self._host.names(directory)
        return self._appliance.names(directory) if found is None else found

    def targets(self, directory: Directory, names: Sequence[str]) -> Mapping[str, str]:
        """See :meth:`Backend.targets`."""
        found = dict(self._host.targets(directory, names))
        left = [name for name in names if name not in found]
        if left:
            missing = [name for name, stat in self._host.stats(directory, left).items() if stat is None]
            if missing:  # where a missing name leads is asked of nobody; that it is missing is verified
                self._missing[directory.path].update(missing)
                found |= dict.fromkeys(missing, "")
                left = [name for name in left if name not in found]
        return found | dict(self._appliance.targets(directory, left)) if left else found

    def content(self, path: str, stat: Stat, offset: int, size: int) -> bytes:
        """See :meth:`Backend.content`."""
        found = self._host.content(path, stat, offset, size)
        return self._appliance.content(path, stat, offset, size) if found is None else found

    def tree(self, path: str, exclude: Sequence[str], limit_bytes: int) -> Mapping[str, bytes] | None:
        """See :meth:`Backend.tree`."""
        return None if self._host.reads(path) else self._appliance.tree(path, exclude, limit_bytes)

    def xattr(self, path: str, stat: Stat | None, name: str) -> bytes:
        """See :meth:`Backend.xattr`."""
        found = None if stat is None else self._host.xattrs(path, stat)
        return self._appliance.xattr(path, stat, name) if found is None else found.get(name, b"")

    def xattrs(self, path: str, stat: Stat | None) -> Mapping[str, bytes]:
        """See :meth:`Backend.xattrs`."""
        found = None if stat is None else self._host.xattrs(path, stat)
        return self._appliance.xattrs(path, stat) if found is None else found

    def digests(
        self, algorithm: str, files: Mapping[GuestPath, Stat], *, through_filesystem: bool
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Backend.digests`."""
        return self._hasher.digests(algorithm, files, through_filesystem=through_filesystem)

    def deletion_times(self, directory: Directory, names: Collection[str]) -> Mapping[str, int] | None:
        """See :meth:`Backend.deletion_times`."""
        found = self._host.deletion_times(directory, names)
        return self._appliance.deletion_times(directory, names) if found is None else found

    def deleted(self, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
        """See :meth:`Backend.deleted`."""
        return self._appliance.deleted(mounts)

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord] | None:
        """See :meth:`Backend.records`."""
        found = self._host.records(path, beyond)
        return self._appliance.records(path, beyond) if found is None else self._certain(found, beyond)

    def _certain(self, found: Iterator[FileRecord | str], beyond: Collection[str]) -> Iterator[FileRecord]:
        """The host's records; below a directory of which it is not certain, the appliance's."""
        for record in found:
            if not isinstance(record, str):
                yield record
                continue
            asked = self._appliance.records(record, beyond)
            if asked is None:
                raise GuestReadError(record, "the names in it are not certain")
            yield from asked

    def former_files(self, path: str) -> Iterator[FormerFile]:
        """See :meth:`Backend.former_files`: the host alone reads journals."""
        return self._host.former_files(path)

    def place(self, path: str, inode: int, size_bytes: int) -> ContentPlace | None:
        """See :meth:`Backend.place`: the host alone knows."""
        return self._host.place(path, inode, size_bytes)

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Backend.usage`."""
        found = self._host.usage(target)
        return self._appliance.usage(target) if found is None else found

    def doubt(self, directory: str, names: Collection[str]) -> None:
        """See :meth:`Backend.doubt`."""
        if self._host.reads(directory):
            self._missing[directory].update(names)

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """See :meth:`Backend.mounted`."""
        self._host.mounted(path, device, subvolume)
        self._appliance.mounted(path, device, subvolume)
        self.cover(path)

    def cover(self, path: str) -> None:
        """Something is mounted on a path: what was missing there and below is so no longer, perhaps."""
        below = f"{path.rstrip('/')}/"
        for directory in [d for d in self._missing if f"{d}/".startswith(below)]:
            del self._missing[directory]

    def forget(self) -> None:
        """See :meth:`Backend.forget`; what the host calls missing is still to be verified."""
        self._appliance.forget()

    def start_over(self) -> None:
        """See :meth:`Backend.start_over`; what the host calls missing is still to be verified."""
        self._appliance.start_over()
        self._host.start_over()

    def contradicted(self) -> str:
        """The first path that the host called missing and the appliance finds; "" when there is none.

        What holds is not asked about again.

        Raises:
            GuestReadError: the appliance cannot look.
        """
        found = self._appliance.present(self._missing) if self._missing else ""
        if not found:
            self._missing.clear()
        return found
