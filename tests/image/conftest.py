"""Real images for the image tests: built once into the cache, and never written to there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import fixtures
from fixtures.debian.cloud import NAME as CLOUD

Damaged = Callable[..., Path]
"""``damaged(faults, base="debian-server", name="image.qcow2")``: a broken copy in this test's folder."""


@pytest.fixture(scope="session")
def debian_image() -> Path:
    """The healthy Debian 12 server, qcow2; not to be written to (see :func:`damaged` and ``copy_of``)."""
    return fixtures.build("debian-server")


@pytest.fixture(scope="session")
def debian_debs() -> Path:
    """The folder of every .deb that the Debian server was installed from."""
    return fixtures.debian_debs()


@pytest.fixture(scope="session")
def centos7_image() -> Path:
    """The CentOS-7-like rpm guest, qcow2; not to be written to."""
    return fixtures.build("centos7-like")


@pytest.fixture(scope="session")
def rocky9_image() -> Path:
    """The Rocky-9-like rpm guest, qcow2; not to be written to."""
    return fixtures.build("rocky9-like")


@pytest.fixture(scope="session")
def planted_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud image with something for every rule of ``golden/``; not to be written to."""
    return fixtures.damaged(CLOUD, ["golden"], out=tmp_path_factory.mktemp("golden") / "planted.qcow2")


@pytest.fixture
def damaged(tmp_path: Path) -> Damaged:
    """Make broken copies in this test's folder; each costs a launch, so ask for several faults at once."""

    def make(faults: Iterable[str], base: str | Path = "debian-server", name: str = "image.qcow2") -> Path:
        return fixtures.damaged(base, faults, out=tmp_path / name)

    return make
