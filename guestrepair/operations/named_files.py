"""The files of a guest that findings name, as they are: content, and all that is kept about them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest, is_possible
from guestrepair.model import Finding, GuestPath
from guestrepair.report.evidence import Named

CHUNK = 4 << 20
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 30
MAX_FILES = 20_000
"""Files whose content is taken."""
MAX_NAMED = 200_000
_LINE = re.compile(r":\d+(?:-\d+)?\Z")
_WITHIN = re.compile(r"(?:(?<=\s)|(?<=[(\"']))/[^\s\"'(),;]+")
"""A path in a sentence: "dynamic section of /usr/sbin/sshd"."""
_NOT_FILES = ("/dev/", "/proc/", "/sys/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is taken."""

    file_bytes: int = MAX_FILE_BYTES
    total_bytes: int = MAX_TOTAL_BYTES
    files: int = MAX_FILES


def take(
    guest: Guest, findings: Sequence[Finding], directory: Path, bounds: Bounds | None = None
) -> list[Named]:
    """What findings name and what links among that lead to, sorted; contents go into files of a directory.

    A path that is not there is in the answer when it is a finding's subject: that it is missing is a fact.
    """
    naming = _Naming(guest)
    naming.learn(path for finding in findings for text in _texts(finding) for path in _paths_in(text))
    for finding in findings:
        for text in _texts(finding):
            naming.add(text, finding.rule)
        for text in (finding.subject, *finding.folded):
            naming.add_missing(text, finding.rule)
    taken = sorted(naming.known.values(), key=lambda named: named.path.encode("utf-8", "surrogateescape"))
    for named in taken:
        _describe(guest, named)
    _take_contents(guest, taken, directory, bounds or Bounds())
    return taken


def _texts(finding: Finding) -> Iterator[str]:
    yield finding.subject
    yield from finding.folded
    yield from (evidence.source for evidence in finding.evidence)


def _paths_in(text: str) -> list[str]:
    """What may be a path in a text: all of it, that without a line's number, or words of a sentence."""
    found: dict[str, None] = {}
    if text.startswith("/"):
        found.update(dict.fromkeys((text, _LINE.sub("", text), text.split(":", 1)[0], text.split(" ", 1)[0])))
    for match in _WITHIN.finditer(text[:4096]):
        found[_LINE.sub("", match[0].rstrip(".:"))] = None
    return [path for path in found if is_possible(path) and not path.startswith(_NOT_FILES)]


@dataclass(slots=True)
class _Naming:
    """The paths that were met, by their real names."""

    guest: Guest
    known: dict[str, Named] = field(default_factory=dict)
    _reached: dict[str, tuple[Named, ...]] = field(default_factory=dict)

    def learn(self, paths: Iterable[str]) -> None:
        """Ask for all of them at once; one by one later where that fails."""
        with contextlib.suppress(GuestReadError):
            self.guest.lstat_many([GuestPath(path) for path in dict.fromkeys(paths)])

    def add(self, text: str, rule: str) -> None:
        """What a text names."""
        for path in _paths_in(text):
            for named in self._at(path):
                named.rules.add(rule)

    def add_missing(self, text: str, rule: str) -> None:
        """What a finding is about, where nothing of that name is there."""
        paths = _paths_in(text)
        if text.startswith("/") and paths and not any(self._at(path) for path in paths):
            path = _LINE.sub("", text)
            self._remember(Named(path)).rules.add(rule)

    def _at(self, path: str) -> tuple[Named, ...]:
        if path not in self._reached:
            self._reached[path] = tuple(map(self._remember, _reached(self.guest, path)))
        return self._reached[path]

    def _remember(self, named: Named) -> Named:
        if len(self.known) >= MAX_NAMED:
            return self.known.get(named.path, named)
        return self.known.setdefault(named.path, named)


def _real(guest: Guest, text: str) -> GuestPath | None:
    """The path with its parents' links followed."""
    try:
        real = guest.resolve_parent(GuestPath(text))
    except GuestReadError:
        return None
    return None if real is None or ".." in real.parts else real


def _reached(guest: Guest, text: str) -> Iterator[Named]:
    """What is at a path, and, where that is a link, what is at its end."""
    real = _real(guest, text)
    if real is None:
        return
    named = Named(str(real))
    try:
        named.stat = guest.lstat(real)
    except GuestReadError as error:
        named.unread = error.reason
        yield named
        return
    if named.stat is None:
        return
    yield named
    if named.stat.is_symlink:
        with contextlib.suppress(GuestReadError):
            end = guest.resolve(real)
            if end is not None and not str(end).startswith(_NOT_FILES):
                yield Named(str(end), stat=guest.lstat(end))


def _describe(guest: Guest, named: Named) -> None:
    """Where a link leads, and the extended attributes."""
    if named.stat is None:
        return
    path = GuestPath(named.path)
    try:
        if named.stat.is_symlink:
            named.target = guest.readlink(path)
        named.attributes = guest.xattrs(path)
    except GuestReadError as error:
        named.unread = error.reason


def _take_contents(guest: Guest, taken: Iterable[Named], directory: Path, bounds: Bounds) -> None:
    """Small files first, so that most of them are taken where not all can be."""
    files = [(named.stat.size_bytes, named) for named in taken if named.stat and named.stat.is_file]
    files.sort(key=lambda each: each[0])
    total = 0
    for number, (size, named) in enumerate(files):
        if size > bounds.file_bytes:
            named.left_out = f"{size} bytes, more than the {bounds.file_bytes} that are taken of a file"
        elif total + size > bounds.total_bytes:
            named.left_out = f"more than {bounds.total_bytes} bytes in all"
        elif number >= bounds.files:
            named.left_out = f"more than {bounds.files} files"
        else:
            total += size
            _take_content(guest, named, size, directory / f"content-{number}")


def _take_content(guest: Guest, named: Named, size: int, to: Path) -> None:
    state, at, path = hashlib.sha256(), 0, GuestPath(named.path)
    try:
        with to.open("wb") as file:
            while at < size:
                data = guest.read_range(path, at, min(CHUNK, size - at))
                if not data:
                    raise GuestReadError(path, f"ends after {at} of {size} bytes")
                file.write(data)
                state.update(data)
                at += len(data)
    except GuestReadError as error:
        named.left_out = f"cannot be read: {error.reason}"
        to.unlink()
        return
    named.content, named.sha256 = to, state.hexdigest()
