"""What a stack of PAM modules can come to: libpam's own walk, over every answer that its modules may give.

A module whose answer hangs on more than the configuration may answer anything; a few can give one answer
only, whoever logs in. Sources: pam.d(5); Linux-PAM ``libpam/pam_dispatch.c`` _pam_dispatch_aux(), and the
RETURN VALUES of the modules' man pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from guestrepair.errors import GuestReadError
from guestrepair.formats.pam_control import RETURNS, Actions, parse_control
from guestrepair.formats.words import word_set
from guestrepair.system.pam import Pam, PamStep

MAX_STATES = 20_000
"""States that a stack may be in at one place, and far more than any real one has."""

MAX_WORK = 60_000
"""States looked at in one walk."""

_FAILURES = tuple(
    name
    for name in RETURNS
    if name not in ("success", "ignore", "module_unknown", "incomplete", "conv_again")
)
ANY = frozenset({"success", "ignore", *_FAILURES})
FAIL = frozenset(_FAILURES)
IGNORE = frozenset({"ignore"})
SUCCESS = frozenset({"success"})
REFUSED = frozenset({"auth_err"})
UNKNOWN = frozenset({"module_unknown"})
MUST_FAIL = frozenset({"perm_denied"})

DIRECTORIES = frozenset(
    {"pam_sss", "pam_ldap", "pam_krb5", "pam_winbind", "pam_lsass", "pam_vas3", "pam_centrifydc", "pam_nis"}
)
"""Modules that ask a directory of accounts: they have nothing to say of a local one."""

CREDENTIALS = DIRECTORIES | {
    "pam_unix",
    "pam_unix2",
    "pam_pwdfile",
    "pam_userdb",
    "pam_tcb",
    "pam_systemd_home",
}
"""Modules that check a password."""

GATES = frozenset(
    {"pam_nologin", "pam_securetty", "pam_faillock", "pam_tally2", "pam_access", "pam_time", "pam_shells"}
)
"""Modules that keep some people out, and let nobody in by themselves."""

_FIXED = {
    ("pam_permit", ""): SUCCESS,
    ("pam_deny", ""): FAIL,
    ("pam_env", "auth"): IGNORE,
    ("pam_group", "auth"): IGNORE,
    ("pam_mail", "auth"): IGNORE,
    ("pam_faildelay", "auth"): IGNORE,
    ("pam_keyinit", "auth"): IGNORE,
    ("pam_selinux", "auth"): frozenset({"auth_err"}),
    ("pam_warn", ""): IGNORE,
}


KNOWN = (
    CREDENTIALS
    | GATES
    | frozenset(name for name, _ in _FIXED)
    | frozenset(
        f"pam_{name}"
        for name in word_set(
            """canonicalize_user cap capability ck_connector console cracklib cryptsetup debug echo ecryptfs
    exec fail_delay faillock filter fprintd fscrypt ftp gdm gnome_keyring google_authenticator issue kwallet
    kwallet5 lastlog lastlog2 limits listfile localuser loginuid lxc lxc_cgfs mkhomedir motd mount
    namespace oddjob_mkhomedir passwdqc pkcs11 postgresok pwhistory pwquality radius rhosts rootok
    rundir selinux_permit sepermit session setquota ssh_agent_auth stack stress succeed_if syslog
    systemd systemd_home tally timestamp tmpdir tty_audit u2f umask usertype uwtmp wheel xauth yubico
    duo cgfs elogind turnstile smbpass p11 ssh snapper apparmor script pwdfile time unix_acct unix_auth
    unix_passwd unix_session slurm slurm_adopt afs_session ccreds"""
        )
    )
)
"""Modules that are known by name: of others nobody knows here what they do."""


class State(NamedTuple):
    """Where a walk stands: libpam's impression and status, what credentials said, and the substacks' starts.

    ``impression``: 0 none, 1 positive, -1 negative. ``credentials``: 0 none asked, 1 all refused, 2 one took.
    """

    impression: int = 0
    succeeds: bool = False
    credentials: int = 0
    saved: tuple[tuple[int, bool], ...] = ()


@dataclass(frozen=True)
class Handler:
    """One step with its parsed control and what it may answer."""

    step: PamStep
    actions: Actions
    answers: frozenset[str]
    is_credential: bool = False

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """One answer of each kind that leads to another state."""
        kinds: dict[object, str] = {}
        for answer in self.answers:
            kinds.setdefault((self.actions[answer], answer == "success", answer == "ignore"), answer)
        return tuple(kinds.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stack can come to: the states at its end, and whether a jump led past it."""

    ends: frozenset[State]
    bad_jumps: frozenset[int] = frozenset()

    @property
    def can_succeed(self) -> bool:
        """True when some way through ends well, and not only for those whose password was refused."""
        return any(end.impression == 1 and end.succeeds and end.credentials != 1 for end in self.ends)

    @property
    def always_succeeds(self) -> bool:
        """True when every way through ends well."""
        return all(end.impression == 1 and end.succeeds for end in self.ends)


Answers = Callable[[PamStep], frozenset[str]]


def base_name(step: PamStep) -> str:
    """``pam_unix`` for ``/lib/security/pam_unix.so``; "" for a step without a module."""
    if step.module is None:
        return ""
    return step.module.module.rpartition("/")[2].removesuffix(".so")


def possible_answers(step: PamStep) -> frozenset[str]:
    """What a step may answer, for a local account with the right password."""
    name = base_name(step)
    if not name:
        return MUST_FAIL
    fixed = _FIXED.get((name, step.type)) or _FIXED.get((name, ""))
    if fixed is not None:
        return fixed
    if name == "pam_nologin" and step.module is not None and "successok" not in step.module.arguments:
        return FAIL | IGNORE
    return ANY


