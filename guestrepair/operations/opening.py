"""Opening an image: the host side, the overlays, one launch, the system to work on, its package database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from guestrepair import fence
from guestrepair.analyzers.base import AnalysisOptions, Context, budget_for
from guestrepair.appliance.keys import KeyRing
from guestrepair.appliance.launch import LaunchOptions, device_name
from guestrepair.appliance.qemu_processes import end_machines
from guestrepair.confine.process import confinement
from guestrepair.disk import Image, interrupted, state_directory, throwaway, watched_space
from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.disk.known_digests import KnownDigests, SharedBase
from guestrepair.disk.space import RESERVE_BYTES, require_free
from guestrepair.disk.tempdirs import default_parent
from guestrepair.errors import (
    BindingError,
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    ImageAccessError,
    LockedError,
    NoSystemError,
    words_of,
)
from guestrepair.fence import within
from guestrepair.guest.devices import BlockDevice, ImageFile
from guestrepair.guest.root_filesystems import Root
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.packages import open_database
from guestrepair.report.data import ImageReport
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session, SessionDisk, open_session
from guestrepair.system.guest_system import System

T = TypeVar("T")
_ELSEWHERE = "free some space there, or name another directory in TMPDIR"

_UNCONFINED = (
    "this kernel has no means (Landlock) to keep the programs that read the image from this host's other "
    "files: only the checks of its headers do"
)


@dataclass(slots=True)
class Stopwatch:
    """Seconds that each stage took, into a report; waiting for the appliance is a stage of its own."""

    report: ImageReport
    waited: Callable[[], float] = lambda: 0.0
    """How long was waited for the appliance so far."""
    _last: float = field(default_factory=time.monotonic)
    _waited: float = 0.0

    def lap(self, stage: str) -> None:
        """The time since the last lap goes to this stage."""
        now, waited = time.monotonic(), self.waited()
        waiting = waited - self._waited
        if waiting:
            self.report.timings.append(("waiting for the appliance", waiting))
        self.report.timings.append((stage, now - self._last - waiting))
        self._last, self._waited = now, waited


def describe_image(report: ImageReport, images: Sequence[Image]) -> None:
    """Put what the host knows about the image into the report."""
    report.format = images[0].format.value
    report.size_bytes = images[0].virtual_size_bytes
    report.confined = bool(confinement())
    if not report.confined:
        report.warnings.append(_UNCONFINED)
    for image in images:
        report.warnings.extend(image.warnings)


def warn_of_interruption(image: Image, state_dir: Path | None = None) -> list[str]:
    """The warning that an image is half written by an interrupted repair or undo; none when it is whole."""
    if isinstance(image.path, Location):
        return []  # never written to
    try:
        return list(filter(None, [interrupted(image, state_directory(state_dir))]))
    except ImageAccessError:
        return []  # no state directory, no interrupted repair


@contextlib.contextmanager
def read_only_session(images: Sequence[Image], options: ImageOptions, ui: UserInterface) -> Iterator[Session]:
    """A session on throw-away overlays of the images.

    Raises:
        ImageError, ApplianceError: see their classes.
    """
    with contextlib.ExitStack() as stack:
        disks = throwaway_disks(stack, images, ui)
        launch = launch_options(options, ui, throwaway=True)
        known = _known_digests(images, options)
        keys = key_ring(options, ui)
        yield stack.enter_context(open_session(disks, keys=keys, launch=launch, known=known))
        if known is not None:
            known.save()


def _known_digests(images: Sequence[Image], options: ImageOptions) -> KnownDigests | None:
    """Digests of files in what images share with others; None where none are kept, or nothing is shared."""
    if options.known_digests is None:
        return None
    found = {device_name(index): SharedBase.of(image.layers) for index, image in enumerate(images)}
    bases = {name: base for name, base in found.items() if base is not None}
    return KnownDigests(options.known_digests, bases) if bases else None


def donor_sessions(
    stack: contextlib.ExitStack, donors: Sequence[Image], options: ImageOptions, ui: UserInterface
) -> dict[ImageName, Session]:
    """A session for each donor, by its path; see :func:`donor_session`."""
    return {donor.path: stack.enter_context(donor_session(donor, options, ui)) for donor in donors}


@contextlib.contextmanager
def donor_session(donor: Image, options: ImageOptions, ui: UserInterface) -> Iterator[Session]:
    """A session on a throw-away overlay of a donor; its machine starts only when the host cannot read it.

    The keys given are tried on its containers as on the guest's.

    Raises:
        ImageError, ApplianceError: see their classes.
    """
    with late_session((donor,), options, ui, donor_keys(donor, options, ui)) as session:
        yield session


@contextlib.contextmanager
def late_session(
    images: Sequence[Image], options: ImageOptions, ui: UserInterface, keys: KeyRing
) -> Iterator[Session]:
    """A session on throw-away overlays, whose machine starts only when the host cannot read them.

    Raises:
        ImageError, ApplianceError: see their classes.
    """
    with contextlib.ExitStack() as stack:
        disks = throwaway_disks(stack, images, ui)
        launch = replace(launch_options(options, ui, throwaway=True), at_once=False)
        yield stack.enter_context(open_session(disks, keys=keys, launch=launch))


def donor_keys(donor: Image, options: ImageOptions, ui: UserInterface) -> KeyRing:
    """The keys given, and the question for one more, which names the donor."""
    ask = ui.ask_passphrase

    def ask_for_donor(container: BlockDevice) -> str | None:
        named = replace(container, name=f"{container.name} of the donor {donor.path}")
        return None if ask is None else ask(named)

    return KeyRing(options.keys, None if ask is None else fence.unhurried(ask_for_donor))


def _anything(_found: object) -> str:
    return "whatever is found is to be confirmed"


def until_confirmed(
    session: Session,
    watch: Stopwatch,
    look: Callable[[], T],
    claims: Callable[[T], str] = _anything,
    tell: Callable[[str], None] = lambda _line: None,
) -> T:
    """What ``look`` finds, once the appliance has confirmed what was read on the host meanwhile.

    ``look`` is called a second time when it has not, and then reads everything through the appliance.
    Nobody waits for it where the host was certain of all that it read, and ``claims`` names nothing among
    what was found that needs confirmation; nor where there is none. ``tell`` gets a line about who answered.
    """
    for _ in range(2):
        try:
            found = look()
        except (NoSystemError, LockedError):
            if session.on_host_alone or _confirmed(session, watch):
                raise
            continue
        why = session.uncertain or claims(found)
        if session.on_host_alone:
            tell("answered by this host alone: the appliance is left out")
            return found
        if not why:
            tell("answered by this host alone: it was certain of all, and the appliance is not waited for")
            return found
        tell(f"the appliance is to confirm it: {why}")
        if _confirmed(session, watch):
            return found
    raise AssertionError("what the appliance has read itself is not confirmed")


def _confirmed(session: Session, watch: Stopwatch) -> bool:
    confirmed = session.verified()
    watch.lap("confirmed by the appliance")
    return confirmed


def ended_without_room(
    directory: Path, ui: UserInterface, then: str
) -> contextlib.AbstractContextManager[None]:
    """While the block runs, an overlay in the directory that cannot grow ends the machines: ``then`` is said.

    qemu would wait for room without end, and so would whoever talks to its machine.
    """

    def give_up() -> None:
        ui.note(f"no room left in {directory}: {then}")
        end_machines()

    return watched_space(directory, give_up)


def throwaway_disks(
    stack: contextlib.ExitStack, images: Sequence[Image], ui: UserInterface
) -> list[SessionDisk]:
    """Disks for a session, on overlays that go when the stack unwinds.

    Raises:
        ImageError: and its kinds; there is no room, or an overlay cannot be made.
    """
    if not images:
        return []
    parent = default_parent()
    require_free(
        parent,
        2 * RESERVE_BYTES,
        "what is written to throw-away overlays",
        hint=_ELSEWHERE,
    )
    disks = [session_disk(stack.enter_context(throwaway(image)).path, image) for image in images]
    stack.enter_context(ended_without_room(parent, ui, _ELSEWHERE))
    return disks


def session_disk(overlay: Path, image: Image) -> SessionDisk:
    """The disk that an overlay of an image is."""
    return SessionDisk(
        overlay=overlay,
        host_path=str(image.path),
        size_bytes=image.virtual_size_bytes,
        image=image_file(image),
    )


def image_file(image: Image) -> ImageFile:
    """What is known of the file that an image is, as a fact about the guest's disk."""
    top = image.top
    return ImageFile(
        format=top.format.value,
        kind=top.kind,
        is_block_device=top.is_block_device,
        layers=len(image.layers),
        allocated_bytes=_allocated(image.path),
    )


