"""What programs leave behind: LVM's archive, sudo's session logs, stamps of timers, jobs of at, boot.log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.model import Certainty, Event, Kind, Unread, known_details
from guestrepair.events.schedules import timer_of
from guestrepair.events.streams import Lines, rotations
from guestrepair.formats.lvm_backup import LvmBackup, parse_lvm_backup
from guestrepair.formats.sudo_io import SudoSession, parse_sudo_json, parse_sudo_log
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts
from guestrepair.system.systemd import Systemd

LVM = (GuestPath("/etc/lvm/archive"), GuestPath("/etc/lvm/backup"))
SUDO_IO = GuestPath("/var/log/sudo-io")
TIMERS, ANACRON = GuestPath("/var/lib/systemd/timers"), GuestPath("/var/spool/anacron")
AT = (GuestPath("/var/spool/cron/atjobs"), GuestPath("/var/spool/at"))
BOOT_LOG = GuestPath("/var/log/boot.log")
_TREE_BYTES = 64 * 1024 * 1024
_IO_STREAMS = ("ttyin*", "ttyout*", "stdin*", "stdout*", "stderr*", "timing*", "seq")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|[\r\x08]")
_AT_JOB = re.compile(r"[a-zA-Z=](?P<number>[0-9a-f]{5})(?P<minutes>[0-9a-f]{8})")
_FAILED = ("[FAILED]", "FAILED", "[DEPEND]", "Failed to ", "Dependency failed")

_Details = tuple[tuple[str, str], ...]


class Traces:
    """The readers of small traces, one after the other."""

    name = "traces of programs"

    def __init__(self, guest: Guest, accounts: Accounts, systemd: Systemd) -> None:
        self._guest = guest
        self._accounts = accounts
        self._systemd = systemd

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for read in (self._lvm, self._sudo, self._timers, self._at, self._boot_log):
            try:
                yield from read()
            except GuestReadError as error:
                yield Unread(error.path, error.reason)

    def _lvm(self) -> Iterator[Event | Unread]:
        for directory in LVM:
            yield from self._tree(directory, (), parse_lvm_backup, _lvm_event)

    def _sudo(self) -> Iterator[Event | Unread]:
        yield from self._tree(SUDO_IO, (*_IO_STREAMS, "log"), parse_sudo_json, _sudo_event)
        yield from self._tree(SUDO_IO, (*_IO_STREAMS, "log.json"), parse_sudo_log, _sudo_event)

    def _tree(
        self,
        directory: GuestPath,
        without: tuple[str, ...],
        parse: Callable[[bytes], LvmBackup] | Callable[[bytes], SudoSession],
        event: Callable[[LvmBackup, str], Event] | Callable[[SudoSession, str], Event],
    ) -> Iterator[Event | Unread]:
        if not self._guest.is_directory(directory):
            return
        files = self._guest.read_tree(directory, exclude=without, limit_bytes=_TREE_BYTES)
        for name, data in sorted(files.items()):
            source = str(directory / name)
            try:
                yield event(parse(data), source)  # type: ignore[arg-type]
            except FormatError as error:
                yield Unread(source, error.message)

    def _timers(self) -> Iterator[Event | Unread]:
        """systemd touches a stamp when a timer runs; anacron writes the day into a file of the job's name."""
        for directory, begin in ((TIMERS, "stamp-"), (ANACRON, "")):
            for path, found in self._files(directory):
                if path.name.startswith(begin):
                    job = path.name.removeprefix(begin)
                    details = (("unit", job), *(self._started(job) if begin else ()))
                    yield _event(found.mtime, Kind.SERVICE, f"{job} ran", str(path), details)

    def _started(self, name: str) -> _Details:
        """What a timer starts, as its units are now."""
        try:
            timer = timer_of(self._systemd, name)
        except (FormatError, GuestReadError):  # Schedules says so
            return ()
        if timer is None:
            return ()
        return known_details(("starts", timer.starts), ("command", "; ".join(timer.commands)))

    def _at(self) -> Iterator[Event | Unread]:
        names: dict[int, str] = {}
        for directory in AT:
            for path, found in self._files(directory):
                job = _AT_JOB.fullmatch(path.name)
                if job is None:
                    continue
                names = names or {entry.uid: entry.name for entry in reversed(self._accounts.passwd.entries)}
                who = names.get(found.uid)
                details = (("record", "at"), ("due", str(int(job["minutes"], 16) * 60)))
                text = f"at: job {int(job['number'], 16)} was queued"
                yield _event(found.mtime, Kind.COMMAND, text, str(path), details, who)

    def _files(self, directory: GuestPath) -> Iterator[tuple[GuestPath, Stat]]:
        if not self._guest.is_directory(directory):
            return
        paths = [directory / name for name in self._guest.listdir(directory)]
        for path, found in self._guest.lstat_many(paths).items():
            if found is not None and found.is_file:
                yield path, found

    def _boot_log(self) -> Iterator[Event | Unread]:
        """What failed on the console at boot; only the file has a time."""
        for file in rotations(self._guest, BOOT_LOG):
            if isinstance(file, Unread):
                yield file
                continue
            lines = Lines(self._guest, file)
            for number, line in lines.numbered():
                text = _ESCAPES.sub("", line).strip()
                if text.startswith(_FAILED):
                    source = f"{file.path}:{number}"
                    yield _event(file.mtime, Kind.SERVICE, text, source, certainty=Certainty.BOUNDED)
            yield from lines.unread


def _event(
    seconds: int,
    kind: Kind,
    text: str,
    source: str,
    details: _Details = (),
    actor: str | None = None,
    *,
    certainty: Certainty = Certainty.EXACT,
) -> Event:
    return Event(
        time_ns=seconds * 10**9,
        kind=kind,
        description="Last Time Executed" if certainty is Certainty.EXACT else "Content Modification Time",
        message=text,
        source=source,
        certainty=certainty,
        actor=actor,
        detail=details,
    )


def _lvm_event(backup: LvmBackup, source: str) -> Event:
    details: _Details = (("record", "lvm"), ("when", backup.when), ("host", backup.host))
    return Event(
        time_ns=backup.seconds * 10**9,
        kind=Kind.COMMAND if backup.command else Kind.LOG,
        description="Recorded Time",
        message=backup.command or f"LVM: {backup.description or 'metadata written'}",
        source=source,
        detail=tuple(pair for pair in details if pair[1]),
    )


def _sudo_event(session: SudoSession, source: str) -> Event:
    details: _Details = (
        ("record", "sudo"), ("user", session.run_as), ("pwd", session.pwd), ("tty", session.tty),
    )  # fmt: skip
    return Event(
        time_ns=session.time_ns,
        kind=Kind.COMMAND,
        description="Start Time",
        message=session.command,
        source=source,
        actor=session.who or None,
        detail=tuple(pair for pair in details if pair[1]),
    )
