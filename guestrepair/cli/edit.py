"""``guestrepair edit``."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console
from guestrepair.cli.hand import checked_local, hand_options, show_outcome, to_hand_options
from guestrepair.cli.image_name import IMAGE_OF_THIS_HOST
from guestrepair.cli.options import to_image_options
from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import UsageError
from guestrepair.guest.view import Guest
from guestrepair.model import Change, GuestPath
from guestrepair.operations.by_hand import change_by_hand, guest_path, place_of_content, written
from guestrepair.repair.apply import MAX_TEXT_BYTES


@click.command("edit")
@click.argument("image", type=IMAGE_OF_THIS_HOST)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@hand_options
@click.pass_obj
def command(console: Console, /, *, image: Path, paths: tuple[str, ...], **values: Any) -> int:
    """Edit files of the guest on IMAGE with $VISUAL or $EDITOR.

    The files keep their mode, owner and label. The guest is analyzed before and after on an
    overlay: what would be new and wrong is shown before the question. All files are written
    together or none, and undo takes them back, bit for bit.

    \b
    guestrepair edit /dev/vdb /etc/fstab
    guestrepair edit server.qcow2 /etc/ssh/sshd_config /etc/pam.d/sshd
    """
    targets = [guest_path(path) for path in paths]
    editor = _editor()
    how = to_hand_options(console, values)

    def make(guest: Guest) -> Sequence[Change]:
        console.clear()
        return [change for target in targets for change in _edited(guest, target, editor)]

    return show_outcome(console, change_by_hand(image, to_image_options(values), how, make, console.ui()))


def _editor() -> list[str]:
    """The user's editor as words.

    Raises:
        UsageError: it makes no command.
    """
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"$VISUAL or $EDITOR is no command: {error}") from error
    if not words:
        raise UsageError("$VISUAL or $EDITOR is empty", hint="set one of them to your editor")
    return words


def _edited(guest: Guest, target: GuestPath, editor: list[str]) -> Sequence[Change]:
    """What the editor made of one file; nothing where it was left as it is."""
    place = place_of_content(guest, target)
    before = guest.read(place, limit_bytes=MAX_TEXT_BYTES) if guest.lstat(place) is not None else None
    with temporary_directory() as directory:
        # Only the name's ending is the guest's, for the editor's colours: the rest is ours.
        copy = directory / f"{_plain(target.stem) or 'file'}{_plain(target.suffix)}"
        copy.write_bytes(before or b"")
        try:
            ended = subprocess.run([*editor, str(copy)], check=False)
        except OSError as error:
            raise UsageError(f"{editor[0]}: {error.strerror}", hint="set $EDITOR to your editor") from error
        if ended.returncode != 0:
            raise UsageError(f"{editor[0]} ended with {ended.returncode}: nothing is changed")
        after = checked_local(copy)
    if after == (before or b""):
        return ()
    return (written(guest, place, after),)


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in "._-"))
