"""A guest without any file, for a view of disks that nothing is mounted from."""

from __future__ import annotations

import stat as stat_module
from collections.abc import Collection, Iterator, Mapping, Sequence

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, Mount
from guestrepair.guest.file_records import FileRecord, FormerFile
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session.backends import Directory

_TOP = Stat(mode=stat_module.S_IFDIR | 0o755, uid=0, gid=0, size_bytes=0, mtime=0, inode=0, links=2)


class Nothing:
    """A :class:`guestrepair.session.backends.Backend` of one empty directory."""

    prefix = ""

    @property
    def damage(self) -> Mapping[str, str]:
        """See :attr:`Backend.damage`."""
        return {}

    def top(self) -> Stat:
        """See :meth:`Backend.top`."""
        return _TOP

    def stats(self, _directory: Directory, names: Sequence[str]) -> Mapping[str, Stat | None]:
        """See :meth:`Backend.stats`."""
        return dict.fromkeys(names)

    def names(self, _directory: Directory) -> Sequence[str]:
        """See :meth:`Backend.names`."""
        return ()

    def targets(self, _directory: Directory, names: Sequence[str]) -> Mapping[str, str]:
        """See :meth:`Backend.targets`."""
        return dict.fromkeys(names, "")

    def content(self, path: str, _stat: Stat, _offset: int, _size: int) -> bytes:
        """See :meth:`Backend.content`."""
        raise GuestReadError(path, "no such file or directory")

    def tree(self, _path: str, _exclude: Sequence[str], _limit_bytes: int) -> Mapping[str, bytes]:
        """See :meth:`Backend.tree`."""
        return {}

    def xattr(self, _path: str, _stat: Stat | None, _name: str) -> bytes:
        """See :meth:`Backend.xattr`."""
        return b""

    def xattrs(self, _path: str, _stat: Stat | None) -> Mapping[str, bytes]:
        """See :meth:`Backend.xattrs`."""
        return {}

    def digests(
        self,
        _algorithm: str,
        _files: Mapping[GuestPath, Stat],
        *,
        through_filesystem: bool,
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Backend.digests`."""
        return {}

    def deletion_times(self, _directory: Directory, _names: Collection[str]) -> Mapping[str, int]:
        """See :meth:`Backend.deletion_times`."""
        return {}

    def deleted(self, _mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
        """See :meth:`Backend.deleted`."""
        return iter(())

    def records(self, _path: str, _beyond: Collection[str]) -> Iterator[FileRecord]:
        """See :meth:`Backend.records`."""
        return iter(())

    def former_files(self, _path: str) -> Iterator[FormerFile]:
        """See :meth:`Backend.former_files`."""
        return iter(())

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Backend.usage`."""
        raise GuestReadError(target, "nothing is mounted there")

    def doubt(self, _directory: str, _names: Collection[str]) -> None:
        """See :meth:`Backend.doubt`: what is nowhere needs no second look."""

    def place(self, _path: str, _inode: int, _size_bytes: int) -> None:
        """See :meth:`Backend.place`."""

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """See :meth:`Backend.mounted`."""
        raise GuestReadError(path, "nothing can be mounted there")

    def forget(self) -> None:
        """See :meth:`Backend.forget`."""

    def start_over(self) -> None:
        """See :meth:`Backend.start_over`."""
