"""What a guest runs by itself at set times: the lines of its crontabs, and its timers with what they start.

That such a line is there is on record only by the time of its file: no run of it is told by that.

Sources: cron(8) of Debian, cronie, SUSE and busybox, for where the tables lie; systemd.timer(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.model import Certainty, Event, Kind, Unread, known_details
from guestrepair.formats.crontab import Form, parse_crontab
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.systemd import Systemd

MAX_TABLES = 1000
MAX_TABLE_BYTES = 256 * 1024
MAX_TIMERS = 1000
RECORD = "schedule"
_FILES = ((GuestPath("/etc/crontab"), Form.OF_SYSTEM), (GuestPath("/etc/anacrontab"), Form.OF_ANACRON))
_DIRECTORIES = (
    (GuestPath("/etc/cron.d"), Form.OF_SYSTEM),
    (GuestPath("/var/spool/cron/crontabs"), Form.OF_USER),
    (GuestPath("/var/spool/cron/tabs"), Form.OF_USER),
    (GuestPath("/var/spool/cron"), Form.OF_USER),
    (GuestPath("/etc/crontabs"), Form.OF_USER),
)


class Scheduled(NamedTuple):
    """A line of a crontab: where it stands, when that was written (seconds), its times, user and command."""

    source: str
    written: int
    times: str
    user: str
    command: str


def scheduled(guest: Guest) -> Iterator[Scheduled | Unread]:
    """The lines of all crontabs."""
    left = MAX_TABLES
    for path, form, found in _tables(guest):
        if isinstance(found, Unread):
            yield found
            continue
        left -= 1
        if left < 0:
            yield Unread(str(path.parent), f"more than {MAX_TABLES} crontabs: the others are not read")
            return
        try:
            data = guest.read_range(path, 0, MAX_TABLE_BYTES)
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
            continue
        if found.size_bytes > MAX_TABLE_BYTES:
            yield Unread(
                str(path), f"{found.size_bytes} bytes, of which the first {MAX_TABLE_BYTES} are read"
            )
        owner = path.name if form is Form.OF_USER else "root" if form is Form.OF_ANACRON else ""
        for job in parse_crontab(data, form):
            user = job.user or owner
            yield Scheduled(f"{path}:{job.line}", found.mtime, job.times, user, job.command)


def _tables(guest: Guest) -> Iterator[tuple[GuestPath, Form, Stat | Unread]]:
    for path, form in _FILES:
        yield from _regular(guest, [path], form)
    for directory, form in _DIRECTORIES:
        try:
            names = guest.listdir(directory) if guest.is_directory(directory) else ()
        except GuestReadError as error:
            yield directory, form, Unread(error.path, error.reason)
            continue
        yield from _regular(guest, [directory / name for name in sorted(names)], form)


def _regular(
    guest: Guest, paths: list[GuestPath], form: Form
) -> Iterator[tuple[GuestPath, Form, Stat | Unread]]:
    try:
        found = guest.lstat_many(paths)
    except GuestReadError as error:
        yield paths[0], form, Unread(error.path, error.reason)
        return
    for path in paths:
        stat = found[path]
        if stat is not None and stat.is_file:
            yield path, form, stat


class Crontabs:
    """Which line of a crontab a run on record comes from; the tables are read when it is first asked."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._places: dict[tuple[str, str], str] | None = None

    def place(self, user: str, command: str) -> str:
        """Where the line stands, as the tables are now; "" where none of them has it."""
        if self._places is None:
            self._places = {}
            for line in scheduled(self._guest):  # what cannot be read of them, Schedules says
                if not isinstance(line, Unread):
                    self._places.setdefault((line.user, line.command), line.source)
        return self._places.get((user, command.strip()), "")


class Timer(NamedTuple):
    """An enabled timer, where it is defined, what it starts, and the commands of that."""

    name: str
    path: GuestPath
    starts: str
    commands: tuple[str, ...]


def timer_of(systemd: Systemd, name: str) -> Timer | None:
    """A timer with what it starts; None for one that is not there or masked.

    Raises:
        GuestReadError, FormatError: it cannot be read.
    """
    timer = systemd.load(name)
    if timer is None or timer.masked:
        return None
    starts = timer.unit.last("Timer", "Unit") or f"{name.removesuffix('.timer')}.service"
    service = systemd.load(starts)
    commands = () if service is None else service.unit.values("Service", "ExecStart")
    return Timer(name, timer.path, starts, tuple(commands))


class Schedules:
    """What is to run at set times, as of when its files were last written."""

    name = "crontabs and timers"

    def __init__(self, guest: Guest, systemd: Systemd) -> None:
        self._guest = guest
        self._systemd = systemd

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for line in scheduled(self._guest):
            yield line if isinstance(line, Unread) else _line(line)
        yield from self._timers()

    def _timers(self) -> Iterator[Event | Unread]:
        try:
            names = [
                name for name in self._systemd.unit_names if name.endswith(".timer") and "@." not in name
            ]
            enabled = [name for name in names if self._systemd.pulled_in_by(name)]
        except (FormatError, GuestReadError) as error:
            yield Unread("timers", error.message)
            return
        for name in enabled[:MAX_TIMERS]:
            try:
                timer = timer_of(self._systemd, name)
                stat = None if timer is None else self._guest.stat(timer.path)
            except (FormatError, GuestReadError) as error:
                yield Unread(name, error.message)
                continue
            if timer is not None and stat is not None:
                yield _timer(timer, stat.mtime)


def _line(line: Scheduled) -> Event:
    return Event(
        time_ns=line.written * 10**9,
        kind=Kind.COMMAND,
        description="Content Modification Time",
        message=line.command,
        source=line.source,
        certainty=Certainty.BOUNDED,
        actor=line.user or None,
        detail=known_details(("record", RECORD), ("times", line.times), ("user", line.user)),
    )


def _timer(timer: Timer, written: int) -> Event:
    commands = "; ".join(timer.commands)
    return Event(
        time_ns=written * 10**9,
        kind=Kind.SERVICE,
        description="Content Modification Time",
        message=f"{timer.name} starts {timer.starts}" + (f": {commands}" if commands else ""),
        source=str(timer.path),
        certainty=Certainty.BOUNDED,
        detail=known_details(("record", RECORD), ("unit", timer.name), ("starts", timer.starts)),
    )
