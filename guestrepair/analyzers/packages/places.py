"""Where a packaged path lies, and so how bad its loss is.

Sources: hier(7), file-hierarchy(7).
"""

from __future__ import annotations

from guestrepair.model import PackagedKind, Severity
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import PackagedFile

_VOLATILE = ("/run/", "/var/run/", "/var/lock/", "/dev/", "/proc/", "/sys/", "/tmp/", "/var/tmp/")  # noqa: S108 - guest paths
"""Made at boot or by programs: an image at rest has nothing there."""

_PROGRAMS = (
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/lib32/",
    "/usr/lib64/",
    "/usr/libx32/",
    "/usr/libexec/",
    "/boot/",
)
_DOCUMENTATION = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/info/",
    "/usr/share/locale/",
    "/usr/share/locale-langpack/",
    "/usr/share/i18n/",
    "/usr/share/licenses/",
    "/usr/share/lintian/",
    "/usr/share/doc-base/",
    "/usr/share/bug/",
    "/usr/share/help/",
    "/usr/share/gtk-doc/",
    "/usr/share/gnome/help/",
    "/usr/share/omf/",
    "/usr/share/linda/",
    "/usr/lib/locale/",
    "/var/cache/",
    "/var/lib/apt/lists/",
)
_MOUNT_PLACES = ("/srv", "/opt", "/mnt", "/media", "/home", "/usr/local", "/usr/src", "/usr/games")
"""Directories of the administrator: a missing one harms nothing."""

_LOGIN_CONFIGURATION = (
    "/etc/pam.d/",
    "/etc/security/",
    "/etc/ssh/",
    "/etc/sudoers",
    "/etc/login.defs",
    "/etc/nsswitch.conf",
    "/etc/ld.so.conf",
    "/etc/systemd/",
    "/etc/init.d/",
    "/etc/profile",
    "/etc/bash",
    "/etc/udev/",
    "/etc/dbus-1/",
    "/etc/default/",
    "/etc/grub.d/",
    "/etc/initramfs-tools/",
    "/etc/dracut",
    "/etc/kernel/",
)


def _below(path: str, tops: tuple[str, ...]) -> bool:
    return path.startswith(tops) or f"{path}/" in tops


def is_volatile(path: str) -> bool:
    """True for what boot or programs make anew: never looked for on an image at rest."""
    return _below(path, _VOLATILE)


def is_documentation(file: PackagedFile) -> bool:
    """Documentation, translations and caches: nothing runs worse without them."""
    return bool(file.flags & {"doc", "license", "readme"}) or _below(file.path, _DOCUMENTATION)


def is_program_place(path: str) -> bool:
    """bin, sbin, lib, libexec and boot, under whatever name."""
    return usr_form(path).startswith(_PROGRAMS)


def matters_for_login(path: str) -> bool:
    """Configuration without which booting or logging in changes."""
    return path.startswith(_LOGIN_CONFIGURATION)


def severity_of_loss(file: PackagedFile) -> Severity:
    """How bad it is that this path is gone (or empty)."""
    if is_documentation(file):
        return Severity.NOTE
    if "config" in file.flags:
        return Severity.WARNING if matters_for_login(file.path) else Severity.NOTE
    if file.kind is PackagedKind.DIRECTORY and _below(file.path, tuple(f"{p}/" for p in _MOUNT_PLACES)):
        return Severity.NOTE
    if is_program_place(file.path):
        return Severity.ERROR
    return Severity.WARNING
