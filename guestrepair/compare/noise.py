"""Files that differ between any two runs of the same system, by classes with names.

A class never hides what is dangerous wherever it lies: a file that runs as its owner or group
(:func:`is_privileged`) is shown.

Sources: hier(7); systemd's file-hierarchy(7), random-seed(8), machine-id(5); the programs' manuals.
"""

from __future__ import annotations

import re
import stat

from guestrepair.compare.model import Noise

_CLASSES: tuple[tuple[Noise, tuple[str, ...]], ...] = (
    (
        Noise.PACKAGE_STATE,
        (
            r"/var/lib/(?:dpkg|apt|rpm|rpm-state|dnf|yum|PackageKit|pacman/(?:local|sync)|ucf|aptitude)(?:/|\Z)",
            r"/usr/lib/sysimage/rpm(?:/|\Z)",
            r"/lib/apk/db(?:/|\Z)",
            r"/etc/apk/world\Z",
            r"/var/backups/(?:dpkg|apt|alternatives)\.",
        ),
    ),
    (
        Noise.LOGS,
        (r"/var/log(?:/|\Z)", r"/var/lib/systemd/coredump(?:/|\Z)", r"/var/account(?:/|\Z)"),
    ),
    (
        Noise.CACHES,
        (
            r"/var/cache(?:/|\Z)",
            r"/etc/ld\.so\.cache\Z",
            r"/var/lib/(?:mlocate|plocate|man-db|fontconfig)(?:/|\Z)",
            r"/usr/share/mime/mime\.cache\Z",
            r"/usr/share/info/dir\Z",
            r"(?:/root|/home/[^/]+)/\.cache(?:/|\Z)",
            r"/(?:usr|opt|srv|home|var|root|lib)/(?:.*/)?__pycache__(?:/[^/]+\.pyc)?\Z",
            r"/(?:etc|usr/lib)/udev/hwdb\.bin\Z",
            r"/(?:etc|var)/\.updated\Z",
        ),
    ),
    (
        Noise.IDENTITY,
        (r"/etc/(?:machine-id|hostid)\Z", r"/var/lib/dbus/machine-id\Z", r"/etc/\.pwd\.lock\Z"),
    ),
    (
        Noise.SEEDS,
        (
            r"/var/lib/systemd/(?:random-seed|credential\.secret)\Z",
            r"/var/lib/(?:urandom/|misc/)?random-seed\Z",
            r"/(?:boot|efi)/(?:.*/)?loader/random-seed\Z",
            r"/var/lib/seedrng(?:/|\Z)",
        ),
    ),
    (
        Noise.LEASES,
        (
            r"/var/lib/(?:dhcp|dhclient|dhcpcd|ntp/drift|chrony|logrotate)(?:/|\Z)",
            r"/var/lib/systemd/(?:timers|timesync|catalog|network|rfkill|backlight)(?:/|\Z)",
            r"/var/lib/NetworkManager/(?:[^/]*\.leases?|timestamps|seen-bssids|NetworkManager\.state)\Z",
            r"/var/lib/logrotate\.status\Z",
            r"/etc/adjtime\Z",
            r"/var/spool/anacron(?:/|\Z)",
        ),
    ),
    (
        Noise.TEMPORARY,
        (
            r"/(?:var/tmp|tmp|run|var/run|var/lock|dev|proc|sys)(?:/|\Z)",
            r"(?:/(?:boot|home|var|srv|opt|usr|data))?/lost\+found(?:/|\Z)",
        ),
    ),
    (
        Noise.COPIES,
        (r"/etc/(?:passwd|shadow|group|gshadow|subuid|subgid)-\Z", r"/var/backups/[^/]*\.bak\Z"),
    ),
)
_PATTERNS = tuple((noise, re.compile("|".join(patterns), re.DOTALL)) for noise, patterns in _CLASSES)
_DOCUMENTATION = re.compile(
    r"/usr/(?:local/)?share/(?:doc|man|info|locale|help|gnome/help|lintian|bug|doc-base)(?:/|\Z)"
    r"|/etc/alternatives/[^/]+\.(?:gz|[1-9])\Z"
)


def noise_of(path: str) -> Noise | None:
    """The class that a path belongs to; None where a difference there means something."""
    return next((noise for noise, pattern in _PATTERNS if pattern.match(path)), None)


def is_documentation(path: str) -> bool:
    """True for what is there to be read by people, and may be left out of an installation (dpkg.cfg)."""
    return _DOCUMENTATION.match(path) is not None


def is_privileged(path: str, mode: int) -> bool:
    """True for a program that runs with the rights of its owner or group, or a device node out of place."""
    if stat.S_ISREG(mode):
        return bool(mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP))
    return (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)) and not path.startswith("/dev/")
