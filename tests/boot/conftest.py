"""Images for the boot tests: the healthy server, and broken copies made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fixtures


@pytest.fixture(scope="session")
def debian_image() -> Path:
    """The healthy Debian server; not to be written to."""
    return fixtures.build("debian-server")


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make (once a session) a copy of the Debian server with these faults; nobody writes to it either."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*faults: str) -> Path:
        if faults not in made:
            out = tmp_path_factory.mktemp("broken") / "image.qcow2"
            made[faults] = fixtures.damaged("debian-server", faults, out=out)
        return made[faults]

    return make
