"""Having a guest's kernel talk on the serial line, in a throw-away overlay only.

The boot loader's text files that hold a kernel command line get ``console=ttyS0``
appended; the kernel then opens it besides the console it has
(Documentation/admin-guide/serial-console.rst in the kernel's sources).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.overlay import files_under
from guestrepair.errors import GuestRepairError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import SessionDisk, open_session
from guestrepair.session.writer import Writer
from guestrepair.system.boot_loader import BootLoader, Configuration, Kind

_ARGUMENTS = b" console=tty0 console=ttyS0,115200"
# GRUB's linux commands, and kernel of GRUB 0.97 with what follows the file; "options" of a boot loader
# specification entry; "append" of syslinux.
_COMMAND_LINE = re.compile(
    rb"^(?P<line>[ \t]*(?:linux(?:16|efi)?[ \t]+\S+|kernel[ \t]+\S+[ \t]+\S+|options|append)\b[^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)


def with_serial_console(text: bytes) -> bytes:
    """A boot loader's configuration whose kernel command lines all end in a serial console."""
    return _COMMAND_LINE.sub(rb"\g<line>" + _ARGUMENTS, text)


def add_serial_console(overlay: Path, image: Path) -> bool:
    """Change the boot loader's files on ``overlay`` (qcow2); one launch. ``image`` is its name in messages.

    False when there is no system that can be opened (encrypted, none, several) or no such file:
    then the overlay must not be used further.
    """
    try:
        cage = Cage(read=(overlay, *files_under(overlay)))
        told = qemu.run("qemu-img", "info", "--output=json", str(overlay), path=image, cage=cage)
        about = json.loads(told)
        disk = SessionDisk(overlay=overlay, host_path=str(image), size_bytes=about["virtual-size"])
        with open_session([disk]) as session:
            root = session.choose_root()
            reader = session.guest(root)
            files = files_with_command_lines(reader)
            with session.writing(root, files) as guest:
                changed = [_change(Writer(session.handle, guest), guest, file) for file in files]
            session.finish()
    except GuestRepairError:
        return False
    return any(changed)


def files_with_command_lines(guest: Guest) -> list[GuestPath]:
    """Every configuration that may hold a kernel command line, where it really is."""
    found = (c for c in BootLoader(guest).configurations if isinstance(c, Configuration))
    real = (guest.resolve(c.path) for c in found if c.kind is not Kind.LOADER_CONF)
    return [path for path in dict.fromkeys(real) if path is not None]


def _change(writer: Writer, guest: LiveGuest, file: GuestPath) -> bool:
    before = guest.read_if_there(file)
    after = None if before is None else with_serial_console(before)
    if before is None or after is None or before == after:
        return False
    writer.replace_content(file, after)
    return True
