"""Keys as ssh-keygen writes them, in each form, and what it says of their public half."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.formats.ssh_key import parse_private_key, parse_public_key
from tests.unit.formats.test_ssh_key import generate


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
