"""What the user asked for, as the command line hands it over: plain frozen data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.appliance.keys import Key
from guestrepair.disk.attach.attachment import Access
from guestrepair.disk.attach.location import ImageName
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.root_filesystems import Root


def _silent(_message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInterface:
    """How the work talks to the user: progress of long work, lines worth knowing, details, and questions.

    A question that is None is one that nobody can be asked. ``detail`` is for whoever wants to know all.
    """

    progress: Callable[[str], None] = _silent
    note: Callable[[str], None] = _silent
    detail: Callable[[str], None] = _silent
    ask_root: Callable[[list[Root]], Root | None] | None = None
    ask_passphrase: Callable[[BlockDevice], str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """How to open an image; the same on every command."""

    input_format: str | None = None
    first_format: str | None = None
    """The format of the first disk, where the others are of ``input_format`` and it is not."""
    further_disks: tuple[ImageName, ...] = ()
    root: str = ""
    keys: tuple[Key, ...] = ()
    allow_backing: tuple[Path, ...] = ()
    stock_appliance: bool = False
    access: Access = field(default_factory=Access)
    host_only: bool = False
    """No appliance: what only it could tell is not known."""
    late: bool = False
    """The appliance is started when it is first needed, not ahead of that: of many images few need it."""
    known_digests: Path | None = None
    """Where digests of files in backing files that other images share are kept; only scans use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """Which analyzers run (``only`` and ``skip`` name areas or rules), and how."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    analysis: AnalysisOptions = field(default_factory=AnalysisOptions)
    causes: bool = True
    """Whether to look for how each finding came about."""
    brief: bool = False
    """Whether the report is to have what many systems are compared by."""
    notes_count: bool = False
    """Whether somebody acts on notes, too: they make the command fail, or a policy may raise them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardOptions:
    """Where policy and baseline are; a policy may lie in ``search_from``, or above it."""

    policy: Path | None = None
    search_from: Path | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None

    @property
    def any_given(self) -> bool:
        """Whether there is anything to be weighed by, or to be looked for."""
        return any((self.policy, self.search_from, self.baseline, self.write_baseline))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where missing packaged files may come from, besides the guest's own cache."""

    donors: tuple[ImageName, ...] = ()
    packages: tuple[Path, ...] = ()
    fetch: bool = False
