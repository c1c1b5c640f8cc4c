"""diff: what is different between two systems. Nothing is written to either."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from guestrepair import fence
from guestrepair.compare.compare import Side, compare
from guestrepair.compare.model import CompareOptions
from guestrepair.disk import Image, earlier, state_directory
from guestrepair.errors import BudgetError, FormatError, GuestReadError
from guestrepair.fence import within
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, Voice
from guestrepair.packages import open_database
from guestrepair.report.data import DiffReport
from guestrepair.session.host.readable import FILESYSTEMS
from guestrepair.session.live import LiveGuest
from guestrepair.system.guest_system import System

_BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Given:
    """One of the two as the user names it."""

    text: str
    path: Path
    moment: str = ""
    """A snapshot, or ``before`` a repair; "" for the image as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """How to compare, what to show, and where repairs are on record."""

    compare: CompareOptions = field(default_factory=CompareOptions)
    noise: bool = False
    state_dir: Path | None = None


def parse_given(text: str) -> Given:
    """``IMAGE`` or ``IMAGE@MOMENT``; a file whose own name has an @ is that file."""
    path, at, moment = text.rpartition("@")
    whole = Path(text)
    if at and path and moment and not whole.exists() and Path(path).exists():
        return Given(text, Path(path), moment)
    return Given(text, whole)


@contextlib.contextmanager
def _at(moment: str, image: Image, state_dir: Path | None) -> Iterator[Image]:
    """The image as it was then.

    Raises:
        GuestRepairError: there is no such moment, or it can no longer be shown.
    """
    if not moment:
        yield image
        return
    snapshot = earlier.chosen_snapshot(image, moment)
    name, _, identifier = moment.partition(":")
    if snapshot is not None:
        with earlier.at_snapshot(image, snapshot) as then:
            yield then
    elif name == _BEFORE:
        with earlier.before_repair(image, identifier, state_directory(state_dir)) as then:
            yield then
    else:
        raise earlier.no_such_snapshot(image, moment)


def diff(one: str, other: str, image_options: ImageOptions, options: DiffOptions, voice: Voice) -> DiffReport:
    """Compare two systems.

    Raises:
        GuestRepairError: one of them cannot be opened.
    """
    with (
        _opened("A", parse_given(one), image_options, options, voice) as before,
        _opened("B", parse_given(other), image_options, options, voice) as after,
    ):
        found = compare(before, after, options.compare, voice.progress)
        return DiffReport(one, other, found, noise=options.noise)


@contextlib.contextmanager
def _opened(name: str, given: Given, options: ImageOptions, how: DiffOptions, voice: Voice) -> Iterator[Side]:
    """One system; its machine starts only where the host cannot read it.

    Each has a session of its own: two copies of one machine carry the same UUIDs, which one kernel cannot
    keep apart.
    """
    voice.progress(f"opening {given.text}")
    images = opening.examine_all(given.path, options)
    for line in (*(w for image in images for w in image.warnings), *opening.warn_of_interruption(images[0])):
        voice.note(line)
    keys = opening.donor_keys(images[0], options, voice)
    with (
        _at(given.moment, images[0], how.state_dir) as first,
        opening.late_session((first, *images[1:]), options, voice, keys) as session,
    ):
        root, guest = opening.find_guest(session, options, voice)
        guest = opening.mount_as_repaired(session, root, guest)
        if any(mount.type not in FILESYSTEMS for mount in guest.mounts):
            session.starting.begin()  # it will be asked: while it starts, the other system is looked at
        yield _side(name, guest)


def _side(name: str, guest: LiveGuest) -> Side:
    """The guest with its facts; a package database that cannot be read costs what is asked of it."""
    try:
        return Side(name, guest, System(guest, within(fence.DATABASE, partial(open_database, guest))))
    except (GuestReadError, FormatError) as error:
        return Side(name, guest, System(guest), error.message)
    except BudgetError as error:
        guest.start_over()
        return Side(name, guest, System(guest), error.message)
