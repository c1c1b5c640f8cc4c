"""Logins on record: wtmp, btmp and utmp with their rotations, lastlog, and the databases that replace them.

Sources: utmp(5), last(1), lastlog(8), wtmpdb(8) and its ``lib/sqlite.c``, lastlog2(8).
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.errors import GuestReadError
from guestrepair.events.model import Event, Kind, Unread, known_details
from guestrepair.events.streams import Lines, log_file, rotations
from guestrepair.formats import utmp
from guestrepair.formats.utmp import DamagedRecord, LoginRecord, parse_last_login, parse_utmp
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.sqlite_open import Row, read_tables
from guestrepair.system.accounts import Accounts

WTMP, BTMP = GuestPath("/var/log/wtmp"), GuestPath("/var/log/btmp")
UTMP = GuestPath("/run/utmp")
LASTLOG = GuestPath("/var/log/lastlog")
WTMPDB = (GuestPath("/var/lib/wtmpdb/wtmp.db"), GuestPath("/var/log/wtmp.db"))
LASTLOG2 = GuestPath("/var/lib/lastlog/lastlog2.db")
_MAX_OPEN = 100_000
_NEAR_BYTES = 256 * 1024
"""Records of lastlog that lie so near to each other are read at once."""
_MAX_DAMAGED = 20

_Details = tuple[tuple[str, str], ...]


class LoginRecords:
    """wtmp (logins, logouts, boots) and btmp (failed logins)."""

    name = "logins"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for path in (WTMP, BTMP, UTMP):
            open_now: dict[str, LoginRecord] = {}
            for file in rotations(self._guest, path):
                if isinstance(file, Unread):
                    yield file
                    continue
                lines, damaged = Lines(self._guest, file), 0
                for record in parse_utmp(lines.pieces()):
                    if isinstance(record, DamagedRecord):
                        damaged += 1
                        if damaged <= _MAX_DAMAGED:
                            yield Unread(_at(file.path, record.offset), f"{record.size} bytes are no record")
                        continue
                    event = _event(record, _at(file.path, record.offset), open_now, failed=path == BTMP)
                    if event is not None:
                        yield event
                if damaged > _MAX_DAMAGED:
                    yield Unread(str(file.path), f"{damaged} damaged records in all")
                yield from lines.unread


def _at(path: GuestPath, offset: int) -> str:
    return f"{path}: byte {offset}"


def _event(
    record: LoginRecord, source: str, open_now: dict[str, LoginRecord], *, failed: bool
) -> Event | None:
    place = record.host or record.address
    details: _Details = known_details(
        ("line", record.line), ("from", place), ("address", record.address), ("pid", str(record.pid or ""))
    )
    if failed:
        if record.type not in {utmp.LOGIN, utmp.USER}:
            return None
        text = f"failed login of {record.user or 'nobody'}{_from(place)}{_on(record.line)}"
        return _login(record, source, "failed", (("user", record.user), *details), None, text)
    if record.type == utmp.USER:
        if len(open_now) < _MAX_OPEN:
            open_now[record.line] = record
        text = f"{record.user} logged in{_on(record.line)}{_from(place)}"
        return _login(record, source, "login", details, record.user or None, text)
    if record.type == utmp.DEAD:
        begun = open_now.pop(record.line, None)
        if begun is None and not record.user and not record.line.startswith(("pts/", "tty", ":")):
            return None  # a service of init that ended
        who = record.user or (begun.user if begun else "")
        text = f"{who or 'somebody'} logged out{_on(record.line)}"
        return _login(record, source, "logout", details, who or None, text)
    return _of_the_system(record, source, open_now)


def _of_the_system(record: LoginRecord, source: str, open_now: dict[str, LoginRecord]) -> Event | None:
    """Boots, shutdowns, and what changed the clock."""
    if record.type == utmp.BOOT_TIME:
        open_now.clear()
        return _boot(record, source, "boot", f"boot of kernel {record.host}" if record.host else "boot")
    if record.type == utmp.RUN_LEVEL:
        level = chr(record.pid % 256) if record.pid % 256 > 32 else ""
        if record.user == "shutdown" or level in {"0", "6"}:
            open_now.clear()
            return _boot(record, source, "shutdown", "reboot" if level == "6" else "shutdown")
        return _boot(record, source, "runlevel", f"runlevel {level}" if level else "runlevel", level)
    if record.type in {utmp.OLD_TIME, utmp.NEW_TIME}:
        which = "before" if record.type == utmp.OLD_TIME else "after"
        return Event(
            time_ns=record.time_ns, kind=Kind.LOG, description="Recorded Time",
            message=f"the clock was set (time {which} that)", source=source,
        )  # fmt: skip
    return None


def _boot(record: LoginRecord, source: str, action: str, text: str, level: str = "") -> Event:
    return Event(
        time_ns=record.time_ns,
        kind=Kind.BOOT,
        description="End Time" if action == "shutdown" else "Start Time",
        message=text,
        source=source,
        detail=(("action", action), *known_details(("level", level), ("kernel", record.host))),
    )


def _login(
    record: LoginRecord, source: str, action: str, details: _Details, actor: str | None, text: str
) -> Event:
    return Event(
        time_ns=record.time_ns,
        kind=Kind.LOGIN,
        description={"login": "Start Time", "logout": "End Time"}.get(action, "Last Login Attempt Time"),
        message=text,
        source=source,
        actor=actor,
        detail=(("action", action), *details),
    )


def _from(place: str) -> str:
    return f" from {place}" if place else ""


def _on(line: str) -> str:
    return f" on {line}" if line else ""


class LastLogins:
    """The last login of each account, by lastlog and lastlog2."""

    name = "last logins"

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest = guest
        self._accounts = accounts

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        try:
            yield from self._lastlog()
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
        yield from _table(self._guest, LASTLOG2, "Lastlog2", _LASTLOG2, _last)

    def _lastlog(self) -> Iterator[Event | Unread]:
        """lastlog is as long as the greatest uid; only the records of accounts are read."""
        file = log_file(self._guest, LASTLOG)
        if file is None or not file.size_bytes:
            return
        narrow, wide = utmp.LASTLOG_WIDTHS
        width = wide if not file.size_bytes % wide and file.size_bytes % narrow else narrow
        names = {entry.uid: entry.name for entry in reversed(self._accounts.passwd.entries)}
        wanted = sorted(uid for uid in names if 0 <= uid < file.size_bytes // width)
        for group in _near(wanted, _NEAR_BYTES // width):
            begin = group[0] * width
            data = self._guest.read_range(file.real, begin, (group[-1] + 1) * width - begin)
            for uid in group:
                raw = data[uid * width - begin : (uid + 1) * width - begin]
                found, source = parse_last_login(raw), _at(LASTLOG, uid * width)
                if found is not None:
                    yield _last_login(found.time_ns, names[uid], found.line, found.host, source)
                elif any(raw):
                    yield Unread(source, f"no record of a login (of {names[uid]})")


def _near(numbers: list[int], distance: int) -> Iterator[list[int]]:
    group: list[int] = []
    for number in numbers:
        if group and number - group[0] > distance:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _last_login(time_ns: int, name: str, line: str, host: str, source: str) -> Event:
    return Event(
        time_ns=time_ns,
        kind=Kind.LOGIN,
        description="Last Login Time",
        message=f"last login of {name}{_on(line)}{_from(host)}",
        source=source,
        actor=name,
        # Not "login": of a session that this begins no end would be on record.
        detail=(("action", "last"), *known_details(("line", line), ("from", host))),
    )


# --- databases ------------------------------------------------------------------------

_LASTLOG2 = ("Name", "Time", "TTY", "RemoteHost", "Service")
_WTMPDB = ("ID", "Type", "User", "Login", "Logout", "TTY", "RemoteHost", "Service")
_BOOTED, _RUN_LEVEL, _USER = 1, 2, 3


class LoginDatabase:
    """wtmpdb: each row is a login, with its end."""

    name = "login database"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for path in WTMPDB:
            yield from _table(self._guest, path, "wtmp", _WTMPDB, _session)


def _table(
    guest: Guest, path: GuestPath, table: str, columns: tuple[str, ...], of: object
) -> Iterator[Event | Unread]:
    assert callable(of)  # noqa: S101
    problems: list[str] = []
    number = 0
    try:
        if not guest.is_file(path):
            return
        for number, (_, row) in enumerate(read_tables(guest, path, {table: columns}, problems.append), 1):
            source = f"{path}: row {number}"
            events = list(of(row, source))
            yield from events or [Unread(source, "a row that makes no sense")]
    except GuestReadError as error:
        yield Unread(error.path, error.reason)
    yield from (Unread(str(path), problem) for problem in problems)


def _last(row: Row, source: str) -> Iterator[Event]:
    name, seconds, line, host, _service = row
    if isinstance(name, str) and isinstance(seconds, int) and seconds > 0:
        yield _last_login(seconds * 10**9, name, _str(line), _str(host), source)


def _session(row: Row, source: str) -> Iterator[Event]:
    number, kind, user, begin, end, line, host, service = row
    if not isinstance(begin, int) or kind not in {_BOOTED, _RUN_LEVEL, _USER}:
        return
    tty, place = _str(line), _str(host)
    boot = kind != _USER
    details = known_details(
        ("line", "" if boot else tty), ("session", "" if boot else _str(number)),
        ("kernel" if boot else "from", place), ("service", _str(service)),
    )  # fmt: skip
    who = _str(user)
    for moment, ended in ((begin, False), (end, True)):
        if not isinstance(moment, int):
            continue
        if boot:
            action = "shutdown" if ended else ("boot" if kind == _BOOTED else "runlevel")
            text = action
        else:
            action = "logout" if ended else "login"
            text = f"{who} logged {'out' if ended else 'in'}{_on(tty)}{_from(place)}"
        yield Event(
            time_ns=moment * 1000,
            kind=Kind.BOOT if boot else Kind.LOGIN,
            description="End Time" if ended else "Start Time",
            message=text,
            source=source,
            actor=None if boot else who or None,
            detail=(("action", action), *details),
        )


def _str(value: object) -> str:
    return "" if value is None else str(value)