def _allocated(path: ImageName) -> int | None:
    if isinstance(path, Location):
        return None  # only who keeps it knows
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return None  # it is gone, or moved: whoever opens it will say so


def launch_options(options: ImageOptions, ui: UserInterface, *, throwaway: bool = False) -> LaunchOptions:
    """Which appliance, who is told about it, and whether what is on the overlays may be lost at its end."""
    return LaunchOptions(
        stock=options.stock_appliance,
        left_out=options.host_only,
        at_once=not options.late,
        throwaway=throwaway,
        note=ui.note,
        progress=ui.progress,
    )


def key_ring(options: ImageOptions, ui: UserInterface) -> KeyRing:
    """The keys given, and the question for one more; none where nothing could be opened with them."""
    if options.host_only:
        return KeyRing(())
    return KeyRing(options.keys, fence.unhurried(ui.ask_passphrase))


def choose_root(session: Session, options: ImageOptions, ui: UserInterface) -> Root:
    """The system to work on.

    Raises:
        NoSystemError, LockedError: there is none that can be worked on.
    """
    return session.choose_root(options.root, fence.unhurried(ui.ask_root))


def open_guest(session: Session, root: Root) -> LiveGuest:
    """The read-only view of the chosen system.

    Raises:
        NoSystemError: its root filesystem cannot be mounted.
    """
    try:
        return session.guest(root)
    except GuestReadError as error:
        raise NoSystemError(
            f"the root filesystem cannot be mounted: {error.message}",
            hint="guestrepair scan --only partitions,filesystems may say why",
        ) from error


