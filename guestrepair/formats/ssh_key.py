"""ssh private and public keys, judged as sshd judges its host keys: empty, truncated, encrypted, good.

OpenSSH's own container ("openssh-key-v1") is taken apart here, because sshd is
stricter with it than most libraries are (exact begin and end lines, LF only,
padding bytes). PEM keys and the agreement of private and public half are left
to the ``cryptography`` package; that of RSA keys to :mod:`guestrepair.formats.rsa_halves`.

Sources: OpenSSH PROTOCOL.key; ``sshkey.c`` (private2_uudecode, sshkey_parse_private2).
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from guestrepair.errors import FormatError
from guestrepair.formats.rsa_halves import check_rsa

BEGIN = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
END = b"-----END OPENSSH PRIVATE KEY-----\n"
MAGIC = b"openssh-key-v1\0"
MAX_KEY_BYTES = 1024 * 1024
"""sshd refuses a larger key file (MAX_KEY_FILE_SIZE)."""

PEM = re.compile(rb"-----BEGIN (?:(RSA|DSA|EC|ENCRYPTED) )?PRIVATE KEY-----")
BODY = re.compile(rb"[A-Za-z0-9+/=]*")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half: its type (``ssh-ed25519``…), its blob as it goes over the wire, and the comment."""

    type: str
    blob: bytes
    comment: str = ""

    def line(self) -> bytes:
        """The line of a ``.pub`` file."""
        text = f"{self.type} {base64.b64encode(self.blob).decode()}"
        return f"{text} {self.comment}".rstrip().encode("utf-8", "surrogateescape") + b"\n"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key file: its public half where it can be told, and whether a passphrase protects it."""

    public: PublicKey | None
    encrypted: bool


def parse_private_key(data: bytes) -> PrivateKey:
    """A private key in OpenSSH's container or PEM.

    Raises:
        FormatError: sshd could not load it; the message says in what way it is broken.
    """
    if not data.strip():
        raise FormatError("the file is empty" if not data else "the file holds nothing but blanks")
    if len(data) > MAX_KEY_BYTES:
        raise FormatError(f"{len(data)} bytes, more than sshd reads of a key")
    if not data.strip(b"\0"):
        raise FormatError("the file holds nothing but NUL bytes")
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return _parse_container(data)
    if PEM.search(data):
        return _parse_pem(data)
    if data.startswith(b"SSH PRIVATE KEY FILE FORMAT 1.1"):
        raise FormatError("a key of SSH protocol 1, which no sshd uses any more")
    if data.lstrip().startswith((b"ssh-", b"ecdsa-")):
        raise FormatError("a public key where the private one should be")
    raise FormatError("no private key in it")


def parse_public_key(data: bytes) -> PublicKey:
    """The key of a ``.pub`` file: the first line that is neither blank nor comment.

    Raises:
        FormatError: there is none, or it does not decode to a key of its type.
    """
    if len(data) > MAX_KEY_BYTES:
        raise FormatError(f"{len(data)} bytes, more than sshd reads of a key")
    for line in data.split(b"\n"):
        text = line.strip()
        if text and not text.startswith(b"#"):
            return _public_line(text)
    raise FormatError("the file is empty" if not data.strip() else "no key in it")


def _public_line(text: bytes) -> PublicKey:
    fields = text.split(None, 2)
    if len(fields) < 2:
        raise FormatError("not a line of key type and key")
    blob = _decode(fields[1])
    name = fields[0].decode("ascii", "replace")
    if _string(blob, 0)[0] != fields[0]:
        raise FormatError(f"the key in it is not of the type {name} that the line says")
    _check_strings(blob)
    comment = fields[2].decode("utf-8", "surrogateescape") if len(fields) == 3 else ""
    return PublicKey(name, blob, comment)


def _check_strings(blob: bytes) -> None:
    offset = 0
    while offset < len(blob):
        _, offset = _string(blob, offset)


def _decode(text: bytes) -> bytes:
    if not BODY.fullmatch(text):
        raise FormatError("bytes in it that are not base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise FormatError("its base64 text is cut short") from None


def _string(blob: bytes, offset: int) -> tuple[bytes, int]:
    """One length-prefixed string (RFC 4251 section 5) and the offset after it."""
    if offset + 4 > len(blob):
        raise FormatError("cut short")
    length = int.from_bytes(blob[offset : offset + 4], "big")
    end = offset + 4 + length
    if end > len(blob):
        raise FormatError("cut short")
    return blob[offset + 4 : end], end


def _parse_container(data: bytes) -> PrivateKey:
    if b"\r\n" in data:
        raise FormatError("line ends of DOS (CR LF), which sshd does not take in this format")
    if not data.startswith(BEGIN):
        raise FormatError("something stands before its begin line, which sshd does not take in this format")
    end = data.find(b"\n" + END, len(BEGIN) - 1)
    if end < 0:
        cut = (
            "the line end after its end line lacks"
            if data.endswith(END[:-1])
            else "its end line lacks: cut short"
        )
        raise FormatError(cut)
    blob = _decode(data[len(BEGIN) : end].replace(b"\n", b"").replace(b"\r", b""))
    if not blob.startswith(MAGIC):
        raise FormatError("not an OpenSSH private key inside")
    cipher, offset = _string(blob, len(MAGIC))
    _, offset = _string(blob, offset)
    _, offset = _string(blob, offset)
    count = int.from_bytes(blob[offset : offset + 4], "big")
    if count != 1:
        raise FormatError(f"{count} keys in it where sshd takes one")
    public_blob, offset = _string(blob, offset + 4)
    private, _ = _string(blob, offset)
    kind = _string(public_blob, 0)[0].decode("ascii", "replace")
    encrypted = cipher != b"none"
    comment = "" if encrypted else _check_private(private, kind)
    public = PublicKey(kind, public_blob, comment)
    if not encrypted and kind == "ssh-rsa":
        check_rsa(_strings(public_blob, 0, 3)[1:], _strings(private, 8, 7)[1:])
    elif not encrypted:
        _check_halves(data, public)
    return PrivateKey(public, encrypted)


def _strings(blob: bytes, offset: int, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        value, offset = _string(blob, offset)
        found.append(value)
    return found


def _check_private(private: bytes, kind: str) -> str:
    """Check the numbers, the type and the padding of the private part; its comment."""
    if len(private) < 8 or private[:4] != private[4:8]:
        raise FormatError("the check numbers of its private part differ: damaged")
    name, offset = _string(private, 8)
    if name.decode("ascii", "replace") != kind:
        raise FormatError("its private part is of another type than its public part")
    if kind.startswith("sk-"):
        return ""
    fields = {"ssh-ed25519": 2, "ssh-rsa": 6, "ssh-dss": 5}.get(kind, 3 if kind.startswith("ecdsa-") else 0)
    if not fields:
        raise FormatError(f"a key of the unknown type {kind}")
    for _ in range(fields):
        _, offset = _string(private, offset)
    comment, offset = _string(private, offset)
    padding = private[offset:]
    if any(byte != (index & 0xFF) for index, byte in enumerate(padding, 1)):
        raise FormatError("its padding is damaged")
    return comment.decode("utf-8", "surrogateescape")


def _check_halves(data: bytes, public: PublicKey) -> None:
    if public.type == "ssh-dss" or public.type.startswith("sk-"):
        return  # newer libraries no longer take DSA, and security keys have no private half here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key = serialization.load_ssh_private_key(data, None)
            derived = key.public_key().public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            )
    except UnsupportedAlgorithm:
        return
    except (ValueError, TypeError) as error:
        raise FormatError(f"its private and public parts do not agree ({error})") from error
    if _public_line(derived).blob != public.blob:
        raise FormatError("its private and public parts do not agree")


def _parse_pem(data: bytes) -> PrivateKey:
    if b"-----END" not in data:
        raise FormatError("its end line lacks: cut short")
    if b"Proc-Type: 4,ENCRYPTED" in data or b"BEGIN ENCRYPTED PRIVATE KEY" in data:
        return PrivateKey(None, True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key = serialization.load_pem_private_key(data, None)
    except UnsupportedAlgorithm:
        return PrivateKey(None, False)
    except (ValueError, TypeError) as error:
        raise FormatError("its PEM text does not decode to a key: damaged or cut short") from error
    try:
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (UnsupportedAlgorithm, ValueError, TypeError, AttributeError) as error:
        raise FormatError("a key of a kind that ssh does not use") from error
    return PrivateKey(_public_line(line), False)
