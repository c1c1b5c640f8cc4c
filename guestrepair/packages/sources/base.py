"""Where the content of a packaged file may come from: what a source answers, and the gate it must pass.

A source hands out a file only when it holds the package in exactly the guest's
version and architecture; :func:`guestrepair.packages.sources.resolve_sources`
then checks the digest against the guest's own database. Everything else is a
:class:`Refusal` with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from guestrepair.model import PackagedKind, RestoreAttributes, RestoreFile

SourcedChange: TypeAlias = RestoreFile | RestoreAttributes


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedFile:
    """One file as a source has it, ready to be written into the guest.

    ``source`` names where it came from, for the plan. ``content`` is a private
    file on this host for a regular file whose content was asked for, else None.
    ``mode`` has the permission bits. ``uid`` and ``gid`` are the numbers to set
    in the guest (names already looked up in its passwd and group). ``xattrs``
    are raw values by name (``security.capability``; never the SELinux label,
    which comes from the guest's own policy). ``digest`` is ``algorithm:hex`` as
    verified against the guest's database, "" where the database has none.
    """

    source: str
    kind: PackagedKind
    mode: int
    uid: int
    gid: int
    owner: str = ""
    group: str = ""
    mtime: int | None = None
    size_bytes: int = 0
    content: Path | None = None
    link_target: str | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a source does not serve for a change."""

    reason: str


class FileSource(Protocol):
    """Something that may hold packaged files: the guest's cache, a directory, a donor, a repository."""

    @property
    def name(self) -> str:
        """What the plan calls it (``donor debian.qcow2``)."""

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """An answer for each change, all changes of one package given together.

        Content is written under ``workdir``, a private directory of this host.
        Nothing of the package or donor is executed.
        """


@dataclass(frozen=True, slots=True)
class Resolution:
    """What each change will be carried out with, and why the others cannot be."""

    resolved: Mapping[SourcedChange, SourcedFile]
    refused: Mapping[SourcedChange, tuple[str, ...]]
