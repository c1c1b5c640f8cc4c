"""What is said of the network before a boot is what the boot shows: no address, and one after the repair.

The machine of the proof has another MAC and another slot than the guest was made for.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import Booted, guestrepair, needs, visit
from guestrepair.boot import BootOptions, prove

pytestmark = pytest.mark.boot

ADDRESSES = "ip -j addr"
TIMEOUT_SECONDS = 200.0


def found(image: Path) -> list[tuple[str, str]]:
    """(severity, rule) of what the scan says of the network."""
    _, report, stderr = guestrepair("scan", "--only", "network", image)
    assert report, stderr
    return [(f["severity"], f["rule"]) for i in report["images"] for f in i["findings"]]


def pinned_to_a_mac(folder: Path) -> Booted:
    image = fixtures.damaged("debian-server", ["network-pinned-mac"], out=folder / "image.qcow2")
    boot = prove(image, options=BootOptions(ssh=True, timeout_seconds=TIMEOUT_SECONDS))
    return Booted(image, boot=boot)


def repaired(folder: Path) -> Booted:
    image = fixtures.damaged("debian-server", ["network-pinned-name"], out=folder / "image.qcow2")
    assert found(image) == [("warning", "network/pinned-name")]
    status, report, stderr = guestrepair(
        "repair", "--yes", "--all", "--only", "network", "--state-dir", folder / "state", image
    )
    if status != 0:
        return Booted(image, status, report, stderr)
    return replace(visit(image, root=ADDRESSES), status=status, report=report, stderr=stderr)


@pytest.mark.long
@needs(pinned_to_a_mac)
def test_a_guest_pinned_to_another_mac_comes_up_without_an_address(booted: Booted) -> None:
    assert found(booted.image) == [("warning", "network/pinned-mac")]
    assert booted.boot is not None
    assert booted.boot.outcome == "login", booted.boot.summary
    assert booted.boot.ssh_banner == ""


@needs(repaired)
def test_after_the_repair_a_card_in_another_slot_has_an_address(booted: Booted) -> None:
    assert booted.status == 0, booted.stderr
    assert found(booted.image) == []
    assert booted.boot is not None
    assert booted.boot.came_up, booted.boot.summary
    cards = [c for c in json.loads(booted.answers["root"].output) if c["link_type"] == "ether"]
    assert [c["ifname"] for c in cards] != ["ens192"]
    assert any(a["local"].startswith("10.0.2.") for c in cards for a in c["addr_info"])
