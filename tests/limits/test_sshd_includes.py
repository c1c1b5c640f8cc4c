"""Includes of sshd_config that multiply are refused, and not followed to their end."""

from __future__ import annotations

import pytest

from guestrepair.errors import FormatError
from tests.unit.formats.test_sshd_config_format import read


def test_includes_that_multiply_are_refused_in_time() -> None:
    files = {f"/{n}": f"Include /{n + 1} /{n + 1} /{n + 1} /{n + 1}\n".encode() for n in range(15)}
    files["/15"] = b"Port 22\n"
    with pytest.raises(FormatError, match="lines that are read"):
        read("Include /0\n", files=files)
