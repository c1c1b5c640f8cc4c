"""The rule on PAM stacks that nobody, or everybody, gets through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.system.pam_mending import (
    MAX_STEPS,
    Key,
    Mending,
    Texts,
    find_mending,
    jump_words,
    key_of,
)
from guestrepair.model import (
    Change,
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
from guestrepair.system import pam_flow
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.pam import PamStep, named_file
from guestrepair.system.pam_flow import Answers, answers_of, base_name, handlers, walk

PAM_FLOW = Rule(
    name="system/pam-flow",
    summary="a PAM stack can never succeed, or always does",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="With all includes followed, no answers of the modules let a user with the right password through"
    " login, sshd, su or sudo: a jump past the line that grants, pam_deny before it, lines in the wrong"
    " order. A warning: every password is let through.",
    why="PAM refuses where no module said yes: nobody gets in by that service, whatever the password.",
    repair="The count, control or place of that one line, where one change alone makes the stack work.",
    example="auth [success=2 default=ignore] pam_unix.so, followed by pam_deny.so and pam_permit.so only",
    sources=("pam.d(5)", "Linux-PAM libpam/pam_dispatch.c"),
)
RULES = (PAM_FLOW,)

_PROGRAMS = {
    "login": ("/usr/bin/login", "/bin/login"),
    "su": ("/usr/bin/su", "/bin/su"),
    "su-l": ("/usr/bin/su", "/bin/su"),
    "sudo": ("/usr/bin/sudo",),
    "sudo-i": ("/usr/bin/sudo",),
}
_KINDS = ("auth", "account", "session")


@dataclass(frozen=True, slots=True)
class _Failing:
    """One stack that nobody gets through."""

    service: str
    kind: str
    mending: Mending
    severity: Severity


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the stacks of the services that people log in by."""
    system = context.system
    if not system.files.is_directory(named_file("x").parent):
        return
    failing: dict[Key, list[_Failing]] = {}
    open_: dict[str, list[str]] = {}
    for service, kind in login_stacks(system):
        found = attempt(lambda service=service, kind=kind: _judge(system, service, kind))  # type: ignore[misc]
        if isinstance(found, Unreadable):
            yield Inconclusive("system", f"PAM's {kind} of {service} was not judged: {found.error.message}")
        elif isinstance(found, _Failing):
            failing.setdefault(found.mending.key, []).append(found)
        elif found:
            open_.setdefault(found, []).append(service)
    for stacks in failing.values():
        yield _finding(system, stacks)
    for place, services in open_.items():
        yield _open_finding(place, services)


def login_stacks(system: System) -> Iterator[tuple[str, str]]:
    """The services that are in use, with the types that they ask for."""
    sshd = system.sshd
    if sshd is not None and sshd.pam_stack is not None and sshd.pam_stack.file is not None:
        passwords = any(
            sshd.settings.is_on(name, default=True)
            for name in ("passwordauthentication", "kbdinteractiveauthentication")
        )
        yield from ((sshd.pam_service, kind) for kind in _KINDS if kind != "auth" or passwords)
    for service, programs in _PROGRAMS.items():
        there = any(system.files.exists(GuestPath(path)) for path in programs)
        if there and system.pam.service_file(service) is not None:
            yield from ((service, kind) for kind in _KINDS)


def _judge(system: System, service: str, kind: str) -> _Failing | str | None:
    """What is wrong with one stack: nobody gets through, or (its place) everybody; None: nothing."""
    steps = system.pam.steps(service, kind)
    present = answers_of(system.pam, service, pam_flow.possible_answers)
    local = answers_of(system.pam, service, pam_flow.local_answers)

    def works(changed: Sequence[PamStep]) -> bool:
        return all(walk(handlers(changed, each)).can_succeed for each in (present, local))

    def sound(changed: Sequence[PamStep]) -> bool:
        return works(changed) and not (kind == "auth" and _is_open(service, changed))

    if works(steps):
        return _opener(service, steps) if kind == "auth" else None
    if _is_sshds(system, steps) or _is_closed(service, kind, steps):
        return None
    lost = _lost(system, service, kind)
    if lost is not None:
        return _Failing(service, kind, lost, _severity(system, service, kind))
    texts = dict(system.pam.stack(service).texts) | dict(system.pam.stack("other").texts)
    mending = find_mending(steps, Texts(texts), sound) or _by_hand(service, steps, present)
    return _Failing(service, kind, mending, _severity(system, service, kind))


