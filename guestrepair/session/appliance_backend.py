"""The backend that knows everything: the guest as the appliance's own kernel has mounted it.

libguestfs answers "no such file" for every failed lstat in a bulk call, also
for one that failed with an I/O error. So a name that seems missing is looked up
in the directory's listing before it is believed to be missing: what is listed and
cannot be examined is damage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from guestrepair.appliance import raw
from guestrepair.appliance.handle import Machine, reading
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import DamageError, GuestReadError
from guestrepair.formats.extents import Layout
from guestrepair.guest.devices import BlockDevice, Mount
from guestrepair.guest.file_records import FileRecord, FormerFile
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session.backends import Directory
from guestrepair.session.bulk import tar_files
from guestrepair.session.deleted import deleted_names
from guestrepair.session.hash_programs import HashPrograms
from guestrepair.session.hashing import Hasher
from guestrepair.session.presence import found_at_once
from guestrepair.session.records import RecordPrograms

_NAMES_A_CALL = 2000
"""Names in one bulk call: each stat is about 250 bytes of a message of at most 4 MB."""

MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
"""A directory's listing larger than this (about two million names) is refused."""

_PREAD_BYTES = 1024 * 1024
_DOWNLOAD_FROM_BYTES = 3 * 1024 * 1024
"""Below, repeated pread is faster; above, the fixed cost of a download pays off."""


