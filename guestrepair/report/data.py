"""What a run found out about one image, and about all of them: plain data that every format renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from guestrepair.disk.attach.location import ImageName
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.model import Finding, Inconclusive, Severity, Status

if TYPE_CHECKING:  # each command has its own kind of report: it starts without what the others are made of
    from guestrepair.boot.outcome import BootReport
    from guestrepair.compare.model import Comparison
    from guestrepair.disk import HistoryEntry
    from guestrepair.inventory.model import Brief, Inventory
    from guestrepair.repair.plan import Plan


@dataclass(frozen=True, slots=True)
class StageError:
    """Something that ended the work on an image early: the stage (open, launch, analyze, repair…) and why."""

    stage: str
    message: str
    hint: str = ""
    exit_status: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOutcome:
    """What a repair did: ``backups`` are the copies left in the guest, ``undo`` the record's name (or "").

    ``state_dir`` is where that record lies, when the user named a place.
    """

    committed: bool
    backups: tuple[str, ...] = ()
    undo: str = ""
    state_dir: str = ""
    changed_bytes: int = 0
    sources: tuple[tuple[str, str], ...] = ()
    """Restored paths and where each came from."""
    said: tuple[tuple[str, str], ...] = ()
    """Checkers and guest programs that were run, and the words of each."""


@dataclass(frozen=True, slots=True)
class Again:
    """Options of this command, as words, that a next command on the same image needs, too; no secrets."""

    repair: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlatformVerdict:
    """Whether the image fits a platform; None: not all that it requires could be judged."""

    name: str
    fits: bool | None


def keeps_from_fitting(finding: Finding, platform: str) -> bool:
    """Whether a finding is why the image does not fit a platform."""
    return finding.is_open and platform in finding.platforms and finding.severity is not Severity.NOTE


@dataclass(slots=True, kw_only=True)
class ImageReport:
    """All that is known about one image after a run."""

    path: str
    format: str = ""
    size_bytes: int = 0
    os: OperatingSystem | None = None
    mounts: tuple[Mount, ...] = ()
    unmounted: tuple[tuple[str, str], ...] = ()
    block: BlockDevices | None = None
    findings: list[Finding] = field(default_factory=list)
    inconclusive: list[Inconclusive] = field(default_factory=list)
    errors: list[StageError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    confined: bool = True
    """Whether the programs that read the image could open nothing else of this host."""
    read_bytes: int | None = None
    """How much was read of where the image lies, when that is not a file or device of this host."""
    confirmed: bool = False
    """Whether an appliance's kernel has confirmed what was read on this host."""
    on_host_alone: bool = False
    """Whether the appliance was left out by request."""
    analyzed: bool = False
    """Whether the analyzers looked at a system on it; an inspection, or disks without one, are not that."""
    without_sshd: bool = False
    """Whether it is certain that no OpenSSH server is installed."""
    platforms: tuple[PlatformVerdict, ...] = ()
    """The verdict for each platform that was asked for."""
    ran: tuple[str, ...] = ()
    """The rules that were judged, sorted; empty where no analyzer ran."""
    partly: bool = False
    """Whether analyzers or rules were left out by request."""
    left: list[tuple[Finding, str]] = field(default_factory=list)
    """Findings that a repair was asked for and that it left, with the reason."""
    for_review: int = 0
    """How many repairs marked review a repair left aside, since nobody asked for them."""
    outcome: RepairOutcome | None = None
    plan: Plan | None = None
    """What a dry run would do."""
    brief: Brief | None = None
    """What many systems are compared by, where that was asked for."""
    inventory: Inventory | None = None
    """What the system consists of, where that was asked for."""
    timings: list[tuple[str, float]] = field(default_factory=list)
    """Stages in order, and the seconds each took."""
    again: Again = Again()
    round_trips: int = 0
    """Calls into libguestfs after the launch."""

    @property
    def unconfirmed(self) -> str:
        """What a reader has to know of a guest that no appliance has read; "" where one confirmed it."""
        if self.confirmed or self.block is None:
            return ""
        if self.on_host_alone:
            return "read by this host alone (--host-only): no appliance has confirmed it"
        # Where an error ended the work, nothing was found that could be confirmed.
        return "" if self.errors else "read by this host alone, which was certain of all that it read"

    def open_at_or_above(self, threshold: Severity | None) -> list[Finding]:
        """Findings not repaired whose severity reaches the threshold (None: none do)."""
        if threshold is None:
            return []
        return [
            finding
            for finding in self.findings
            if finding.is_open and finding.severity.rank <= threshold.rank
        ]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is on one image, without findings."""

    image: ImageReport


@dataclass(frozen=True, slots=True)
class Boot:
    """How far an image's guest came when it was booted."""

    path: ImageName
    result: BootReport


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs of an image that are on record, oldest first."""

    path: Path
    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class DiffReport:
    """What is different between two systems, each named as the user did; ``noise`` is shown too.

    ``unconfirmed`` are those of the two (A, B) that this host alone has read.
    """

    before: str
    after: str
    comparison: Comparison
    noise: bool = False
    unconfirmed: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader has to know of how it was compared."""
        if not self.unconfirmed:
            return self.comparison.notes
        who = " and ".join(self.unconfirmed)
        them = "it" if len(self.unconfirmed) == 1 else "them"
        alone = f"{who} read by this host alone: no appliance has confirmed what is missing in {them}"
        return [*self.comparison.notes, alone]

    @property
    def exit_status(self) -> int:
        """1 they differ, 3 not all could be looked at and what could does not, 0 no difference."""
        if any(self.comparison.shown(noise=self.noise)):
            return 1
        return 3 if self.comparison.not_compared else 0


@dataclass(slots=True)
class Report:
    """The whole run of a scan or repair."""

    images: list[ImageReport] = field(default_factory=list)
    fail_on: Severity | None = Severity.ERROR
    """What makes the command fail: reports that know only passed and failed go by it, too."""

    def exit_status(self, threshold: Severity | None) -> int:
        """The highest status of all images (contract: 0, 1, 3, 4)."""
        return max((image_status(image, threshold) for image in self.images), default=0)


def image_status(image: ImageReport, threshold: Severity | None) -> int:
    """0 nothing at or above the threshold, 1 something, 3 could not look, 4 a repair failed."""
    if image.errors:
        return max(error.exit_status for error in image.errors)
    if image.inconclusive:
        return 3
    return 1 if image.open_at_or_above(threshold) else 0


def summary(images: Sequence[ImageReport]) -> dict[str, int]:
    """Counts over all images; what is repaired or suppressed counts as that only."""
    known = [f for image in images for f in image.findings if f.suppressed is not None]
    findings = [f for image in images for f in image.findings if f.suppressed is None]
    left = [f for f in findings if f.status is not Status.REPAIRED]
    counts = {severity.value: sum(f.severity is severity for f in left) for severity in Severity}
    counts["repaired"] = len(findings) - len(left)
    counts["suppressed"] = len(known)
    counts["inconclusive"] = sum(len(image.inconclusive) for image in images)
    return counts
