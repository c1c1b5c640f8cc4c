"""The privilege separation user: ``sshd`` must be in passwd (sshd.c, SSH_PRIVSEP_USER)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.units import drop_ins
from guestrepair.formats.passwd import AccountFile, GroupEntry, PasswdEntry, ShadowEntry, parse_passwd
from guestrepair.formats.sysusers import parse_sysusers
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
)

USER = "sshd"
NOLOGIN_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
SYSTEM_IDS = range(999, 99, -1)
"""Ids that adduser --system and systemd-sysusers give out, highest first as sysusers does."""

SYSUSERS_DIRECTORIES = tuple(
    GuestPath(p)
    for p in ("/etc/sysusers.d", "/usr/local/lib/sysusers.d", "/usr/lib/sysusers.d", "/lib/sysusers.d")
)
BACKUPS = tuple(GuestPath(p) for p in ("/etc/passwd-", "/var/backups/passwd.bak"))


@dataclass(frozen=True, slots=True)
class Definition:
    """The account as it should be, and what says so. ``gid`` None: a group of the same name and number."""

    source: str
    uid: int | None
    gid: int | None
    group: str
    gecos: str
    home: str
    shell: str


PACKAGE_DEFINITIONS = {
    "debian": Definition("openssh-server's postinst", None, 65534, "", "", "/run/sshd", "/usr/sbin/nologin"),
    "rhel": Definition(
        "openssh-server's %pre", 74, None, "sshd", "Privilege-separated SSH", "", "/sbin/nologin"
    ),
    "suse": Definition(
        "openssh's sysusers", None, None, "sshd", "SSH daemon", "/var/lib/sshd", "/usr/sbin/nologin"
    ),
    "alpine": Definition("alpine-baselayout's passwd", 22, 22, "", "sshd", "/dev/null", "/sbin/nologin"),
    "arch": Definition(
        "openssh's sysusers", None, None, "sshd", "Privilege-separated SSH", "", "/usr/bin/nologin"
    ),
}
"""What the packages' install scripts give the user, where the guest itself no longer tells."""

ALIASES = {"ubuntu": "debian", "fedora": "rhel", "amazon": "rhel"}


def check_user(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """privsep-user-missing."""
    path = GuestPath("/etc/passwd")
    if facts.privsep_disabled or not facts.guest.exists(path):
        return  # without any passwd this is the least of it, and another rule's finding
    if facts.passwd.get(USER) is not None or _from_elsewhere(facts):
        return
    broken = next((m for m in facts.passwd.malformed if m.line.text.lstrip().startswith(f"{USER}:")), None)
    observed = (
        f'line {broken.line.number} is malformed: "{broken.line.text}" ({broken.reason})'
        if broken
        else "no such user"
    )
    definition = _definition(facts)
    yield Finding(
        rule="sshd/privsep-user-missing",
        severity=Severity.ERROR,
        subject=f"{path}:{broken.line.number}" if broken else str(path),
        message=f'sshd will not start: "Privilege separation user {USER} does not exist" ({observed})',
        evidence=(Evidence(str(path), observed, f"an account {USER} ({definition.source})"),),
        repair=_repair(facts, definition, broken.line.number if broken else 0),
    )


def _from_elsewhere(facts: SshdFacts) -> bool:
    # nss-altfiles (ostree systems) keeps the vendor's accounts in /usr/lib/passwd.
    other = parse_passwd(facts.content(GuestPath("/usr/lib/passwd")))
    return b"altfiles" in facts.content(GuestPath("/etc/nsswitch.conf")) and other.get(USER) is not None


def _definition(facts: SshdFacts) -> Definition:
    for path, data in drop_ins(facts.guest, SYSUSERS_DIRECTORIES, ".conf"):
        line = parse_sysusers(data).user(USER)
        if line is not None:
            shell = _shell(facts, line.shell)
            return Definition(
                f"{path}:{line.number}", line.uid, line.gid, line.group, line.gecos, line.home, shell
            )
    for backup in BACKUPS:
        entry = parse_passwd(facts.read_optional(backup)).get(USER)
        if entry is not None:
            return Definition(str(backup), entry.uid, entry.gid, "", entry.gecos, entry.home, entry.shell)
    family = ALIASES.get(facts.server.family, facts.server.family)
    table = PACKAGE_DEFINITIONS.get(family, PACKAGE_DEFINITIONS["rhel"])
    return replace(table, shell=_shell(facts, table.shell))


def _shell(facts: SshdFacts, wanted: str) -> str:
    return next((s for s in (wanted, *NOLOGIN_SHELLS) if facts.guest.exists(GuestPath(s))), wanted)


def _repair(facts: SshdFacts, definition: Definition, broken_line: int) -> Repair:
    from guestrepair.analyzers.sshd.privsep import privsep_directory

    uids = {entry.uid for entry in facts.passwd.entries}
    gids = {entry.gid for entry in facts.group.entries}
    uid = definition.uid if definition.uid is not None and definition.uid not in uids else None
    if uid is None:
        uid = next((i for i in SYSTEM_IDS if i not in uids and i not in gids), None)
    if uid is None:
        return Repair(f"add the user {USER}; no system id is free", Safety.MANUAL)
    gid, new_group = _group(facts, definition, uid, gids)
    home = definition.home or str(privsep_directory(facts).path)
    changes: list[Change] = []
    if new_group:
        changes.append(append_line(GuestPath("/etc/group"), facts.group, f"{USER}:x:{gid}:"))
    line = f"{USER}:x:{uid}:{gid}:{definition.gecos}:{home}:{definition.shell}"
    passwd = GuestPath("/etc/passwd")
    changes.append(
        replace_line(passwd, facts.passwd, broken_line, line)
        if broken_line
        else append_line(passwd, facts.passwd, line)
    )
    shadow = GuestPath("/etc/shadow")
    if facts.guest.exists(shadow) and facts.shadow.get(USER) is None:
        changes.append(append_line(shadow, facts.shadow, f"{USER}:!*:::::::"))
    return Repair(
        f"add the user {USER} (uid {uid}, gid {gid}) as {definition.source} has it",
        Safety.SAFE,
        tuple(changes),
    )


def _group(facts: SshdFacts, definition: Definition, uid: int, gids: set[int]) -> tuple[int, bool]:
    """The primary group's number, and whether the group has to be made."""
    named = facts.group.get(definition.group or USER)
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
