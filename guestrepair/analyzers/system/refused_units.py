"""The rule on units of login and network that systemd refuses to start, as they are set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.systemd_unit import TRUE, Assignment, parse_unit
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.sshd.instances import is_started
from guestrepair.system.systemd import VENDOR_DIRECTORIES, LoadedUnit

UNIT_REFUSED = Rule(
    name="system/unit-refused",
    summary="systemd refuses to start a service that logins or the network need",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="A service of sshd, of logins or of the network has, with its drop-ins, several ExecStart= that are"
    " not Type=oneshot, none at all, or a User= or Group= that the guest does not have.",
    why='systemd says "bad unit file setting" or "Failed to determine user credentials" (217/USER), and the'
    " service never runs.",
    repair="An empty ExecStart= before that of the drop-in, which takes back the packaged one; a drop-in's"
    " User= or Group= commented out.",
    example="/etc/systemd/system/ssh.service.d/port.conf: ExecStart=/usr/sbin/sshd -D -p 2222",
    sources=("systemd.service(5), ExecStart=", "systemd.exec(5), User=, Group=; status 217/USER, 216/GROUP"),
)
RULES = (UNIT_REFUSED,)

_LOGIN = ("ssh.service", "sshd.service", "systemd-user-sessions.service")
_USEFUL = (
    "systemd-logind.service", "dbus.service", "dbus-broker.service", "systemd-networkd.service",
    "NetworkManager.service", "networking.service", "network.service", "wickedd.service",
)  # fmt: skip
_COMMAND = re.compile(r"[-@:+!|]{0,8}/")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}\$?")


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding a unit; none where there is no systemd."""
    system = context.system
    if not system.systemd.installed:
        return
    for names, severity in ((_LOGIN, Severity.ERROR), (_USEFUL, Severity.WARNING)):
        seen: set[str] = set()
        for name in names:
            found = attempt(partial(_judged, system, name, severity, seen))
            if isinstance(found, Unreadable):
                yield Inconclusive("system", f"{name} was not judged: {found.error.message}")
            elif found is not None:
                yield found


def _judged(system: System, name: str, severity: Severity, seen: set[str]) -> Finding | None:
    unit = system.systemd.load(name)
    if unit is None or unit.masked or unit.unread or unit.real_name in seen:
        return None
    seen.add(unit.real_name)
    started = is_started(system.systemd, name) or unit.real_name in system.systemd.started_at_boot
    if not started:
        return None
    return _commands(unit, severity) or _account(system, unit, severity)


# --- ExecStart= ----------------------------------------------------------------------------


def _commands(unit: LoadedUnit, severity: Severity) -> Finding | None:
    commands = [value for value in unit.unit.values("Service", "ExecStart") if _COMMAND.match(value)]
    if unit.unit.last("Service", "Type") == "oneshot":
        return None
    if len(commands) > 1:
        said = "more than one ExecStart=, which only Type=oneshot may have"
        place = _last_place(unit, "ExecStart")
        return _finding(unit, severity, place, said, _reset(unit, place))
    if commands or _set(unit, "ExecStart") or _set(unit, "ExecStop") or not _taken_back(unit):
        return None
    place = _last_place(unit, "ExecStart")
    repair = Repair(f"write the command behind ExecStart= in {place[0]}", Safety.MANUAL)
    return _finding(unit, severity, place, "an empty ExecStart= and no command after it", repair)


def _set(unit: LoadedUnit, key: str) -> bool:
    return bool(unit.unit.values("Service", key) or unit.unit.values("Unit", "SuccessAction"))


def _taken_back(unit: LoadedUnit) -> bool:
    return any((a.section, a.key) == ("Service", "ExecStart") for a in unit.unit.assignments)


_Place = tuple[GuestPath, bytes, Assignment]


def _places(unit: LoadedUnit, key: str) -> Iterator[_Place]:
    for path, data in unit.texts:
        for each in parse_unit(data).assignments:
            if (each.section, each.key) == ("Service", key):
                yield path, data, each


def _last_place(unit: LoadedUnit, key: str) -> _Place:
    return list(_places(unit, key))[-1]


def _reset(unit: LoadedUnit, place: _Place) -> Repair:
    """The empty assignment that a drop-in lacks; two in one file are for a person to choose from."""
    path, data, last = place
    in_file = [each for where, _, each in _places(unit, "ExecStart") if where == path and each.value]
    if len(in_file) > 1 or _is_packaged(path):
        return Repair(f"leave one ExecStart= in {path}: which one is a person's to say", Safety.MANUAL)
    edit = Edit(offset=_offset(data, last.line), length=0, text=b"ExecStart=\n")
    change = EditFile(path=path, before=data, edits=(edit,))
    return Repair(
        f"put an empty ExecStart= before line {last.line} of {path}, so that it replaces the others",
        Safety.REVIEW,
        (change,),
    )


# --- User=, Group= --------------------------------------------------------------------------


def _account(system: System, unit: LoadedUnit, severity: Severity) -> Finding | None:
    names = system.accounts.names
    if unit.unit.last("Service", "DynamicUser").lower() in TRUE or names.unreadable:
        return None
    for key, number, file in (("User", names.uid, "passwd"), ("Group", names.gid, "group")):
        value = unit.unit.last("Service", key)
        if not _NAME.fullmatch(value) or number(value) is not None or not system.accounts.only_files(file):
            continue
        if any(made.name == value for _, made in system.accounts.sysusers):
            continue  # systemd-sysusers may make it at the next boot, before any service starts
        place = _last_place(unit, key)
        said = f"{key}={value}, and /etc/{file} has no {value}"
        return _finding(unit, severity, place, said, _without(place, key, value, file))
    return None


def _without(place: _Place, key: str, value: str, file: str) -> Repair:
    path, data, last = place
    if _is_packaged(path):
        tools = "systemd-sysusers, or the package's reinstallation, makes it"
        return Repair(f"put {value} back into /etc/{file}: {tools}", Safety.MANUAL)
    edit = Edit(offset=_offset(data, last.line), length=0, text=b"# ")
    change = EditFile(path=path, before=data, edits=(edit,))
    return Repair(f"comment out {key}={value} in line {last.line} of {path}", Safety.REVIEW, (change,))


# --- common ---------------------------------------------------------------------------------


def _is_packaged(path: GuestPath) -> bool:
    return any(directory in path.parents for directory in VENDOR_DIRECTORIES)


def _offset(data: bytes, line: int) -> int:
    return sum(len(each) + 1 for each in data.split(b"\n")[: line - 1])


def _finding(unit: LoadedUnit, severity: Severity, place: _Place, said: str, repair: Repair) -> Finding:
    path, _, last = place
    subject = Subject.of_line(path, last.line)
    return UNIT_REFUSED.finding(
        subject,
        f"{subject}: systemd refuses {unit.real_name}: it has {said}",
        severity=severity,
        evidence=(Evidence(subject, f"{last.key}={last.value}"[:300], "a setting that systemd can run"),),
        repair=repair,
    )
