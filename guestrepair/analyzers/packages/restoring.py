"""The change that brings a packaged file back."""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import ALIASED_DIRECTORIES, Evidence, GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.packages.places import real_place


def merged_tops(guest: Guest) -> frozenset[str]:
    """The directories of / that are links into /usr: a path there has two names."""
    stats = guest.lstat_many(GuestPath(f"/{name}") for name in ALIASED_DIRECTORIES)
    return frozenset(path.name for path, stat in stats.items() if stat is not None and stat.is_symlink)


def placed(path: str, merged: frozenset[str]) -> str:
    """The name in /usr of a path that lies there."""
    return usr_form(path) if path.split("/", 2)[1] in merged else path


def restore(guest: Guest, file: PackagedFile) -> RestoreFile:
    """Restore this file at the place where its directory really is (``/usr/bin`` for ``/bin``)."""
    package = file.package
    return RestoreFile(
        path=real_place(guest, GuestPath(file.path)),
        package=package.name,
        version=package.version,
        architecture=package.architecture,
        digest=file.digest,
        file_kind=file.kind,
        mode=file.mode,
        owner=file.owner,
        group=file.group,
        link_target=file.link_target,
        capabilities=file.capabilities if file.kind is PackagedKind.FILE else None,
        mtime=file.mtime if file.kind is PackagedKind.FILE else None,
    )


def described(file: PackagedFile) -> str:
    """The file's package, for a message: ``libc6 2.36-9+deb12u14``."""
    return f"{file.package.name} {file.package.version}"


def expectation(database: PackageDatabase, file: PackagedFile, observed: str) -> Evidence:
    """What the database says of a file, against what is there."""
    words = "present" if file.kind is PackagedKind.OTHER else str(file.kind)
    details = [words]
    if file.link_target:
        details.append(f"to {file.link_target}")
    if file.digest:
        details.append(file.digest)
    return Evidence(f"{database.format} database, {described(file)}", observed, " ".join(details))