def _lost(system: System, service: str, kind: str) -> Mending | None:
    """The first line that draws in a file that is not there: that is brought back, and no line changed."""
    for link in system.pam.stack(service).missing:
        if link.include.type in ("", kind):
            why = f"{link.target}, which it draws in, is not there"
            return Mending((link.file, link.include.line), why, lost=link.target)
    return None


def _is_open(service: str, steps: Sequence[PamStep]) -> bool:
    """True when the stack lets in although everything that can refuse does."""

    def refusing(step: PamStep) -> frozenset[str]:
        if base_name(step) == "pam_rootok" and service in ("sshd", "login"):
            return pam_flow.SUCCESS  # both run as root: it says yes to everybody
        return pam_flow.refusing_answers(step)

    return any(end.impression == 1 and end.succeeds for end in walk(handlers(steps, refusing)).ends)


def _opener(service: str, steps: Sequence[PamStep]) -> str | None:
    """The first line up to which a stack already lets everybody in; None when the whole does not."""
    if not _is_open(service, steps):
        return None
    counts = range(1, min(len(steps), MAX_STEPS) + 1)
    return next((steps[n - 1].place for n in counts if _is_open(service, steps[:n])), steps[0].place)


def _is_sshds(system: System, steps: Sequence[PamStep]) -> bool:
    """True when what fails is a line that PAM cannot read, or a missing file, and sshd's own rules say so."""
    sshd = system.sshd
    stack = sshd.pam_stack if sshd is not None else None
    if stack is None:
        return False
    said = {*stack.malformed, *((link.file, link.include.line) for link in stack.missing)}
    broken = {key_of(step) for step in steps if step.module is None and not step.is_substack}
    return bool(said & broken)


def _is_closed(service: str, kind: str, steps: Sequence[PamStep]) -> bool:
    """True for a service that an administrator closed: passwords are asked for by nothing in its own file."""
    if service in ("su", "su-l", "sudo", "sudo-i") and not steps:
        return True  # not asked for: somebody's cut-down service, and no login hangs on it
    if service == "login" or kind != "auth" or not steps:
        return False
    own = all(step.file.name == service for step in steps)
    return own and all(pam_flow.possible_answers(step) != pam_flow.ANY for step in steps)


def _by_hand(service: str, steps: Sequence[PamStep], answers: Answers) -> Mending:
    """The jump that leads too far, else the first line from which on no answer leads to success any more."""
    whole = handlers(steps, answers)
    for index in sorted(walk(whole).bad_jumps):
        if base_name(steps[index]) in pam_flow.CREDENTIALS:
            return Mending(key_of(steps[index]), jump_words(steps, index))
    for count in range(1, min(len(whole), MAX_STEPS) + 1):
        ends = walk(whole[:count]).ends
        if all(end.impression == -1 for end in ends):
            step = steps[count - 1]
            return Mending(key_of(step), "from here on nothing can let anybody in")
    if not steps:
        return Mending((named_file(service), 1), "nothing is asked, and nothing says yes")
    jumpers = [s for s in steps if base_name(s) in pam_flow.CREDENTIALS] or list(steps)
    return Mending(key_of(jumpers[0]), "no answers of the modules from here on let anybody in")


# --- findings ---------------------------------------------------------------------------


