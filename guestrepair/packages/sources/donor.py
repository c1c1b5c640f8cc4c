"""A healthy system of the same distribution as a source: an image in the same launch, or a directory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from guestrepair.errors import BindingError, FormatError, GuestReadError
from guestrepair.formats.capabilities import XATTR
from guestrepair.formats.posix_acl import ACL_ACCESS
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.base import Package, PackageDatabase, Provenance
from guestrepair.packages.dpkg import DpkgDatabase
from guestrepair.packages.opening import open_database
from guestrepair.packages.reference import NO_PACKAGE, Attributes
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile

MAX_FILE_BYTES = 2 * 1024**3
_CHUNK_BYTES = 48 * 1024**2
_XATTRS = (XATTR, ACL_ACCESS, "user.pax.flags")


class DonorSource:
    """Files of a donor system; only of packages that it has in exactly the guest's version.

    ``guest`` is the view of the donor, mounted read-only; ``name`` is what the plan calls it.
    What was read of it is kept: nobody writes to a donor.
    """

    def __init__(self, guest: Guest, name: str) -> None:
        self.guest = guest
        self._name = name
        self._known: dict[Package, dict[str, Attributes]] = {}

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return self._name

    @cached_property
    def _database(self) -> PackageDatabase | str:
        """The donor's database, or why there is none."""
        try:
            found = open_database(self.guest)
        except (BindingError, GuestReadError, FormatError) as error:
            return f"its package database cannot be read: {error.message}"
        return found or "it has no package database"

    @cached_property
    def _accounts(self) -> AccountNames:
        return AccountNames(self.guest)

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`."""
        stats = _resolved_stats(self.guest, [change.path for change in changes])
        return {change: self._one(change, stats.get(change.path), workdir) for change in changes}

    authority = Provenance.DONOR

    def attributes(self, package: Package, paths: Sequence[str]) -> Mapping[str, Attributes]:
        """See :class:`AttributeSource`; what the donor's administrator has overridden is not said."""
        database = self._database
        if isinstance(database, str) or package not in (*database.packages, NO_PACKAGE):
            return {}
        overridden = database.overrides if isinstance(database, DpkgDatabase) else {}
        known, accounts = self._known.setdefault(package, {}), self._accounts
        wanted = {GuestPath(p): p for p in paths if p not in known and p not in overridden}
        try:
            stats = self.guest.lstat_many(wanted)
        except GuestReadError:
            return {}
        known |= {
            wanted[path]: Attributes(stat.mode, accounts.user(stat.uid), accounts.group(stat.gid))
            for path, stat in stats.items()
            if stat is not None and not accounts.cannot_name(stat.uid, stat.gid)
        }
        return {path: known[path] for path in paths if path in known}

    def _one(
        self, change: SourcedChange, found: tuple[GuestPath, Stat] | None, workdir: Path
    ) -> SourcedFile | Refusal:
        reason = self._version_mismatch(change)
        if reason:
            return Refusal(reason)
        if found is None:
            return Refusal("the file is not there either")
        path, stat = found
        try:
            return self._sourced(change, path, stat, workdir)
        except GuestReadError as error:
            return Refusal(f"cannot be read: {error.reason}")

    def _version_mismatch(self, change: SourcedChange) -> str:
        database = self._database
        if isinstance(database, str):
            return database
        if not change.package:
            return ""  # mode and owner of what no package owns
        same_name = [p for p in database.packages if p.name == change.package]
        if not same_name:
            return f"it has no package {change.package}"
        for package in same_name:
            if (package.version, package.architecture) == (change.version, change.architecture):
                return ""
        has = ", ".join(f"{p.version} {p.architecture}" for p in same_name)
        return f"it has {change.package} {has}; the guest has {change.version} {change.architecture}"

    def _sourced(
        self, change: SourcedChange, path: GuestPath, stat: Stat, workdir: Path
    ) -> SourcedFile | Refusal:
        kind = _kind(stat)
        unnamed = self._accounts.cannot_name(stat.uid, stat.gid)
        if unnamed:
            return Refusal(f"nothing there tells whose the file is: {unnamed}")
        content, digest = None, ""
        if isinstance(change, RestoreFile) and kind is PackagedKind.FILE:
            if stat.size_bytes > MAX_FILE_BYTES:
                return Refusal(f"a file of {stat.size_bytes} bytes")
            algorithm = change.digest.partition(":")[0]
            content, digest = _copy(self.guest, path, stat.size_bytes, algorithm, workdir)
        return SourcedFile(
            source=self.name,
            kind=kind,
            mode=stat.permissions,
            uid=stat.uid,
            gid=stat.gid,
            owner=self._accounts.user(stat.uid),
            group=self._accounts.group(stat.gid),
            mtime=stat.mtime,
            size_bytes=stat.size_bytes if kind is PackagedKind.FILE else 0,
            content=content,
            link_target=self.guest.readlink(path) if kind is PackagedKind.SYMLINK else None,
            xattrs=self._xattrs(path) if _may_have_xattrs(stat) else {},
            digest=digest,
        )

    def _xattrs(self, path: GuestPath) -> dict[str, bytes]:
        values = {name: self.guest.xattr(path, name) for name in _XATTRS}
        return {name: value for name, value in values.items() if value}


def _may_have_xattrs(stat: Stat) -> bool:
    """Thousands of paths may come back: only programs are asked for capabilities and their like."""
    return stat.is_file and bool(stat.permissions & 0o111)


def _resolved_stats(guest: Guest, paths: Sequence[GuestPath]) -> Mapping[GuestPath, tuple[GuestPath, Stat]]:
    """Each path that is there, its parents' links resolved, and its own stat."""
    stats = guest.lstat_many(paths)
    answer = {}
    for path, stat in stats.items():
        where = None if stat is None else guest.resolve_parent(path)
        if stat is not None and where is not None:
            answer[path] = (where, stat)
    return answer


def _kind(stat: Stat) -> PackagedKind:
    if stat.is_file:
        return PackagedKind.FILE
    if stat.is_directory:
        return PackagedKind.DIRECTORY
    return PackagedKind.SYMLINK if stat.is_symlink else PackagedKind.OTHER


def _copy(guest: Guest, path: GuestPath, size_bytes: int, algorithm: str, workdir: Path) -> tuple[Path, str]:
    """Copy a file of the donor into the work directory, hashed on its way."""
    state = hashlib.new(algorithm or "sha256", usedforsecurity=False)
    target = private_file(workdir)
    with target.open("wb") as out:
        for offset in range(0, size_bytes, _CHUNK_BYTES):
            piece = guest.read_range(path, offset, _CHUNK_BYTES)
            state.update(piece)
            out.write(piece)
    return target, f"{algorithm}:{state.hexdigest()}" if algorithm else ""


def private_file(workdir: Path) -> Path:
    """A new file of ours in the work directory; its name says nothing that the guest chose."""
    descriptor, name = tempfile.mkstemp(prefix="file-", dir=workdir)
    os.close(descriptor)
    return Path(name)
