"""Public keys in other programs' formats, as lines of authorized_keys: the very same keys, nothing added.

RFC 4716 (PuTTYgen's "Save public key"), PuTTY's own files, PEM, keys folded over lines by a terminal or YAML,
keys without the word for their type, in quotes or behind a list's dash, text in UTF-16 or with a byte-order
mark. A line is changed only where the whole key is in it and nothing but options that sshd reads stands
before it: what may have been a restriction is never dropped.

Sources: RFC 4716 section 3; PuTTY's documentation, appendix C (PPK file format); RFC 4253 section 6.6.
"""

from __future__ import annotations

import base64
import re
import warnings

from guestrepair.errors import FormatError
from guestrepair.formats.authorized_keys import (
    MAX_LINES,
    complete_key,
    decoded,
    family_of,
    parse_options,
    read_line,
)
from guestrepair.formats.ssh_key import PublicKey, parse_private_key

MAX_FOLDS = 60
"""Lines that one key may be folded over: RSA of 16384 bits in lines of 64 characters has 43."""

MAX_KEY_TEXT = 16 * 1024
"""Characters of one key in base64: RSA of 16384 bits has some 2,800."""

_BEGIN_SSH2 = re.compile(r"-{4,5} ?BEGIN SSH2 PUBLIC KEY ?-{4,5}")
_END_SSH2 = re.compile(r"-{4,5} ?END SSH2 PUBLIC KEY ?-{4,5}")
_BEGIN_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}KEY)-----")
_BEGIN = re.compile(r"-{4,5} ?BEGIN |PuTTY-User-Key-File-")
_PPK = re.compile(r"PuTTY-User-Key-File-\d: ?\S+")
_HEADER = re.compile(r"^([A-Za-z][\w-]{0,63}):[ \t]?((?:.*\\\n)*.*)$", re.MULTILINE)
_PPK_HEADER = re.compile(r"^(Comment|Public-Lines): ?(.*)$", re.MULTILINE)
_ONE_LINE_HEADER = re.compile(r'(?:Comment|Subject): ?("[^"]*"|\S+)')
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DECORATION = re.compile(r"^(?:[-*•][ \t]+)?[\[ \t]*[\"']?")
_TRAILING = "\"'],; \t"
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " ")
_NOTHING = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), None)
_QUOTES = dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033"), '"')
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_PLAIN = {**_SPACES, **_NOTHING, **_QUOTES, **_DASHES}


