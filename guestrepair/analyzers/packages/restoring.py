"""The change that brings a packaged file back."""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import Evidence, GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.base import PackageDatabase, PackagedFile


def restore(guest: Guest, file: PackagedFile) -> RestoreFile:
    """Restore this file at the place where its directory really is (``/usr/bin`` for ``/bin``)."""
    path = GuestPath(file.path)
    package = file.package
    return RestoreFile(
        path=guest.resolve_parent(path) or path,
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