def local_answers(step: PamStep) -> frozenset[str]:
    """The same where directories do not know the account."""
    found = possible_answers(step)
    if base_name(step) == "pam_localuser":
        return SUCCESS
    return found - SUCCESS if base_name(step) in DIRECTORIES and step.type == "auth" else found


def refusing_answers(step: PamStep) -> frozenset[str]:
    """What a step answers where the password is wrong, and nothing else stands against the account."""
    found = possible_answers(step)
    if base_name(step) in GATES:
        return IGNORE
    return found if found in (SUCCESS, IGNORE) else REFUSED


def answers_of(pam: Pam, service: str, usual: Answers) -> Answers:
    """What the modules of this guest may answer for this service; a missing one is none's to judge here."""

    def answers(step: PamStep) -> frozenset[str]:
        if base_name(step) == "pam_rootok":
            return FAIL if service in ("su", "su-l") else usual(step)
        module = step.module
        if module is not None and module.silent and pam.module_file(module.module) is None:
            return IGNORE
        return usual(step)

    return answers


def ends_well(pam: Pam, service: str, steps: Sequence[PamStep], saying: Mapping[int, frozenset[str]]) -> bool:
    """Whether somebody can get through while the modules at these places answer nothing else.

    Raises:
        GuestReadError: the stack is more tangled than any that is judged.
    """
    usual = answers_of(pam, service, possible_answers)
    told = {id(steps[index]): answers for index, answers in saying.items()}
    outcome = walk(handlers(steps, lambda step: told.get(id(step)) or usual(step)))
    if any(step.type == "auth" for step in steps):
        return outcome.can_succeed
    return any(end.impression == 1 and end.succeeds for end in outcome.ends)


def handlers(steps: Sequence[PamStep], answers: Answers) -> tuple[Handler, ...]:
    """The steps, ready to be walked."""
    return tuple(
        Handler(step, parse_control(step.control), answers(step), base_name(step) in CREDENTIALS)
        for step in steps
    )


def walk(stack: Sequence[Handler]) -> Outcome:
    """Every end that the stack can come to.

    Raises:
        GuestReadError: it can be in more states than any real one.
    """
    if not stack:
        return Outcome(frozenset({State(-1)}))
    keeps = any("reset" in handler.actions.values() for handler in stack)
    at: list[set[State]] = [set() for _ in range(len(stack) + 1)]
    at[0].add(State(saved=((0, False),) if keeps else ()))
    bad: set[int] = set()
    work = 0
    for index, handler in enumerate(stack):
        work += len(at[index])
        if len(at[index]) > MAX_STATES or work > MAX_WORK:
            raise GuestReadError(str(handler.step.file), "more tangled than any stack that is judged")
        for state in at[index]:
            for target, after in _moves(stack, index, state, keeps=keeps):
                if target < 0:
                    bad.add(index)
                at[abs(target)].add(after)
        at[index] = set()
    return Outcome(frozenset(at[-1]), frozenset(bad))


def _moves(stack: Sequence[Handler], index: int, state: State, *, keeps: bool) -> set[tuple[int, State]]:
    """(where the walk goes on, the state there); a negative place follows a jump that had no line left."""
    handler = stack[index]
    level = handler.step.level
    if handler.step.is_substack:
        saved = (*state.saved[: level + 1], (state.impression, state.succeeds)) if keeps else ()
        return {(index + 1, state._replace(saved=saved))}
    return {_move(stack, index, state, answer) for answer in handler.distinct}


def _move(stack: Sequence[Handler], index: int, state: State, answer: str) -> tuple[int, State]:
    handler = stack[index]
    level, action = handler.step.level, handler.actions[answer]
    if handler.is_credential:
        state = state._replace(credentials=2 if answer == "success" else max(state.credentials, 1))
    if action in ("ok", "done"):
        if state.impression == 0 or (state.impression == 1 and state.succeeds):
            state = state._replace(impression=1, succeeds=answer == "success")
        if state.impression == 1 and action == "done":
            return _past(stack, index), state
    elif action in ("bad", "die"):
        state = state._replace(impression=-1, succeeds=False) if state.impression != -1 else state
        if action == "die":
            return _past(stack, index), state
    elif action == "reset":
        before = state.saved[level] if level < len(state.saved) else (0, False)
        state = state._replace(impression=before[0], succeeds=before[1])
    elif isinstance(action, int):
        target = landing(stack, index, action)
        if target is None:
            last = _last(stack, index)
            return -(last + 1), state._replace(impression=-1, succeeds=False)
        return target, state
    return index + 1, state


def _past(stack: Sequence[Handler], index: int) -> int:
    """The place behind the substack (or the stack) in which a decision was made."""
    level = stack[index].step.level
    index += 1
    while index < len(stack) and stack[index].step.level >= level:
        index += 1
    return index


def landing(stack: Sequence[Handler], index: int, count: int) -> int | None:
    """Where a jump over ``count`` lines lands: an index, the stack's length at its end; None: too far."""
    level = stack[index].step.level
    last = len(stack) - 1
    while index < last and stack[index + 1].step.level >= level and count > 0:
        index += 1
        while index < last and stack[index + 1].step.level > level:
            index += 1
        count -= 1
    return None if count else index + 1


def _last(stack: Sequence[Handler], index: int) -> int:
    """Where a jump too far ends: at the last line of its substack, or of the stack."""
    return _past(stack, index) - 1
