"""fstab(5): the static table of filesystems, parsed without losing a byte.

Every token keeps its place in the file, so a repair replaces the bytes of one
field and nothing else. What counts as malformed is what util-linux's libmount
rejects (``mnt_parse_table_line``: fewer than three fields, a frequency or pass
number that is no number) and what the documented grammar does not allow
(spaces inside a field), not only what glibc's getmntent(3) lets through.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 1024 * 1024
"""A larger file is refused: no real table comes near."""

MAX_LINES = 10_000
"""More lines than this are refused."""

_BLANKS = b" \t"
_TOKEN = re.compile(rb"[^ \t]+")
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,9}\Z")
_NUMBER = re.compile(r"[0-9]{1,20}")
_TAG = re.compile(r"(?P<tag>[A-Za-z]+)=(?P<value>.*)\Z", re.DOTALL)
_NEVER_A_TYPE = frozenset(
    b"defaults noatime relatime nodiratime ro rw nofail noauto nodev nosuid noexec discard _netdev sw".split()
)
_PASTED = re.compile(rb"[A-Z][A-Z_]*=(\"[^\"]*\"?|'[^']*'?)\Z")

TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID")
"""The tags that libmount takes in the first field (mount(8), "Indicating the device and filesystem")."""


@dataclass(frozen=True, slots=True)
class Token:
    """A run of bytes without blanks, and where it stands in the file (byte offset)."""

    offset: int
    raw: bytes

    @property
    def end(self) -> int:
        """The offset right after it."""
        return self.offset + len(self.raw)

    @property
    def text(self) -> str:
        """As text; undecodable bytes become surrogates, so it can be encoded back."""
        return self.raw.decode("utf-8", "surrogateescape")

    @property
    def value(self) -> str:
        """As text, with the octal escapes of fstab(5) (``\\040`` for a space) resolved."""
        return unescape(self.text)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``number`` from 1, ``offset`` of its first byte (after any byte-order mark)."""

    number: int
    offset: int
    raw: bytes
    ending: bytes
    tokens: tuple[Token, ...] = ()

    @property
    def is_entry(self) -> bool:
        """True unless blank or a comment."""
        return bool(self.tokens)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its fields; a field that is not there is None. Decoded values are properties."""

    line: Line
    source_token: Token
    target_token: Token
    type_token: Token
    options_token: Token | None = None
    freq_token: Token | None = None
    passno_token: Token | None = None

    @property
    def number(self) -> int:
        """Line number, from 1."""
        return self.line.number

    @property
    def source(self) -> str:
        """First field, decoded."""
        return self.source_token.value

    @property
    def tag(self) -> tuple[str, str] | None:
        """(tag as written, value without quotes) when the source is ``TAG=value``, else None."""
        return split_tag(self.source)

    @property
    def target(self) -> str:
        """Mount point, decoded, without doubled or trailing slashes; ``none`` or ``swap`` for swap."""
        value = self.target_token.value
        return normalize_target(value) if value.startswith("/") else value

    @property
    def type(self) -> str:
        """Third field: a filesystem type, a comma-separated list of them, ``auto``, ``swap`` or ``none``."""
        return self.type_token.value

    @property
    def options(self) -> tuple[str, ...]:
        """Mount options; empty when the field is missing."""
        return split_options(self.options_token.value) if self.options_token else ()

    @property
    def freq(self) -> int:
        """dump(8) frequency, 0 when missing."""
        return int(self.freq_token.raw) if self.freq_token else 0

    @property
    def passno(self) -> int:
        """fsck(8) pass number, 0 when missing."""
        return int(self.passno_token.raw) if self.passno_token else 0

    @property
    def is_swap(self) -> bool:
        """True for a swap area."""
        return self.type == "swap"

    def option(self, name: str) -> str | None:
        """The value of the last ``name`` or ``name=value`` option; "" without value, None when absent."""
        found: str | None = None
        for option in self.options:
            key, _, value = option.partition("=")
            if key == name:
                found = value
        return found

    def has(self, *names: str) -> bool:
        """True when any of these options is there (with or without a value)."""
        keys = {option.partition("=")[0] for option in self.options}
        return any(name in keys for name in names)

    @property
    def required(self) -> bool:
        """True when boot waits for it and fails with it (systemd.mount(5), "FSTAB").

        Of ``auto`` and ``noauto``, and of ``fail`` and ``nofail``, the last one counts. An NFS background
        mount, and one that another unit than the targets of boot asks for, are no part of boot
        (systemd-fstab-generator(8)).
        """
        if self._last_of("nofail", "fail") == "nofail" or self._last_of("noauto", "auto") == "noauto":
            return False
        if self.has("x-systemd.automount") or self.option("comment") == "systemd.automount":
            return False
        if self.has("x-systemd.wanted-by", "x-systemd.required-by"):
            return self.option("x-systemd.required-by") in {
                "local-fs.target",
                "remote-fs.target",
                "swap.target",
            }
        return not (self.type.startswith("nfs") and self.has("bg"))

    def _last_of(self, *switches: str) -> str:
        return next((o for o in reversed(self.options) if o in switches), "")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is neither blank nor comment and has no valid fields; ``reason`` is a short clause."""

    line: Line
    reason: str

    @property
    def number(self) -> int:
        """Line number, from 1."""
        return self.line.number

    @property
    def tokens(self) -> tuple[Token, ...]:
        """All its tokens."""
        return self.line.tokens


