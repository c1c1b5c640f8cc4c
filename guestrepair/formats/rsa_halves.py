"""Whether the private half of an RSA key belongs to its public half: its equations hold, and it signs.

A library proves the primes as well, which takes a hundred times as long as the signature that sshd makes of
them; and of a hostile key, longer the larger its numbers are.

Sources: RFC 8017 (3.2, 5.2.1); OpenSSH PROTOCOL.key, ``sshbuf-getput-crypto.c`` (sshbuf_get_bignum2);
OpenSSL ``crypto/rsa/rsa_ossl.c``.
"""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.errors import FormatError

_MAX_BITS = 16384
"""sshd takes no larger number (SSHBUF_MAX_BIGNUM)."""

_SMALL_BITS, _LARGE_EXPONENT_BITS = 3072, 64
"""Of larger moduli, libcrypto takes no larger public exponent (OPENSSL_RSA_MAX_PUBEXP_BITS)."""

_PROBE = 0x5F3759DF
_DIFFER = "its private and public parts do not agree"


def check_rsa(public: Sequence[bytes], private: Sequence[bytes]) -> None:
    """Check the numbers of a key as they stand in OpenSSH's container, big endian.

    ``public``: e, n. ``private``: n, e, d, the inverse of q modulo p, p, q.

    Raises:
        FormatError: sshd could not load the key, or nothing could verify what it signs.
    """
    e, n = map(_number, public)
    same_n, same_e, d, inverse, p, q = map(_number, private)
    if (same_n, same_e) != (n, e):
        raise FormatError(f"{_DIFFER} (the modulus or the exponent differs)")
    if p < 3 or q < 3 or not n & e & 1 or e < 3 or p * q != n or not 0 < d < n:
        raise FormatError(f"{_DIFFER} (its primes do not make its modulus)")
    if n.bit_length() > _SMALL_BITS and e.bit_length() > _LARGE_EXPONENT_BITS:
        raise FormatError(f"its public exponent has {e.bit_length()} bits, more than libcrypto takes")
    if e * d % (p - 1) != 1 or e * d % (q - 1) != 1 or inverse * q % p != 1:
        raise FormatError(f"{_DIFFER} (its private exponent does not fit)")
    # By the remainders of the primes, as sshd signs.
    of_p, of_q = pow(_PROBE, d % (p - 1), p), pow(_PROBE, d % (q - 1), q)
    signature = of_q + (of_p - of_q) * inverse % p * q
    if pow(signature, e, n) != _PROBE % n:
        raise FormatError(f"{_DIFFER} (what it signs cannot be verified)")


def _number(raw: bytes) -> int:
    if len(raw) * 8 > _MAX_BITS + 8 or int.from_bytes(raw, "big") >> _MAX_BITS:
        raise FormatError(f"a number of more than {_MAX_BITS} bits in it, which sshd does not take")
    if raw and raw[0] & 0x80:
        raise FormatError("a negative number in it, which sshd does not take")
    return int.from_bytes(raw, "big")
