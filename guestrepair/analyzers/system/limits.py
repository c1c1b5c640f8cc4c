"""The rule on resource limits with which nobody can log in, or hardly anything can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.system.pam_flow import login_stacks
from guestrepair.formats.limits import Limit, Person
from guestrepair.formats.systemd_unit import Assignment
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system import pam_flow
from guestrepair.system.guest_system import System
from guestrepair.system.limits import LimitsFile, SetLimit, SettingsFile, in_force
from guestrepair.system.pam import PamStep

LIMITS = Rule(
    name="system/limits",
    summary="a resource limit that the kernel refuses, or with which nothing can run",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="limits.conf or limits.d sets nofile above fs.nr_open, no process, no login or next to no memory,"
    " and pam_limits is required; or systemd gives services such a limit.",
    why="setrlimit(2) is refused (\"Could not set limit for 'nofile': Operation not permitted\") and with it"
    " the session; or the shell cannot be started. Debian's pam_limits goes on without the limit: a warning.",
    repair="The most that the kernel takes; a limit that stops everything is commented out.",
    example="* hard nofile 2000000",
    sources=(
        "limits.conf(5)",
        "pam_limits(8)",
        "setrlimit(2)",
        "proc(5), fs/nr_open",
        "systemd-system.conf(5)",
    ),
)
RULES = (LIMITS,)

_ASKED_FROM = 256 * 1024
"""fs.nr_open is looked up for larger ones only: nobody sets it lower."""

_SMALLEST = {"nofile": 8, "as": 4096, "data": 256, "stack": 64}
"""What a shell needs at the least (KiB but for nofile); less and it does not start."""

_ORDINARY = Person("an ordinary user", 60_001, 60_001)
_SETTINGS = {"NOFILE": 8, "NPROC": 2, "AS": 4 << 20, "DATA": 256 << 10, "STACK": 64 << 10}
_UNITS_OF_LOGIN = (
    "ssh.service",
    "sshd.service",
    "user@.service",
    "getty@.service",
    "serial-getty@.service",
    "systemd-logind.service",
    "dbus.service",
    "dbus-broker.service",
)
_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}


@dataclass(slots=True)
class _Fault:
    """A line that shuts people out: why, what it should be ("": nothing), and whom."""

    limit: SetLimit
    why: str
    instead: str
    people: list[Person] = field(default_factory=list)


# --- limits.conf ------------------------------------------------------------------------


def check_limits(context: Context) -> Iterator[Finding]:
    """Findings on limits.conf and limits.d, where a login that is refused its limits ends."""
    system = context.system
    required = list(_required(system))
    faults: dict[tuple[GuestPath, int], _Fault] = {}
    services: dict[tuple[GuestPath, int], list[str]] = {}
    people = _people(system) if required else []
    for service, step in required:
        files = system.limits.files_of(step.module.arguments if step.module is not None else ())
        for person in people if any(file.lines for file in files) else ():
            for found in _faults(system, files, person):
                key = (found.limit.file.path, found.limit.line.number)
                fault = faults.setdefault(key, found)
                fault.people += [person] * (person not in fault.people)
                services.setdefault(key, []).append(service)
    for key, fault in faults.items():
        severity = _severity(system, fault)
        if severity is not None:
            yield _finding(system, fault, severity, tuple(dict.fromkeys(services[key])))


def _required(system: System) -> Iterator[tuple[str, PamStep]]:
    """The services whose session cannot be had once pam_limits refuses, with its line."""
    for service, kind in login_stacks(system):
        steps = system.pam.steps(service, kind) if kind == "session" else []
        limits = [step for step in steps if pam_flow.base_name(step) == "pam_limits"]
        if not limits:
            continue
        usual = pam_flow.answers_of(system.pam, service, pam_flow.possible_answers)

        def refused(step: PamStep, usual: pam_flow.Answers = usual) -> frozenset[str]:
            return pam_flow.MUST_FAIL if pam_flow.base_name(step) == "pam_limits" else usual(step)

        works = pam_flow.walk(pam_flow.handlers(steps, usual)).can_succeed
        if works and not pam_flow.walk(pam_flow.handlers(steps, refused)).can_succeed:
            yield from ((service, step) for step in limits)


def _people(system: System) -> list[Person]:
    accounts = system.accounts
    numbers = accounts.membership.numbers
    found = [Person(a.name, a.uid, a.entry.gid, a.groups, numbers(a.entry)) for a in accounts.login[:2000]]
    return [*found, _ORDINARY]


def _faults(system: System, files: tuple[LimitsFile, ...], person: Person) -> Iterator[_Fault]:
    found = in_force(files, person, default_is_for_root=system.limits.default_is_for_root)
    hard = found.get(("nofile", "hard"))
    refusal = _refusal(system, hard.line) if hard is not None else None
    if hard is not None and refusal is not None:
        yield _Fault(hard, *refusal)
    for kind in ("soft", "hard"):
        for item, least in _SMALLEST.items():
            limit = found.get((item, kind))
            if limit is not None and limit.line.value is not None and limit.line.value < least:
                yield _Fault(limit, f"with {item} {limit.line.text} a shell cannot be started", "")
        yield from _counted(found, kind, person)


def _counted(found: Mapping[tuple[str, str], SetLimit], kind: str, person: Person) -> Iterator[_Fault]:
    if not person.uid:
        return  # root is held by neither
    processes = found.get(("nproc", kind))
    if processes is not None and processes.line.value is not None and processes.line.value < 2:
        yield _Fault(processes, f"with nproc {processes.line.text} not even a shell can be started", "")
    logins = found.get(("maxlogins", kind))
    if logins is not None and logins.line.value == 0:
        yield _Fault(logins, f"{logins.line.item} 0 refuses every login", "")


def _refusal(system: System, line: Limit) -> tuple[str, str] | None:
    """Why the kernel refuses a hard ``nofile``, and the most that it takes; None when it does not."""
    value = line.value or 0
    if value <= _ASKED_FROM:
        return None
    most = system.limits.nr_open
    if line.is_unlimited:
        if system.limits.nofile_is_clamped:
            return None
        return f"this pam_limits asks for {line.text} open files, and fs.nr_open is {most}", str(most)
    if value <= most:
        return None
    return f"nofile {line.text} is more than fs.nr_open ({most}), and setrlimit is refused", str(most)


def _severity(system: System, fault: _Fault) -> Severity | None:
    """None for a limit that an administrator means: certain people may run nothing."""
    if fault.instead and not system.limits.refusal_is_fatal:
        return Severity.WARNING
    people = fault.people
    accounts = [account for account in system.accounts.login if account.uid]
    admins = {account.name for account in accounts if account.is_admin}
    names = {person.name for person in people}
    everybody = _ORDINARY in people or any(not person.uid for person in people)
    if everybody or (admins and admins <= names):
        return Severity.ERROR
    return Severity.WARNING if fault.instead else None


def _finding(system: System, fault: _Fault, severity: Severity, services: tuple[str, ...]) -> Finding:
    file, line = fault.limit.file, fault.limit.line
    place = Subject.of_line(file.path, line.number)
    whom = "everybody but root" if _ORDINARY in fault.people else ""
    if _ORDINARY in fault.people and any(not person.uid for person in fault.people):
        whom = "everybody"
    whom = whom or ", ".join(person.name for person in fault.people[:5])
    ends = f"logins of {whom} end at once"
    if fault.instead and not system.limits.refusal_is_fatal:
        ends = f"{whom}: this pam_limits goes on, and the limit is not set"
    if fault.instead:
        summary = f"nofile {fault.instead} in line {line.number} of {file.path}"
        edit = Edit(offset=line.offset, length=line.length, text=fault.instead.encode())
    else:
        summary = f"comment out line {line.number} of {file.path}"
        edit = Edit(offset=_start(file.data, line.number), length=0, text=b"# ")
    real = system.files.resolve(file.path) or file.path
    return LIMITS.finding(
        place,
        f"{place}: {fault.why}: {ends} ({', '.join(services)})",
        severity=severity,
        effect=Effect.STOPS_LOGIN if severity is Severity.ERROR else Effect.DEGRADES,
        evidence=(
            Evidence(place, f"{line.domain} {'/'.join(line.types)} {line.item} {line.text}", fault.instead),
            Evidence(f"PAM service {services[0]}", "pam_limits has to succeed in its session"),
        ),
        repair=Repair(summary, Safety.REVIEW, (EditFile(path=real, before=file.data, edits=(edit,)),)),
    )


def _start(data: bytes, number: int) -> int:
    return sum(len(line) + 1 for line in data.split(b"\n")[: number - 1])


# --- systemd ----------------------------------------------------------------------------


def check_units(context: Context) -> Iterator[Finding]:
    """Findings on the limits that systemd gives to all services, or to those that logins need."""
    system = context.system
    if not system.systemd.installed:
        return
    yield from _settings(system, system.limits.manager, "Manager", "DefaultLimit", "every service")
    for name in _UNITS_OF_LOGIN:
        unit = system.systemd.load(name)
        if unit is None or unit.masked or unit.real_name != name:
            continue
        if any(_is_too_small(item, unit.unit.last("Service", f"Limit{item}")) for item in _SETTINGS):
            yield from _settings(system, system.limits.settings_of(unit), "Service", "Limit", name)


def _settings(
    system: System, files: tuple[SettingsFile, ...], section: str, prefix: str, whom: str
) -> Iterator[Finding]:
    for item in _SETTINGS:
        last: tuple[SettingsFile, Assignment] | None = None
        for file in files:
            for assignment in file.unit.assignments:
                if (assignment.section, assignment.key) == (section, f"{prefix}{item}"):
                    last = (file, assignment)
        if last is not None and _is_too_small(item, last[1].value):
            yield _setting_finding(system, *last, whom)


def _is_too_small(item: str, text: str) -> bool:
    """True for a number below what any program needs; a soft limit counts before the colon."""
    value = _number(text.partition(":")[0].strip())
    return value is not None and value < _SETTINGS[item]


def _number(text: str) -> int | None:
    factor = _SUFFIXES.get(text[-1:].upper(), 1) if text[:-1] else 1
    digits = text[:-1] if factor > 1 else text
    return int(digits) * factor if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _setting_finding(system: System, file: SettingsFile, assignment: Assignment, whom: str) -> Finding:
    place = Subject.of_line(file.path, assignment.line)
    edit = Edit(offset=_start(file.data, assignment.line), length=0, text=b"#")
    real = system.files.resolve(file.path) or file.path
    boot = whom == "every service" and not assignment.key.endswith("NPROC")
    text = f"{assignment.key}={assignment.value}"
    return LIMITS.finding(
        place,
        f"{place}: {text} leaves {whom} less than it needs to start",
        effect=Effect.STOPS_BOOT if boot else Effect.STOPS_LOGIN,
        evidence=(Evidence(place, text, "a limit that programs can run with"),),
        repair=Repair(
            f"comment out line {assignment.line} of {file.path}",
            Safety.REVIEW,
            (EditFile(path=real, before=file.data, edits=(edit,)),),
        ),
    )


CHECKS = (check_limits, check_units)
