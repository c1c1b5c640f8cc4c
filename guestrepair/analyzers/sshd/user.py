"""The privilege separation user: ``sshd`` must be in passwd (sshd.c, SSH_PRIVSEP_USER)."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.formats.passwd import AccountFile, GroupEntry, PasswdEntry, ShadowEntry
from guestrepair.model import (
    Change,
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
from guestrepair.system.account_files import GROUP, PASSWD, SHADOW
from guestrepair.system.sshd.sshd import Sshd
from guestrepair.system.sshd.user import USER, UserDefinition

PRIVSEP_USER_MISSING = Rule(
    name="sshd/privsep-user-missing",
    summary="the user sshd is not in /etc/passwd",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="sshd runs its unauthenticated part as the user sshd, and /etc/passwd has no line for it"
    " that can be read.",
    why='sshd exits with "Privilege separation user sshd does not exist": nobody can log in.',
    repair="Add the account as sysusers.d has it, else as /etc/passwd- or /var/backups/passwd.bak had it,"
    " else as the distribution's package makes it, with its group and a locked line in /etc/shadow.",
    example="a line of /etc/passwd lost in an edit",
    sources=("OpenSSH sshd.c, main()", "sysusers.d(5)", "passwd(5)"),
)

SYSTEM_IDS = range(999, 99, -1)
"""Ids that adduser --system and systemd-sysusers give out, highest first as sysusers does."""


def check_user(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """privsep-user-missing."""
    passwd, path = sshd.accounts.passwd, PASSWD
    if sshd.privsep_disabled or not sshd.files.exists(path):
        return  # without any passwd this is the least of it, and another rule's finding
    if passwd.get(USER) is not None or sshd.accounts.altfiles.get(USER) is not None:
        return
    broken = next((m for m in passwd.malformed if m.line.text.lstrip().startswith(f"{USER}:")), None)
    observed = (
        f'line {broken.line.number} is malformed: "{broken.line.text}" ({broken.reason})'
        if broken
        else "no such user"
    )
    definition = sshd.user
    yield PRIVSEP_USER_MISSING.finding(
        Subject.of_line(path, broken.line.number) if broken else Subject.of_path(path),
        f'sshd will not start: "Privilege separation user {USER} does not exist" ({observed})',
        evidence=(Evidence(str(path), observed, f"an account {USER} ({definition.source})"),),
        repair=_repair(sshd, definition, broken.line.number if broken else 0),
    )


def _repair(sshd: Sshd, definition: UserDefinition, broken_line: int) -> Repair:
    uids = {entry.uid for entry in sshd.accounts.passwd.entries}
    gids = {entry.gid for entry in sshd.accounts.group.entries}
    uid = definition.uid if definition.uid is not None and definition.uid not in uids else None
    if uid is None:
        uid = next((i for i in SYSTEM_IDS if i not in uids and i not in gids), None)
    if uid is None:
        return Repair(f"add the user {USER}; no system id is free", Safety.MANUAL)
    gid, new_group = _group(sshd, definition, uid, gids)
    home = definition.home or str(sshd.privsep_directory.path)
    changes: list[Change] = []
    if new_group:
        changes.append(append_line(GROUP, sshd.accounts.group, f"{USER}:x:{gid}:"))
    line = f"{USER}:x:{uid}:{gid}:{definition.gecos}:{home}:{definition.shell}"
    changes.append(
        replace_line(PASSWD, sshd.accounts.passwd, broken_line, line)
        if broken_line
        else append_line(PASSWD, sshd.accounts.passwd, line)
    )
    if sshd.files.exists(SHADOW) and sshd.accounts.shadow.get(USER) is None:
        changes.append(append_line(SHADOW, sshd.accounts.shadow, f"{USER}:!*:::::::"))
    return Repair(
        f"add the user {USER} (uid {uid}, gid {gid}) as {definition.source} has it",
        Safety.SAFE,
        tuple(changes),
    )


def _group(sshd: Sshd, definition: UserDefinition, uid: int, gids: set[int]) -> tuple[int, bool]:
    """The primary group's number, and whether the group has to be made."""
    named = sshd.accounts.group.get(definition.group or USER)
    if definition.gid is not None and definition.gid in gids:
        return definition.gid, False
    if named is not None:
        return named.gid, False
    wanted = definition.gid if definition.gid is not None else uid
    return (wanted, True) if wanted not in gids else (uid, uid not in gids)


AnyAccounts = AccountFile[PasswdEntry] | AccountFile[ShadowEntry] | AccountFile[GroupEntry]


def append_line(path: GuestPath, accounts: AnyAccounts, text: str) -> EditFile:
    """Add a line before the NIS compat lines, touching nothing else."""
    edit = Edit(offset=accounts.insertion_offset_bytes, length=0, text=accounts.insertion(text))
    return EditFile(path=path, before=accounts.render(), edits=(edit,))


def replace_line(path: GuestPath, accounts: AnyAccounts, number: int, text: str) -> EditFile:
    """Replace one line's text, its line end kept."""
    line = accounts.lines[number - 1]
    length = len(line.raw.rstrip(b"\n"))
    edit = Edit(offset=line.offset_bytes, length=length, text=text.encode())
    return EditFile(path=path, before=accounts.render(), edits=(edit,))