def text_of(data: bytes) -> tuple[str, str]:
    """The text of a file, and how it is written where that keeps sshd from reading it ("": it does not)."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(encoding, "replace"), "UTF-16"
    for encoding, zeros in (("utf-16-le", data[1:400:2]), ("utf-16-be", data[0:400:2])):
        if len(data) >= 40 and zeros and not zeros.strip(b"\0"):
            return data.decode(encoding, "replace"), "UTF-16"
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:].decode("utf-8", "surrogateescape"), "a byte-order mark at its start"
    return data.decode("utf-8", "surrogateescape"), ""


def converted(data: bytes, release: tuple[int, int] = (10, 0)) -> bytes | None:
    """The file with each key in a line that sshd reads; None where nothing is gained.

    Raises:
        FormatError: more lines than any real file has.
    """
    text, encoding = text_of(data)
    lines = re.split(r"\r\n|\n|\r", text)
    if len(lines) > MAX_LINES:
        raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
    made: list[str] = []
    gained = False
    index = 0
    while index < len(lines):
        found = None if _is_sound(lines[index], release) else _convert(lines, index, release)
        new, taken = found if found is not None else (lines[index], 1)
        gained = gained or found is not None or bool(encoding and _has_key(lines[index], release))
        made.append(new)
        index += taken
    if not gained:
        return None
    return "\n".join(made).rstrip("\n").encode("utf-8", "surrogateescape") + b"\n"


def _is_sound(line: str, release: tuple[int, int]) -> bool:
    read = read_line(1, line.encode("utf-8", "surrogateescape"), release)
    return not read.reason


def _has_key(line: str, release: tuple[int, int]) -> bool:
    return read_line(1, line.encode("utf-8", "surrogateescape"), release).key is not None


def _convert(lines: list[str], index: int, release: tuple[int, int]) -> tuple[str, int] | None:
    """The line that the lines from ``index`` on come to, and their number; None where they are no key."""
    line = lines[index]
    if _BEGIN_SSH2.search(line):
        return _ssh2(lines, index)
    if _PPK.search(line):
        return _putty(lines, index)
    if _BEGIN_PEM.search(line):
        return _pem(lines, index)
    return _pieces(lines, index, release)


def key_line(blob: bytes, comment: str, options: str = "") -> str | None:
    """``[OPTIONS] TYPE BASE64 [COMMENT]``; None where the bytes are no whole key."""
    kind = complete_key(blob)
    if kind is None:
        return None
    plain = " ".join("".join(char if char.isprintable() else " " for char in comment).split())
    return " ".join(word for word in (options, kind, base64.b64encode(blob).decode(), plain) if word)


# --- blocks ---------------------------------------------------------------------------


def _block(lines: list[str], index: int, end: re.Pattern[str], maximum: int) -> tuple[str, int]:
    """The lines up to the end of the block, a blank one or another beginning, joined; and their number."""
    taken = 0
    for line in lines[index : index + maximum]:
        if taken and (not line.strip() or _BEGIN.search(line)):
            break
        taken += 1
        if end.search(line):
            break
    return "\n".join(line.strip() for line in lines[index : index + taken]), taken


def _ssh2(lines: list[str], index: int) -> tuple[str, int] | None:
    text, taken = _block(lines, index, _END_SSH2, MAX_FOLDS + 40)
    inside = _END_SSH2.split(_BEGIN_SSH2.split(text, maxsplit=1)[1], maxsplit=1)[0].strip()
    headers = {found[1].lower(): found[2].replace("\\\n", "") for found in _HEADER.finditer(inside)}
    body = _HEADER.sub("", inside)
    comment = headers.get("comment", "")
    if "\n" not in text:  # folded into one line: the comment ends with its quote
        found = _ONE_LINE_HEADER.search(inside)
        comment, body = (found[1] if found else ""), _ONE_LINE_HEADER.sub("", inside)
    blob = decoded(body)
    made = None if blob is None else key_line(blob, comment.strip().strip('"'))
    return None if made is None else (made, taken)


def _putty(lines: list[str], index: int) -> tuple[str, int] | None:
    text, taken = _block(lines, index, re.compile(r"^Private-(?:MAC|Hash):"), 2 * MAX_FOLDS + 40)
    headers = {found[1]: found for found in _PPK_HEADER.finditer(text)}
    count = headers.get("Public-Lines")
    if count is None or not re.fullmatch(r"\d{1,3}", count[2].strip()):
        return None
    body = text[count.end() :].strip("\n").split("\n")[: int(count[2])]
    blob = decoded("".join(body))
    comment = headers["Comment"][2] if "Comment" in headers else ""
    made = None if blob is None else key_line(blob, comment)
    return None if made is None else (made, taken)


def _pem(lines: list[str], index: int) -> tuple[str, int] | None:
    """A private key whose public half can be told, or a public key in PEM."""
    text, taken = _block(lines, index, re.compile(r"-----END [A-Z0-9 ]{0,40}KEY-----"), 4 * MAX_FOLDS)
    data = text.encode("utf-8", "replace") + b"\n"
    try:
        public = parse_private_key(data).public if "PRIVATE" in text else _public_pem(data)
    except FormatError:
        return None
    made = None if public is None else key_line(public.blob, public.comment)
    return None if made is None else (made, taken)


def _public_pem(data: bytes) -> PublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key = serialization.load_pem_public_key(data)
            line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return None
    kind, blob = line.split()[:2]
    return PublicKey(kind.decode("ascii"), base64.b64decode(blob))


# --- pieces of lines ------------------------------------------------------------------


def _pieces(lines: list[str], index: int, release: tuple[int, int]) -> tuple[str, int] | None:
    """A key whose text was broken into pieces, or whose line has more or less before it than sshd reads."""
    first = lines[index].translate(_PLAIN).strip()
    start = first.find("AAAA")
    taken = 1
    if start < 0:
        following = lines[index + 1].translate(_PLAIN).strip() if index + 1 < len(lines) else ""
        if not following.startswith("AAAA") or family_of(re.split(r"\s", first)[-1] if first else "") is None:
            return None
        start, taken = len(first) + 1, 2
        first = f"{first} {following}"
    options = _options(first[:start], release)
    if options is None:
        return None
    pieces = first[start:].split()
    body, comment = _grow("", pieces)
    while complete_key(decoded(body) or b"") is None:
        if comment or not body or taken > MAX_FOLDS or index + taken >= len(lines):
            return None
        following = lines[index + taken].translate(_PLAIN).strip()
        if not following or not _is_sound_piece(following):
            return None
        body, comment = _grow(body, following.split())
        taken += 1
    made = key_line(decoded(body) or b"", comment.strip(_TRAILING), options)
    return None if made is None else (made, taken)


def _is_sound_piece(text: str) -> bool:
    piece = text.split(maxsplit=1)[0].rstrip(_TRAILING)
    return _BASE64.fullmatch(piece) is not None and not piece.startswith("AAAA")


def _grow(body: str, pieces: list[str]) -> tuple[str, str]:
    """The text of the key with one more line of it, pieces taken until it is whole; the rest is comment."""
    for number, piece in enumerate(pieces):
        if len(body) > MAX_KEY_TEXT or number > MAX_FOLDS:
            return "", ""
        if complete_key(decoded(body) or b"") is not None:
            return body, " ".join(pieces[number:])
        plain = piece.rstrip(_TRAILING)
        if not _BASE64.fullmatch(plain):
            return body, " ".join(pieces[number:])
        body += plain
    return body, ""


def _options(before: str, release: tuple[int, int]) -> str | None:
    """The options in what stands before a key; None where it is something that must not be dropped."""
    plain = _DECORATION.sub("", before.strip(), count=1)
    word = re.split(r"[ \t]", plain)[-1] if plain else ""
    if family_of(word) is not None:
        plain = plain[: len(plain) - len(word)].strip()
    if not plain:
        return ""
    return plain if not isinstance(parse_options(plain, release), str) else None
