"""authorized_keys, line by line as sshd reads it: options, keys, and why a line is none.

sshd passes over a line that it cannot read without a word in its log, so that a file in another program's
format is as good as none. Which algorithms and sizes a release takes is not judged here.

Sources: sshd(8), *AUTHORIZED_KEYS FILE FORMAT*; OpenSSH auth2-pubkeyfile.c, sshkey.c (sshkey_read,
sshkey_advance_past_options), auth-options.c (sshauthopt_parse); RFC 4253 section 6.6, RFC 8709.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import io
import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.ssh_key import PublicKey

MAX_LINES = 100_000
"""Lines of one account's file; the largest real ones, of hosting platforms, have some thousands."""

TYPE_FAMILIES = {
    "ssh-rsa": "rsa", "rsa-sha2-256": "rsa", "rsa-sha2-512": "rsa", "ssh-dss": "dsa",
    "ecdsa-sha2-nistp256": "ecdsa", "ecdsa-sha2-nistp384": "ecdsa", "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-ed25519": "ed25519", "sk-ssh-ed25519@openssh.com": "ed25519-sk",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa-sk",
}  # fmt: skip
"""Kinds of keys by the word in front of them."""

_STRINGS = {"rsa": 3, "dsa": 5, "ecdsa": 3, "ed25519": 2, "ed25519-sk": 3, "ecdsa-sk": 4}
_POINT_BYTES = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}
_FLAGS = {
    "restrict": (7, 2), "cert-authority": (5, 4),
    "no-port-forwarding": (0, 0), "no-agent-forwarding": (0, 0), "no-x11-forwarding": (0, 0),
    "no-pty": (0, 0), "no-user-rc": (5, 0),
    "port-forwarding": (7, 2), "agent-forwarding": (7, 2), "x11-forwarding": (7, 2), "pty": (7, 2),
    "user-rc": (7, 2), "touch-required": (8, 2), "no-touch-required": (8, 2), "verify-required": (8, 4),
    "no-verify-required": (8, 4),
}  # fmt: skip
_VALUES = {
    "command": (0, 0), "environment": (0, 0), "from": (0, 0), "permitopen": (0, 0), "tunnel": (0, 0),
    "principals": (5, 6), "expiry-time": (7, 7), "permitlisten": (7, 8),
}  # fmt: skip
_ONCE = frozenset({"command", "from", "principals"})
_OPTION = re.compile(r'([A-Za-z0-9-]{1,64})(?:="((?:[^"\\]|\\"|\\(?!"))*)")?')
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_TIME = re.compile(r"(\d{8})(\d{4}(?:\d{2})?)?(Z)?")


@dataclass(frozen=True, slots=True)
class KeyOption:
    """One option in front of a key: its name in lower case, and its value without the quotes."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One line: its number, its bytes, and the key that sshd takes of it (None: none, and why).

    A blank line or a comment has neither key nor reason.
    """

    number: int
    raw: bytes
    key: PublicKey | None = None
    options: tuple[KeyOption, ...] = ()
    reason: str = ""

    @property
    def is_authority(self) -> bool:
        """True where the key signs the certificates of those who log in, and lets nobody in itself."""
        return any(option.name == "cert-authority" for option in self.options)

    @property
    def expires(self) -> dt.datetime | None:
        """When the key ends (UTC where it says so, else the guest's time); None where it never does."""
        times = (expiry_time(o.value) for o in self.options if o.name == "expiry-time")
        return min((time for time in times if time is not None), default=None)


@dataclass(frozen=True, slots=True)
class AuthorizedKeys:
    """All lines of a file."""

    lines: tuple[KeyLine, ...]

    @property
    def keys(self) -> tuple[KeyLine, ...]:
        """The lines that sshd takes a key of."""
        return tuple(line for line in self.lines if line.key is not None)

    @property
    def unread(self) -> tuple[KeyLine, ...]:
        """The lines that are meant to be something and that sshd passes over."""
        return tuple(line for line in self.lines if line.reason)


def parse_authorized_keys(data: bytes, release: tuple[int, int] = (10, 0)) -> AuthorizedKeys:
    """The lines of a file as a release of sshd takes them.

    Raises:
        FormatError: more lines than any real file has.
    """
    if data.count(b"\n") > MAX_LINES:
        raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
    lines = enumerate(io.BytesIO(data), 1)
    return AuthorizedKeys(tuple(read_line(number, raw, release) for number, raw in lines))


def read_line(number: int, raw: bytes, release: tuple[int, int]) -> KeyLine:
    """One line as sshd takes it."""
    raw = raw.removesuffix(b"\n")
    text = raw.decode("latin-1").lstrip(" \t").partition("\0")[0].rstrip("\r")
    if not text or text.startswith("#"):
        return KeyLine(number, raw, reason="NUL bytes in it" if b"\0" in raw else "")
    key = read_key(text)
    if isinstance(key, PublicKey):
        return KeyLine(number, raw, key)
    cut = options_end(text)
    if cut is None:
        return KeyLine(number, raw, reason="a quote that does not close")
    behind = read_key(text[cut:].lstrip(" \t"))
    if not isinstance(behind, PublicKey):
        known = _type_word(text) is not None
        return KeyLine(number, raw, reason=key if known else behind if cut < len(text) else key)
    options = parse_options(text[:cut], release)
    if isinstance(options, str):
        return KeyLine(number, raw, reason=options)
    return KeyLine(number, raw, behind, options)


