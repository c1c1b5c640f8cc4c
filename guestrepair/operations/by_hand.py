"""A person's own change of a guest's files, with the safety of a repair; and reading files of a guest.

A change by hand is staged on an overlay, the guest is analyzed before and after it, what is new and wrong is
shown before the question, and it is written, recorded and undone like any repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from guestrepair.disk import RepairRecord, Transaction
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import RepairError, UsageError
from guestrepair.fence import uncounted
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Change,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.operations import opening
from guestrepair.operations.examined import examined
from guestrepair.operations.first_disk import on_first_disk
from guestrepair.operations.labels import with_labels
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, ScanOptions, SourceOptions, UserInterface
from guestrepair.operations.overlay_guest import OverlayGuest, staged_session
from guestrepair.operations.reported import as_repair_error, reported
from guestrepair.operations.sources import Sources
from guestrepair.packages.sources import Resolution
from guestrepair.repair.apply import MAX_TEXT_BYTES, Applied, backup_suffix
from guestrepair.repair.plan import Plan, make_plan
from guestrepair.repair.verify import new_findings, unclean
from guestrepair.report.data import ImageReport, RepairOutcome
from guestrepair.report.json import change_json, finding_json
from guestrepair.session.live import LiveGuest

NAME = "by-hand/change"
"""The rule's name under which a change by hand is on record."""


@dataclass(frozen=True, slots=True)
class Consequences:
    """What a change by hand does: the plan, what is wrong only after it, and what it mends."""

    plan: Plan
    worse: tuple[Finding, ...] = ()
    mended: tuple[Finding, ...] = ()
    unexamined: tuple[Inconclusive, ...] = ()
    """What could be examined before it, and no longer can."""

    @property
    def is_worse(self) -> bool:
        """Whether anything is wrong only since the change."""
        return bool(self.worse or self.unexamined)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOptions:
    """How to change: ``confirm`` is shown the consequences before anything is written."""

    confirm: Callable[[Consequences], bool]
    guest_backup: bool = True
    state_dir: Path | None = None


Maker = Callable[[Guest], Sequence[Change]]
"""Makes the changes out of what the guest holds; none where there is nothing to do."""


def change_by_hand(
    path: Path, image_options: ImageOptions, how: HandOptions, make: Maker, ui: UserInterface
) -> ImageReport:
    """Change files of one image's guest. What went wrong is in the report's errors, not raised.

    Raises:
        UsageError: ``make`` refuses what was asked for.
    """

    def work(report: ImageReport, watch: Stopwatch) -> None:
        with (
            examined(path, image_options) as disks,
            staged_session(disks.images, image_options, how.state_dir, ui, watch) as (session, transaction),
        ):
            opening.describe_image(report, disks.images)
            sources = Sources(SourceOptions(), ui.note)
            overlay = OverlayGuest(session, image_options, ScanOptions(), ui, watch, sources)
            run = _ByHand(overlay, report, how)
            report.outcome = RepairOutcome(committed=False)
            if run.stage(make) and transaction is not None:
                run.commit(transaction)

    return reported(path, ui, work)


@dataclass(slots=True)
class _ByHand:
    """One change by hand at work."""

    overlay: OverlayGuest
    report: ImageReport
    how: HandOptions
    plan: Plan = field(default_factory=Plan)
    done: Applied = field(default_factory=Applied)

    def stage(self, make: Maker) -> bool:
        """Make the change on the overlay and look at what it does; True when it is to be written.

        Raises:
            RepairError: it cannot be made.
        """
        block_before = self.overlay.session.block()
        root, guest = self.overlay.open()
        opening.describe_guest(self.report, guest)
        with uncounted():
            changes = make(guest)
        if not changes:
            return False
        self.plan = _planned(changes, guest)
        root, guest, before = self.overlay.look()
        guest.forget()
        try:
            self.done = self.overlay.apply(root, self.plan.steps, self._suffix())
            self.overlay.ui.progress("analyzing the changed overlay")
            _, _, after = self.overlay.look()
            problems = unclean(block_before, self.overlay.session.finish())
            if problems:
                raise RepairError(f"the change was dropped: {'; '.join(problems)}")
        except Exception as error:
            raise as_repair_error(error, self.overlay.ui) from error
        worse = tuple(new_findings(before.findings, after.findings))
        self.report.findings = list(worse)
        consequences = Consequences(
            self.plan,
            worse,
            tuple(f for f in new_findings(after.findings, before.findings)),
            tuple(i for i in after.inconclusive if i not in set(before.inconclusive)),
        )
        return self.how.confirm(consequences)

    def commit(self, transaction: Transaction) -> None:
        """Write it into the image, undoably."""
        self.overlay.ui.progress("writing to the image")
        told = RepairRecord(
            repaired=tuple((NAME, str(step.path)) for step in self.plan.steps),
            backups=tuple(map(str, self.done.backups)),
        )
        changes = [change_json(step.change) for step in self.plan.steps]
        found = [finding_json(finding) for finding in self.report.findings]
        record = transaction.commit({"changes": changes}, {"findings": found}, repair=told)
        self.report.outcome = RepairOutcome(
            committed=True,
            backups=told.backups,
            undo=record.identifier,
            state_dir=str(self.how.state_dir or ""),
            changed_bytes=record.changed_bytes,
        )

    def _suffix(self) -> str:
        return backup_suffix() if self.how.guest_backup else ""


