"""scan: run the analyzers on an image; and inspect: say what is on it. Neither writes anything to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from guestrepair.analyzers.base import Context, budget_for
from guestrepair.disk import Image
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import GuestReadError, LockedError, NoSystemError, SourceError
from guestrepair.fence import LOOK, within
from guestrepair.model import Examination, Severity
from guestrepair.operations import opening
from guestrepair.operations.analysis import (
    analyze,
    chosen_analyzers,
    load_analyzers_meanwhile,
    of_disks,
    rules_of,
    with_verdicts,
    without_sshd,
)
from guestrepair.operations.examined import Examined, examined
from guestrepair.operations.host_only import left_open
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.reported import reported
from guestrepair.operations.tarred import judge_archive
from guestrepair.report.data import ImageReport, StageError
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session

Then = Callable[[LiveGuest, ImageReport], None]
"""What else is wanted of a guest that was analyzed, while it can be read; may be called a second time."""

_MORE = 100
"""So many times as much as an analysis may all take where more is wanted of the guest than that."""


def scan(
    path: ImageName,
    image_options: ImageOptions,
    options: ScanOptions,
    ui: UserInterface,
    then: Then | None = None,
) -> ImageReport:
    """Scan one image. What keeps it from being examined is in the report's errors, not raised.

    ``then`` is called with the guest and its report in the same launch. It is called again, and has to begin
    again, where the appliance does not confirm what was read on the host.

    Raises:
        UsageError: the options name an analyzer that there is not.
    """
    if options.only or options.skip:
        chosen_analyzers(options)  # a wrong name is said before the launch
    else:
        load_analyzers_meanwhile()

    def look(session: Session, report: ImageReport, watch: Stopwatch) -> None:
        try:
            root, guest = opening.find_guest(session, image_options, ui)
            guest = opening.mount_as_repaired(session, root, guest)
        except (NoSystemError, LockedError):
            # What is wrong with the disks may be why: the findings on them belong to the report.
            context = Context(session.without_system(), options=options.analysis, progress=ui.progress)
            keep(session, report, analyze(of_disks(chosen_analyzers(options)), context, options, ui, watch))
            raise
        opening.describe_guest(report, guest)
        watch.lap("find and mount")
        ui.progress("reading the package database")
        context = opening.make_context(guest, options.analysis, ui)
        watch.lap("package database")
        chosen = chosen_analyzers(options)
        report.ran = rules_of(chosen, options)
        judge = partial(analyze, chosen, context, options, ui, watch)
        keep(session, report, judge() if then is None else within(budget, judge))
        _complete(report, guest, context, options, ui)
        watch.lap("causes")
        if then is not None:
            then(guest, report)

    def work(report: ImageReport, watch: Stopwatch) -> None:
        judge_archive(path, image_options, options, report)
        with counted(report, examined(path, image_options)) as disks, contextlib.ExitStack() as stack:
            _begin(report, disks.images, options)
            watch.lap("examine")
            session = stack.enter_context(opening.read_only_session(disks.images, image_options, ui))
            watch.waited = lambda: session.starting.waited_seconds
            watch.lap("disks")
            report.block, report.on_host_alone = session.block(), session.on_host_alone
            try:
                claims = partial(to_be_confirmed, report, options, then)
                opening.until_confirmed(
                    session, watch, lambda: look(session, report, watch), claims, ui.detail
                )
            except (NoSystemError, LockedError):
                raise
            except BaseException:
                _forget(report)  # nobody has confirmed it
                raise
            report.round_trips, report.confirmed = session.calls.count, session.confirmed
        watch.lap("close")

    budget = budget_for(options.analysis, LOOK)
    whole = budget if then is None else budget.times(_MORE, _MORE)
    found = reported(path, ui, lambda report, watch: within(whole, lambda: work(report, watch)))
    return with_verdicts(found, options)


def _begin(report: ImageReport, images: Sequence[Image], options: ScanOptions) -> None:
    """What is known before anything of the disks is read."""
    opening.describe_image(report, images)
    report.partly = bool(options.only or options.skip)
    report.warnings += opening.warn_of_interruption(images[0])


@contextlib.contextmanager
def counted(report: ImageReport, disks: contextlib.AbstractContextManager[Examined]) -> Iterator[Examined]:
    """The disks; what was found on them is dropped where it turns out that they were not read whole."""
    found: Examined | None = None
    try:
        with disks as found:
            yield found
    except SourceError:
        _forget(report)
        raise
    finally:
        report.read_bytes = None if found is None else found.read_bytes


def keep(session: Session, report: ImageReport, found: Examination) -> None:
    """Put what was found into the report, and what could not be looked at."""
    report.findings, report.inconclusive = found
    report.inconclusive += left_open(session, found.inconclusive)


def to_be_confirmed(
    report: ImageReport, options: ScanOptions, then: Then | None, _looked: None = None
) -> str:
    """What in a report the appliance has to confirm before anybody acts on it; "" for nothing.

    That is whatever says that something is wrong, and all that goes into more than a report. A system in
    which nothing is wrong needs nobody's word, where the host was certain of all that it read.
    """
    if then is not None:
        return "more than a report is made of it"
    wrong = [f for f in report.findings if options.notes_count or f.severity is not Severity.NOTE]
    return f"{wrong[0].rule} of {wrong[0].subject}" if wrong else ""


def _forget(report: ImageReport) -> None:
    """Take back what was found."""
    report.findings, report.inconclusive, report.analyzed = [], [], False
    report.inventory = report.brief = None


def _complete(
    report: ImageReport, guest: LiveGuest, context: Context, options: ScanOptions, ui: UserInterface
) -> None:
    """What else there is to say of a system that was analyzed, and of how its findings came about."""
    report.analyzed = True
    report.without_sshd = not report.partly and without_sshd(context.system)
    if options.brief:
        from guestrepair.inventory.brief import brief  # of fleets alone

        with contextlib.suppress(GuestReadError):  # what cannot be read is inconclusive already
            report.brief = brief(context.system, context.packages)
    if options.causes and report.findings:
        from guestrepair.operations.causes import explain  # with all that reads logs: not for a healthy guest

        explain(report, guest, context.system, ui)


def inspect(
    path: ImageName, image_options: ImageOptions, ui: UserInterface, then: Then | None = None
) -> ImageReport:
    """Partition tables, filesystems, the system and its mounts; a disk without a system is described too.

    ``then`` is called as by :func:`scan`.
    """

    def look(session: Session, report: ImageReport) -> None:
        report.errors.clear()
        report.inconclusive.clear()
        try:
            root, guest = opening.find_guest(session, image_options, ui)
            if then is not None:
                guest = opening.mount_as_repaired(session, root, guest)
            opening.describe_guest(report, guest)
            if then is not None:
                then(guest, report)
        except (NoSystemError, LockedError) as error:
            report.errors.append(StageError("system", error.message, error.hint, error.exit_status))
        report.inconclusive += left_open(session, report.inconclusive)

    def work(report: ImageReport, watch: Stopwatch) -> None:
        with counted(report, examined(path, image_options)) as disks:
            look_at(disks.images, report, watch)

    def look_at(images: Sequence[Image], report: ImageReport, watch: Stopwatch) -> None:
        opening.describe_image(report, images)
        report.warnings += opening.warn_of_interruption(images[0])
        with opening.read_only_session(images, image_options, ui) as session:
            watch.waited = lambda: session.starting.waited_seconds
            watch.lap("disks")
            report.block, report.on_host_alone = session.block(), session.on_host_alone
            try:
                opening.until_confirmed(
                    session, watch, lambda: look(session, report), lambda _: told(report), ui.detail
                )
            except BaseException:
                _forget(report)
                raise
            report.confirmed = session.confirmed

    def told(report: ImageReport) -> str:
        """What of it rests on something that is missing."""
        if report.errors:
            return "no system that can be read"
        files = report.inventory.modified.files if report.inventory and report.inventory.modified else ()
        return next((f"{file.path} is missing" for file in files if file.what == "missing"), "")

    whole = LOOK if then is None else LOOK.times(_MORE, _MORE)
    return reported(path, ui, lambda report, watch: within(whole, lambda: work(report, watch)))
