"""DSA keys for tests: guests still have them, and libraries warn of them or no longer make them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa


def key() -> dsa.DSAPrivateKey:
    """A new key of the size that ssh has."""
    return dsa.generate_private_key(1024)  # noqa: S505


def in_ssh_s_form(write: Callable[[], bytes]) -> bytes:
    """What a key's own method writes, without the library's warning that this will end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSH DSA key support")
        return write()


def public_line() -> str:
    """A new key's public line, without a comment."""
    form = serialization.PublicFormat.OpenSSH
    public = key().public_key()
    return in_ssh_s_form(lambda: public.public_bytes(serialization.Encoding.OpenSSH, form)).decode()