def _severity(system: System, service: str, kind: str) -> Severity:
    sshd = system.sshd
    if sshd is not None and service == sshd.pam_service and kind != "auth":
        return Severity.ERROR
    if service in ("su", "su-l"):
        return Severity.WARNING
    if not _has_passwords(system, root_only=False):
        return Severity.WARNING
    if sshd is not None and service == sshd.pam_service:
        return Severity.WARNING if _has_keys(system) else Severity.ERROR
    if service in ("sudo", "sudo-i"):
        return Severity.WARNING if _has_passwords(system, root_only=True) else Severity.ERROR
    return Severity.ERROR


def _has_passwords(system: System, *, root_only: bool) -> bool:
    accounts = system.accounts
    entries = (accounts.shadow.get(a.name) for a in accounts.login if not (root_only and a.uid))
    return any(entry is not None and entry.has_usable_password for entry in entries)


def _has_keys(system: System) -> bool:
    sshd = system.sshd
    if sshd is None or not sshd.settings.is_on("pubkeyauthentication", default=True):
        return False
    paths = [path for account in system.accounts.login for path in sshd.authorized_keys_files(account)]
    found = (system.files.stat(path) for path in paths[:200])
    return any(stat is not None and stat.is_file and stat.size_bytes for stat in found)


def _finding(system: System, stacks: list[_Failing]) -> Finding:
    first = stacks[0]
    path, number = first.mending.key
    place = Subject.of_line(path, number)
    named = ", ".join(dict.fromkeys(f"{each.service} ({each.kind})" for each in stacks))
    severity = min((each.severity for each in stacks), key=lambda each: each.rank)
    line = _text_of(system, path, number)
    return PAM_FLOW.finding(
        place,
        f"{place}: {first.mending.why}: nobody gets through {named}",
        severity=severity,
        effect=Effect.STOPS_LOGIN,
        evidence=(
            Evidence(place, line, "a stack that can come to a yes"),
            *(Evidence(f"PAM service {each.service}", f"{each.kind} always fails") for each in stacks[:10]),
        ),
        repair=_repair(system, stacks),
    )


def _text_of(system: System, path: GuestPath, number: int) -> str:
    found = attempt(lambda: system.pam.text_of(path))
    lines = [] if isinstance(found, Unreadable) else found.split(b"\n")
    return (
        lines[number - 1].decode("utf-8", "replace").strip()[:300] if 0 < number <= len(lines) else "no line"
    )


def _repair(system: System, stacks: list[_Failing]) -> Repair:
    mendings = {(each.mending.summary, each.mending.edits) for each in stacks}
    mending = stacks[0].mending
    if len(mendings) == 1 and mending.edits:
        changes: tuple[Change, ...] = tuple(
            EditFile(path=system.files.resolve(path) or path, before=system.pam.text_of(path), edits=edits)
            for path, edits in mending.edits
        )
        return Repair(mending.summary, Safety.REVIEW, changes)
    path = mending.lost or mending.key[0]
    restore = system.packaged.restore(path) if system.packaged is not None else None
    if restore is not None:
        return Repair(f"restore {path} from {restore.package}", Safety.REVIEW, (restore,))
    if mending.lost is not None:
        tools = "authselect or pam-auth-update make it where no package has it"
        return Repair(f"bring {path} back: {tools}", Safety.MANUAL)
    return Repair(f"correct the lines of {path} by hand (pam.d(5))", Safety.MANUAL)


def _open_finding(place: str, services: list[str]) -> Finding:
    path, _, number = place.rpartition(":")
    subject = Subject.of_line(GuestPath(path), int(number))
    named = ", ".join(services)
    return PAM_FLOW.finding(
        subject,
        f"{place}: whoever asks is let in by {named}, whatever the password",
        severity=Severity.WARNING,
        effect=Effect.HYGIENE,
        evidence=(Evidence(place, "says yes before anything could refuse", "a check of the password"),),
        repair=Repair(f"take {place} out, if that is not meant", Safety.MANUAL),
    )
