"""The sources of missing packaged files for one repair, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.errors import NoSystemError, UsageError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.live import LiveGuest
from guestrepair.guest.roots import Root
from guestrepair.guest.session import Session
from guestrepair.operations.options import SourceOptions
from guestrepair.packages.host_directory import HostDirectoryGuest
from guestrepair.packages.reference import AttributeSource, Reference
from guestrepair.packages.sources import (
    CacheSource,
    DirectorySource,
    DonorSource,
    FetchSource,
    FileSource,
)


def donor_images(options: SourceOptions) -> tuple[Path, ...]:
    """The donors that are images, and so need a drive in the appliance."""
    return tuple(path for path in options.donors if not path.is_dir())


@dataclass(slots=True)
class Sources:
    """The sources of one repair; what was read of package files is kept from round to round."""

    session: Session
    options: SourceOptions
    say: Callable[[str], None]
    """Told which hosts are asked, before they are."""
    _directories: list[DirectorySource] = field(default_factory=list)
    _donors: list[DonorSource] = field(default_factory=list)
    _fetched: FetchSource | None = None

    def mount(self, guest: LiveGuest) -> None:
        """Mount the donors beside the guest, which must be done again whenever everything was unmounted.

        Raises:
            UsageError: a donor that cannot serve.
        """
        self._directories = self._directories or [DirectorySource(path) for path in self.options.packages]
        self._donors = list(self._mounted(guest.os))

    def of(self, guest: LiveGuest) -> list[FileSource]:
        """Guest's cache, package directories, donors, repositories: those that there are."""
        found: list[FileSource] = [CacheSource(guest), *self._directories, *self._donors]
        if self.options.fetch:
            if self._fetched is None or self._fetched.guest is not guest:
                self._fetched = FetchSource(guest, guest.os.package_format, self.say)
            found.append(self._fetched)
        return found

    def reference(self, guest: LiveGuest) -> Reference | None:
        """What says which modes and owners are right on a dpkg guest: a donor before package files."""
        known: list[AttributeSource] = [*self._donors, *self._directories]
        return Reference(known) if known and guest.os.package_format == "deb" else None

    def _mounted(self, system: OperatingSystem) -> Iterator[DonorSource]:
        for path in self.options.donors:
            if path.is_dir():
                yield DonorSource(HostDirectoryGuest(path, os_release=system), f"donor {path}")
        images = donor_images(self.options)
        roots = self.session.roots(donor=True) if images else []
        for path in images:
            root = _root_on(self.session, roots, path, system)
            guest = self.session.guest(root)
            known = next((source for source in self._donors if source.guest is guest), None)
            yield known or DonorSource(guest, f"donor {path}")


def _root_on(session: Session, roots: Sequence[Root], path: Path, system: OperatingSystem) -> Root:
    disks = {disk.name for disk in session.block(donor=True).disks if disk.host_path == str(path)}
    own = [root for root in roots if root.device.disk in disks]
    if not own:
        raise NoSystemError(f"--donor {path}: no Linux system on it", hint="give a healthy system's disk")
    same = [root for root in own if root.os.distro == system.distro]
    if not same:
        product = own[0].os.product or "another system"
        raise UsageError(
            f"--donor {path}: it holds {product}, and the guest is {system.product}",
            hint="a donor must be of the guest's own distribution",
        )
    return same[0]
