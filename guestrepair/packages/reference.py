"""Modes and owners of packaged paths where the guest's own database records none (dpkg).

A donor with the package in the same version is an installed system: what it has is what the guest
should have. A .deb says what dpkg unpacks, before the package's scripts change some of it, so it only
tells what was lost since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from guestrepair.guest.view import Stat
from guestrepair.model import PackagedKind
from guestrepair.packages.base import Package, PackagedFile, Provenance


@dataclass(frozen=True, slots=True)
class Attributes:
    """Type and permission bits, and the names of user and group (numbers where there is no name)."""

    mode: int
    owner: str
    group: str


NO_PACKAGE = Package("", "", "")
"""What a donor is asked with about paths that no package owns."""


class AttributeSource(Protocol):
    """Something that knows the attributes of a package's paths in exactly that version."""

    authority: Provenance

    def attributes(self, package: Package, paths: Sequence[str]) -> Mapping[str, Attributes]:
        """What it knows of these paths; empty when it has not this package in this version."""


class Reference:
    """The sources in their order: the first that knows a package speaks for it."""

    def __init__(
        self, sources: Sequence[AttributeSource], *, unpacked: frozenset[Package] | None = None
    ) -> None:
        self._sources = tuple(sources)
        self._unpacked = unpacked

    def for_packages(self, unpacked: frozenset[Package]) -> Reference:
        """The same, with package files asked for these packages only: each must be unpacked whole."""
        return Reference(self._sources, unpacked=unpacked)

    def complete(self, files: Sequence[PackagedFile], stats: Iterable[Stat | None]) -> list[PackagedFile]:
        """The files in their order, with mode and owner where the database has none and a source has.

        ``stats`` are theirs. Only for what is there and of the same type as in the source.
        """
        pairs = list(zip(files, stats, strict=True))
        known = self._known([file for file, stat in pairs if file.mode is None and stat is not None])
        return [_completed(file, stat, known.get(file.path)) for file, stat in pairs]

    def unpackaged(self, stats: Mapping[str, Stat]) -> frozenset[str]:
        """Those of these paths, which no package owns, that a donor has in the same type."""
        paths = list(stats)
        answer: dict[str, Attributes] = {}
        for source in self._sources:
            if source.authority is Provenance.DONOR:
                answer = {**source.attributes(NO_PACKAGE, paths), **answer}
        return frozenset(
            p for p, known in answer.items() if known.mode & 0o170000 == stats[p].mode & 0o170000
        )

    def _known(self, files: Sequence[PackagedFile]) -> Mapping[str, tuple[Provenance, Attributes]]:
        by_package: dict[Package, list[str]] = defaultdict(list)
        for file in files:
            by_package[file.package].append(file.path)
        answer: dict[str, tuple[Provenance, Attributes]] = {}
        for package, paths in by_package.items():
            for source in self._sources:
                left_out = self._unpacked and package not in self._unpacked
                if left_out and source.authority is Provenance.UNPACKED:
                    continue
                found = source.attributes(package, paths)
                if found:
                    answer.update((path, (source.authority, known)) for path, known in found.items())
                    break
        return answer


def _completed(
    file: PackagedFile, stat: Stat | None, known: tuple[Provenance, Attributes] | None
) -> PackagedFile:
    if stat is None or known is None or stat.mode & 0o170000 != known[1].mode & 0o170000:
        return file
    if stat.is_symlink and file.kind is PackagedKind.DIRECTORY:
        return file  # /bin of a merged /usr: the directory behind the link is judged under its own name
    authority, attributes = known
    return replace(
        file,
        mode=attributes.mode & 0o7777,
        owner=attributes.owner,
        group=attributes.group,
        provenance=authority,
    )
