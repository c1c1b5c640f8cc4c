"""diff: what is different between two systems. Nothing is written to either."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from guestrepair import fence
from guestrepair.compare.compare import Side, compare
from guestrepair.compare.contents import IsSame, never_known
from guestrepair.compare.model import CompareOptions, Comparison, NotCompared
from guestrepair.disk import Format, Image, Layer, earlier, state_directory
from guestrepair.disk.attach.location import ImageName, Location, parse_image_name
from guestrepair.disk.shared import State, may_differ
from guestrepair.errors import (
    BindingError,
    BudgetError,
    FormatError,
    GuestReadError,
    LockedError,
    NoSystemError,
)
from guestrepair.fence import within
from guestrepair.guest.file_records import FileRecord
from guestrepair.operations import opening
from guestrepair.operations.examined import examined
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.packages import open_database
from guestrepair.report.data import DiffReport
from guestrepair.session.host.readable import FILESYSTEMS
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from guestrepair.system.guest_system import System

_BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Given:
    """One of the two as the user names it."""

    text: str
    path: ImageName
    moment: str = ""
    """A snapshot, or ``before`` a repair; "" for the image as it is."""

    @property
    def shown(self) -> str:
        """The text without secrets."""
        return str(self.path) if isinstance(self.path, Location) else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """How to compare, what to show, and where repairs are on record."""

    compare: CompareOptions = field(default_factory=CompareOptions)
    noise: bool = False
    state_dir: Path | None = None


def parse_given(text: str) -> Given:
    """``IMAGE`` or ``IMAGE@MOMENT``; a file whose own name has an @ is that file."""
    if isinstance(name := parse_image_name(text), Location):
        return Given(text, name)
    path, at, moment = text.rpartition("@")
    whole = Path(text)
    if at and path and moment and not whole.exists() and Path(path).exists():
        return Given(text, Path(path), moment)
    return Given(text, name)


@contextlib.contextmanager
def _at(moment: str, image: Image, state_dir: Path | None) -> Iterator[tuple[Image, tuple[State, ...]]]:
    """The image as it was then, and what that is made of.

    Raises:
        GuestRepairError: there is no such moment, or it can no longer be shown.
    """
    if not moment:
        yield image, _states(image)
        return
    snapshot = earlier.chosen_snapshot(image, moment)
    name, _, identifier = moment.partition(":")
    if snapshot is not None:
        with earlier.at_snapshot(image, snapshot) as then:  # a copy, of which the image's own tables tell
            top = State(image.top, (snapshot.identifier, snapshot.name))
            yield then, (top, *_states(image)[1:])
    elif name == _BEFORE:
        with earlier.before_repair(image, identifier, state_directory(state_dir)) as then:
            yield then, _states(then)
    else:
        raise earlier.no_such_snapshot(image, moment)


def diff(
    one: str, other: str, image_options: ImageOptions, options: DiffOptions, ui: UserInterface
) -> DiffReport:
    """Compare two systems.

    Raises:
        GuestRepairError: one of them cannot be opened.
    """
    first, second = parse_given(one), parse_given(other)
    with (
        _opened("A", first, image_options, options, ui) as before,
        _opened("B", second, image_options, options, ui) as after,
    ):
        for _ in range(3):  # what an appliance contradicts, once, it reads itself from then on
            sides = before.look(), after.look()
            found = compare(*sides, options.compare, ui.progress, _one_content(before, after, sides))
            holding = [system.holds(side, found) for system, side in zip((before, after), sides, strict=True)]
            if all(holding):
                alone = tuple(system.name for system in (before, after) if not system.session.starting.begun)
                return DiffReport(first.shown, second.shown, found, noise=options.noise, unconfirmed=alone)
    raise AssertionError("what the appliances have read themselves is not confirmed")


@dataclass(frozen=True, slots=True)
class _Opened:
    """One system; its machine starts only where the host cannot read it.

    Where none was started, nobody else is asked whether what the host has read is so: a launch costs more
    than all the rest.
    """

    name: str
    shown: str
    session: Session
    stored: Sequence[Sequence[State]]
    """Of each disk, the files that it is made of, from the top."""
    options: ImageOptions
    ui: UserInterface

    def chains(self) -> Iterator[list[State]]:
        """Of each disk, the files that it is made of, with what its overlay here may hold on top."""
        overlays = self.session.mount_table.disks.overlays
        for disk, states in zip(self.session.disks, self.stored, strict=True):
            overlay = Layer(overlays[disk.name], Format.QCOW2, virtual_size_bytes=disk.size_bytes)
            yield [State(overlay), *states]

    def look(self) -> Side:
        """The system with its facts, as it is read now.

        Raises:
            NoSystemError, LockedError: there is none that can be worked on.
        """
        for _ in range(2):
            try:
                return self._look()
            except (NoSystemError, LockedError) as error:
                if self._is_confirmed():  # of two, nobody could tell which is meant
                    raise type(error)(f"{self.shown}: {error.message}", hint=error.hint) from error
        raise AssertionError("what the appliance has read itself is not confirmed")

    def _look(self) -> Side:
        root, guest = opening.find_guest(self.session, self.options, self.ui)
        guest = opening.mount_as_repaired(self.session, root, guest)
        if any(mount.type not in FILESYSTEMS for mount in guest.mounts):
            self.session.starting.begin()  # it will be asked: while it starts, the other one is looked at
        return _side(self.name, guest)

    def holds(self, side: Side, found: Comparison) -> bool:
        """Whether its appliance, if it has one, confirms what was read of it, and what it is said to lack."""
        if self.session.starting.begun and isinstance(side.guest, LiveGuest):
            self.ui.progress(f"confirming what {self.name} lacks")
            try:
                side.guest.doubt(found.missing.get(self.name, ()))
            except GuestReadError as error:
                found.not_compared.append(NotCompared(self.name, error.path, error.reason))
        return self._is_confirmed()

    def _is_confirmed(self) -> bool:
        return not self.session.starting.begun or self.session.verified()


@contextlib.contextmanager
def _opened(
    name: str, given: Given, options: ImageOptions, how: DiffOptions, ui: UserInterface
) -> Iterator[_Opened]:
    """One of the two, opened.

    Each has a session of its own: two copies of one machine carry the same UUIDs, which one kernel cannot
    keep apart.
    """
    ui.progress(f"opening {given.shown}")
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(examined(given.path, options)).images
        for line in (*(w for i in images for w in i.warnings), *opening.warn_of_interruption(images[0])):
            ui.note(line)
        yield stack.enter_context(_session(name, given, images, options, how, ui))


@contextlib.contextmanager
def _session(
    name: str,
    given: Given,
    images: Sequence[Image],
    options: ImageOptions,
    how: DiffOptions,
    ui: UserInterface,
) -> Iterator[_Opened]:
    keys = opening.donor_keys(images[0], options, ui)
    with (
        _at(given.moment, images[0], how.state_dir) as (first, states),
        opening.late_session((first, *images[1:]), options, ui, keys) as session,
    ):
        stored = (states, *(_states(image) for image in images[1:]))
        yield _Opened(name, given.shown, session, stored, options, ui)


def _states(image: Image) -> tuple[State, ...]:
    return tuple(State(layer) for layer in image.layers)


def _one_content(one: _Opened, other: _Opened, sides: tuple[Side, Side]) -> IsSame:
    """Tells of a file in both whether its content lies in the very same bytes of a file that both share."""
    before, after = (side.guest for side in sides)
    differing = {
        disk.name: parts
        for disk, *chains in zip(one.session.disks, one.chains(), other.chains(), strict=False)
        if (parts := may_differ(*chains)) is not None
    }
    if not (differing and isinstance(before, LiveGuest) and isinstance(after, LiveGuest)):
        return never_known

    def is_one(a: FileRecord, b: FileRecord) -> bool:
        place = before.content_place(a)
        parts = None if place is None else differing.get(place.disk)
        if place is None or parts is None or any(parts.meet(at, size) for _, at, size in place.pieces):
            return False
        return place == after.content_place(b)

    return is_one


def _side(name: str, guest: LiveGuest) -> Side:
    """The guest with its facts; a package database that cannot be read costs what is asked of it."""
    try:
        return Side(name, guest, System(guest, within(fence.DATABASE, partial(open_database, guest))))
    except (GuestReadError, FormatError) as error:
        return Side(name, guest, System(guest), error.message)
    except BindingError as error:  # nothing is wrong with the guest: this host cannot look
        return Side(name, guest, System(guest), f"{error.message}; {error.hint}")
    except BudgetError as error:
        guest.start_over()
        return Side(name, guest, System(guest), error.message)
