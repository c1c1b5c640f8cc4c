"""Reading an sshd_config with everything that it includes, by the rules of a given release.

The reader goes on after an error that would end sshd, so that all bad lines are
reported at once; only what sshd itself could not get past (includes nested too
deep) ends it. Nothing is opened here: files come from a :class:`Source`.

Source: sshd_config(5); the behaviour of OpenSSH servconf.c.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines
from guestrepair.formats.sshd_config.keywords import Keyword, find_keyword, known_names
from guestrepair.formats.sshd_config.line import BadLine, Line, State
from guestrepair.formats.sshd_config.matching import Condition, parse_match
from guestrepair.formats.sshd_config.tokens import ARGV_SINCE, BLANKS, Arguments, argv_split, strdelim
from guestrepair.formats.sshd_config.values import CHECKS

Release = tuple[int, int]
MAX_DEPTH = 16
"""Includes within includes that sshd follows (SERVCONF_MAX_DEPTH)."""

MAX_LINES = 200_000
"""Lines read in all; a configuration that includes itself over and over ends here."""

MAX_BYTES = 8 * 1024 * 1024
"""Bytes read in all, a file counted each time that it is included."""

CONFIG_DIRECTORY = "/etc/ssh"
PATCHED_PREFIXES = ("hpn", "tcprcv", "noneenabled", "nonemac", "gssapi", "kerberos", "ldap", "audit")
"""How keywords of patched builds begin; the binary must have such a word as well to be believed."""


class Source(Protocol):
    """Where the configuration's files come from; paths are absolute guest paths as text."""

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match, as glob(3) gives them: sorted, empty when none does."""

    def read(self, path: str) -> bytes | None:
        """Content; None when it cannot be opened; empty for a directory (sshd reads nothing from one)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line: the file, the number that sshd would log, and where the line begins in the file's bytes."""

    file: str
    line: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Directive:
    """A line that sshd takes: keyword in lower case, arguments, and the Match blocks that it stands in."""

    name: str
    args: tuple[str, ...]
    rest: str
    place: Place
    conditions: tuple[Condition, ...] = ()

    @property
    def is_global(self) -> bool:
        """True outside of every Match block but ``Match all``."""
        return all(condition.is_all for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that sshd refuses, with the words that it logs; ``fatal`` where it reads no further."""

    place: Place
    keyword: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Config:
    """What was read: files in the order of reading, directives, bad lines, and lines without effect."""

    files: dict[str, bytes]
    directives: tuple[Directive, ...]
    problems: tuple[Problem, ...]
    ignored: tuple[Directive, ...]
    release: Release = (0, 0)


@dataclass(slots=True)
class _Reader:
    source: Source
    release: Release
    family: str
    state: State
    files: dict[str, bytes] = field(default_factory=dict)
    directives: list[Directive] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ignored: list[Directive] = field(default_factory=list)
    lines: int = 0
    total_bytes: int = 0

    def take_file(self, path: str, data: bytes) -> None:
        """Keep a file.

        Raises:
            FormatError: the configuration is larger than any real one.
        """
        self.files[path] = data
        self.total_bytes += len(data)
        if self.total_bytes > MAX_BYTES:
            raise FormatError(f"{path}: with it there are more than the {MAX_BYTES} bytes that are read")

    def take_line(self, path: str) -> None:
        """Count a line.

        Raises:
            FormatError: there are more than in any real configuration.
        """
        self.lines += 1
        if self.lines > MAX_LINES:
            raise FormatError(f"{path}: more than the {MAX_LINES} lines that are read")


class _TooDeep(Exception):  # noqa: N818  (ends the reading, as it ends sshd)
    pass


def parse(
    path: str,
    data: bytes,
    source: Source,
    *,
    release: Release,
    family: str = "",
    known_words: frozenset[str] = frozenset(),
) -> Config:
    """Read the configuration that begins with ``data``.

    ``known_words`` are strings of the guest's own sshd: keywords and algorithms that it knows are
    taken although the tables do not have them.

    Raises:
        FormatError: more lines than are read (:data:`MAX_LINES`), as only a hostile one has.
    """
    reader = _Reader(source, release, family, State(release, known_words))
    with contextlib.suppress(_TooDeep):
        _read_file(reader, path, data, depth=0, outer=(), active=True, never=False)
    return Config(
        reader.files, tuple(reader.directives), tuple(reader.problems), tuple(reader.ignored), release
    )


def logical_lines(data: bytes) -> list[tuple[int, str]]:
    """The lines as sshd sees them, each with the offset of its first byte.

    Blanks at the start are gone; a NUL byte hides the rest of its line and the line end with it.

    Raises:
        FormatError: more lines than are read.
    """
    lines: list[tuple[int, str]] = []
    pending: list[str] = []
    start = offset = 0
    for raw in byte_lines(data):
        if not pending:
            start = offset
        piece = raw.lstrip(b" \t\r").decode("latin-1")
        offset += len(raw) + 1
        visible, nul, _ = piece.partition("\0")
        if visible:
            pending.append(visible)
        if not nul:
            lines.append((start, "".join(pending)))
            pending = []
        if len(lines) > MAX_LINES:
            raise FormatError(f"more than the {MAX_LINES} lines that are read")
    if pending:
        lines.append((start, "".join(pending)))
    return lines


def _read_file(
    reader: _Reader,
    path: str,
    data: bytes,
    *,
    depth: int,
    outer: tuple[Condition, ...],
    active: bool,
    never: bool,
) -> None:
    reader.take_file(path, data)
    block: tuple[Condition, ...] = ()
    for number, (offset, text) in enumerate(logical_lines(data), 1):
        reader.take_line(path)
        place = Place(path, number, offset)
        cut = _cut(text, reader.release)
        if cut is None:
            continue
        spelled, rest = cut
        try:
            args = _arguments(spelled, rest, reader.release)
            keyword = _keyword(reader, spelled)
            if keyword is None:
                continue  # the binary knows it and the table does not: nothing more can be said
            if not active and not keyword.allowed_in_match(reader.release):
                raise BadLine(f"Directive '{spelled}' is not allowed within a Match block")
            if keyword.kind == "match":
                condition = parse_match(args, reader.release, file=path, line=number)
                block = (condition,)
                active = condition.is_all and not never
            elif keyword.kind == "include":
                _include(
                    reader,
                    args,
                    spelled,
                    place,
                    depth=depth,
                    outer=(*outer, *block),
                    active=active,
                    never=never,
                )
            else:
                _check(
                    reader, keyword, Line(spelled, args, active, reader.state), rest, place, (*outer, *block)
                )
                continue
            _no_leftover(args, spelled)
        except BadLine as bad:
            reader.problems.append(Problem(place, spelled, bad.message, bad.fatal))
            if keyword_is_match(spelled):
                # What follows belongs to a block that sshd cannot make out: no further line of it is judged
                # as if it were global.
                block, active = (Condition((("user", ""),), path, number),), False


def keyword_is_match(spelled: str) -> bool:
    """True for ``Match`` in any case."""
    return spelled.lower() == "match"


def _cut(text: str, release: Release) -> tuple[str, str | None] | None:
    """The keyword and what follows it; None for a blank line or a comment."""
    stripped = text.rstrip(BLANKS + "\f") if release >= (7, 5) else text
    if not stripped and text:
        stripped = text[0]  # sshd's loop leaves the first character alone
    spelled, rest = strdelim(stripped)
    if spelled == "":
        spelled, rest = strdelim(rest)
    if not spelled or spelled.startswith("#"):
        return None
    return spelled, rest


def _arguments(spelled: str, rest: str | None, release: Release) -> Arguments:
    if release < ARGV_SINCE:
        return Arguments(rest, None)
    if not rest:
        raise BadLine(f'no argument after keyword "{spelled}"', fatal=False)
    words = argv_split(rest)
    if words is None:
        raise BadLine("invalid quotes", fatal=False)
    return Arguments(rest, words)


def _keyword(reader: _Reader, spelled: str) -> Keyword | None:
    keyword = find_keyword(spelled, reader.release, reader.family)
    lowered = spelled.lower()
    plausible = lowered in known_names() or lowered.startswith(PATCHED_PREFIXES)
    if keyword is None and not (plausible and lowered in reader.state.known_words):
        raise BadLine(f"Bad configuration option: {spelled}", fatal=False)
    return keyword


def _check(
    reader: _Reader,
    keyword: Keyword,
    line: Line,
    rest: str | None,
    place: Place,
    conditions: tuple[Condition, ...],
) -> None:
    words = tuple(_peek_all(rest, line.args.is_argv))
    directive = Directive(keyword.name, words, rest or "", place, conditions)
    if keyword.is_ignored(reader.release):
        reader.ignored.append(directive)
        return
    CHECKS[keyword.kind](line)
    _no_leftover(line.args, line.keyword)
    reader.directives.append(directive)


def _peek_all(rest: str | None, is_argv: bool) -> list[str]:
    return Arguments(rest, argv_split(rest or "") if is_argv else None).all_left()


def _no_leftover(args: Arguments, spelled: str) -> None:
    if args.has_more():
        if args.is_argv:
            raise BadLine(f"keyword {spelled} extra arguments at end of line", fatal=False)
        raise BadLine(f'garbage at end of line; "{args.peek()}".')


def _include(
    reader: _Reader,
    args: Arguments,
    spelled: str,
    place: Place,
    *,
    depth: int,
    outer: tuple[Condition, ...],
    active: bool,
    never: bool,
) -> None:
    patterns = args.all_left()
    if not patterns:
        raise BadLine(f"{spelled} missing filename argument")
    for pattern in patterns:
        if not pattern:
            raise BadLine(f"keyword {spelled} empty argument", fatal=False)
        full = pattern if pattern[0] in "/~" else f"{CONFIG_DIRECTORY}/{pattern}"
        for path in reader.source.glob(full):
            data = reader.source.read(path)
            if data is None:
                raise BadLine(f"{path}: cannot be opened")
            if depth + 1 > MAX_DEPTH:
                message = "Too many recursive configuration includes"
                reader.problems.append(Problem(place, spelled, message, True))
                raise _TooDeep
            _read_file(
                reader, path, data, depth=depth + 1, outer=outer, active=active, never=never or not active
            )
