"""authorized_keys as sshd reads it, and keys of other formats as lines of it."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import textwrap
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from guestrepair.errors import FormatError
from guestrepair.formats.authorized_keys import MAX_LINES, key_bits, parse_authorized_keys
from guestrepair.formats.key_conversion import converted
from tests.support import dsa_keys

RELEASE = (9, 2)


@functools.cache
def public_line(kind: str) -> str:
    """TYPE BASE64 of a new key of that kind."""
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    elif kind == "ecdsa":
        key = ec.generate_private_key(ec.SECP256R1())
    elif kind == "dsa":
        return dsa_keys.public_line()
    else:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


ED, RSA, EC, DSA = (functools.partial(public_line, kind) for kind in ("ed25519", "rsa", "ecdsa", "dsa"))


def ssh2(line: str, comment: str = "imported-key", *, end: bool = True) -> str:
    body = textwrap.fill(line.split()[1], 64)
    tail = "---- END SSH2 PUBLIC KEY ----\n" if end else ""
    return f'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "{comment}"\n{body}\n{tail}'


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa", "dsa"])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("{}", []),
        ("  {} a comment", []),
        ("{}\r", []),
        ('from="10.0.0.0/8,!10.1.*" {} x', ["from"]),
        ('command="echo \\"a b\\" #",no-pty {}', ["command", "no-pty"]),
        ("restrict,pty, {}", ["restrict", "pty"]),
        ('RESTRICT,environment="A=b c" {}', ["restrict", "environment"]),
    ],
)
def test_lines_that_sshd_reads(kind: str, form: str, options: list[str]) -> None:
    (line,) = parse_authorized_keys(form.format(public_line(kind)).encode(), RELEASE).lines
    assert line.key is not None, line.reason
    assert line.key.type == public_line(kind).split()[0]
    assert [option.name for option in line.options] == options
    assert converted(line.raw, RELEASE) is None


BROKEN = [
    "{blob}",
    "{type}",
    "{type} {cut}",
    "ssh-rsa {blob}",
    "{type}{blob}",
    '"{line}"',
    "- {line}",
    "unknown {line}",
    'from="10.0.0.1 {line}',
    "no-such-option {line}",
    "command {line}",
    'command="a",command="b" {line}',
    "restrict;pty {line}",
    'expiry-time="tomorrow" {line}',
    "\ufeff{line}",
    "{type}\u00a0{blob}",
    "from=\u201c10.0.0.1\u201d {line}",
    "<html><body>404</body></html>",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "{type} {blob}x",
]


@pytest.mark.parametrize("form", BROKEN)
def test_lines_that_sshd_passes_over(form: str) -> None:
    kind, blob = ED().split()
    text = form.format(line=ED(), type=kind, blob=blob, cut=blob[:-8])
    (line,) = parse_authorized_keys(text.encode(), RELEASE).lines
    assert (line.key, bool(line.reason)) == (None, True)


def test_comments_and_blank_lines_are_neither() -> None:
    read = parse_authorized_keys(b"# a\n\n   \n\t# b\n", RELEASE)
    assert (read.keys, read.unread) == ((), ())


@pytest.mark.parametrize(
    ("option", "since"),
    [("restrict", (7, 2)), ('expiry-time="20300101"', (7, 7)), ("no-touch-required", (8, 2))],
)
def test_an_option_that_an_older_sshd_does_not_know(option: str, since: tuple[int, int]) -> None:
    text = f"{option} {ED()}".encode()
    assert parse_authorized_keys(text, since).keys
    assert not parse_authorized_keys(text, (since[0], since[1] - 1)).keys


def test_times_and_authorities() -> None:
    text = f'cert-authority,principals="a,b" {ED()}\nexpiry-time="202001021504Z" {ED()}\n{ED()}\n'
    one, two, three = parse_authorized_keys(text.encode(), RELEASE).keys
    assert one.is_authority
    assert two.expires == dt.datetime(2020, 1, 2, 15, 4, tzinfo=dt.UTC)
    assert (three.is_authority, three.expires) == (False, None)


@pytest.mark.parametrize(("kind", "bits"), [("rsa", 2048), ("dsa", 1024), ("ed25519", 0)])
def test_sizes(kind: str, bits: int) -> None:
    assert key_bits(base64.b64decode(public_line(kind).split()[1])) == bits


# --- conversion -----------------------------------------------------------------------


def ppk(line: str) -> str:
    kind, blob = line.split()[:2]
    body = textwrap.fill(blob, 64)
    count = len(body.splitlines())
    return (
        f"PuTTY-User-Key-File-3: {kind}\nEncryption: none\nComment: my key\nPublic-Lines: {count}\n{body}\n"
        "Private-Lines: 1\nAAAAIGZvbw==\nPrivate-MAC: 00\n"
    )


def folded(line: str, width: int = 40) -> str:
    return "\n".join(line[at : at + width] for at in range(0, len(line), width)) + "\n"


CONVERSIONS: dict[str, tuple[Callable[[str], str | bytes], str | None]] = {
    "ssh2": (ssh2, "{} imported-key"),
    "ssh2, no end": (lambda line: ssh2(line, end=False), "{} imported-key"),
    "ssh2, CRLF": (lambda line: ssh2(line).replace("\n", "\r\n"), "{} imported-key"),
    "ssh2, indented": (lambda line: textwrap.indent(ssh2(line), "  "), "{} imported-key"),
    "ssh2 in one line": (lambda line: " ".join(ssh2(line, "a b").split("\n")), "{} a b"),
    "ssh2, long header": (
        lambda line: ssh2(line).replace("Comment:", "X-own: a\\\nb\nSubject: me\nComment:"),
        "{} imported-key"),
    "ppk": (ppk, "{} my key"),
    "folded at 64": (lambda line: f"{line.split()[0]} {textwrap.fill(line.split()[1], 64)} me\n", "{} me"),
    "folded at the blanks": (lambda line: "\n".join((*line.split(), "")), "{}"),
    "folded to blanks": (lambda line: f"{line.split()[0]} {textwrap.fill(line.split()[1], 30)} me".replace(
        "\n", " "), "{} me"),
    "folded with a comment": (lambda line: folded(f"{line} me@there", 41), None),
    "options, folded": (lambda line: f'from="10.0.0.1",no-pty {line[:60]}\n{line[60:]} me\n',
                        'from="10.0.0.1",no-pty {} me'),
    "no type": (lambda line: f"{line.split()[1]} me\n", "{} me"),
    "wrong type": (lambda line: f"ssh-dss {line.split()[1]} me\n", "{} me"),
    "glued type": (lambda line: line.replace(" ", "", 1), "{}"),
    "quoted": (lambda line: f'"{line} me"\n', "{} me"),
    "list": (lambda line: f"  - {line} me\n", "{} me"),
    "list of strings": (lambda line: f'["{line} me"]\n', "{} me"),
    "UTF-16": (lambda line: f"\ufeff{line} me\r\n".encode("utf-16-le"), "{} me"),
    "UTF-16 BE": (lambda line: f"\ufeff{line} me\r\n".encode("utf-16-be"), "{} me"),
    "UTF-16 without a mark": (lambda line: f"{line} me\r\n".encode("utf-16-le"), "{} me"),
    "BOM": (lambda line: f"\ufeff{line} me\n", "{} me"),
    "no-break space": (lambda line: line.replace(" ", "\u00a0") + " me\n", "{} me"),
    "typographic": (lambda line: "from=\u201c10.0.0.1\u201d " + line.replace("-", "\u2013", 1) + " me\n",
                    'from="10.0.0.1" {} me'),
    "Mac line ends": (lambda line: f"{line.split()[1]}\r# end\r", "{}"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("name", CONVERSIONS)
def test_the_very_same_key_in_one_line(name: str, kind: str) -> None:
    make, expected = CONVERSIONS[name]
    line = public_line(kind)
    text = make(line)
    data = text if isinstance(text, bytes) else text.encode()
    made = converted(data, RELEASE)
    assert made is not None
    first = made.decode().splitlines()[0]
    read = parse_authorized_keys(made, RELEASE)
    assert [key.key.type + " " + base64.b64encode(key.key.blob).decode() for key in read.keys if key.key] == [
        line
    ]
    if expected is not None:
        assert first == expected.format(line)


def test_several_keys_and_what_is_sound_stays_as_it_is() -> None:
    text = f"# mine\n{ED()}  two  blanks\n\n{ssh2(RSA())}{ssh2(EC())}# end\nnot a key\n"
    made = converted(text.encode(), RELEASE)
    assert made is not None
    assert made.decode() == (
        f"# mine\n{ED()}  two  blanks\n\n{RSA()} imported-key\n{EC()} imported-key\n# end\nnot a key\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "<html>\n<pre>{line}</pre>\n",
        "{cut}\n",
        "ssh-ed25519 {cut} me\n",
        "unknown=\"x\" {line}\n",
        'from="10.0.0.1 {line}\n',
        "10.0.0.1 {line}\n",
        "---- BEGIN SSH2 PUBLIC KEY ----\n{cut}\n---- END SSH2 PUBLIC KEY ----\n",
        "PuTTY-User-Key-File-2: ssh-rsa\nPublic-Lines: many\n",
        "-----BEGIN RSA PRIVATE KEY-----\nnonsense\n-----END RSA PRIVATE KEY-----\n",
        "{line} fine\n",
    ],
)  # fmt: skip
def test_what_is_no_whole_key_or_may_be_a_restriction_is_left_alone(text: str) -> None:
    blob = ED().split()[1]
    assert converted(text.format(line=ED(), cut=blob[:-12]).encode(), RELEASE) is None


def test_the_public_half_of_a_private_key() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    for form in (serialization.PrivateFormat.OpenSSH, serialization.PrivateFormat.PKCS8):
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        assert converted(pem, RELEASE) == f"{ED()}\n".encode()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    assert converted(key.public_key().public_bytes(serialization.Encoding.PEM, spki)) == f"{ED()}\n".encode()


def test_too_many_lines() -> None:
    for parse in (parse_authorized_keys, converted):
        with pytest.raises(FormatError):
            parse(b"\n" * (MAX_LINES + 1))
