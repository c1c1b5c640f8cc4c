"""The privilege separation user as it should be, by the guest's own word where it still has one.

Sources: sysusers.d(5); the install scripts of the distributions' openssh packages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from guestrepair.formats.passwd import AccountFile
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts

USER = "sshd"
NOLOGIN_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


@dataclass(frozen=True, slots=True)
class UserDefinition:
    """The account as it should be, and what says so. ``gid`` None: a group of the same name and number."""

    source: str
    uid: int | None
    gid: int | None
    group: str
    gecos: str
    home: str
    shell: str


PACKAGE_DEFINITIONS = {
    "debian": UserDefinition(
        "openssh-server's postinst", None, 65534, "", "", "/run/sshd", "/usr/sbin/nologin"
    ),
    "rhel": UserDefinition(
        "openssh-server's %pre", 74, None, "sshd", "Privilege-separated SSH", "", "/sbin/nologin"
    ),
    "suse": UserDefinition(
        "openssh's sysusers", None, None, "sshd", "SSH daemon", "/var/lib/sshd", "/usr/sbin/nologin"
    ),
    "alpine": UserDefinition("alpine-baselayout's passwd", 22, 22, "", "sshd", "/dev/null", "/sbin/nologin"),
    "arch": UserDefinition(
        "openssh's sysusers", None, None, "sshd", "Privilege-separated SSH", "", "/usr/bin/nologin"
    ),
}
"""What the packages' install scripts give the user, where the guest itself no longer tells."""

FAMILIES = {"ubuntu": "debian", "fedora": "rhel", "amazon": "rhel"}


def define_user(accounts: Accounts, family: str, exists: Callable[[GuestPath], bool]) -> UserDefinition:
    """As sysusers.d has the user, else as an older copy of passwd had it, else as the package makes it.

    An older copy that cannot be read is passed over: the package still tells.

    Raises:
        GuestReadError: a file of sysusers.d cannot be read.
    """

    def shell(wanted: str) -> str:
        return next((s for s in (wanted, *NOLOGIN_SHELLS) if exists(GuestPath(s))), wanted)

    for path, line in accounts.sysusers:
        if line.type == "u" and line.name == USER:
            source = f"{path}:{line.number}"
            return UserDefinition(
                source, line.uid, line.gid, line.group, line.gecos, line.home, shell(line.shell)
            )
    for place, copy in accounts.passwd_copies:
        entry = copy.get(USER) if isinstance(copy, AccountFile) else None
        if entry is not None:
            return UserDefinition(str(place), entry.uid, entry.gid, "", entry.gecos, entry.home, entry.shell)
    table = PACKAGE_DEFINITIONS.get(FAMILIES.get(family, family), PACKAGE_DEFINITIONS["rhel"])
    return replace(table, shell=shell(table.shell))