@dataclass(frozen=True, slots=True)
class Fstab:
    """A whole table. ``bytes(table)`` is what was parsed."""

    bom: bytes
    lines: tuple[Line, ...]
    entries: tuple[Entry, ...] = ()
    malformed: tuple[Malformed, ...] = field(default=())
    _by_target: dict[str, tuple[Entry, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __bytes__(self) -> bytes:
        return self.bom + b"".join(line.raw + line.ending for line in self.lines)

    def for_target(self, target: str) -> tuple[Entry, ...]:
        """All entries with this mount point."""
        return self._by_target.get(target, ())

    @property
    def has_crlf(self) -> bool:
        """True when a line ends as on DOS."""
        return any(line.raw.endswith(b"\r") for line in self.lines)

    @property
    def has_nul(self) -> bool:
        """True when a NUL byte is in it."""
        return any(b"\0" in line.raw for line in self.lines)

    @property
    def lacks_final_newline(self) -> bool:
        """True when the last line does not end."""
        return bool(self.lines) and not self.lines[-1].ending and bool(self.lines[-1].raw)


def is_number(text: str) -> bool:
    """True for decimal digits alone, and no more of them than a number of the kernel has."""
    return _NUMBER.fullmatch(text) is not None


def unescape(text: str) -> str:
    """Resolve octal escapes as getmntent(3) and libmount do."""
    if "\\" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    out = re.sub(rb"\\([0-3][0-7]{2})", lambda m: bytes([int(m[1], 8)]), raw)
    return out.decode("utf-8", "surrogateescape")


def escape(value: str) -> str:
    """Write a value so that it is one field: blanks, newline and backslash as octal escapes (fstab(5))."""
    return re.sub(r"[ \t\n\\]", lambda m: f"\\{ord(m[0]):03o}", value)


def normalize_target(path: str) -> str:
    """A mount point without doubled and trailing slashes, as systemd-fstab-generator(8) simplifies it."""
    parts = [p for p in path.split("/") if p not in {"", "."}]
    return "/" + "/".join(parts)


def split_tag(source: str) -> tuple[str, str] | None:
    """(tag, value without quotes) of ``TAG=value`` where TAG, in any case, is one that libmount knows."""
    match = _TAG.match(source)
    if match is None or match["tag"].upper() not in TAGS:
        return None
    value = match["value"]
    if len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]:
        value = value[1:-1]
    return match["tag"], value


def split_options(text: str) -> tuple[str, ...]:
    """Options at their commas, except commas inside double quotes (mount(8), ``context="a,b"``)."""
    found: list[str] = []
    current: list[str] = []
    quoted = False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char == "," and not quoted:
            found.append("".join(current))
            current = []
        else:
            current.append(char)
    found.append("".join(current))
    return tuple(option for option in found if option)


def parse(data: bytes) -> Fstab:
    """Parse a table; every byte is kept, and a line that does not parse becomes :class:`Malformed`.

    Raises:
        FormatError: the file is larger than any real table, or UTF-16 or UTF-32 text.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a table of filesystems")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError("the text is UTF-16, which nothing that reads this file understands")
    bom = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return _table(bom, tuple(_lines(data, len(bom))))


def reread(table: Fstab, instead: Mapping[int, bytes]) -> Fstab:
    """The table as it is with other bytes in some lines, by number; every line keeps its own offset.

    So what is said of a line that is as it was is said of the file's own bytes.
    """

    def made(line: Line) -> Line:
        raw = instead.get(line.number)
        if raw is None:
            return line
        return Line(line.number, line.offset, raw, line.ending, _tokens(raw, line.offset))

    return _table(table.bom, tuple(made(line) for line in table.lines))


def _table(bom: bytes, lines: tuple[Line, ...]) -> Fstab:
    entries: list[Entry] = []
    malformed: list[Malformed] = []
    for line in lines:
        if line.is_entry:
            parsed = parse_line(line)
            if isinstance(parsed, Entry):
                entries.append(parsed)
            else:
                malformed.append(parsed)
    by_target: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_target[entry.target].append(entry)
    index = {target: tuple(group) for target, group in by_target.items()}
    return Fstab(bom, lines, tuple(entries), tuple(malformed), index)


def _lines(data: bytes, start: int) -> Iterator[Line]:
    offset = start
    number = 0
    while offset < len(data):
        number += 1
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines")
        end = data.find(b"\n", offset)
        stop = len(data) if end < 0 else end
        raw = data[offset:stop]
        yield Line(number, offset, raw, data[stop : stop + 1], _tokens(raw, offset))
        offset = stop + 1


def _tokens(raw: bytes, offset: int) -> tuple[Token, ...]:
    content = raw.removesuffix(b"\r")
    stripped = content.strip(_BLANKS + b"\r\0\v\f")
    # "#" starts a comment only as the first thing on the line (fstab(5)).
    if not stripped or stripped.startswith(b"#"):
        return ()
    return tuple(Token(offset + m.start(), m[0]) for m in _TOKEN.finditer(content))


def parse_line(line: Line) -> Entry | Malformed:
    """Judge one line that has tokens."""
    tokens = line.tokens
    problem = _problem(tokens)
    if problem:
        return Malformed(line, problem)
    rest = (*tokens[3:6], None, None, None)
    return Entry(line, tokens[0], tokens[1], tokens[2], rest[0], rest[1], rest[2])


def _problem(tokens: tuple[Token, ...]) -> str:
    if any(b"\0" in token.raw for token in tokens):
        return "a NUL byte is in it"
    pasted = [t for t in tokens if is_pasted(t)]
    if len(pasted) > 1 or (pasted and pasted[0] is not tokens[0]):
        return "it holds output of blkid(8)"
    if len(tokens) < 3:
        return f"{len(tokens)} field{'s' if len(tokens) > 1 else ''} where at least three are needed"
    return _number_problem(tokens) or _target_problem(tokens) or _place_problem(tokens)


def _number_problem(tokens: tuple[Token, ...]) -> str:
    for position, name in ((4, "dump frequency"), (5, "fsck pass number")):
        if len(tokens) > position and not _INTEGER.match(tokens[position].raw):
            return f"its {position + 1}th field, the {name}, is not a number"
    return ""


def _target_problem(tokens: tuple[Token, ...]) -> str:
    # systemd-fstab-generator(8) ignores a line whose mount point is no path ("is not a valid path").
    target = tokens[1].value
    if target.startswith("/") or target in {"none", "swap"} or tokens[2].value in {"swap", "ignore"}:
        return ""
    return "its second field is not a path"


def _place_problem(tokens: tuple[Token, ...]) -> str:
    """A field that was left out, so that the next ones stand in its place."""
    if all(option in _NEVER_A_TYPE for option in tokens[2].raw.split(b",")):
        return "its third field, the type, is missing"
    # Of a swap area's options all that are not known are passed over (swapon(8)).
    if len(tokens) > 3 and tokens[3].raw.isdigit() and tokens[2].raw != b"swap":
        return "its fourth field, the options, is missing"
    return ""


def is_pasted(token: Token) -> bool:
    """True for a ``KEY="value"`` pair as blkid(8) prints it."""
    return _PASTED.match(token.raw) is not None
