"""Where a repair works: on a transaction's overlay, or for a dry run on one that is thrown away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from guestrepair.disk import Image, Transaction, check_writable, state_directory
from guestrepair.disk.attach.location import Location
from guestrepair.errors import StateError
from guestrepair.operations import opening
from guestrepair.operations.options import UserInterface
from guestrepair.session.session import SessionDisk


@contextlib.contextmanager
def staged(
    image: Image, state_dir: Path | None, ui: UserInterface, *, dry_run: bool
) -> Iterator[tuple[SessionDisk, Transaction | None]]:
    """The disk to work on: a transaction's overlay, or a throw-away one for a dry run.

    Raises:
        ImageError: and its kinds; the image may not be written to.
        StateError: it is half written, and that cannot be finished, or this is a dry run.
    """
    if dry_run:
        for line in opening.warn_of_interruption(image, state_dir):
            raise StateError(line, hint="a dry run finishes nothing")
        if not isinstance(image.path, Location):  # what is only read is repaired as a copy
            check_writable(image)
        with contextlib.ExitStack() as stack:
            yield opening.throwaway_disks(stack, (image,), ui)[0], None
        return

    state = state_directory(state_dir)
    with (
        Transaction.begin(image, state, say=ui.note) as transaction,
        opening.ended_without_room(state, ui, "the repair is dropped"),
    ):
        yield opening.session_disk(transaction.overlay, image), transaction
