"""All that tells what happened in a guest: one reader a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guestrepair.events.audit import AuditLog
from guestrepair.events.cloudinit import CloudInit
from guestrepair.events.dnf import DnfHistory
from guestrepair.events.etckeeper import Etckeeper
from guestrepair.events.files import FileTimes
from guestrepair.events.histories import ShellHistories
from guestrepair.events.journal import Journals
from guestrepair.events.logins import LastLogins, LoginDatabase, LoginRecords
from guestrepair.events.model import Kind, Reader
from guestrepair.events.packages import DebianPackages, OtherPackageLogs
from guestrepair.events.schedules import Schedules
from guestrepair.events.sudolog import SudoLog
from guestrepair.events.syslog import SyslogFiles
from guestrepair.events.traces import Traces
from guestrepair.guest.view import Guest
from guestrepair.system.guest_system import System

_LOGINS = frozenset({Kind.BOOT, Kind.LOG, Kind.LOGIN})
_LOGGED = frozenset(
    {Kind.ACCOUNT, Kind.BOOT, Kind.COMMAND, Kind.CONFIGURATION, Kind.LOG, Kind.LOGIN, Kind.SERVICE}
)
_AUDITED = _LOGGED | {Kind.FILE, Kind.PACKAGE}
_CLOUD = frozenset({Kind.COMMAND, Kind.CONFIGURATION, Kind.LOG, Kind.SERVICE})
_TRACES = frozenset({Kind.COMMAND, Kind.LOG, Kind.SERVICE})
_SCHEDULED = frozenset({Kind.COMMAND, Kind.SERVICE})
_PACKAGES = frozenset({Kind.CONFIGURATION, Kind.LOG, Kind.PACKAGE})
Make = Callable[[Guest, System], Reader]

SOURCES: Sequence[tuple[frozenset[Kind], Make]] = (
    (frozenset({Kind.FILE}), lambda guest, _system: FileTimes(guest)),
    (_PACKAGES, lambda guest, system: DebianPackages(guest, system.clock)),
    (_PACKAGES, lambda guest, system: OtherPackageLogs(guest, system.clock)),
    (_PACKAGES, lambda guest, system: DnfHistory(guest, system.accounts)),
    (frozenset({Kind.COMMAND}), lambda guest, system: ShellHistories(guest, system.accounts)),
    (_AUDITED, lambda guest, system: AuditLog(guest, system.accounts)),
    (_CLOUD, lambda guest, _system: CloudInit(guest)),
    (frozenset({Kind.CONFIGURATION}), lambda guest, system: Etckeeper(guest, system.accounts)),
    (_TRACES, lambda guest, system: Traces(guest, system.accounts, system.systemd)),
    (_SCHEDULED, lambda guest, system: Schedules(guest, system.systemd)),
    (_LOGINS, lambda guest, _system: LoginRecords(guest)),
    (_LOGINS, lambda guest, _system: LoginDatabase(guest)),
    (frozenset({Kind.LOGIN}), lambda guest, system: LastLogins(guest, system.accounts)),
    (frozenset({Kind.COMMAND, Kind.LOG, Kind.LOGIN}), lambda guest, system: SudoLog(guest, system.clock)),
    (_LOGGED, lambda guest, system: SyslogFiles(guest, system.clock)),
    (_LOGGED, lambda guest, system: Journals(guest, system.owner_names)),
)
"""What kinds of events a source has, and how its reader is made. A new source is an entry here."""


def readers(guest: Guest, system: System, kinds: frozenset[Kind]) -> list[Reader]:
    """The readers of all sources that have events of these kinds."""
    return [make(guest, system) for has, make in SOURCES if has & kinds]
