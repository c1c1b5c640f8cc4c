"""Rules on the units that a boot cannot do without."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.guest.masks import is_masked
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
)

TARGET_BROKEN = Rule(
    name="system/default-target-broken",
    summary="systemd's default target is missing, masked, or switches the machine off",
    severities=(Severity.ERROR, Severity.WARNING),
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="default.target leads to no unit, to /dev/null, or to a target that is not for normal operation.",
    why="systemd stops in emergency mode, or reboots and powers off in a circle.",
    repair="Let the link lead to multi-user.target.",
    example="/etc/systemd/system/default.target -> /lib/systemd/system/runlevel5.target.bak",
    sources=("systemd.special(7), default.target", "bootup(7)"),
)
UNIT_MASKED = Rule(
    name="system/boot-unit-masked",
    summary="a unit that the boot or logins need is masked",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    safeties=(Safety.REVIEW,),
    what="A link to /dev/null (or an empty file) in /etc/systemd/system stands in for a basic unit.",
    why="Without it filesystems, devices or logins do not come up. In a container image it is usual: a note.",
    repair="Remove the link.",
    example="systemctl mask systemd-udevd.service",
    sources=("systemctl(1), mask", "systemd.unit(5)"),
)
RULES = (TARGET_BROKEN, UNIT_MASKED)

_ETC = GuestPath("/etc/systemd/system")
_UNIT_DIRECTORIES = (_ETC, GuestPath("/usr/local/lib/systemd/system"), GuestPath("/usr/lib/systemd/system"),
                     GuestPath("/lib/systemd/system"))  # fmt: skip
_ENDS = frozenset({"poweroff.target", "reboot.target", "halt.target", "kexec.target", "shutdown.target"})
_SHELLS = frozenset({"rescue.target", "emergency.target"})
_NEEDED = (
    "basic.target",
    "local-fs.target",
    "multi-user.target",
    "sockets.target",
    "sysinit.target",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-user-sessions.service",
)
_USEFUL = (
    "dbus.service",
    "dbus.socket",
    "systemd-journald.service",
    "systemd-logind.service",
    "systemd-remount-fs.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
)


def check(guest: Guest) -> Iterator[Finding]:
    """All findings on units; none where there is no systemd."""
    places = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
    if not any(guest.exists(GuestPath(place)) for place in places):
        return
    yield from _default_target(guest)
    container = not any(
        guest.glob(GuestPath("/boot"), pattern) for pattern in ("vmlinu*", "initr*", "*linux*")
    )
    for names, severity in ((_NEEDED, Severity.ERROR), (_USEFUL, Severity.WARNING)):
        for name in names:
            if is_masked(guest, _ETC / name):
                yield _masked(guest, name, Severity.NOTE if container else severity)


def _masked(guest: Guest, name: str, severity: Severity) -> Finding:
    path = _ETC / name
    found = guest.lstat(path)
    is_link = found is not None and found.is_symlink
    observed = f"a link to {guest.readlink(path)}" if is_link else "an empty file"
    return Finding(
        rule=UNIT_MASKED.name,
        severity=severity,
        subject=str(path),
        message=f"{name} is masked: {path} is {observed}",
        evidence=(Evidence(str(path), observed, "not there"),),
        repair=Repair(f"unmask {name}: remove {path}", Safety.REVIEW, (RemoveFile(path=path, backup=False),)),
    )


# --- default.target -----------------------------------------------------------------------


def _known(guest: Guest, name: str) -> bool:
    return any(
        guest.is_file(directory / name) and not is_masked(guest, directory / name)
        for directory in _UNIT_DIRECTORIES
    )


def _default_target(guest: Guest) -> Iterator[Finding]:
    path = _ETC / "default.target"
    found = guest.lstat(path)
    if found is None:
        if not any(guest.exists(d / "default.target") for d in _UNIT_DIRECTORIES[1:]):
            yield _target_finding(guest, path, "there is none", None)
        return
    if is_masked(guest, path):
        target = guest.readlink(path) if found.is_symlink else None
        yield _target_finding(guest, path, "it is masked", target)
        return
    if not found.is_symlink:
        return
    target = guest.readlink(path)
    name = GuestPath(target).name
    if name in _ENDS | _SHELLS:
        yield _target_finding(guest, path, f"it is {name}", target)
    elif not guest.is_file(path) and not _known(guest, name):
        yield _target_finding(guest, path, f"it leads to {target}, which is not there", target)


def _target_finding(guest: Guest, path: GuestPath, observed: str, target: str | None) -> Finding:
    name = GuestPath(target).name if target else ""
    wanted = next(
        (d / "multi-user.target" for d in _UNIT_DIRECTORIES[::-1] if guest.is_file(d / "multi-user.target")),
        None,
    )
    repair = Repair("reinstall the package systemd: multi-user.target is not there either", Safety.MANUAL)
    if wanted is not None:
        changes: tuple[Change, ...] = (MakeLink(path=path, target=str(wanted), before=target),)
        if target is None and guest.lstat(path) is not None:
            changes = (RemoveFile(path=path), MakeLink(path=path, target=str(wanted)))
        safety = Safety.REVIEW if name in _ENDS | _SHELLS else Safety.SAFE
        repair = Repair(f"let {path} lead to {wanted}", safety, changes)
    return Finding(
        rule=TARGET_BROKEN.name,
        severity=Severity.WARNING if name in _SHELLS else Severity.ERROR,
        subject=str(path),
        message=f"the default target of systemd is no good: {observed}",
        evidence=(Evidence(str(path), observed, "a target for normal operation"),),
        repair=repair,
    )
