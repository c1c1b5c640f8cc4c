"""The sources of missing packaged files for one repair, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.errors import ImageError, LockedError, UsageError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.guest.package_formats import format_named
from guestrepair.guest.root_filesystems import Root
from guestrepair.operations.options import SourceOptions
from guestrepair.packages.reference import AttributeSource, Reference
from guestrepair.packages.sources import (
    CacheSource,
    DeletedSource,
    DirectorySource,
    DonorSource,
    FetchSource,
    FileSource,
    UnpackedSource,
)
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session


def donor_images(options: SourceOptions) -> tuple[ImageName, ...]:
    """The donors that are images, and so need a session of their own."""
    return tuple(path for path in options.donors if isinstance(path, Location) or not path.is_dir())


@dataclass(slots=True)
class Sources:
    """The sources of one repair; what was read of package files and donors is kept from round to round.

    ``sessions`` are those of the donors that are images, by path.
    """

    options: SourceOptions
    say: Callable[[str], None]
    """Told which hosts are asked, before they are."""
    sessions: Mapping[ImageName, Session] = field(default_factory=dict)
    _directories: list[DirectorySource] = field(default_factory=list)
    _donors: list[DonorSource] = field(default_factory=list)
    _opened: dict[tuple[ImageName, str], DonorSource] = field(default_factory=dict)
    _fetched: FetchSource | None = None

    def open(self, guest: LiveGuest) -> None:
        """Open the donors that serve this guest, and the directories of package files.

        Raises:
            UsageError: a donor is no system of the guest's distribution.
            ImageError: no system can be opened on a donor.
        """
        self._directories = self._directories or [DirectorySource(path) for path in self.options.packages]
        self._donors = [donor for path in self.options.donors for donor in self._of_donor(path, guest.os)]

    def of(self, guest: LiveGuest) -> list[FileSource]:
        """Deleted files, what lies unpacked in the guest, its cache, directories, donors, repositories.

        Deleted files that would come back without their extended attributes are asked after donors.
        """
        deleted = DeletedSource(guest)
        found: list[FileSource] = [
            deleted.without_loss(),
            UnpackedSource(guest),
            CacheSource(guest),
            *self._directories,
            *self._donors,
            deleted,
        ]
        if self.options.fetch:
            if self._fetched is None or self._fetched.guest is not guest:
                self._fetched = FetchSource(guest, guest.os.package_format, self.say)
            found.append(self._fetched)
        return found

    def reference(self, guest: LiveGuest) -> Reference | None:
        """What says which modes and owners are right where no database does: donors before package files."""
        known: list[AttributeSource] = [*self._donors, *self._directories]
        kind = format_named(guest.os.package_format)
        return Reference(known) if known and kind is not None and not kind.records_attributes else None

    def _of_donor(self, path: ImageName, system: OperatingSystem) -> Iterator[DonorSource]:
        if isinstance(path, Path) and path.is_dir():
            yield DonorSource(HostDirectoryGuest(path, os_release=system), f"donor {path}")
            return
        session = self.sessions[path]
        roots = _systems(session, path, system)
        for root in roots:
            if (path, root.name) not in self._opened:
                name = f"donor {path}" if len(roots) == 1 else f"donor {path}, {root.name}"
                self._opened[path, root.name] = DonorSource(session.guest(root), name)
            yield self._opened[path, root.name]


def _systems(session: Session, path: ImageName, system: OperatingSystem) -> list[Root]:
    """The systems on a donor that can serve: of the guest's distribution, and of its version where one is.

    All of them serve, one after another: whatever comes from one must be of the very same package.
    """
    found = session.roots()
    if not found:
        why = session.no_system()
        hint = why.hint if isinstance(why, LockedError) else "give a healthy system's disk"
        raise ImageError(f"--donor {path}: {why.message}", hint=hint)
    same = [root for root in found if system.distro in ("", root.os.distro)]
    if not same:
        product = found[0].os.product or "another system"
        raise UsageError(
            f"--donor {path}: it holds {product}, and the guest is {system.product}",
            hint="a donor must be of the guest's own distribution",
        )
    return [root for root in same if root.os.version == system.version] or same
