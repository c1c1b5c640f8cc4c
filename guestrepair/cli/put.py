"""``guestrepair put``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console
from guestrepair.cli.hand import checked_local, hand_options, show_outcome, to_hand_options
from guestrepair.cli.image_name import IMAGE_OF_THIS_HOST
from guestrepair.cli.options import PATH, to_image_options
from guestrepair.guest.view import Guest
from guestrepair.model import Change, GuestPath
from guestrepair.operations.by_hand import change_by_hand, guest_path, written


@click.command("put")
@click.argument("image", type=IMAGE_OF_THIS_HOST)
@click.argument("local", type=PATH)
@click.argument("path")
@hand_options
@click.pass_obj
def command(console: Console, /, *, image: Path, local: Path, path: str, **values: Any) -> int:
    """Put the file LOCAL at PATH (or into that directory) in the guest on IMAGE.

    What is there keeps its mode, owner and label; a new file is root's, executable when LOCAL is.
    The guest is analyzed before and after on an overlay: what would be new and wrong is shown
    before the question. undo takes it back, bit for bit.

    \b
    guestrepair put server.qcow2 ./sshd_config /etc/ssh/sshd_config
    guestrepair put --yes /dev/vdb key.pub /root/.ssh/authorized_keys
    """
    content = checked_local(local)
    mode = 0o755 if local.stat().st_mode & 0o100 else 0o644
    target = guest_path(path)
    how = to_hand_options(console, values)

    def make(guest: Guest) -> Sequence[Change]:
        place = target / local.name if guest.is_directory(target) else GuestPath(target)
        change = written(guest, place, content, mode=mode)
        return () if change.before == change.after else (change,)

    return show_outcome(console, change_by_hand(image, to_image_options(values), how, make, console.ui()))
