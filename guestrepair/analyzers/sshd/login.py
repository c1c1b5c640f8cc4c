"""What keeps everybody out although sshd runs: /etc/nologin, shells, and access rules that add up to nobody.

Sources: OpenSSH auth.c allowed_user(), session.c do_nologin(); nologin(5),
pam_nologin(8); sshd_config(5) AllowUsers, PermitRootLogin.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.access import Access, access_of, has_credentials
from guestrepair.analyzers.sshd.accounts import matters_to_everyone, only_admin
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.analyzers.sshd.repairs import make_executable, restore_repair
from guestrepair.model import (
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
from guestrepair.system.accounts import PASSWD, Account
from guestrepair.system.sshd.sshd import Sshd

LOGIN_BLOCKED = Rule(
    name="sshd/login-blocked",
    summary="sshd runs, and turns everybody away",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
    what="/etc/nologin is there (a note where tmpfiles.d removes it at boot); a login shell is missing or"
    " not executable; or AllowUsers, DenyUsers, the group lists, PermitRootLogin and the authentication"
    " switches together leave no account that has a key or a password any way in; or PAM cannot read a"
    " line of sshd's service, and takes it for a module that always fails.",
    why="sshd accepts the connection and refuses the login.",
    repair="Remove nologin (review); restore the shell (safe); comment PAM's line out (review); access"
    " rules are the administrator's.",
    example="AllowUsers admn",
    sources=("nologin(5)", "OpenSSH auth.c, allowed_user()", "sshd_config(5)"),
)

NOLOGIN_FILES = (GuestPath("/etc/nologin"), GuestPath("/var/run/nologin"))


def check_login(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """login-blocked."""
    yield from _nologin(sshd)
    accounts = sshd.accounts.login
    yield from _shells(sshd, accounts)
    yield from _access(sshd, accounts)


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


def _access(sshd: Sshd, accounts: tuple[Account, ...]) -> Iterator[Finding]:
    """Only when nobody at all is left; that one account is shut out is what such rules are for.

    Accounts without any key or password say nothing: a template gets them at its first boot. Nor is it
    a fault of the configuration where a default, not a line, shuts an account out.
    """
    equipped = [account for account in accounts if has_credentials(sshd, account)]
    answers: list[tuple[Account, Access]] = []
    for account in equipped:
        access = access_of(sshd, account)
        if access.possible or not access.place:
            return
        answers.append((account, access))
    if not answers:
        return
    path = sshd.config_path
    places = {access.place for _, access in answers}
    yield LOGIN_BLOCKED.finding(
        (places.pop() if len(places) == 1 else None) or Subject.of_path(path),
        "no account can log in over ssh: every one is shut out by the configuration",
        evidence=tuple(
            Evidence(access.place or str(path), f"{account.name}: {access.reason}", "a way to log in")
            for account, access in answers[:20]
        ),
        repair=Repair(f"decide who may log in, and say so in {path}", Safety.MANUAL),
    )
