"""What is said of a machine's card and firmware, and what comes of a boot on just such hardware."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import fixtures
from guestrepair.boot import BootOptions, BootReport, Outcome, prove
from guestrepair.boot import machine as qemu_machine
from tests.support.program import report_of

pytestmark = [pytest.mark.boot, pytest.mark.long]

DOMAIN = """<domain type='kvm'><os{firmware}><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/x'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><model type='{card}'/></interface></devices></domain>
"""
CARDS = {
    "virtio": "virtio-net-pci",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "rtl8139": "rtl8139",
}
"""libvirt's name of a card, and qemu's."""


def found(image: Path, folder: Path, card: str = "virtio", firmware: str = "") -> set[str]:
    """The rules that have an error or a warning for that machine."""
    described = folder / "machine.xml"
    described.write_text(DOMAIN.format(card=card, firmware=f" firmware='{firmware}'" if firmware else ""))
    _status, report = report_of("scan", image, "--machine", described, "--no-cause", "--only", "platform")
    return {f["rule"] for f in report["images"][0]["findings"] if f["severity"] != "note"}


def with_card(monkeypatch: pytest.MonkeyPatch, card: str) -> None:
    plain = qemu_machine.command_line

    def changed(*arguments: object, **options: object) -> list[str]:
        argv = plain(*arguments, **options)  # type: ignore[arg-type]
        return [word.replace("virtio-net-pci,", f"{CARDS[card]},") for word in argv]

    monkeypatch.setattr(qemu_machine, "command_line", changed)


@pytest.mark.parametrize("card", CARDS)
def test_a_card_gets_the_guest_on_the_network_where_no_driver_is_missed(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = fixtures.build("debian-server")
    said = "platform/nic-driver" not in found(image, tmp_path, card)
    with_card(monkeypatch, card)
    boot = prove(image, options=BootOptions(ssh=True, timeout_seconds=300))
    assert boot.outcome is Outcome.LOGIN
    assert bool(boot.ssh_banner) is said, boot.console_tail
    print(f"{card}: {'reached' if said else 'not reached'}, as was said")


SLOTTED = """<domain type='kvm'><os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
<features><acpi/></features><devices>
<disk type='file' device='disk'><source file='/x'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><model type='virtio'/>
<address type='pci' domain='0x0000' bus='0x00' slot='0x{slot:02x}' function='0x0'/></interface>
</devices></domain>
"""


def test_a_card_is_called_after_its_slot_as_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest's network is for ens12 alone: it is reached by a card in slot 12 and not by one in 13."""
    image = tmp_path / "image.qcow2"
    fixtures.damaged("debian-server", ["network-pinned-name"], out=image)
    with fixtures.edit(image) as guest:
        path = "/etc/systemd/network/10-first.network"
        guest.write(path, guest.read_file(path).replace(b"ens192", b"ens12"))
    plain = qemu_machine.command_line
    for slot in (12, 13):
        described = tmp_path / "machine.xml"
        described.write_text(SLOTTED.format(slot=slot))
        arguments = ("scan", image, "--machine", described, "--no-cause", "--only", "network")
        _status, report = report_of(*arguments)
        (found,) = [f for f in report["images"][0]["findings"] if f["rule"] == "network/pinned-name"]
        assert report["images"][0]["inconclusive"] == []
        said = found["severity"] != "error"

        def on_such(*arguments: object, number: int = slot, **options: object) -> list[str]:
            argv = plain(*arguments, **options)  # type: ignore[arg-type]
            card = f"virtio-net-pci,addr={number:#x},"
            return [w.replace("q35,", "pc,").replace("virtio-net-pci,", card) for w in argv]

        monkeypatch.setattr(qemu_machine, "command_line", on_such)
        boot = prove(image, options=BootOptions(ssh=True, timeout_seconds=300))
        assert boot.outcome is Outcome.LOGIN
        assert bool(boot.ssh_banner) is said is (slot == 12), boot.console_tail


def without_boot_code(image: Path) -> None:
    with image.open("r+b") as disk:
        disk.write(bytes(440))


def without_fallback_loader(image: Path) -> None:
    table = json.loads(subprocess.run(["sfdisk", "-J", image], check=True, capture_output=True).stdout)
    (start,) = [
        p["start"] * 512 for p in table["partitiontable"]["partitions"] if p["type"].startswith("C12A7328")
    ]
    subprocess.run(["mdel", "-i", f"{image}@@{start}", "::EFI/BOOT/BOOTX64.EFI"], check=True)


SPOILED: dict[str, Callable[[Path], None]] = {
    "whole": lambda _image: None,
    "without boot code": without_boot_code,
    "without a loader on the ESP": without_fallback_loader,
}


@pytest.mark.parametrize("firmware", ["bios", "efi"])
@pytest.mark.parametrize("kind", SPOILED)
def test_a_firmware_starts_what_is_said_to_fit_it(
    kind: str, firmware: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = fixtures.copy_of("debian-server", tmp_path / "disk.raw")
    SPOILED[kind](image)
    said = "platform/firmware" not in found(image, tmp_path, firmware=firmware)
    boot = started_by(image, monkeypatch, uefi=firmware == "efi")
    assert (boot.outcome is Outcome.LOGIN) is said, boot.console_tail
    print(f"{kind}, {firmware}: {boot.outcome}, as was said")


def started_by(image: Path, monkeypatch: pytest.MonkeyPatch, *, uefi: bool) -> BootReport:
    # The package has a function of the module's name.
    module = importlib.import_module("guestrepair.boot.prove")
    monkeypatch.setattr(module, "_uefi", lambda *_arguments: uefi)
    return prove(image, "raw", options=BootOptions(timeout_seconds=200))
