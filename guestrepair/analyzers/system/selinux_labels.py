"""The rule on SELinux labels of what boot and login read."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    SetLabel,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.guest_system import System
from guestrepair.system.selinux import AUTORELABEL, LabelledPath

SELINUX_LABELS = Rule(
    name="system/selinux-labels",
    summary="files that boot or login read lack the label that the policy gives them",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="SELinux is enforced, and init, shells, sshd, account files, PAM's or sshd's configuration or keys"
    " have no label or a foreign one; a warning where the type is another one of the system's own. Types that"
    " administrators may give (customizable_types) do not count; nothing counts once /.autorelabel is there.",
    why="The kernel refuses services what has no label: systemd stops, or nobody's password is found.",
    repair="The policy's label, file by file (safe); where most lack one, /.autorelabel (review).",
    example="/etc/shadow was written again from a rescue system and is unlabeled_t.",
    sources=("selabel_file(5)", "setfiles(8)", "fixfiles(8), onboot", "customizable_types(5)"),
)
RULES = (SELINUX_LABELS,)

_FOREIGN = frozenset(
    {
        "",
        "unlabeled_t",
        "file_t",
        "default_t",
        "tmp_t",
        "user_tmp_t",
        "user_home_t",
        "admin_home_t",
        "home_root_t",
    }
    | {
        "user_home_dir_t",
        "mnt_t",
        "var_t",
        "nfs_t",
        "removable_t",
        "container_file_t",
        "svirt_sandbox_file_t",
    }
)
"""Types (and none) with which services of login and boot may not read a file of theirs."""

_READ_AT_LOGIN = tuple(
    GuestPath(path)
    for path in (
        *(
            "/etc/passwd",
            "/etc/group",
            "/etc/shadow",
            "/etc/gshadow",
            "/etc/nsswitch.conf",
            "/etc/login.defs",
        ),
        *("/etc/security/limits.conf", "/etc/security/access.conf", "/etc/shells", "/etc/profile"),
        *("/etc/ssh", "/etc/pam.d", "/etc/security", "/root", "/root/.ssh"),
    )
)
_READ_AT_BOOT = tuple(
    GuestPath(path)
    for path in (
        *("/", "/etc", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/var", "/var/log"),
        *(
            "/etc/fstab",
            "/etc/ld.so.cache",
            "/etc/selinux/config",
            "/etc/systemd/system",
            "/usr/lib/systemd/systemd",
        ),
        *("/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib64/libc.so.6", "/sbin/init"),
    )
)
_DIRECTORIES = (GuestPath("/etc/pam.d"), GuestPath("/etc/ssh"))
_MANY = 10
_MAX_ACCOUNTS = 50


def check(context: Context) -> Iterator[Finding]:
    """All findings on labels; none where SELinux is not enforced."""
    system = context.system
    selinux = system.selinux
    if not selinux.is_enforced:
        return
    if selinux.relabels_at_boot:
        yield _pending()
        return
    at_boot = dict.fromkeys((*_READ_AT_BOOT, *system.boot_programs.paths))
    at_login = dict.fromkeys((*_READ_AT_LOGIN, *_inside(system)))
    compared = selinux.compared((*at_boot, *at_login))
    wrong = [each for each in compared if each.type not in (each.wanted_type, *selinux.customizable)]
    missing = [each for each in wrong if each.type in ("", "unlabeled_t", "file_t")]
    if len(missing) > _MANY and len(missing) * 2 > len(compared):
        yield _everywhere(system, missing, len(compared))
        return
    places = {system.files.resolve(path) for path in at_boot}
    for severity in (Severity.ERROR, Severity.WARNING):
        chosen = [each for each in wrong if (each.type in _FOREIGN) is (severity is Severity.ERROR)]
        groups = [chosen] if len(chosen) > _MANY else [[each] for each in chosen]
        for group in filter(None, groups):
            boot = any(each.path in places for each in group)
            yield _finding(group, severity, Effect.STOPS_BOOT if boot else Effect.STOPS_LOGIN)
    yield from _keys(system)


def _inside(system: System) -> Iterator[GuestPath]:
    for directory in _DIRECTORIES:
        yield from system.files.glob(directory, "*")[:200]


def _keys(system: System) -> Iterator[Finding]:
    """Keys of accounts that sshd may not read: theirs alone, and so a warning."""
    paths = []
    for account in system.accounts.login[:_MAX_ACCOUNTS]:
        if account.uid:
            paths += [account.home / ".ssh", account.home / ".ssh/authorized_keys"]
    for each in system.selinux.compared(paths):
        if each.type != each.wanted_type and each.type in _FOREIGN - {"user_home_t"}:
            yield _finding([each], Severity.WARNING, Effect.DEGRADES)


def _finding(group: list[LabelledPath], severity: Severity, effect: Effect) -> Finding:
    first = group[0]
    has = f"the type {first.type}" if first.type else "no label"
    more = f", and {len(group) - 1} more paths" if len(group) > 1 else ""
    refused = severity is Severity.ERROR
    return SELINUX_LABELS.finding(
        Subject.of_path(first.path),
        f"{first.path} has {has} where the policy says {first.wanted_type}{more}"
        + (": SELinux refuses it to boot and login" if refused else ""),
        severity=severity,
        effect=effect,
        evidence=tuple(
            Evidence(str(each.path), each.label or "no label", each.wanted) for each in group[:_MANY]
        ),
        repair=Repair(
            f"the policy's label for {first.path}{more}",
            Safety.SAFE if refused else Safety.REVIEW,
            tuple(SetLabel(path=each.path, before=each.label, after=each.wanted) for each in group),
        ),
        folded=tuple(Subject.of_path(each.path) for each in group[1:]),
    )


def _everywhere(system: System, missing: list[LabelledPath], looked_at: int) -> Finding:
    repair = Repair(
        "label the whole system by its own policy (setfiles), or boot it permissive once", Safety.MANUAL
    )
    if system.selinux.can_relabel:
        change = WriteFile(path=AUTORELABEL, before=None, after=b"", backup=False)
        words = f"{AUTORELABEL}: the next boot labels everything, and starts once more (give it enforcing=0)"
        repair = Repair(words, Safety.REVIEW, (change,))
    return SELINUX_LABELS.finding(
        Subject.of_path(GuestPath("/")),
        f"{len(missing)} of {looked_at} paths that boot and login read lack a label, and SELinux is enforced:"
        " the tree was copied without them",
        effect=Effect.STOPS_BOOT,
        evidence=tuple(
            Evidence(str(each.path), each.label or "no label", each.wanted) for each in missing[:_MANY]
        ),
        repair=repair,
    )


def _pending() -> Finding:
    return SELINUX_LABELS.finding(
        Subject.of_path(AUTORELABEL),
        "the next boot labels everything again: labels were not judged",
        severity=Severity.NOTE,
        evidence=(Evidence(str(AUTORELABEL), "there"),),
    )
