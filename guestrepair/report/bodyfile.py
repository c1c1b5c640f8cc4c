"""File times as The Sleuth Kit writes them: the body file of ``fls -m``, and the table of ``mactime -d -y``.

Sources: Sleuth Kit wiki, "Body file"; mactime(1), fls(1). Times are in whole seconds, 0 where none is kept.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from guestrepair.guest.file_records import FileRecord

_SECOND = 1_000_000_000
_TYPES = {
    stat.S_IFREG: "r", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFCHR: "c", stat.S_IFBLK: "b",
    stat.S_IFIFO: "p", stat.S_IFSOCK: "h",
}  # fmt: skip
HEADER = "Date,Size,Type,Mode,UID,GID,Meta,File Name\n"


def bodyfile(records: Iterable[FileRecord]) -> Iterator[str]:
    """``MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime``, a line a name."""
    for r in records:
        times = (r.accessed_ns, r.modified_ns, r.changed_ns, r.created_ns)
        cells = (
            "0", _name(r), r.inode, mode_of(r), r.uid, r.gid, r.size_bytes, *(_seconds(t) for t in times)
        )  # fmt: skip
        yield "|".join(map(str, cells)) + "\n"


def mactime(records: Iterable[FileRecord]) -> Iterator[str]:
    """The rows of ``mactime -d -y``: one for each time of each file, in order of time, then of name.

    All of them are held: a row is some 200 bytes.
    """
    yield HEADER
    rows = sorted((time, _name(r), letters, r) for r in records for time, letters in _macb(r).items() if time)
    for time, name, letters, record in rows:
        date = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        cells = (date, record.size_bytes, letters, mode_of(record), record.uid, record.gid, record.inode)
        yield ",".join(map(str, cells)) + f',"{name}"\n'


def _macb(record: FileRecord) -> dict[int, str]:
    times = (
        ("m", record.modified_ns),
        ("a", record.accessed_ns),
        ("c", record.changed_ns),
        ("b", record.created_ns),
    )
    found = {_seconds(value) for _, value in times}
    return {
        second: "".join(letter if _seconds(v) == second else "." for letter, v in times) for second in found
    }


def mode_of(record: FileRecord) -> str:
    """``r/rrw-r--r--``: the type that the directory says, the inode's, and the permissions."""
    letter = _TYPES.get(stat.S_IFMT(record.mode), "-")
    return f"{letter}/{letter}{stat.filemode(record.mode)[1:]}"


def _name(record: FileRecord) -> str:
    gone = " (deleted-realloc)" if record.reallocated else " (deleted)" if record.deleted else ""
    return _escaped(record.path) + (f" -> {_escaped(record.target)}" if record.target else "") + gone


def _escaped(text: str) -> str:
    """What would end a field or a line, or is not seen, as ``\\xNN``; all else as it is."""
    raw = text.encode(errors="surrogateescape")
    if text.isprintable() and "|" not in text:
        return text
    return "".join(
        f"\\x{byte:02x}" if byte < 0x20 or byte >= 0x7F or byte == 0x7C else chr(byte) for byte in raw
    )


def _seconds(time_ns: int | None) -> int:
    return 0 if time_ns is None else time_ns // _SECOND