def _planned(changes: Sequence[Change], guest: LiveGuest) -> Plan:
    """The changes as a plan.

    Raises:
        RepairError: one of them cannot be made on this image.
    """
    wanted = [
        Finding(NAME, Severity.NOTE, Subject.of_path(path), "", repair=Repair("", Safety.REVIEW, (change,)))
        for change in changes
        if (path := change.place) is not None
    ]
    here, elsewhere = on_first_disk(wanted, guest)
    labelled, unlabelled = with_labels(here, guest)
    for left in (*elsewhere, *unlabelled):
        raise RepairError(f"{left.finding.subject}: {left.reason}", hint="the image is as it was")
    return make_plan(labelled, Resolution({}, {}))


# --- the changes ----------------------------------------------------------------------


def written(guest: Guest, path: GuestPath, content: bytes, *, mode: int = 0o644) -> WriteFile:
    """The change that makes ``content`` what lies at a path, links followed; ``mode`` is a new file's.

    Raises:
        UsageError: no file can be there.
        GuestReadError: what is there cannot be read.
    """
    if len(content) > MAX_TEXT_BYTES:
        raise UsageError(f"{path}: {len(content)} bytes; at most {MAX_TEXT_BYTES} are written by hand")
    place = place_of_content(guest, path)
    found = guest.lstat(place)
    before = None if found is None else guest.read(place, limit_bytes=MAX_TEXT_BYTES)
    return WriteFile(path=place, before=before, after=content, mode=mode)


def place_of_content(guest: Guest, path: GuestPath) -> GuestPath:
    """Where the content of a path lies or would lie, all links followed inside the guest.

    Raises:
        UsageError: there is no directory for it, or something that is no regular file.
    """
    place = guest.resolve(path)
    if place is None:
        place = guest.resolve_parent(path)
        if place is None:
            raise UsageError(f"{path}: there is no directory {path.parent} in the guest")
        if guest.lstat(place) is not None:
            raise UsageError(f"{path}: a link that leads nowhere; name the file itself")
        return place
    found = guest.lstat(place)
    if found is None or not found.is_file:
        raise UsageError(f"{path}: not a regular file")
    return place


# --- reading --------------------------------------------------------------------------


@contextmanager
def opened(path: ImageName, image_options: ImageOptions, ui: UserInterface) -> Iterator[LiveGuest]:
    """The guest of an image, to read files of.

    Raises:
        GuestRepairError: it cannot be opened.
    """
    with ExitStack() as stack:
        images = stack.enter_context(examined(path, image_options)).images
        for line in opening.warn_of_interruption(images[0]):
            ui.note(line)
        session = stack.enter_context(opening.read_only_session(images, image_options, ui))
        watch = Stopwatch(ImageReport(path=str(path)))
        find = partial(opening.find_guest, session, image_options, ui)
        _, guest = opening.until_confirmed(session, watch, find)
        yield guest


def guest_path(text: str) -> GuestPath:
    """A path as a user names it: absolute.

    Raises:
        UsageError: it is not.
    """
    if not text.startswith("/"):
        raise UsageError(f"{text}: a path in the guest begins with /")
    return GuestPath(text)
