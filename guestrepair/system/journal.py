"""The guest's systemd journal, read by the host's journalctl(1) on a copy.

A journal file is a database that the guest wrote, so it is hostile: journalctl
gets one copy at a time, which it can only read, and answers by a pipe; it can open nothing else
of this host's files, and runs as a user without rights where we are root, with
limits on memory, processor time, running time and output. Whatever goes wrong there costs the
entries of that file and nothing else.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk import children
from guestrepair.disk.tempdirs import passable_parent, private_directory
from guestrepair.errors import GuestReadError
from guestrepair.formats.logs import MAX_LINE_BYTES, LogLine
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable

DIRECTORY = GuestPath("/var/log/journal")
MAX_FILES = 6
MAX_FILE_BYTES = 128 * 1024 * 1024
"""journald's own largest file is 128 MiB (SystemMaxFileSize=)."""

MAX_TOTAL_BYTES = 192 * 1024 * 1024
MAX_OUTPUT_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 5_000
_CHUNK_BYTES = 4 * 1024 * 1024
_SECONDS = 30
_LIMITS = children.Limits(memory_bytes=2 * 1024**3, cpu_seconds=_SECONDS, file_bytes=0)


def journal_files(guest: Guest) -> tuple[tuple[GuestPath, Stat], ...]:
    """The guest's journal files, the last written first, as many as are read."""
    found: list[tuple[GuestPath, Stat]] = []
    for machine in guest.glob(DIRECTORY, "*"):
        for path in (*guest.glob(machine, "*.journal"), *guest.glob(machine, "*.journal~")):
            stat = guest.lstat(path)
            if stat is not None and stat.is_file and 0 < stat.size_bytes <= MAX_FILE_BYTES:
                found.append((path, stat))
    found.sort(key=lambda pair: (-pair[1].mtime, str(pair[0])))
    return tuple(found[:MAX_FILES])


def read_journal(
    guest: Guest, identifiers: Sequence[str]
) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
    """Entries of the given syslog identifiers, with the file each was in; a file that cannot be had is said.

    Raises:
        GuestReadError: the journal's directory cannot be read.
        GuestRepairError: this host can have no copy of them, or cannot confine its journalctl.
    """
    user = children.lesser_user()
    budget = MAX_TOTAL_BYTES
    for path, stat in journal_files(guest):
        budget -= stat.size_bytes
        if budget < 0:
            yield Unreadable(str(path), f"an older journal: {MAX_TOTAL_BYTES} bytes are read")
            return
        with private_directory(None if user is None else passable_parent()) as directory:
            copy = directory / "copy.journal"
            try:
                _copy(guest, path, stat.size_bytes, copy)
            except GuestReadError as error:
                yield Unreadable.of(error)
                continue
            for line in _ask_journalctl(copy, identifiers, user):
                yield path, line


def _copy(guest: Guest, path: GuestPath, size_bytes: int, copy: Path) -> None:
    with copy.open("xb") as out:
        for offset in range(0, size_bytes, _CHUNK_BYTES):
            out.write(guest.read_range(path, offset, min(_CHUNK_BYTES, size_bytes - offset)))
    # Another user comes by in the directory, but neither lists it nor writes to it.
    copy.chmod(0o444)
    copy.parent.chmod(0o711)


def _ask_journalctl(copy: Path, identifiers: Sequence[str], user: int | None) -> Iterator[LogLine]:
    program = shutil.which("journalctl")
    if program is None:
        return
    command = [*_LIMITS.words(), *children.as_lesser_user(None), program]
    command += [f"--file={copy}", "--no-pager", "--quiet", "--output=json"]
    command += ["--output-fields=MESSAGE,SYSLOG_IDENTIFIER", f"--lines={MAX_ENTRIES}"]
    command += [f"--identifier={name}" for name in identifiers]
    cage = Cage(read=(copy,), run=(Path(program),))
    for raw in _answer(command, cage, user).split(b"\n"):
        line = _entry(raw)
        if line is not None:
            yield line


def _answer(command: Sequence[str], cage: Cage, user: int | None) -> bytes:
    """What the program says, as much as the limits leave; nothing where it does not run."""
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        with start_caged(
            command,
            cage=cage,
            user=user,
            new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - a pipe was asked for
                pieces = children.said(process.stdout, limit_bytes=MAX_OUTPUT_BYTES, seconds=_SECONDS)
                return b"".join(pieces)
            finally:
                children.end(process)
    except OSError:
        return b""


def _entry(raw: bytes) -> LogLine | None:
    try:
        fields = json.loads(raw)
        time = dt.datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, tz=dt.UTC)
        message, program = fields["MESSAGE"], str(fields["SYSLOG_IDENTIFIER"])
        if isinstance(message, list):  # not UTF-8: journalctl gives its bytes as numbers
            message = bytes(message[:MAX_LINE_BYTES]).decode("utf-8", "replace")
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
    return LogLine(time, program[:64], str(message)[:MAX_LINE_BYTES])
