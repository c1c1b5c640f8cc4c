"""ssh keys against the real ssh-keygen: every form that it writes, and what damage does to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats.ssh_key import parse_private_key, parse_public_key


def generate(directory: Path, *arguments: str) -> tuple[bytes, bytes]:
    path = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-f", str(path), *arguments], check=True, capture_output=True)
    return path.read_bytes(), path.with_suffix(".pub").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("-t", "ed25519", "-N", ""),
        ("-t", "ecdsa", "-N", ""),
        ("-t", "ecdsa", "-N", "", "-m", "PEM"),
        ("-t", "rsa", "-b", "2048", "-N", ""),
        ("-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"),
        ("-t", "rsa", "-b", "2048", "-N", "", "-m", "PKCS8"),
    ],
    ids=" ".join,
)
def test_every_form_agrees_with_its_public_half(arguments: tuple[str, ...], tmp_path: Path) -> None:
    private, public = generate(tmp_path, *arguments)
    key, other = parse_private_key(private), parse_public_key(public)
    assert key.public is not None
    assert (key.encrypted, key.public.type, key.public.blob) == (False, other.type, other.blob)
    assert other.line().split()[:2] == public.split()[:2]


def test_passphrases_are_seen(tmp_path: Path) -> None:
    private, _ = generate(tmp_path, "-t", "ed25519", "-N", "secret", "-a", "1")
    assert parse_private_key(private).encrypted


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return generate(tmp_path_factory.mktemp("key"), "-t", "ed25519", "-N", "")


def test_damage_is_found(good: tuple[bytes, bytes]) -> None:
    private, public = good
    cases = {
        "empty": b"",
        "cut short": private[: len(private) // 2],
        "line end after its end line": private[:-1],
        "CR LF": private.replace(b"\n", b"\r\n"),
        "before its begin line": b"x\n" + private,
        "public key": public,
        "NUL": b"\0" * 100,
        "no private key": b"hello\n",
    }
    for words, data in cases.items():
        with pytest.raises(FormatError, match=words):
            parse_private_key(data)


def test_ssh_keygen_refuses_what_is_refused_here(good: tuple[bytes, bytes], tmp_path: Path) -> None:
    private, _ = good
    lines = private.split(b"\n")
    swapped = b"\n".join([lines[0], lines[2], lines[1], *lines[3:]])
    for number, data in enumerate((private, private[:-1], private.replace(b"\n", b"\r\n"), swapped)):
        path = tmp_path / f"key{number}"
        path.write_bytes(data)
        path.chmod(0o600)
        real = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(path)], capture_output=True, check=False
        )
        try:
            parse_private_key(data)
            ours = True
        except FormatError:
            ours = False
        assert ours == (real.returncode == 0), data


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_parsed(data: bytes) -> None:
    for parse in (parse_private_key, parse_public_key):
        for text in (
            data,
            b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + data + b"\n-----END OPENSSH PRIVATE KEY-----\n",
        ):
            with pytest.raises(FormatError):
                parse(text)


@given(st.data())
def test_no_flipped_byte_escapes_as_another_exception(good: tuple[bytes, bytes], data: st.DataObject) -> None:
    private = bytearray(good[0])
    index = data.draw(st.integers(0, len(private) - 1))
    private[index] = data.draw(st.integers(0, 255))
    try:
        parse_private_key(bytes(private))
    except FormatError:
        return
