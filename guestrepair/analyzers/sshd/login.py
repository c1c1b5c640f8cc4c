"""What keeps everybody out although sshd runs: /etc/nologin, shells, and access rules that add up to nobody.

Sources: OpenSSH auth.c allowed_user(), session.c do_nologin(); nologin(5),
pam_nologin(8); sshd_config(5) AllowUsers, PermitRootLogin.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.sshd.access import Access, access_of, has_credentials
from guestrepair.analyzers.sshd.accounts import Account, login_accounts, matters_to_everyone, only_admin
from guestrepair.analyzers.sshd.components import restore_repair
from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.model import (
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    RemoveFile,
    Repair,
    Safety,
    SetMode,
    Severity,
)

NOLOGIN_FILES = (GuestPath("/etc/nologin"), GuestPath("/var/run/nologin"))


def check_login(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """login-blocked."""
    yield from _nologin(facts)
    accounts = login_accounts(facts)
    yield from _shells(facts, accounts)
    yield from _access(facts, accounts)


# --- /etc/nologin -------------------------------------------------------------------


def _nologin(facts: SshdFacts) -> Iterator[Finding]:
    for path in NOLOGIN_FILES:
        real = facts.guest.resolve_parent(path)
        if real is None or facts.guest.lstat(real) is None or GuestPath("/run") in real.parents:
            continue  # /run is empty at every boot
        if not facts.guest.exists(path):
            continue  # a link that leads nowhere blocks nobody
        remover = _removed_at_boot(facts, path)
        yield Finding(
            rule="sshd/login-blocked",
            severity=Severity.NOTE if remover else Severity.ERROR,
            subject=str(path),
            message=f"{path} is there: sshd turns everybody but root away"
            + (f", until {remover} removes it at boot" if remover else ""),
            evidence=(Evidence(str(path), "there", "not there"),),
            repair=Repair(f"remove {path}", Safety.REVIEW, (RemoveFile(path=real),)),
        )


def _removed_at_boot(facts: SshdFacts, path: GuestPath) -> str:
    """The tmpfiles.d line that removes the file at boot; a plain ``r`` does as well as ``r!``."""
    for file, line in facts.tmpfiles:
        if line.type in "rRD" and GuestPath(line.path) == path:
            return f"{file}:{line.number}"
    return ""


# --- shells -------------------------------------------------------------------------


def _shells(facts: SshdFacts, accounts: tuple[Account, ...]) -> Iterator[Finding | Inconclusive]:
    only = only_admin(accounts)
    by_shell: dict[GuestPath, list[Account]] = {}
    for account in accounts:
        by_shell.setdefault(account.shell, []).append(account)
    for shell, users in by_shell.items():
        hidden = facts.unmounted_above(shell)
        if hidden:
            yield facts.inconclusive(f"the shell {shell} was not examined: {hidden}")
            continue
        problem = _shell_problem(facts, shell)
        if problem:
            severe = any(matters_to_everyone(user, only) for user in users)
            yield _shell_finding(facts, shell, users, problem, severe=severe)


def _shell_problem(facts: SshdFacts, shell: GuestPath) -> str:
    found = facts.guest.stat(shell)
    if found is None:
        return "does not exist"
    if not found.is_file or not found.permissions & 0o111:
        return "is not executable"
    return "" if found.size_bytes else "is empty"


def _shell_finding(
    facts: SshdFacts, shell: GuestPath, users: list[Account], problem: str, *, severe: bool
) -> Finding:
    names = ", ".join(user.name for user in users[:5])
    found = facts.guest.stat(shell)
    if found is not None and found.is_file and problem == "is not executable":
        target = facts.guest.resolve(shell) or shell
        change = SetMode(path=target, before=found.permissions, after=0o755)
        repair = Repair(f"make {target} executable (0755)", Safety.SAFE, (change,))
    else:
        repair = restore_repair(facts, shell)
    lines = [f"/etc/passwd:{user.entry.line.number}" for user in users]
    return Finding(
        rule="sshd/login-blocked",
        severity=Severity.ERROR if severe else Severity.WARNING,
        subject=str(shell),
        message=f'logins of {names} are refused: "User {users[0].name} not allowed because shell'
        f' {shell} {problem}"',
        evidence=(
            Evidence(str(shell), problem, "an executable program"),
            Evidence(lines[0], f"shell {shell}"),
        ),
        repair=repair,
        folded=tuple(lines[1:]),
    )


# --- access rules -------------------------------------------------------------------


def _access(facts: SshdFacts, accounts: tuple[Account, ...]) -> Iterator[Finding]:
    """Only when nobody at all is left; that one account is shut out is what such rules are for.

    Accounts without any key or password say nothing: a template gets them at its first boot. Nor is it
    a fault of the configuration where a default, not a line, shuts an account out.
    """
    equipped = [account for account in accounts if has_credentials(facts, account)]
    answers: list[tuple[Account, Access]] = []
    for account in equipped:
        access = access_of(facts, account)
        if access.possible or not access.place:
            return
        answers.append((account, access))
    if not answers:
        return
    path = facts.config_path
    places = list(dict.fromkeys(access.place for _, access in answers if access.place))
    subject = places[0] if len(places) == 1 else str(path)
    yield Finding(
        rule="sshd/login-blocked",
        severity=Severity.ERROR,
        subject=subject,
        message="no account can log in over ssh: every one is shut out by the configuration",
        evidence=tuple(
            Evidence(access.place or str(path), f"{account.name}: {access.reason}", "a way to log in")
            for account, access in answers[:20]
        ),
        repair=Repair(f"decide who may log in, and say so in {path}", Safety.MANUAL),
    )
