"""Modes, owners and capabilities that Debian's packages set at installation, not in the archive.

A .deb records what dpkg unpacks; some maintainer scripts then change it. The table holds those of
packages that a server has (found by comparing an installed system with its .debs, and read from the
postinst scripts): a restored file gets what the script would have given it.

Sources: the postinst scripts of the packages named beside each line; Debian Policy 10.9.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Installed:
    """What a path has once its package is configured."""

    mode: int
    owner: str = "root"
    group: str = "root"
    capabilities: str = ""


AFTER_INSTALLATION: dict[str, Installed] = {
    "/etc/sudoers": Installed(0o440),  # sudo
    "/usr/bin/ssh-agent": Installed(0o2755, group="_ssh"),  # openssh-client
    "/usr/bin/crontab": Installed(0o2755, group="crontab"),  # cron
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper": Installed(0o4754, group="messagebus"),  # dbus
    "/usr/bin/ping": Installed(0o755, capabilities="cap_net_raw=ep"),  # iputils-ping
    "/usr/bin/arping": Installed(0o755, capabilities="cap_net_raw=ep"),  # iputils-arping
    "/usr/bin/mtr-packet": Installed(0o755, capabilities="cap_net_raw=ep"),  # mtr-tiny
    "/usr/bin/fping": Installed(0o755, capabilities="cap_net_raw=ep"),  # fping
    "/var/spool/cron/crontabs": Installed(0o1730, group="crontab"),  # cron-daemon-common
    "/var/spool/rsyslog": Installed(0o700),  # rsyslog
    "/var/cache/apt/archives/partial": Installed(0o700, owner="_apt"),  # apt
    "/var/lib/apt/lists/partial": Installed(0o700, owner="_apt"),  # apt
}

SETUID: dict[str, Installed] = {
    "/usr/bin/su": Installed(0o4755),
    "/usr/bin/sudo": Installed(0o4755),
    "/usr/bin/passwd": Installed(0o4755),
    "/usr/bin/chsh": Installed(0o4755),
    "/usr/bin/chfn": Installed(0o4755),
    "/usr/bin/gpasswd": Installed(0o4755),
    "/usr/bin/newgrp": Installed(0o4755),
    "/usr/bin/mount": Installed(0o4755),
    "/usr/bin/umount": Installed(0o4755),
    "/usr/bin/pkexec": Installed(0o4755),
    "/usr/bin/fusermount3": Installed(0o4755),
    "/usr/bin/chage": Installed(0o2755, group="shadow"),
    "/usr/bin/expiry": Installed(0o2755, group="shadow"),
    "/usr/sbin/unix_chkpwd": Installed(0o2755, group="shadow"),
    "/usr/lib/openssh/ssh-keysign": Installed(0o4755),
    "/usr/lib/polkit-1/polkit-agent-helper-1": Installed(0o4755),
}
"""Setuid and setgid programs of Debian and Ubuntu that carry the bit in the archive itself."""
