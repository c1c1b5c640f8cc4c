"""The guest on the overlay of a change: found, looked at, changed, and looked at again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guestrepair.analyzers.base import budget_for
from guestrepair.disk import Image, Transaction
from guestrepair.fence import FIND, LOOK, within
from guestrepair.guest.root_filesystems import Root
from guestrepair.model import Examination
from guestrepair.operations import opening
from guestrepair.operations.analysis import analyze, chosen_analyzers
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.sources import Sources
from guestrepair.operations.staging import staged
from guestrepair.repair.apply import Applied, apply_steps
from guestrepair.repair.plan import Step
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session, open_session
from guestrepair.system.guest_system import System


@contextlib.contextmanager
def staged_session(
    images: Sequence[Image],
    options: ImageOptions,
    state_dir: Path | None,
    ui: UserInterface,
    watch: Stopwatch,
    *,
    dry_run: bool = False,
) -> Iterator[tuple[Session, Transaction | None]]:
    """A session whose first disk is the overlay of a transaction (None for a dry run).

    Raises:
        ImageError, StateError: the image may not be written to as it is.
    """
    with (
        staged(images[0], state_dir, ui, dry_run=dry_run) as (disk, transaction),
        contextlib.ExitStack() as stack,
    ):
        disks = [disk, *opening.throwaway_disks(stack, images[1:], ui)]
        launch = opening.launch_options(options, ui)
        session = stack.enter_context(open_session(disks, keys=opening.key_ring(options, ui), launch=launch))
        watch.waited = lambda: session.starting.waited_seconds
        watch.lap("disks")
        yield session, transaction


@dataclass(slots=True)
class OverlayGuest:
    """The system on an overlay, before and after what is done to it."""

    session: Session
    image_options: ImageOptions
    options: ScanOptions
    ui: UserInterface
    watch: Stopwatch
    sources: Sources
    system: System | None = None
    """What the guest was last seen to be set up to do."""
    _root_name: str = ""

    def open(self) -> tuple[Root, LiveGuest]:
        """The system, mounted as its fstab will name it once repaired.

        Raises:
            NoSystemError, LockedError: there is none that can be opened.
        """
        root, guest = within(FIND, self._find)
        guest = opening.mount_as_repaired(self.session, root, guest)
        self.watch.lap("find and mount")
        return root, guest

    def look(self) -> tuple[Root, LiveGuest, Examination]:
        """The system, and what the analyzers find in it; confirmed by the appliance.

        Raises:
            NoSystemError, LockedError: there is none that can be opened.
        """

        def look() -> tuple[Root, LiveGuest, Examination]:
            root, guest = self.open()
            return root, guest, self._analyze(guest)

        budget = budget_for(self.options.analysis, LOOK)
        return within(budget, lambda: opening.until_confirmed(self.session, self.watch, look))

    def apply(self, root: Root | None, steps: Sequence[Step], suffix: str) -> Applied:
        """Carry steps out; ``suffix`` names the copies beside edited files ("": none).

        Raises:
            RepairError: something failed; the overlay must be dropped.
        """
        done = apply_steps(self.session, root, steps, suffix=suffix, progress=self.ui.progress)
        self.watch.lap("apply")
        return done

    def _find(self) -> tuple[Root, LiveGuest]:
        if self._root_name:
            root = self.session.choose_root(self._root_name)
        else:
            root = opening.choose_root(self.session, self.image_options, self.ui)
            self._root_name = root.name
        return root, opening.open_guest(self.session, root)

    def _analyze(self, guest: LiveGuest) -> Examination:
        self.ui.progress("reading the package database")
        self.sources.open(guest)
        context = opening.make_context(guest, self.options.analysis, self.ui)
        context.reference = self.sources.reference(guest)
        self.system = context.system
        self.watch.lap("package database")
        return analyze(chosen_analyzers(self.options), context, self.options, self.ui, self.watch)
