"""Real guests with nothing wrong: one scan each, of which every rule of fstab and sshd is told."""

from __future__ import annotations

import pytest

import fixtures
from tests.support.program import report_of

pytestmark = pytest.mark.image


@pytest.mark.parametrize(
    "name", ["debian-server", "centos7-like", "rocky9-like", "debian-xfs", "debian-btrfs", "debian-lvm"]
)
def test_healthy_guests_have_nothing(name: str) -> None:
    image = fixtures.build(name)
    status, report = report_of("scan", image, "--only", "fstab,sshd", "--fail-on", "warning")
    (found,) = report["images"]
    assert (status, found["inconclusive"]) == (0, []), found["findings"]
    assert [f for f in found["findings"] if f["analyzer"] == "sshd"] == []
