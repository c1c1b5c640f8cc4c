"""ssh keys against the real ssh-keygen: every form that it writes, and what damage does to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats.rsa_halves import check_rsa
from guestrepair.formats.ssh_key import parse_private_key, parse_public_key


def generate(directory: Path, *arguments: str) -> tuple[bytes, bytes]:
    path = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-f", str(path), *arguments], check=True, capture_output=True)
    return path.read_bytes(), path.with_suffix(".pub").read_bytes()


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


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int, int, int, int, int]:
    """n, e, d, the inverse of q, p, q: as they stand in a key of ssh-keygen."""
    private, _ = generate(tmp_path_factory.mktemp("rsa"), "-t", "rsa", "-b", "1024", "-N", "")
    key = serialization.load_ssh_private_key(private, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    of = key.private_numbers()
    return of.public_numbers.n, of.public_numbers.e, of.d, of.iqmp, of.p, of.q


def halves_agree(*private: int) -> bool:
    raw = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in private]
    try:
        check_rsa((raw[1], raw[0]), raw)
    except FormatError:
        return False
    return True


def test_an_rsa_key_whose_numbers_do_not_fit_is_refused_as_the_library_refuses_it(
    numbers: tuple[int, int, int, int, int, int],
) -> None:
    n, e, d, inverse, p, q = numbers
    cases = {
        "as it is": numbers,
        "another way to say d": (n, e, d + (p - 1) * (q - 1), inverse, p, q),
        "d": (n, e, d ^ 2, inverse, p, q),
        "inverse": (n, e, d, inverse ^ 1, p, q),
        "p": (n, e, d, inverse, p ^ 2, q),
        "q": (n, e, d, inverse, p, q ^ 2),
        "primes the other way round": (n, e, d, inverse, q, p),
        "no prime": (n, e, d, pow(1, -1, n), n, 1),
        "e": (n, e ^ 4, d, inverse, p, q),
        "p, q and n": (p * (q ^ 2), e, d, pow(q ^ 2, -1, p), p, q ^ 2),
    }
    judged = {name: halves_agree(*case) for name, case in cases.items()}
    # The library takes no private exponent beyond the modulus either, however right it is.
    assert judged == {name: agrees_as_the_library_says(*case) for name, case in cases.items()}
    assert judged["as it is"]


def agrees_as_the_library_says(n: int, e: int, d: int, inverse: int, p: int, q: int) -> bool:
    """As RSA_check_key(3) judges it, which proves the primes as well."""
    of = rsa.RSAPublicNumbers(e, n)
    try:
        rsa.RSAPrivateNumbers(p, q, d, d % max(p - 1, 1), d % max(q - 1, 1), inverse, of).private_key()
    except ValueError:
        return False
    return True


def test_a_composite_in_the_place_of_a_prime_signs_nothing(
    numbers: tuple[int, int, int, int, int, int],
) -> None:
    """All equations of p hold, as far as they can be told without its factors."""
    _, e, _, _, p, q = numbers
    composite = p * 7
    d = pow(e, -1, (composite - 1) * (q - 1))
    assert not halves_agree(composite * q, e, d, pow(q, -1, composite), composite, q)


def test_numbers_that_sshd_takes_from_no_key_are_refused_before_anything_is_calculated() -> None:
    huge = b"\1" + bytes(20_000)
    with pytest.raises(FormatError, match="16384 bits"):
        check_rsa((b"\3", huge), (huge, b"\3", huge, huge, huge, huge))
    with pytest.raises(FormatError, match="negative"):
        check_rsa((b"\x83", b"\7"), (b"\7", b"\x83", b"\1", b"\1", b"\1", b"\1"))
    large = (3**5000).to_bytes(1000, "big"), (3**10000).to_bytes(1990, "big")
    with pytest.raises(FormatError, match="public exponent"):
        check_rsa(large, (large[1], large[0], large[0], b"\3", large[0], large[0]))
