"""What the guest's systemd journals say: logins, commands, accounts, boots, services, and all other lines.

Times are exact: journald counts microseconds in UTC. Fields that begin with ``_`` are journald's own; a
message, and the name that it is logged under, are whatever the sender says. So a user's process that
speaks as sudo or sshd is a line of a log, and no login.

Sources: systemd.journal-fields(7), systemd's sd-messages.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.context import Messages
from guestrepair.events.login_messages import Details, Meaning, known
from guestrepair.events.messages import is_known, meaning
from guestrepair.events.model import LOG, Certainty, Event, Kind, Unread
from guestrepair.events.schedules import Crontabs
from guestrepair.formats.journal_data import parse_header
from guestrepair.formats.journal_file import Damage, Entry, entries
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

DIRECTORIES = (GuestPath("/var/log/journal"), GuestPath("/run/log/journal"))
MAX_FILES = 10_000
MAX_MESSAGE = 8192
"""Characters of a message that are kept."""
_MAX_BOOTS = 100_000
_VALUE_BYTES = 16 * 1024
_SOON_US = 120 * 1_000_000
"""A journal that begins so soon after its boot has seen it from the beginning."""
_NO_LOGIN = 0xFFFFFFFF
_FIRST_PERSON = 1000
_UNITS = {
    "39f53479d3a045ac8e11786248231fbf": "started",
    "9d1aaa27d60140bd96365438aad20286": "stopped",
    "be02cf6855d2428ba40df7e9d022f03d": "failed",
    "d9b373ed55a64feb8242e02dbe79a49c": "failed",
    "7b05ebc668384222baa8881179cfda54": "reloaded",
}
"""Messages of the manager that say what became of a unit, by MESSAGE_ID."""
_PROGRAM_DIRECTORIES = ("/usr/", "/bin", "/sbin", "/lib", "/nix/store/")
"""Where nobody but root puts a program."""
_FAILED_JOBS = frozenset({"failed", "dependency", "timeout"})
_SHUTDOWN = "98268866d1d54a499c4e98921d93bc40"


class Journals:
    """All journal files of a guest, the one that begins first is the first."""

    name = "journal"

    def __init__(self, guest: Guest, accounts: AccountNames) -> None:
        self._guest = guest
        self._accounts = accounts
        self._boots: set[str] = set()
        self._messages = Messages(Crontabs(guest))

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        self._boots.clear()
        self._messages = Messages(Crontabs(self._guest))
        found = []
        for file in self._files():
            if isinstance(file, Unread):
                yield file
            else:
                found.append(file)
        for _, path, size in sorted(found):
            yield from self._of_file(GuestPath(path), size)

    def _files(self) -> Iterator[tuple[int, str, int] | Unread]:
        """When each begins, its path, its size."""
        count = 0
        for path in self._paths():
            if isinstance(path, Unread):
                yield path
                continue
            count += 1
            if count > MAX_FILES:
                yield Unread(str(path.parent), f"more than {MAX_FILES} journals: the others are not read")
                return
            try:
                where = self._guest.resolve(path)
                stat = None if where is None else self._guest.lstat(where)
                if where is None or stat is None or not stat.is_file:
                    continue
                header = parse_header(self._guest.read_range(where, 0, 4096))
            except (FormatError, GuestReadError) as error:
                yield Unread(str(path), error.message)
                continue
            yield header.head_realtime_us, str(where), stat.size_bytes

    def _paths(self) -> Iterator[GuestPath | Unread]:
        for directory in DIRECTORIES:
            try:
                for machine in (directory, *self._guest.glob(directory, "*")):
                    yield from self._guest.glob(machine, "*.journal")
                    yield from self._guest.glob(machine, "*.journal~")
            except GuestReadError as error:
                yield Unread(str(directory), error.message)

    def _of_file(self, path: GuestPath, size: int) -> Iterator[Event | Unread]:
        read = partial(self._guest.read_range, path)
        try:
            for found in entries(read, size, value_bytes=_VALUE_BYTES):
                if isinstance(found, Damage):
                    yield Unread(f"{path}: byte {found.offset}", found.reason)
                else:
                    yield from self._of_entry(path, found)
        except (FormatError, GuestReadError) as error:
            yield Unread(str(path), error.message)

    # --- one entry ----------------------------------------------------------------

    def _of_entry(self, path: GuestPath, entry: Entry) -> Iterator[Event]:
        fields = dict(reversed(entry.fields))  # of a name that comes twice, the first
        source = f"{path}: {entry.seqnum}"
        text = _text(fields.get("MESSAGE", b""))[:MAX_MESSAGE]
        program = _text(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM") or b"")[:256]
        pid = _text(fields.get("_PID") or fields.get("SYSLOG_PID") or b"")[:20]
        found = self._meaning(program, pid, text, fields)
        if entry.boot_id not in self._boots and len(self._boots) < _MAX_BOOTS:
            self._boots.add(entry.boot_id)
            yield _boot(entry, source, found)
        if found is not None and found.kind is Kind.BOOT and ("action", "boot") in found.details:
            found = None  # said by the boot's own event
        who = f"{program}[{pid}]" if pid else program
        if found is None:
            found = Meaning(LOG, (), None, f"{who}: {text}" if who else text)
        details = found.details + known(("program", program), ("pid", pid))
        if found.kind in {Kind.SERVICE, Kind.BOOT}:
            details += (("boot", entry.boot_id),)
        yield Event(
            time_ns=entry.realtime_us * 1000,
            kind=found.kind,
            description="Recorded Time",
            message=found.message or f"{program}: {text}",
            source=source,
            actor=found.actor or (self._person(fields) if found.kind is LOG else None),
            detail=details,
        )

    def _meaning(self, program: str, pid: str, text: str, fields: dict[str, bytes]) -> Meaning | None:
        """What an entry means, as far as its sender can be believed."""
        name = _base_name(program)
        if not _may_speak_as(name, fields):
            return None
        if name == "systemd":
            return _of_manager(text, fields) if pid in {"1", ""} else None
        return self._messages.meaning(name, pid, text)

    def _person(self, fields: dict[str, bytes]) -> str | None:
        """Who logged in, of those behind the sender; else its own user, if that is no system's."""
        for name, least in (("_AUDIT_LOGINUID", 0), ("_UID", _FIRST_PERSON)):
            number = _number(fields.get(name))
            if number is not None and least <= number < _NO_LOGIN:
                return self._accounts.user(number)
        return None


