"""not-understood: words of limits.conf, sudoers, PAM and the default target that are not known here."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.analyzers.system.pam_flow import login_stacks
from guestrepair.model import Finding, GuestPath
from guestrepair.system.guest_system import System
from guestrepair.system.pam_flow import KNOWN, base_name
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import OWN

NOT_UNDERSTOOD = not_understood(
    "system",
    "A line, type, item or value of limits.conf that pam_limits passes over; a setting of sudoers that sudo"
    " does not have; a PAM module of a login that is not known by name, so that any answer was taken for"
    " possible; a default target that is no target, or leads to none that is known.",
    example="* hrad nofile 65536",
    sources=("limits.conf(5)", "sudoers(5), SUDOERS OPTIONS", "pam(8)", "systemd.special(7)"),
)
RULES = (NOT_UNDERSTOOD,)

_DEFAULT = OWN / "default.target"
_ORDINARY = frozenset({"multi-user.target", "graphical.target"})
_JUDGED = frozenset({"rescue", "emergency", "poweroff", "reboot", "halt", "kexec", "shutdown", "default"})


def limits(context: Context) -> Iterator[Finding]:
    """What pam_limits passes over."""
    yield from notes(NOT_UNDERSTOOD, context.system.limits.strange)


def sudo(context: Context) -> Iterator[Finding]:
    """Settings of sudoers."""
    if context.system.sudoers.is_installed:
        yield from notes(NOT_UNDERSTOOD, context.system.sudoers.strange)


def pam(context: Context) -> Iterator[Finding]:
    """Modules that logins ask."""
    yield from notes(NOT_UNDERSTOOD, _modules(context.system))


def _modules(system: System) -> Iterator[Strange]:
    seen: set[tuple[GuestPath, int]] = set()
    for service, kind in login_stacks(system):
        for step in system.pam.steps(service, kind):
            name, place = base_name(step), (step.file, step.line)
            if name and name not in KNOWN and place not in seen:
                seen.add(place)
                yield Strange(*place, name, "a module of PAM")


def target(context: Context) -> Iterator[Finding]:
    """A default target of another kind."""
    systemd, files = context.system.systemd, context.system.files
    stat = files.lstat(_DEFAULT) if systemd.installed else None
    if stat is None or not stat.is_symlink:
        return
    name = GuestPath(files.readlink(_DEFAULT)).name
    unit = systemd.load(name)
    if unit is None or unit.masked or name.removesuffix(".target") in _JUDGED:
        return  # system/default-target-broken stands for it
    if not name.endswith(".target"):
        yield from notes(NOT_UNDERSTOOD, [Strange(_DEFAULT, 0, name, "a target")])
    elif not _ORDINARY & {*systemd.names_of(name), *systemd.started_at_boot}:
        what = "a target that leads to multi-user.target"
        yield from notes(NOT_UNDERSTOOD, [Strange(_DEFAULT, 0, name, what)])


CHECKS = (limits, sudo, pam, target)
