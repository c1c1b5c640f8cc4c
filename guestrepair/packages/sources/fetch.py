"""``--fetch``: the exact version from the distribution's own repositories, by the host's package client.

The host's own configuration is left alone: apt or dnf works in a private directory, without root's rights,
with the guest's repositories and the guest's keys, so signatures are checked as the guest would.
The hosts that are asked are said before (``say``): a guest may name any, also those of a private network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from guestrepair.guest.view import Guest
from guestrepair.packages.base import Package
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile
from guestrepair.packages.sources.directory import wanted_package
from guestrepair.packages.sources.package_file import find_in

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~:^-]*\Z")


class Client(Protocol):
    """A package client of this host that asks the guest's repositories."""

    def download(self, wanted: Package, workdir: Path) -> Path | str:
        """The package's file in ``workdir``, a private directory, or why there is none."""


class FetchSource:
    """The guest's own repositories, asked once for each package."""

    def __init__(
        self, guest: Guest, package_format: str, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.guest = guest
        self.format = package_format
        from guestrepair.packages.sources.fetch_apt import AptClient  # a scan fetches nothing, and need not
        from guestrepair.packages.sources.fetch_dnf import DnfClient  # load what speaks http

        clients: dict[str, Client] = {"deb": AptClient(guest, say), "rpm": DnfClient(guest, say)}
        self._client = clients.get(package_format)

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return "the distribution's repositories"

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`; all changes are of one package."""
        wanted = wanted_package(changes[0])
        found = self._download(wanted, workdir)
        if isinstance(found, str):
            return dict.fromkeys(changes, Refusal(found))
        return find_in(found, found.name, changes, workdir)

    def _download(self, wanted: Package, workdir: Path) -> Path | str:
        if not all(_SAFE_NAME.match(word) for word in (wanted.name, wanted.version, wanted.architecture)):
            return "the database names a package or version that no package manager would take"
        if self._client is None:
            return (
                f"fetching is for apt's and dnf's repositories; this guest has {self.format or 'no'} packages"
            )
        return self._client.download(wanted, workdir)
