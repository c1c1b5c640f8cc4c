"""A sealed image is no machine: booted twice, it is two, each with an identity and host keys of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.booting import Booted, guestrepair, needs, visit

pytestmark = [pytest.mark.boot, pytest.mark.long]

RULES = (
    "machine-id",
    "ssh-host-key",
    "hostname",
    "logs",
    "history",
    "account-copy",
    "random-seed",
    "dhcp-lease",
)
ASKED = """
cat /etc/machine-id
cat /etc/ssh/ssh_host_ed25519_key.pub
hostname
systemctl is-system-running --wait
findmnt -n -o FSTYPE /
"""


def two_of_one(folder: Path) -> Booted:
    """Seal a server that makes its host keys at boot, and boot two copies of it, one after the other.

    Its keys for logins stay, since nothing would give a copy others: the visitor comes in by them.
    """
    image = fixtures.damaged("debian-server", ["host-keys-at-boot"], out=folder / "image.qcow2")
    selected = [word for rule in RULES for word in ("--select", f"golden/{rule}")]
    status, report, stderr = guestrepair(
        "repair", "--profile", "golden", "--yes", *selected, "--state-dir", folder / "state", image
    )
    visits = [visit(image, root=ASKED) for _ in range(2)]
    answers = {str(number): came.answers["root"] for number, came in enumerate(visits) if came.answers}
    return Booted(image, status, report, stderr, visits[-1].boot, answers)


@needs(two_of_one)
def test_two_copies_of_a_sealed_image_are_two_machines(booted: Booted) -> None:
    repaired = {f["rule"] for f in booted.report["images"][0]["findings"] if f["status"] == "repaired"}
    assert {"golden/machine-id", "golden/ssh-host-key", "golden/hostname"} <= repaired, booted.stderr
    assert len(booted.answers) == 2, booted.boot
    one, other = (booted.answers[name].output.split("\n") for name in ("0", "1"))
    assert len(one[0]) == len(other[0]) == 32
    assert one[0] != other[0]  # /etc/machine-id
    assert one[1].startswith("ssh-ed25519 ")
    assert other[1].startswith("ssh-ed25519 ")
    assert one[1].split()[1] != other[1].split()[1]
    assert one[2:4] == other[2:4] == ["localhost", "running"]
