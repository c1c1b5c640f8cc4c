"""Rules on the units that a boot cannot do without."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from guestrepair.analyzers.base import Context, Rule
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System
from guestrepair.system.systemd import OWN, VENDOR_DIRECTORIES, Systemd

TARGET_BROKEN = Rule(
    name="system/default-target-broken",
    summary="systemd's default target is missing, masked, or switches the machine off",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
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
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW,),
    what="A link to /dev/null (or an empty file) in /etc/systemd/system stands in for a basic unit.",
    why="Without it filesystems, devices or logins do not come up. In a container image it is usual: a note.",
    repair="Remove the link.",
    example="systemctl mask systemd-udevd.service",
    sources=("systemctl(1), mask", "systemd.unit(5)"),
)
RULES = (TARGET_BROKEN, UNIT_MASKED)

_DEFAULT = OWN / "default.target"
_KERNELS = ("vmlinu*", "initr*", "*linux*")
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


def masked(context: Context) -> Iterator[Finding | Inconclusive]:
    """Findings on units that are masked; none where there is no systemd."""
    system = context.system
    if not system.systemd.installed:
        return
    container = not any(system.files.glob(GuestPath("/boot"), pattern) for pattern in _KERNELS)
    for names, severity in ((_NEEDED, Severity.ERROR), (_USEFUL, Severity.WARNING)):
        for name in names:
            path = attempt(partial(system.systemd.masked_by, name))
            if isinstance(path, Unreadable):
                yield Inconclusive("system", f"{name} was not judged: {path.error.message}")
            elif path is not None and path.parent not in VENDOR_DIRECTORIES:
                yield _masked(system.files, name, path, Severity.NOTE if container else severity)


def _masked(files: Files, name: str, path: GuestPath, severity: Severity) -> Finding:
    target = files.readlinks([path])[path]
    observed = f"a link to {target}" if target else "an empty file"
    return UNIT_MASKED.finding(
        Subject.of_path(path),
        f"{name} is masked: {path} is {observed}",
        severity=severity,
        evidence=(Evidence(str(path), observed, "not there"),),
        repair=Repair(f"unmask {name}: remove {path}", Safety.REVIEW, (RemoveFile(path=path, backup=False),)),
    )


# --- default.target -----------------------------------------------------------------------


def default_target(context: Context) -> Iterator[Finding]:
    """Findings on the target that is booted into; none where there is no systemd."""
    system = context.system
    if not system.systemd.installed:
        return
    own = system.files.lstat(_DEFAULT)
    target = system.files.readlink(_DEFAULT) if own is not None and own.is_symlink else None
    observed = _default_problem(system, target, is_own=own is not None)
    if observed:
        yield _target_finding(system, observed, target, is_own=own is not None)


def _default_problem(system: System, target: str | None, *, is_own: bool) -> str:
    """What is wrong with the administrator's choice, or with there being none; "" when nothing is."""
    systemd = system.systemd
    if not is_own:
        return "there is none" if systemd.vendor("default.target") is None else ""
    if systemd.masked_by("default.target") == _DEFAULT:
        return "it is masked"
    if target is None:
        return ""
    name = GuestPath(target).name
    if name in _ENDS | _SHELLS:
        return f"it is {name}"
    if not system.files.is_file(_DEFAULT) and not _is_known(systemd, name):
        return f"it leads to {target}, which is not there"
    return ""


def _is_known(systemd: Systemd, name: str) -> bool:
    return any(unit is not None and not unit.masked for unit in (systemd.load(name), systemd.vendor(name)))


def _target_finding(system: System, observed: str, target: str | None, *, is_own: bool) -> Finding:
    name = GuestPath(target).name if target else ""
    ends = name in _ENDS | _SHELLS
    places = (directory / "multi-user.target" for directory in (*VENDOR_DIRECTORIES[::-1], OWN))
    wanted = next(filter(system.files.is_file, places), None)
    repair = Repair("reinstall the package systemd: multi-user.target is not there either", Safety.MANUAL)
    if wanted is not None:
        changes: tuple[Change, ...] = (MakeLink(path=_DEFAULT, target=str(wanted), before=target),)
        if target is None and is_own:
            changes = (RemoveFile(path=_DEFAULT), MakeLink(path=_DEFAULT, target=str(wanted)))
        safety = Safety.REVIEW if ends else Safety.SAFE
        repair = Repair(f"let {_DEFAULT} lead to {wanted}", safety, changes)
    return TARGET_BROKEN.finding(
        Subject.of_path(_DEFAULT),
        f"the default target of systemd is no good: {observed}",
        severity=Severity.WARNING if name in _SHELLS else Severity.ERROR,
        evidence=(Evidence(str(_DEFAULT), observed, "a target for normal operation"),),
        repair=repair,
    )


CHECKS = (default_target, masked)