def _base_name(program: str) -> str:
    """``/usr/sbin/cron[123]`` as ``cron``, ``(sd-pam)`` as ``sd-pam``."""
    return program.strip().rpartition("/")[2].partition("[")[0].strip("() :")


def _may_speak_as(name: str, fields: dict[str, bytes]) -> bool:
    """Root's process may call itself anything; a user's has to be one of the system's own programs.

    Those that are known here say nothing that a user makes up, as logger would.
    """
    if _number(fields.get("_UID")) in {None, 0}:
        return True
    place, _, own = _text(fields.get("_EXE") or fields.get("_COMM") or b"").lower().rpartition("/")
    if not is_known(name) or (place and not place.startswith(_PROGRAM_DIRECTORIES)):
        return False
    return own == name.lower() or (name == "sudoedit" and own == "sudo")


def _of_manager(text: str, fields: dict[str, bytes]) -> Meaning | None:
    """Of the system's manager: with the unit that it names itself, in whatever language it speaks."""
    unit = _text(fields.get("UNIT", b""))[:256]
    identity = _text(fields.get("MESSAGE_ID", b""))
    job = _text(fields.get("JOB_RESULT", b""))[:32]
    if identity == _SHUTDOWN:
        return Meaning(Kind.BOOT, (("action", "shutdown"),))
    found = meaning("systemd", "1", text)
    if found is None:
        action = "failed" if job in _FAILED_JOBS else _UNITS.get(identity)
        return None if action is None else Meaning(Kind.SERVICE, _named(action, unit, job))
    if found.kind is not Kind.SERVICE:
        return found
    said = dict(found.details)
    action = said.get("action") or _UNITS.get(identity, "")
    return found._replace(details=_named(action, unit or said.get("unit", ""), job))


def _named(action: str, unit: str, job: str) -> Details:
    return known(("action", action), ("unit", unit), ("result", job))


def _boot(entry: Entry, source: str, found: Meaning | None) -> Event:
    """The first that is on record of a boot. What began long before was cut off: it is counted back."""
    is_begin = entry.monotonic_us < _SOON_US
    time_us = entry.realtime_us if is_begin else max(0, entry.realtime_us - entry.monotonic_us)
    kernel = dict(found.details).get("kernel", "") if found is not None else ""
    return Event(
        time_ns=time_us * 1000,
        kind=Kind.BOOT,
        description="Start Time",
        message=f"boot {entry.boot_id}" + (f", Linux {kernel}" if kernel else ""),
        source=source,
        certainty=Certainty.EXACT if is_begin else Certainty.INFERRED,
        detail=(("action", "boot"), ("boot", entry.boot_id), *known(("kernel", kernel))),
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and len(value) <= 10 and value.isdigit() else None
