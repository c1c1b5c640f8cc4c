"""Rules on logs that stop the machine, or that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.guest.devices import Mount
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    MakeDirectory,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.audit import CONFIG, AuditConfig
from guestrepair.system.guest_system import System

AUDIT_HALTS = Rule(
    name="system/audit-halts",
    summary="the audit daemon stops the machine because its disk is full",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="auditd.conf says HALT or SINGLE for a disk with less room than it asks for, and its disk has less.",
    why="auditd looks at the room as it starts, and shuts the machine down, or takes it to single user mode.",
    repair="SUSPEND in that action's place; then make room. What policy asks for is a person's to decide.",
    example="admin_space_left_action = HALT, with 20 MiB left of /var/log/audit",
    sources=("auditd.conf(5), space_left_action, admin_space_left_action, disk_full_action",),
)
NO_ROOM_FOR_LOGS = Rule(
    name="system/no-room-for-logs",
    summary="the directory of logs is not there, or none",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/var/log leads nowhere or is no directory and nothing makes it at boot; auditd's directory lacks.",
    why="Services that write their own logs do not start, auditd among them; an error where every login asks"
    " auditd's records to be kept (pam_loginuid require_auditd).",
    repair="Make the directory.",
    example="/var/log -> /data/log, and /data/log is not there",
    sources=("hier(7)", "auditd(8)", "pam_loginuid(8), require_auditd"),
)
RULES = (AUDIT_HALTS, NO_ROOM_FOR_LOGS)

_STOPS = {"halt": Effect.STOPS_BOOT, "single": Effect.STOPS_LOGIN}
_LOG = GuestPath("/var/log")
_WRITERS = ("systemd-journald.service", "rsyslog.service", "syslog-ng.service")
_LOGIN_ASKS = "require_auditd"


def check_audit(context: Context) -> Iterator[Finding]:
    """Findings on what auditd does about the room that is left; none where it would not stop anything."""
    system = context.system
    config = system.audit.config if system.audit.is_started else None
    if config is None:
        return
    actions = ("space_left_action", "admin_space_left_action", "disk_full_action")
    if not any(config.word(action) in _STOPS for action in actions):
        return
    mount = _mount_of(system, config.log_file)
    if mount is None:
        return
    usage = system.filesystems.room(mount.target)
    for action, asked in (
        ("disk_full_action", 0),
        ("admin_space_left_action", config.threshold_bytes("admin_space_left", usage.size_bytes)),
        ("space_left_action", config.threshold_bytes("space_left", usage.size_bytes)),
    ):
        lacks = not usage.available_bytes if action == "disk_full_action" else usage.available_bytes < asked
        if lacks and config.word(action) in _STOPS:
            yield _halts(config, action, mount, usage, asked)


def _mount_of(system: System, path: GuestPath) -> Mount | None:
    """The filesystem that a file would lie on; None where that is not mounted here."""
    if system.unmounted_above(path):
        return None
    real = system.files.resolve(path.parent) or path.parent
    found = [m for m in system.mounted if GuestPath(m.target) in (real, *real.parents)]
    return max(found, key=lambda m: len(m.target), default=None)


def _halts(config: AuditConfig, action: str, mount: Mount, usage: FilesystemUsage, asked: int) -> Finding:
    setting = config.settings[action]
    place = Subject.of_line(CONFIG, setting.line)
    word = setting.value.split()[0]
    edit = Edit(offset=setting.offset, length=len(word.encode("utf-8", "surrogateescape")), text=b"SUSPEND")
    free = f"{usage.available_bytes >> 20} MiB available on {mount.target}"
    stops = "shuts the machine down" if word.lower() == "halt" else "takes the machine to single user mode"
    return AUDIT_HALTS.finding(
        place,
        f"{place}: {action} = {word}, and {free}: auditd {stops} as it starts",
        effect=_STOPS[word.lower()],
        evidence=(
            Evidence(place, f"{action} = {word}"),
            Evidence(f"statvfs of {mount.target}", free, f"more than {asked >> 20} MiB"),
        ),
        repair=Repair(
            f"{action} = SUSPEND in {CONFIG}; then make room on {mount.target}",
            Safety.REVIEW,
            (EditFile(path=CONFIG, before=config.data, edits=(edit,)),),
        ),
    )


def check_directories(context: Context) -> Iterator[Finding]:
    """Findings on directories of logs that lack; none in a tree without a /var."""
    system = context.system
    if not system.files.is_directory(_LOG.parent) or not system.systemd.installed:
        return
    if system.unmounted_above(_LOG):
        return
    if system.files.lstat(_LOG) is None and not any(map(system.systemd.load, _WRITERS)):
        return
    if not system.files.is_directory(_LOG):
        yield from _without(system, _LOG, "journald keeps its records in memory, and other services fail")
        return
    config = system.audit.config if system.audit.is_started else None
    if config is None or system.unmounted_above(config.log_file):
        return
    if not system.files.is_directory(config.log_file.parent):
        yield from _without(system, config.log_file.parent, "auditd does not start")


def _without(system: System, path: GuestPath, consequence: str) -> Iterator[Finding]:
    found = system.files.lstat(path)
    if found is None and any(line.path == path and line.makes_directory for line in system.tmpfiles.lines):
        return
    observed = "not there"
    if found is not None:
        observed = "a link that leads nowhere" if found.is_symlink else "no directory"
    asked = path != _LOG and _logins_ask(system)
    repair = Repair(f"make the directory {path}, or correct the link", Safety.MANUAL)
    if found is None and system.files.is_directory(path.parent):
        mode = 0o755 if path == _LOG else 0o700
        repair = Repair(f"make {path}", Safety.REVIEW, (MakeDirectory(path=path, mode=mode),))
    yield NO_ROOM_FOR_LOGS.finding(
        Subject.of_path(path),
        f"{path} is {observed}: {consequence}" + (", and logins are refused without it" if asked else ""),
        severity=Severity.ERROR if asked else Severity.WARNING,
        evidence=(Evidence(str(path), observed, "a directory"),),
        repair=repair,
    )


def _logins_ask(system: System) -> bool:
    """True where a login ends when auditd does not run."""
    calls = system.pam.stack("login").of("session")
    return any(_LOGIN_ASKS in call.module.arguments for call in calls if "loginuid" in call.module.module)


CHECKS = (check_audit, check_directories)