def find_guest(session: Session, options: ImageOptions, ui: UserInterface) -> tuple[Root, LiveGuest]:
    """The system to work on and the read-only view of it, found in bounded time.

    Raises:
        NoSystemError, LockedError, BudgetError: there is none that can be worked on.
    """

    def find() -> tuple[Root, LiveGuest]:
        root = choose_root(session, options, ui)
        return root, open_guest(session, root)

    return within(fence.FIND, find)


def mount_as_repaired(session: Session, root: Root, guest: LiveGuest) -> LiveGuest:
    """The guest with that mounted, too, what fstab will name once its lines are put right.

    A wrong UUID of /home or /boot keeps everything below from being looked at, though it is known which
    filesystem is meant: one scan tells of the line and of what lies behind it. Where that cannot be
    worked out the fstab analyzer, which asks the same, says why.
    """
    if not guest.unmounted:
        return guest
    try:
        text = within(fence.MENDING, lambda: System(guest).mounts.as_repaired)
    except (BudgetError, MemoryError):
        guest.start_over()
        return guest
    except Exception:  # whatever it is, the analyzer of fstab meets it again
        return guest
    return guest if text is None else session.mount_more(root, guest, text)


def describe_guest(report: ImageReport, guest: LiveGuest) -> None:
    """Put who the guest is and what is mounted into the report."""
    report.os = guest.os
    report.mounts = guest.mounts
    report.unmounted = guest.unmounted
    report.block = guest.block


def make_context(guest: LiveGuest, options: AnalysisOptions, ui: UserInterface) -> Context:
    """What the analyzers are given; a package database that cannot be read is said, not raised."""
    context = Context(guest, options=options, progress=ui.progress)
    try:
        context.packages = within(budget_for(options, fence.DATABASE), lambda: open_database(guest))
    except (GuestReadError, FormatError) as error:
        context.packages_error = error.message
    except BindingError as error:  # nothing is wrong with the guest: this host cannot look
        context.packages_stopped = f"{error.message}; {error.hint}"
    except BudgetError as error:
        guest.start_over()
        context.packages_stopped = error.message
    except GuestRepairError:
        raise
    except Exception as error:  # of ours: it costs the database, not the image
        guest.start_over()
        context.packages_stopped = f"the package database: a fault of guestrepair itself: {words_of(error)}"
    return context
