"""Files that differ between any two runs of the same system, by classes with names.

A class never hides what is dangerous wherever it lies: a file that runs as its owner or group
(:func:`is_privileged`) is shown.

Sources: hier(7); systemd's file-hierarchy(7), random-seed(8), machine-id(5); the manuals of the programs named.
"""

from __future__ import annotations

import re
import stat

from guestrepair.compare.model import Noise

_CLASSES = (
    (
        Noise.PACKAGE_STATE,
        r"/var/lib/(?:dpkg|apt|rpm|rpm-state|dnf|yum|PackageKit|pacman/(?:local|sync)|ucf|aptitude)(?:/|\Z)"
        r"|/usr/lib/sysimage/rpm(?:/|\Z)|/lib/apk/db(?:/|\Z)|/etc/apk/world\Z|/var/backups/(?:dpkg|apt)\.",
    ),
    (Noise.LOGS, r"/var/log(?:/|\Z)|/var/lib/systemd/coredump(?:/|\Z)|/var/account(?:/|\Z)"),
    (
        Noise.CACHES,
        r"/var/cache(?:/|\Z)|/etc/ld\.so\.cache\Z|/var/lib/(?:mlocate|plocate|man-db|fontconfig)(?:/|\Z)"
        r"|/usr/lib/locale/locale-archive\Z|/usr/share/(?:mime|info)/(?:mime\.cache|dir)\Z"
        r"|.*/(?:__pycache__|\.cache)(?:/|\Z)|.*\.py[co]\Z|/etc/udev/hwdb\.bin\Z|/usr/lib/udev/hwdb\.bin\Z"
        r"|/etc/systemd/system/\.updated\Z|/(?:etc|var)/\.updated\Z",
    ),
    (
        Noise.IDENTITY,
        r"/etc/(?:machine-id|hostid)\Z|/var/lib/dbus/machine-id\Z|/etc/\.pwd\.lock\Z"
        r"|/etc/machine-info\.lock\Z|/boot/(?:efi/)?loader/entries\.srel\Z",
    ),
    (
        Noise.SEEDS,
        r"/var/lib/(?:systemd/(?:random-seed|credential\.secret)|urandom/random-seed|random-seed)\Z"
        r"|.*/loader/random-seed\Z|/var/lib/misc/random-seed\Z|/var/lib/seedrng(?:/|\Z)",
    ),
    (
        Noise.LEASES,
        r"/var/lib/(?:dhcp|dhclient|dhcpcd|ntp/drift|chrony|systemd/(?:timers|timesync|catalog|linger|deb-.*"
        r"|network|rfkill|backlight))(?:/|\Z)"
        r"|/var/lib/NetworkManager/(?:.*\.leases?|timestamps|secret_key|seen-bssids|NetworkManager.state"
        r"|internal-.*|dhclient-.*)\Z"
        r"|/var/lib/logrotate(?:/|\.status\Z|\Z)|/etc/adjtime\Z|/var/lib/private/systemd(?:/|\Z)"
        r"|/var/spool/anacron(?:/|\Z)",
    ),
    (Noise.TEMPORARY, r"/(?:var/tmp|tmp|run|var/run|var/lock|dev|proc|sys)(?:/|\Z)|.*/lost\+found(?:/|\Z)"),
    (Noise.COPIES, r"/etc/(?:passwd|shadow|group|gshadow|subuid|subgid)-\Z|/var/backups/"),
)
_PATTERNS = tuple((noise, re.compile(pattern, re.DOTALL)) for noise, pattern in _CLASSES)
PRIVILEGED = stat.S_ISUID | stat.S_ISGID


def noise_of(path: str) -> Noise | None:
    """The class that a path belongs to; None where a difference there means something."""
    return next((noise for noise, pattern in _PATTERNS if pattern.match(path)), None)


def is_privileged(mode: int) -> bool:
    """True for a program that runs with the rights of its owner or group (chmod(2)), or a device node."""
    if stat.S_ISREG(mode):
        return bool(mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP))
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
