"""A packaged path in words, and how bad its loss is by where it lies.

Sources: hier(7), file-hierarchy(7).
"""

from __future__ import annotations

from guestrepair.model import Evidence, PackagedKind, Severity
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import Flag, PackageDatabase, PackagedFile

RESTORED = (
    "Restored from the first source that has the package in exactly this version and architecture, and "
    "whose file has the digest that the guest's own database records: what an interrupted upgrade left "
    "unpacked beside it (NAME.dpkg-new), the guest's package cache, --packages DIR, --donor IMAGE|DIR, "
    "--fetch. Mode, owner, times, capabilities and SELinux label come back with it. A source that does "
    "not fit is refused, and the plan says why."
)
"""How a file comes back, for the documentation of the rules."""

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
_MISSED_BY_NOBODY = (*_MOUNT_PLACES, "/var/local", "/var/opt", "/var/log/apt")
"""Those, and what its program makes again (apt: pkgDPkgPM::OpenLog). dpkg lists an empty directory as it
lists anything that has no digest, so that its kind is not known."""

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
    """True for what boot or programs make again: never looked for on an image at rest."""
    return _below(path, _VOLATILE)


def is_documentation(file: PackagedFile) -> bool:
    """Documentation, translations and caches: nothing runs worse without them."""
    return bool(file.flags & {Flag.DOC, Flag.LICENSE, Flag.README}) or _below(file.path, _DOCUMENTATION)


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
    if Flag.CONFIG in file.flags:
        return Severity.WARNING if matters_for_login(file.path) else Severity.NOTE
    if file.kind is PackagedKind.DIRECTORY and _below(file.path, tuple(f"{p}/" for p in _MOUNT_PLACES)):
        return Severity.NOTE
    if file.kind in {PackagedKind.DIRECTORY, PackagedKind.OTHER} and file.path in _MISSED_BY_NOBODY:
        return Severity.NOTE
    if is_program_place(file.path):
        return Severity.ERROR
    return Severity.WARNING


def is_executable_place(path: str) -> bool:
    """Programs, and shared objects wherever they lie."""
    if not is_program_place(path):
        return False
    directory, _, name = path.rpartition("/")
    return (
        directory.endswith(("/bin", "/sbin", "/systemd", "/libexec", "/openssh", "/security"))
        or ".so" in name
    )


def described(file: PackagedFile) -> str:
    """The file's package, for a message: ``libc6 2.36-9+deb12u14``."""
    return f"{file.package.name} {file.package.version}"


def expectation(database: PackageDatabase, file: PackagedFile, observed: str) -> Evidence:
    """What the database says of a file, against what is there."""
    words = "present" if file.kind is PackagedKind.OTHER else str(file.kind)
    details = [words]
    if file.link_target:
        details.append(f"to {file.link_target}")
    if file.digest:
        details.append(file.digest)
    return Evidence(f"{database.format} database, {described(file)}", observed, " ".join(details))
