"""File times as The Sleuth Kit writes them: the body file of ``fls -m``, and the table of ``mactime -d -y``.

Sources: Sleuth Kit wiki, "Body file"; mactime(1), fls(1). Times are in whole seconds, 0 where none is kept,
and in 32 bits without a sign, as fls has them. A line is that of fls but for names that would forge or hide
one: what ends a field, is not seen, or is no UTF-8 stands as ``\\xNN``.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

from guestrepair.guest.file_records import FileRecord

_SECOND = 1_000_000_000
_TYPES = {
    stat.S_IFREG: "r", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFCHR: "c", stat.S_IFBLK: "b",
    stat.S_IFIFO: "p", stat.S_IFSOCK: "h",
}  # fmt: skip
_ORPHANS = "/$OrphanFiles/"
"""No directory says a type of what is in this one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEADER = "Date,Size,Type,Mode,UID,GID,Meta,File Name\n"


def bodyfile(records: Iterable[FileRecord]) -> Iterator[str]:
    """``MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime``, a line a name."""
    for r in records:
        if r.former:
            continue  # The Sleuth Kit reads no journal
        times = (r.accessed_ns, r.modified_ns, r.changed_ns, r.created_ns)
        cells = (
            "0", _name(r), r.inode, mode_of(r), r.uid, r.gid, r.size_bytes, *(_seconds(t) for t in times)
        )  # fmt: skip
        yield "|".join(map(str, cells)) + "\n"


def mactime(records: Iterable[FileRecord]) -> Iterator[str]:
    """The rows of ``mactime -d -y``: one for each time of each file, in order of time, then of name.

    All of them are held, each as one text: some 200 bytes.
    """
    yield HEADER
    rows = [row for r in records if not r.former for row in _rows(r)]
    rows.sort()
    for row in rows:
        time, name, cells = row.split("\0")
        quoted = name.replace('"', '""')
        yield f'{_date(time)},{cells},"{quoted}"\n'


@lru_cache(maxsize=4096)
def _date(time: str) -> str:
    """Rows are in order: of one second there may be thousands."""
    moment = datetime.fromtimestamp(int(time), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment != _EPOCH else "0000-00-00T00:00:00Z"


def _rows(record: FileRecord) -> Iterator[str]:
    times = [
        _seconds(t) for t in (record.modified_ns, record.accessed_ns, record.changed_ns, record.created_ns)
    ]
    if not any(times):
        return  # as of what The Sleuth Kit makes up: mactime has no row for it
    name, mode = _name(record), mode_of(record)
    for second in set(times):
        letters = "".join(letter if t == second else "." for letter, t in zip("macb", times, strict=True))
        yield (
            f"{second:010}\0{name}\0{record.size_bytes},{letters},{mode},{record.uid},{record.gid},"
            f"{record.inode}"
        )


def mode_of(record: FileRecord) -> str:
    """``r/rrw-r--r--``: the type that the directory says, the inode's, and the permissions."""
    if not record.mode:
        return "V/V---------"  # a directory that The Sleuth Kit makes up
    letter = _TYPES.get(stat.S_IFMT(record.mode), "-")
    named = "-" if _ORPHANS in record.path else "s" if letter == "h" else letter
    return f"{named}/{letter}{stat.filemode(record.mode)[1:]}"


def _name(record: FileRecord) -> str:
    gone = " (deleted-realloc)" if record.reallocated else " (deleted)" if record.deleted else ""
    return _escaped(record.path) + (f" -> {_escaped(record.target)}" if record.target else "") + gone


def _escaped(text: str) -> str:
    """Control characters as ``^``; what would end a field, or is not seen, as ``\\xNN``."""
    if text.isprintable() and "|" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter < " ":
        return "^"
    if letter.isprintable() and letter != "|":
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))


def _seconds(time_ns: int | None) -> int:
    return 0 if time_ns is None else time_ns // _SECOND & 0xFFFFFFFF
