"""A guest whose packages only a missing binding of this host can read: said, and no healthy verdict."""

from __future__ import annotations

import json

import pytest

import fixtures
from guestrepair.host_packages import install_command
from tests.support.lacking import files_of, guestrepair_without, needs_namespaces

pytestmark = [pytest.mark.image, needs_namespaces]


def test_a_guest_of_rpm_packages_where_rpm_is_not_there() -> None:
    """Nothing is wrong with the guest: it was not examined."""
    image = fixtures.build("rocky9-like")
    arguments = ("scan", "--host-only", "--only", "packages", "--format", "json", image)
    done = guestrepair_without(files_of("rpm"), *arguments)
    assert done.returncode == 3
    (report,) = json.loads(done.stdout)["images"]
    assert report["findings"] == []
    (reason,) = [item["reason"] for item in report["inconclusive"]]
    assert "Python cannot import rpm" in reason
    assert f"{install_command(('rpm',))}; guestrepair doctor says" in reason


def test_its_inventory_says_so() -> None:
    image = fixtures.build("rocky9-like")
    done = guestrepair_without(files_of("rpm"), "inspect", "--full", "--host-only", image)
    assert done.returncode == 3
    assert "Python cannot import rpm" in done.stdout
    assert "Traceback" not in done.stderr