class ApplianceBackend:
    """What is mounted under ``prefix`` of the appliance's root; listings are kept until :meth:`forget`.

    ``toolbox`` has the programs that hash many files in one run; without it they are hashed one by one.
    """

    def __init__(self, machine: Machine, prefix: str, toolbox: Toolbox | None = None) -> None:
        self.prefix = prefix
        self._machine = machine
        self._programs = HashPrograms(machine, prefix, toolbox)
        self._walk = None if toolbox is None else RecordPrograms(machine, prefix, toolbox)
        self._hasher = Hasher(self)
        self._listed: dict[str, tuple[str, ...]] = {}
        self.damage: dict[str, str] = {}

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """As :func:`reading`; what shows that the filesystem is damaged is kept in mind."""
        try:
            with reading(path):
                yield
        except DamageError as error:
            self.damage[path] = error.reason
            raise

    def inside(self, path: PurePosixPath | str) -> str:
        """The appliance's path for a guest path."""
        text = str(path)
        return self.prefix + (text if text != "/" else "") or "/"

    # --- lstat --------------------------------------------------------------------

    def top(self) -> Stat:
        """See :meth:`Backend.top`."""
        with self._reading("/"):
            return _stat(self._machine.handle().lstatns(self.inside("/")))

    def stats(self, directory: Directory, names: Sequence[str]) -> dict[str, Stat | None]:
        """See :meth:`Backend.stats`."""
        found: dict[str, Stat | None] = {}
        for name in names:
            if not raw.is_utf8(name):
                found[name] = self._one(directory, name)
        wanted = [name for name in names if name not in found]
        for part in _parts(wanted):
            self._fetch(directory, part, found)
        return found

    def _one(self, directory: Directory, name: str) -> Stat | None:
        answer = raw.lstat(self._machine.handle(), self.inside(directory.inside(name)))
        return None if answer is None else _stat(answer)

    def _fetch(self, directory: Directory, names: list[str], found: dict[str, Stat | None]) -> None:
        missing = []
        for name, answer in zip(names, self._answers(directory, names), strict=True):
            if answer["st_ino"] == -1:
                missing.append(name)
            else:
                found[name] = _stat(answer)
        if not missing:
            return
        listed = set(self.names(directory))
        for name in missing:
            if name in listed:
                # Nothing can be read of it, and nothing else is to go unexamined for that.
                self.damage[directory.inside(name)] = "it is listed in its directory but cannot be examined"
            found[name] = None

    def _answers(self, directory: Directory, names: list[str]) -> Sequence[Mapping[str, int]]:
        with self._reading(directory.path):
            return self._machine.handle().lstatnslist(self.inside(directory.path), names)

    def present(self, wanted: Mapping[str, Collection[str]]) -> str:
        """See :meth:`guestrepair.session.backends.Appliance.present`."""
        at_once: dict[str, list[str]] = {}
        with contextlib.suppress(GuestReadError):  # else each directory is asked, and says what is wrong
            at_once = found_at_once({self.inside(path): names for path, names in wanted.items()}, self._glob)
        for path, names in sorted(wanted.items()):
            directory = Directory(path)
            known = at_once.get(self.inside(path))
            found = self._first_of(directory, sorted(names)) if known is None else "".join(known[:1])
            if found:
                return directory.inside(found)
        return ""

    def _glob(self, pattern: str) -> Sequence[str]:
        with self._reading("/"):
            return self._machine.handle().glob_expand(pattern)

    def _first_of(self, directory: Directory, names: Sequence[str]) -> str:
        """The first of those names that is in the directory; "" when none is."""
        listed: list[str] = []
        for name in names:
            if raw.is_utf8(name):
                listed.append(name)
            elif self._one(directory, name) is not None:
                return name
        for part in _parts(listed):
            for name, answer in zip(part, self._answers(directory, part), strict=True):
                if answer["st_ino"] != -1:
                    return name
        return ""

    # --- listings -----------------------------------------------------------------

    def names(self, directory: Directory) -> tuple[str, ...]:
        """See :meth:`Backend.names`."""
        if directory.path not in self._listed:
            self._listed[directory.path] = tuple(self._list(directory.path))
        return self._listed[directory.path]

    def _list(self, directory: str) -> Iterable[str]:
        try:
            with self._reading(directory):
                return self._machine.handle().ls(self.inside(directory))
        except GuestReadError as error:
            # Names that are not UTF-8, or too many for one message: the slower way out through a file.
            too_many = "message" in error.reason and not isinstance(error, DamageError)
            if not too_many and not isinstance(error.__cause__, UnicodeError):
                raise
        with temporary_file() as out:
            with self._reading(directory):
                self._machine.handle().ls0(self.inside(directory), str(out))
            if out.stat().st_size > MAX_DIRECTORY_BYTES:
                raise GuestReadError(directory, f"more than {MAX_DIRECTORY_BYTES} bytes of names")
            names = out.read_bytes().split(b"\0")
        return [name.decode(errors="surrogateescape") for name in names if name]

    # --- links --------------------------------------------------------------------

    def targets(self, directory: Directory, names: Sequence[str]) -> dict[str, str]:
        """See :meth:`Backend.targets`."""
        found: dict[str, str] = {}
        for part in _parts(names):
            found.update(zip(part, self._targets(directory, part), strict=True))
        return found

    def _targets(self, directory: Directory, names: list[str]) -> Sequence[str]:
        if all(map(raw.is_utf8, names)):
            try:
                with self._reading(directory.path):
                    return self._machine.handle().readlinklist(self.inside(directory.path), names)
            except GuestReadError as error:
                if not isinstance(error.__cause__, UnicodeError):
                    raise
        # A name or a target that is not UTF-8: one by one.
        handle = self._machine.handle()
        return [raw.readlink(handle, self.inside(directory.inside(name))) for name in names]

    # --- content --------------------------------------------------------------------

    def content(self, path: str, _stat: Stat, offset: int, size: int) -> bytes:
        """See :meth:`Backend.content`."""
        if size >= _DOWNLOAD_FROM_BYTES:
            return self._download(path, offset, size)
        pieces = []
        while size > 0:
            with self._reading(path):
                piece = self._machine.handle().pread(self.inside(path), min(size, _PREAD_BYTES), offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _download(self, path: str, offset: int, size: int) -> bytes:
        """That part of the file, and no other: the next part may be asked for next."""
        with temporary_file() as out:
            with self._reading(path):
                self._machine.handle().download_offset(self.inside(path), str(out), offset, size)
            return out.read_bytes()

    def tree(self, path: str, exclude: Sequence[str], limit_bytes: int) -> Mapping[str, bytes]:
        """See :meth:`Backend.tree`."""
        return tar_files(self._machine.handle(), self.inside(path), GuestPath(path), exclude, limit_bytes)

    def xattr(self, path: str, _stat: Stat | None, name: str) -> bytes:
        """See :meth:`Backend.xattr`."""
        return self.xattrs(path, _stat).get(name, b"")

    def xattrs(self, path: str, _stat: Stat | None) -> Mapping[str, bytes]:
        """See :meth:`Backend.xattrs`."""
        with self._reading(path):
            found = self._machine.handle().lgetxattrs(self.inside(path))
        return {str(x["attrname"]): _bytes(x["attrval"]) for x in found}

    def digests(
        self, algorithm: str, files: Mapping[GuestPath, Stat], *, through_filesystem: bool
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Backend.digests`."""
        return self._hasher.digests(algorithm, files, through_filesystem=through_filesystem)

    def hashed(self, algorithm: str, files: Mapping[GuestPath, Stat]) -> Mapping[GuestPath, str]:
        """See :meth:`guestrepair.session.hashing.HashInAppliance.hashed`."""
        return self._programs.hashed(algorithm, files)

    def layouts(self, files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Layout]]:
        """See :meth:`guestrepair.session.hashing.HashInAppliance.layouts`."""
        return self._programs.layouts(files)

    # --- filesystems ----------------------------------------------------------------

    def deletion_times(self, _directory: Directory, _names: Collection[str]) -> None:
        """See :meth:`Backend.deletion_times`: the kernel tells nothing of it."""

    def deleted(self, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
        """See :meth:`Backend.deleted`."""
        return deleted_names(self._machine.handle(), mounts) if mounts else iter(())

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord] | None:
        """See :meth:`Backend.records`."""
        return None if self._walk is None else self._walk.records(path, beyond)

    def former_files(self, _path: str) -> Iterator[FormerFile]:
        """See :meth:`Backend.former_files`: the kernel tells nothing of them."""
        return iter(())

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Backend.usage`."""
        with self._reading(target):
            found = self._machine.handle().statvfs(self.inside(target))
        # What btrfs counts as free may be for metadata alone, and each kernel takes another reserve off it.
        free = found["bfree" if found["files"] else "bavail"]
        return FilesystemUsage(
            size_bytes=found["blocks"] * found["frsize"],
            free_bytes=free * found["frsize"],
            available_bytes=found["bavail"] * found["frsize"],
            inodes=found["files"],
            inodes_free=found["ffree"],
        )

    def place(self, _path: str, _inode: int, _size_bytes: int) -> None:
        """See :meth:`Backend.place`: the kernel is not asked for it."""

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """See :meth:`Backend.mounted`: the appliance knows; it was mounted there."""

    def forget(self) -> None:
        """See :meth:`Backend.forget`."""
        self._listed = {}
        self.damage = {}

    def doubt(self, directory: str, names: Collection[str]) -> None:
        """See :meth:`Backend.doubt`: nobody knows better."""

    def start_over(self) -> None:
        """See :meth:`Backend.start_over`."""
        self.forget()


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    return (list(names[start : start + _NAMES_A_CALL]) for start in range(0, len(names), _NAMES_A_CALL))


def _stat(answer: Mapping[str, Any]) -> Stat:
    return Stat(
        mode=answer["st_mode"],
        uid=answer["st_uid"],
        gid=answer["st_gid"],
        size_bytes=answer["st_size"],
        mtime=answer["st_mtime_sec"],
        inode=answer["st_ino"],
        links=answer["st_nlink"],
        device=answer["st_dev"],
        ctime=answer["st_ctime_sec"],
    )


def _bytes(value: bytes | str) -> bytes:
    """Attribute values are binary; the bindings of some releases hand them out as text."""
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value
