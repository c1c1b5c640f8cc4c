"""Which files hold something else: by size and times first, then by digests of those that may."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from guestrepair.compare.files import Pair, same_modified
from guestrepair.compare.model import MAX_TEXT_BYTES, CompareOptions, NotCompared, Text
from guestrepair.compare.noise import noise_of
from guestrepair.errors import GuestReadError
from guestrepair.fence import MIB
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

ALGORITHM = "sha256"
MAX_DOUBTFUL_BYTES = 512 * MIB
"""Of files with the same size and time of modification, so much is hashed without ``--deep``."""

MAX_TEXTS_BYTES = 32 * MIB
_CONFIGURATION = (
    "/etc/",
    "/boot/grub/",
    "/boot/grub2/",
    "/boot/loader/",
    "/usr/local/etc/",
    "/var/spool/cron/",
)
_SECRET_NAMES = ("/etc/shadow", "/etc/gshadow")


IsSame = Callable[[FileRecord, FileRecord], bool]


def never_known(_before: FileRecord, _after: FileRecord) -> bool:
    """Of no file it is known that its contents are the same before they are read."""
    return False


def is_configuration(path: str) -> bool:
    """True for what an administrator sets up, as far as the place tells."""
    return path.startswith(_CONFIGURATION)


@dataclass(slots=True)
class Contents:
    """The contents of files of both guests: asked for in bulk, and each once.

    ``is_same`` is true of two records of a file whose contents certainly are one: nothing is read of them.
    """

    guests: tuple[Guest, Guest]
    options: CompareOptions
    is_same: IsSame = never_known
    lost: list[NotCompared] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _digests: dict[str, tuple[str, str]] = field(default_factory=dict)
    _texts_bytes: int = 0

    def differing(self, found: Iterable[Pair]) -> frozenset[str]:
        """The paths of regular files in both guests whose contents are not the same."""
        differ: set[str] = set()
        unknown: list[Pair] = []
        doubtful: list[Pair] = []
        for pair in found:
            if pair.is_new_kind or pair.both is None or not stat.S_ISREG(pair.either.mode):
                continue
            before, after = pair.both
            if before.size_bytes != after.size_bytes:
                differ.add(pair.path)
            elif noise_of(pair.path) is not None and not same_modified(before, after):
                differ.add(pair.path)  # not read: nobody asks what a log says, but that it was written to
            elif self.options.deep or is_configuration(pair.path) or not same_modified(before, after):
                unknown.append(pair)
            else:
                doubtful.append(pair)
        unknown, doubtful = ([p for p in pairs if not self._is_shared(p)] for pairs in (unknown, doubtful))
        hashed = [*unknown, *self._hashed_of(doubtful)]
        self.digest(hashed)
        for pair in hashed:
            one, other = self._digests.get(pair.path, ("", ""))
            if not one or not other:
                side = "B" if one else "A"
                self.lost.append(NotCompared(side, pair.path, "its content cannot be read"))
            elif one != other:
                differ.add(pair.path)
        return frozenset(differ)

    def _is_shared(self, pair: Pair) -> bool:
        return pair.both is not None and self.is_same(*pair.both)

    def _hashed_of(self, doubtful: list[Pair]) -> list[Pair]:
        """Times of modification can be set by anybody; where only few files changed since, all are hashed."""
        if sum(pair.either.size_bytes for pair in doubtful) <= MAX_DOUBTFUL_BYTES:
            return doubtful
        self.notes.append(
            f"{len(doubtful)} files of the same size and time of modification were taken for the same; "
            "--deep compares what they hold"
        )
        return []

    def digest(self, wanted: Iterable[Pair]) -> None:
        """Have the digests of these files, in both guests, in one go each."""
        paths = [pair.path for pair in wanted if pair.path not in self._digests]
        if not paths:
            return
        one, other = (guest.digests(ALGORITHM, [GuestPath(p) for p in paths]) for guest in self.guests)
        for path in paths:
            key = GuestPath(path)
            self._digests[path] = (one.get(key, ""), other.get(key, ""))

    def digest_of(self, path: str, side: int) -> str:
        """The digest of a file in the first (0) or second (1) guest; "" where it was not asked for."""
        return self._digests.get(path, ("", ""))[side]

    def text(self, pair: Pair) -> Text | None:
        """Both contents, where they are short texts and no secrets."""
        if pair.path.startswith(_SECRET_NAMES):
            return None
        contents: list[bytes | None] = []
        for guest, record in zip(self.guests, (pair.before, pair.after), strict=True):
            if record is None or not stat.S_ISREG(record.mode):
                contents.append(None)
                continue
            if record.size_bytes > MAX_TEXT_BYTES or self._texts_bytes > MAX_TEXTS_BYTES:
                return None
            try:
                data = guest.read_range(GuestPath(pair.path), 0, record.size_bytes)
            except GuestReadError as error:
                self.lost.append(NotCompared("AB"[len(contents)], error.path, error.reason))
                return None
            self._texts_bytes += len(data)
            contents.append(data)
        return Text(*contents) if all(map(_is_plain, filter(None, contents))) else None


def _is_plain(data: bytes) -> bool:
    if b"\0" in data or (b"-----BEGIN" in data and b"PRIVATE KEY" in data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.count(b"\n") > 0 and sum(byte >= 0x80 for byte in data) * 10 < len(data)
    return True


def described(pair: Pair, contents: Contents) -> tuple[str, str]:
    """How a file is in each guest: its kind, mode, owner and size, or what is different of its content."""
    if pair.is_new_kind:
        return _whole(pair.before), _whole(pair.after)
    return _content(pair, contents, 0), _content(pair, contents, 1)


def _content(pair: Pair, contents: Contents, side: int) -> str:
    record = (pair.before, pair.after)[side] or pair.either
    if stat.S_ISLNK(record.mode):
        return f"-> {record.target}"
    digest = contents.digest_of(pair.path, side)
    return f"{record.size_bytes} bytes" + (f", {ALGORITHM} {digest[:16]}…" if digest else "")


_KINDS = (
    (stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"), (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "block device"), (stat.S_ISCHR, "character device"),
)  # fmt: skip


def _whole(record: FileRecord | None) -> str:
    if record is None:
        return ""
    kind = next((name for is_kind, name in _KINDS if is_kind(record.mode)), "something")
    if stat.S_ISLNK(record.mode):
        return f"link -> {record.target}"
    size = f", {record.size_bytes} bytes" if stat.S_ISREG(record.mode) else ""
    return f"{kind} {stat.S_IMODE(record.mode):04o} {record.uid}:{record.gid}{size}"