def _type_word(text: str) -> str | None:
    return family_of(re.split(r"[ \t]", text, maxsplit=1)[0])


def family_of(word: str) -> str | None:
    """The kind of key that a word names; None when it names none."""
    plain = word.removesuffix("-cert-v01@openssh.com")
    if plain != word:
        plain = f"{plain}@openssh.com" if plain.startswith("sk-") else plain
    return TYPE_FAMILIES.get(plain)


def read_key(text: str) -> PublicKey | str:
    """The key of ``TYPE BASE64 [COMMENT]``, else why it is none."""
    words = re.split(r"[ \t]+", text, maxsplit=2)
    family = family_of(words[0])
    if family is None:
        return "its first word is neither a type of key nor options before one"
    if len(words) < 2 or not words[1]:
        return "a type of key with no key behind it"
    blob = decoded(words[1])
    if blob is None:
        return "the text of the key is not base64 or is cut short"
    kind = complete_key(blob)
    if kind is None:
        is_certificate = "-cert-" in words[0]
        return "a certificate, which is no key" if is_certificate else "the key is cut short or damaged"
    if family_of(kind) != family:
        return f"it says {words[0][:60]}, and the key is of the type {kind}"
    comment = words[2].strip() if len(words) > 2 else ""
    return PublicKey(kind, blob, comment)


def decoded(text: str) -> bytes | None:
    """What base64 text stands for; None for what is none."""
    plain = "".join(text.split())
    if not _BASE64.fullmatch(plain) or len(plain) % 4:
        return None
    try:
        return base64.b64decode(plain)
    except binascii.Error:
        return None


def complete_key(blob: bytes) -> str | None:
    """The type of the one whole key that these bytes are; None where they are none, or more."""
    parts = _strings(blob, 6)
    if parts is None:
        return None
    kind = parts[0].decode("ascii", "replace")
    family = TYPE_FAMILIES.get(kind)
    if family is None or len(parts) != _STRINGS[family] or kind.startswith("rsa-sha2"):
        return None
    if family in ("ed25519", "ed25519-sk"):
        sound = len(parts[1]) == 32
    elif family in ("ecdsa", "ecdsa-sk"):
        sound = kind.rpartition("-")[2].partition("@")[0].encode() == parts[1]
        sound = sound and len(parts[2]) == _POINT_BYTES.get(parts[1]) and parts[2][:1] == b"\x04"
    else:
        sound = all(part and part[0] < 0x80 for part in parts[1:])
    return kind if sound else None


def key_bits(blob: bytes) -> int:
    """The size of an RSA or DSA key in bits; 0 for keys of one size."""
    parts = _strings(blob, 6) or []
    if len(parts) == 3 and parts[0] == b"ssh-rsa":
        return int.from_bytes(parts[2], "big").bit_length()
    if len(parts) == 5 and parts[0] == b"ssh-dss":
        return int.from_bytes(parts[1], "big").bit_length()
    return 0


def _strings(blob: bytes, maximum: int) -> list[bytes] | None:
    found: list[bytes] = []
    offset = 0
    while offset < len(blob) and len(found) < maximum:
        end = offset + 4 + int.from_bytes(blob[offset : offset + 4], "big")
        if offset + 4 > len(blob) or end > len(blob):
            return None
        found.append(blob[offset + 4 : end])
        offset = end
    return found if found and offset == len(blob) else None


# --- options --------------------------------------------------------------------------


def options_end(text: str) -> int | None:
    """Where the options in front of a key end: at the first blank outside of quotes; None with one open."""
    quoted = False
    index = 0
    while index < len(text) and (quoted or text[index] not in " \t"):
        if text.startswith('\\"', index):
            index += 1
        elif text[index] == '"':
            quoted = not quoted
        index += 1
    return None if quoted else min(index, len(text))


def parse_options(text: str, release: tuple[int, int]) -> tuple[KeyOption, ...] | str:
    """The options of a line, else why sshd refuses them."""
    options: list[KeyOption] = []
    offset = 0
    while offset < len(text):
        if text[offset] == ",":  # sshd does not mind an empty one
            offset += 1
            continue
        found = _OPTION.match(text, offset)
        if found is None or text[found.end() : found.end() + 1] not in ("", ","):
            return f"options that sshd cannot read at {text[offset : offset + 20]!r}"
        name = found[1].lower()
        problem = _option_problem(name, found[2], release)
        if problem:
            return problem
        if name in _ONCE and any(option.name == name for option in options):
            return f"the option {name} twice"
        options.append(KeyOption(name, (found[2] or "").replace('\\"', '"')))
        offset = found.end()
    return tuple(options)


def _option_problem(name: str, value: str | None, release: tuple[int, int]) -> str:
    table = _FLAGS if value is None else _VALUES
    since = table.get(name)
    if since is None or release < since:
        other = name in (_VALUES if value is None else _FLAGS)
        return (
            f"the option {name} {'without' if value is None else 'with'} a value"
            if other
            else (f"an option that this sshd does not know: {name}")
        )
    if name == "expiry-time" and expiry_time(value or "") is None:
        return f"no time that sshd can read in the option expiry-time: {value}"
    return ""


def expiry_time(text: str) -> dt.datetime | None:
    """``YYYYMMDD[HHMM[SS]][Z]`` as a time; None for anything else."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    digits = found[1] + (found[2] or "").ljust(6, "0")
    try:
        return dt.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
