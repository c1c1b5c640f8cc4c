"""apt's repository lists, as typed fields: ``*.list`` (a line each) and ``*.sources`` (deb822 stanzas).

apt undoes quotes and ``%XX`` in the words of a line before it looks at them, so that happens here, too,
and only what is left afterwards is judged. A repository is taken only when every field is plain; of
its options, only the architectures and the keys are. Everything else is named as left out.

Sources: sources.list(5); apt's ``ParseQuoteWord`` as observed (``apt-get --print-uris update``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from guestrepair.formats.deb822 import MAX_LINE_BYTES, Problem, Stanza, parse_deb822
from guestrepair.formats.web_address import WebAddress, web_address

MAX_REPOSITORIES = 200
MAX_PROBLEMS = 100
MAX_WORDS = 64
MAX_MIRRORS = 20

_BLANK = " \t"
_SPACE = " \t\n\v\f\r"
_HEX = frozenset("0123456789abcdefABCDEF")
_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~:/$()-]*|\.?/[A-Za-z0-9.+_~:/$()-]*")
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_~/-]*")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40})!?")
_KEY_FILE = re.compile(r"/[A-Za-z0-9._+@/-]+")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=:. ,()<>@_-]*")
_KEY_BEGIN, _KEY_END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
_MIRROR_FILE = re.compile(r"mirror\+file:(?://)?(/[A-Za-z0-9._+@/-]+)", re.IGNORECASE)
_OFF = frozenset({"no", "false", "without", "off", "disable", "0"})


@dataclass(frozen=True, slots=True)
class SignedBy:
    """The keys that one repository must be signed with: files of the guest, fingerprints, a key itself."""

    files: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    key: str = ""

    def __bool__(self) -> bool:
        return bool(self.files or self.fingerprints or self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptRepository:
    """One repository of binary packages.

    Either ``address`` says where it is, or ``mirror_file`` is the guest's file that has the addresses.
    ``suite`` ends with a slash when it is the path of a flat repository; then there are no components.
    """

    address: WebAddress | None
    suite: str
    mirror_file: str = ""
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: SignedBy = SignedBy()


@dataclass(slots=True)
class AptSources:
    """The repositories of one file, and the lines (1-based) of those that are left out, with the reason."""

    repositories: list[AptRepository] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """True when no more is looked at: a file of a real system comes nowhere near."""
        return len(self.repositories) >= MAX_REPOSITORIES or len(self.left_out) >= MAX_PROBLEMS

    def take(self, line: int, found: AptRepository | str) -> None:
        """Keep a repository, or why it is none."""
        if isinstance(found, str):
            self.left_out.append(Problem(line, found))
        else:
            self.repositories.append(found)


def parse_list(data: bytes) -> AptSources:
    """The repositories of a one-line ``.list`` file. Never fails."""
    sources = AptSources()
    for number, raw in enumerate(data.split(b"\n"), start=1):
        if sources.full:
            break
        if len(raw) > MAX_LINE_BYTES:
            sources.take(number, f"a line of {len(raw)} bytes")
            continue
        line = raw.decode("utf-8", "surrogateescape").partition("#")[0].strip(_SPACE)
        words = line.split(None, 1)
        if words and words[0].lower() != "deb-src":
            sources.take(number, _from_line(line))
    return sources


def parse_sources(data: bytes) -> AptSources:
    """The repositories of a deb822 ``.sources`` file. Never fails."""
    lines = [b"#" if line.startswith(b"#") else line for line in data.split(b"\n")]
    numbers = [n for n, line in enumerate(lines, start=1) if line != b"#"]
    document = parse_deb822(b"\n".join(lines[n - 1] for n in numbers))
    sources = AptSources()
    for stanza in document.stanzas:
        if stanza.get("enabled").lower() in _OFF or "deb" not in stanza.get("types").lower().split():
            continue
        for found in _from_stanza(stanza):
            if sources.full:
                return sources
            sources.take(numbers[stanza.line - 1], found)
    return sources


def parse_mirror_list(data: bytes) -> tuple[WebAddress, ...]:
    """The web addresses of a list of mirrors (apt-transport-mirror(1)), in order, not more than a few."""
    found: dict[WebAddress, None] = {}
    for raw in data.split(b"\n"):
        words = raw[:MAX_LINE_BYTES].decode("utf-8", "surrogateescape").split(None, 1)
        address = web_address(words[0]) if words else None
        if address is not None:
            found[address] = None
        if len(found) >= MAX_MIRRORS:
            break
    return tuple(found)


# --- one-line style ---------------------------------------------------------------


def _from_line(line: str) -> AptRepository | str:
    kind, rest = _quoted_word(line)
    if kind != "deb":
        return "neither deb nor deb-src"
    options: list[str] | None = []
    if rest.startswith("["):
        options, rest = _options(rest[1:])
    words = _quoted_words(rest)
    if options is None or words is None:
        return "a quote or a bracket is not closed, or there are too many words"
    if len(words) < 2:
        return "no address or no suite"
    address, suite, *components = words
    return _repository(
        address, suite, components,
        architectures=_values(options, "arch"), signed_by=_values(options, "signed-by"),
    )  # fmt: skip


def _options(text: str) -> tuple[list[str] | None, str]:
    """The options after an opening bracket, and what follows the closing one; None where none closes."""
    options: list[str] = []
    rest = text.lstrip(_BLANK)
    while rest and not rest.startswith("]") and len(options) < MAX_WORDS:
        raw, blank, after = _raw_word(rest)
        head, bracket, _ = raw.partition("]")
        options.append(_unquoted(head))
        if bracket:
            return options, rest[len(head) + 1 :].lstrip(_SPACE)
        rest = after if blank else ""
    return (options, rest[1:].lstrip(_SPACE)) if rest.startswith("]") else (None, "")


def _values(options: Sequence[str], name: str) -> list[str]:
    """The values of an option; ``arch+=`` and ``arch-=`` change defaults, and are dropped."""
    heads = [option.partition("=") for option in options]
    return [value for head, _, text in heads if head.lower() == name for value in text.split(",") if value]


def _quoted_words(text: str) -> list[str] | None:
    """All words of a line; None when a quote is left open or there are too many."""
    words: list[str] = []
    rest = text
    while rest:
        word, rest = _quoted_word(rest)
        if word is None or len(words) >= MAX_WORDS:
            return None
        words.append(word)
    return words


def _quoted_word(text: str) -> tuple[str | None, str]:
    """The first word as apt takes it, and the rest; None for a quote or bracket that is left open."""
    raw, _, rest = _raw_word(text)
    return (_unquoted(raw), rest) if raw else (None, "")


def _raw_word(text: str) -> tuple[str, str, str]:
    """Word, the blank after it and the rest; blanks within quotes or brackets are part of a word."""
    end = 0
    while end < len(text) and text[end] not in _SPACE:
        closing = {'"': '"', "[": "]"}.get(text[end])
        if closing is not None:
            end = text.find(closing, end + 1)
            if end < 0:
                return "", "", ""
        end += 1
    return text[:end], text[end : end + 1], text[end:].lstrip(_SPACE)


def _unquoted(raw: str) -> str:
    """The word without quotes, each ``%XX`` made the character that it stands for."""
    head, *parts = raw.split("%")
    shown = [head.replace('"', "")]
    for part in parts:
        is_code = len(part) >= 2 and part[0] in _HEX and part[1] in _HEX
        text = chr(int(part[:2], 16)) + part[2:].replace('"', "") if is_code else "%" + part.replace('"', "")
        shown.append(text)
    return "".join(shown)


# --- stanzas ------------------------------------------------------------------------


def _from_stanza(stanza: Stanza) -> Iterator[AptRepository | str]:
    addresses, suites = stanza.get("uris").split(), stanza.get("suites").split()
    components = stanza.get("components").split()
    architectures = stanza.get("architectures").replace(",", " ").split()
    signed_by = stanza.get("signed-by").strip()
    keys = [signed_by] if "\n" in signed_by else signed_by.replace(",", " ").split()
    if not addresses or not suites:
        yield "no address or no suite"
    for address in addresses:
        for suite in suites:
            yield _repository(address, suite, components, architectures=architectures, signed_by=keys)


# --- both -----------------------------------------------------------------------------


def _repository(
    where: str,
    suite: str,
    components: Sequence[str],
    *,
    architectures: Sequence[str],
    signed_by: Sequence[str],
) -> AptRepository | str:
    """The repository of these words, or why it is left out."""
    address, mirrors = web_address(where), _MIRROR_FILE.fullmatch(where)
    if address is None and mirrors is None:
        return "its address is not one of http or https"
    flat = suite.endswith("/")
    if not _SUITE.fullmatch(suite) or flat == bool(components):
        return "its suite or components are not understood"
    if len(components) > MAX_WORDS or not all(map(_COMPONENT.fullmatch, components)):
        return "its suite or components are not understood"
    if len(architectures) > MAX_WORDS or not all(map(_ARCHITECTURE.fullmatch, architectures)):
        return "its architectures are not understood"
    keys = _signed_by(signed_by)
    if keys is None:
        return "the keys that it is signed with are not understood"
    return AptRepository(
        address=address, mirror_file=mirrors[1] if mirrors and not address else "", suite=suite,
        components=tuple(components), architectures=tuple(architectures), signed_by=keys,
    )  # fmt: skip


def _signed_by(values: Sequence[str]) -> SignedBy | None:
    """The keys; None when a value is none, since without it any key of the guest's would do."""
    if len(values) == 1 and "\n" in values[0]:
        return _key_block(values[0])
    files = tuple(value for value in values if _KEY_FILE.fullmatch(value))
    fingerprints = tuple(value for value in values if _FINGERPRINT.fullmatch(value))
    if len(files) + len(fingerprints) != len(values) or len(values) > MAX_WORDS:
        return None
    return SignedBy(files, fingerprints)


def _key_block(text: str) -> SignedBy | None:
    """A key that stands in the stanza itself: its lines, where ``.`` is an empty one."""
    lines = ["" if line.strip() == "." else line.strip() for line in text.split("\n")]
    lines = lines[1:] if lines[0] == "" else lines
    whole = lines[:1] == [_KEY_BEGIN] and lines[-1:] == [_KEY_END]
    if not whole or not all(map(_KEY_LINE.fullmatch, lines[1:-1])):
        return None
    return SignedBy(key="\n".join(lines) + "\n")
