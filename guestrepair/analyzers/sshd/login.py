"""What keeps everybody out although sshd runs: /etc/nologin, shells, and access rules that add up to nobody.

Sources: OpenSSH auth.c allowed_user(), session.c do_nologin(); nologin(5),
pam_nologin(8); sshd_config(5) AllowUsers, PermitRootLogin.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.access import (
    Access,
    Cause,
    access_of,
    certificates_useless,
    has_credentials,
    revoked_list_missing,
    somebody_gets_in,
)
from guestrepair.analyzers.sshd.accounts import matters_to_everyone, only_admin
from guestrepair.analyzers.sshd.ageing import EXPIRES_FIELD, MAXIMUM_FIELD, Ended
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.analyzers.sshd.repairs import make_executable, restore_repair
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.account_files import PASSWD, SHADOW
from guestrepair.system.accounts import Account
from guestrepair.system.sshd.sshd import Sshd

LOGIN_BLOCKED = Rule(
    name="sshd/login-blocked",
    summary="sshd runs, and turns everybody away",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
    what="/etc/nologin is there (a note where tmpfiles.d removes it at boot); a login shell is missing or"
    " not executable; or AllowUsers, DenyUsers, the group lists, PermitRootLogin and the authentication"
    " switches together leave no account that has a key or a password any way in, or its expiry in shadow"
    " does, or pam_access, pam_listfile, pam_shells, pam_time; or PAM cannot read a"
    " line of sshd's service, and takes it for a module that always fails.",
    why="sshd accepts the connection and refuses the login.",
    repair="Remove nologin (review); restore the shell (safe); comment PAM's line out (review); empty the"
    " expiry in shadow (review: it may be meant); access rules are the administrator's.",
    example="AllowUsers admn",
    sources=("nologin(5)", "OpenSSH auth.c, allowed_user()", "sshd_config(5)", "shadow(5)", "pam_access(8)"),
)

NOLOGIN_FILES = (GuestPath("/etc/nologin"), GuestPath("/var/run/nologin"))


def check_login(sshd: Sshd, now: dt.datetime) -> Iterator[Finding | Inconclusive]:
    """login-blocked."""
    yield from _nologin(sshd)
    accounts = sshd.accounts.login
    yield from _shells(sshd, accounts)
    yield from _access(sshd, accounts, now)


# --- /etc/nologin -------------------------------------------------------------------


def _nologin(sshd: Sshd) -> Iterator[Finding]:
    for path in NOLOGIN_FILES:
        real = sshd.files.resolve_parent(path)
        if real is None or sshd.files.lstat(real) is None or GuestPath("/run") in real.parents:
            continue  # /run is empty at every boot
        if not sshd.files.exists(path):
            continue  # a link that leads nowhere blocks nobody
        remover = _removed_at_boot(sshd, path)
        yield LOGIN_BLOCKED.finding(
            Subject.of_path(path),
            f"{path} is there: sshd turns everybody but root away"
            + (f", until {remover} removes it at boot" if remover else ""),
            severity=Severity.NOTE if remover else Severity.ERROR,
            evidence=(Evidence(str(path), "there", "not there"),),
            repair=Repair(f"remove {path}", Safety.REVIEW, (RemoveFile(path=real),)),
        )


def _removed_at_boot(sshd: Sshd, path: GuestPath) -> str:
    """The tmpfiles.d line that removes the file at boot; a plain ``r`` does as well as ``r!``."""
    lines = sshd.system.tmpfiles.lines
    return next((each.place for each in lines if each.removes and each.path == path), "")


# --- shells -------------------------------------------------------------------------


def _shells(sshd: Sshd, accounts: tuple[Account, ...]) -> Iterator[Finding | Inconclusive]:
    only = only_admin(accounts)
    by_shell: dict[GuestPath, list[Account]] = {}
    for account in accounts:
        if account.entry.shell.endswith("\r"):
            continue  # line ends of Windows: system/passwd-damaged says it once, and mends it
        by_shell.setdefault(account.shell, []).append(account)
    for shell, users in by_shell.items():
        hidden = unmounted(sshd, shell, f"the shell {shell}")
        if hidden is not None:
            yield hidden
            continue
        problem = _shell_problem(sshd, shell)
        if problem:
            severe = any(matters_to_everyone(user, only) for user in users)
            yield _shell_finding(sshd, shell, users, problem, severe=severe)


def _shell_problem(sshd: Sshd, shell: GuestPath) -> str:
    found = sshd.files.stat(shell)
    if found is None:
        return "does not exist"
    if not found.is_file or not found.permissions & 0o111:
        return "is not executable"
    return "" if found.size_bytes else "is empty"


def _shell_finding(
    sshd: Sshd, shell: GuestPath, users: list[Account], problem: str, *, severe: bool
) -> Finding:
    names = ", ".join(user.name for user in users[:5])
    found = sshd.files.stat(shell)
    if found is not None and found.is_file and problem == "is not executable":
        repair = make_executable(sshd, shell, found)
    else:
        repair = restore_repair(sshd, shell)
    lines = [Subject.of_line(PASSWD, user.entry.line.number) for user in users]
    return LOGIN_BLOCKED.finding(
        Subject.of_path(shell),
        f'logins of {names} are refused: "User {users[0].name} not allowed because shell {shell} {problem}"',
        severity=Severity.ERROR if severe else Severity.WARNING,
        evidence=(
            Evidence(str(shell), problem, "an executable program"),
            Evidence(lines[0], f"shell {shell}"),
        ),
        repair=repair,
        folded=tuple(lines[1:]),
    )


# --- access rules -------------------------------------------------------------------


def _access(sshd: Sshd, accounts: tuple[Account, ...], now: dt.datetime) -> Iterator[Finding]:
    """Only when nobody at all is left; that one account is shut out is what such rules are for.

    Accounts without any key or password say nothing: a template gets them at its first boot. Nor is it
    a fault of the configuration where defaults alone, and no line, shut accounts out.
    """
    if revoked_list_missing(sshd) or certificates_useless(sshd):
        return  # that keeps the keys out, and has a rule of its own
    equipped = [account for account in accounts if has_credentials(sshd, account)]
    answers: list[tuple[Account, Access]] = []
    for account in equipped:
        access = access_of(sshd, account, now)
        if access.possible or access.cause is Cause.KEYS:
            return  # or it is the keys, which have a rule of their own
        answers.append((account, access))
    deciding = [access for _, access in answers if access.place]
    if not deciding or somebody_gets_in(sshd.peers, now):
        return
    most = max(access.cause for access in deciding)
    told = [(account, access) for account, access in answers if access.cause is most and access.place]
    yield LOGIN_BLOCKED.finding(
        _subject_of([access for _, access in told]),
        "no account can log in over ssh: " + _causes(told),
        evidence=tuple(
            Evidence(
                access.place or str(sshd.config_path), f"{account.name}: {access.reason}", "a way to log in"
            )
            for account, access in sorted(answers, key=lambda pair: -pair[1].cause)[:20]
        ),
        repair=_opening(sshd, told),
    )


def _subject_of(deciding: list[Access]) -> Subject:
    """The line that decides; of several lines, their file; of several files, the first."""
    places = list(dict.fromkeys(access.place for access in deciding if access.place is not None))
    if len(places) == 1:
        return places[0]
    return Subject.of_path(GuestPath(places[0].rpartition(":")[0] or places[0]))


def _causes(told: list[tuple[Account, Access]]) -> str:
    if told[0][1].cause is Cause.SETTING:
        return "every one is shut out by the configuration"
    return "; ".join(f"{account.name}: {access.reason}" for account, access in told[:3])


def _opening(sshd: Sshd, told: list[tuple[Account, Access]]) -> Repair:
    if told[0][1].cause is Cause.AGEING:
        return _without_end(sshd, [access.ended for _, access in told if access.ended is not None])
    if told[0][1].cause is Cause.LOCKED:
        return Repair("set UsePAM yes, or give the account a password field without !", Safety.MANUAL)
    if told[0][1].cause is Cause.PAM:
        return Repair("decide who may log in, and say so in the file that PAM asks", Safety.MANUAL)
    return Repair(f"decide who may log in, and say so in {sshd.config_path}", Safety.MANUAL)


def _without_end(sshd: Sshd, found: list[Ended]) -> Repair:
    """Empty the field of each of these lines of shadow; an expiry may be meant, so that a person decides."""
    data = sshd.accounts.shadow.render()
    edits = [edit for each in found if (edit := _emptied(each)) is not None]
    names = ", ".join(each.entry.name for each in found[:5])
    real = sshd.files.resolve(SHADOW) or SHADOW
    if not edits:
        return Repair(f"give {names} a password, or another day of its last change", Safety.MANUAL)
    fields = " and ".join(sorted({f"field {each.field}" for each in found if each.field in (5, 8)}))
    change = EditFile(path=real, before=data, edits=tuple(edits))
    return Repair(
        f"empty {fields} of {names} in {SHADOW}, so that it no longer ends", Safety.REVIEW, (change,)
    )


def _emptied(found: Ended) -> Edit | None:
    """The edit that empties one field of a line."""
    if found.field not in (EXPIRES_FIELD, MAXIMUM_FIELD):
        return None
    line = found.entry.line
    fields = line.raw.rstrip(b"\n").split(b":")
    if len(fields) < found.field:
        return None
    start = line.offset_bytes + sum(len(each) + 1 for each in fields[: found.field - 1])
    return Edit(offset=start, length=len(fields[found.field - 1]), text=b"")
