"""Two guests that are the same until a test changes the second."""

from __future__ import annotations

from collections.abc import Callable

from guestrepair.compare.compare import Side, compare
from guestrepair.compare.model import CompareOptions, Comparison
from guestrepair.guest.memory import MemoryGuest
from guestrepair.packages import open_database
from guestrepair.system.guest_system import System
from tests.unit.packages.deb_guest import deb_guest

Change = Callable[[MemoryGuest], object]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHl1MFVxJgq3b1m3b2f9l5l0v0k0m0cX2b7g1JcX5l0R mallory@x\n"
FINGERPRINT = "SHA256:VVNKexyazzlZOJBv3yYYgbEQLGYweVH2sXdY7HPy+jQ"
HASH = "$6$abcdefgh$abcdefghijk"


def guest() -> MemoryGuest:
    """A small Debian guest with a package, accounts, a unit and fstab."""
    made = deb_guest()
    made.file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n",
    )
    made.file("/etc/shadow", f"root:*:19700:0:99999:7:::\nalice:{HASH}:19700:0:99999:7:::\n", mode=0o640)
    made.file("/etc/group", "root:x:0:\nsudo:x:27:alice\nalice:x:1000:\n")
    made.file("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n")
    made.file("/etc/hosts", "127.0.0.1 localhost\n")
    made.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    made.file("/var/log/syslog", "one line\n")
    made.file("/usr/local/bin/own", "#!/bin/sh\necho own\n", mode=0o755)
    made.file("/usr/lib/systemd/systemd", "program", mode=0o755)
    made.file(
        "/usr/lib/systemd/system/ssh.service",
        "[Service]\nExecStart=/usr/sbin/none\n[Install]\nWantedBy=multi-user.target\n",
    )
    made.link(
        "/etc/systemd/system/multi-user.target.wants/ssh.service", "/usr/lib/systemd/system/ssh.service"
    )
    return made


def side(name: str, of: MemoryGuest) -> Side:
    return Side(name, of, System(of, open_database(of)))


def compared(
    *changes: Change, options: CompareOptions | None = None, before: Change | None = None
) -> Comparison:
    """What is different once these changes were made."""
    one, other = guest(), guest()
    if before is not None:
        before(one)
        before(other)
    for change in changes:
        change(other)
    return compare(side("A", one), side("B", other), options or CompareOptions())


def lines(found: Comparison, *, noise: bool = False) -> list[tuple[str, str, str, str, str, str]]:
    """The differences as tuples."""
    return [
        (d.section.value, d.kind.value, d.name, d.before, d.after, d.detail) for d in found.shown(noise=noise)
    ]
