"""boot/efi-configuration-missing: what is built into a GRUB on the EFI system partition leads nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, Safety
from tests.unit.analyzers.boot_guest import (
    BOOT,
    CHECKED,
    ERROR,
    STUB,
    WARNING,
    brief,
    device,
    found,
    mended,
    with_entries,
    with_menu,
)
from tests.unit.analyzers.efi_images import grub_image, pe
from tests.unit.analyzers.test_boot_rules import ROOT, VERSION

RULE = "efi-configuration-missing"
CONFIG = "/boot/efi/EFI/rocky/grub.cfg"
BY_UUID = f"search.fs_uuid {ROOT} root hd0,gpt3\nset prefix=($root)'/boot/grub'\n".encode()


def lost(*, bios: bool = False) -> MemoryGuest:
    guest = with_entries(bios=bios)
    guest.remove(CONFIG)
    return guest


@pytest.mark.parametrize(("bios", "severity"), [(False, ERROR), (True, WARNING)])
def test_the_stub_is_gone_and_written_again(bios: bool, severity: object) -> None:
    guest = lost(bios=bios)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity, finding.subject) == (f"boot/{RULE}", severity, CONFIG)
    assert finding.folded == ("/boot/efi/EFI/BOOT/BOOTX64.EFI",)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    mended(guest, finding)
    text = guest.nodes[GuestPath(CONFIG)].content.decode()
    assert text == (
        f"search --no-floppy --fs-uuid --set=dev {ROOT}\nset prefix=($dev)/boot/grub2\nexport prefix\n"
        "configfile $prefix/grub.cfg\n"
    )
    assert found(guest) == []


def test_boot_on_a_partition_of_its_own_and_btrfs() -> None:
    guest = lost()
    boot = device("/dev/sda4", "ext4", BOOT)
    guest.block = replace(guest.block, devices=(*guest.block.devices, boot))
    guest.mounts = (*guest.mounts, Mount("/dev/sda4", "/boot", "ext4", BOOT))
    guest.devices["/dev/sda4"] = bytes(4096)
    (finding,) = found(guest)
    mended(guest, finding)
    text = guest.nodes[GuestPath(CONFIG)].content.decode()
    assert f"--set=dev {BOOT}\nset prefix=($dev)/grub2\n" in text
    guest = lost()
    root = replace(guest.mounts[0], subvolume="@", type="btrfs")
    guest.mounts = (root, guest.mounts[1])
    (finding,) = found(guest)
    mended(guest, finding)
    assert b"set prefix=($dev)/@/boot/grub2\n" in guest.nodes[GuestPath(CONFIG)].content


def test_in_a_container_a_person_writes_it() -> None:
    guest = lost()
    root = BlockDevice("/dev/mapper/x", DeviceKind.CRYPT, 1 << 20, "ext4", ROOT, parents=("/dev/sda3",))
    devices = (guest.block.devices[0], device("/dev/sda3", "crypto_LUKS", BOOT), root)
    guest.block = replace(guest.block, devices=devices)
    guest.mounts = (Mount("/dev/mapper/x", "/", "ext4", ROOT), guest.mounts[1])
    guest.devices["/dev/mapper/x"] = bytes(4096)
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\n\n"])
def test_an_empty_one_is_as_good_as_none(content: bytes) -> None:
    guest = with_entries(bios=False)
    guest.file(CONFIG, content)
    assert brief(guest) == [(RULE, ERROR)]
    mended(guest, found(guest)[0])
    assert found(guest) == []


def test_a_stub_that_leads_nowhere() -> None:
    guest = with_entries(bios=False)
    guest.file(CONFIG, STUB.format(uuid=ROOT, folder="/grub2"))
    (finding,) = found(guest)
    assert "leads to /grub2/grub.cfg, which is not there" in finding.message
    mended(guest, finding)
    assert found(guest) == []


@pytest.mark.parametrize(
    "stub",
    [
        STUB.format(uuid=ROOT, folder="/boot/grub2"),
        f"search.fs_uuid {ROOT} root \nset prefix=($root)'/boot/grub2'\nconfigfile $prefix/grub.cfg\n",
        "set prefix=(lvm/vg-root)/boot/grub2\nconfigfile $prefix/grub.cfg\n",
        "configfile /somewhere/else.cfg\n",
        "set btrfs_relative_path=yes\nsearch --fs-uuid --set=root X\nsource $x/grub.cfg\n",
        "menuentry 'x' { linux /x }\n",
    ],
)
def test_stubs_that_lead_somewhere_or_nobody_knows(stub: str) -> None:
    guest = with_entries(bios=False)
    guest.file(CONFIG, stub)
    assert RULE not in [rule for rule, _ in brief(guest)]


@pytest.mark.parametrize(
    "image",
    [
        grub_image("", config=BY_UUID),
        grub_image("/boot/grub", config=BY_UUID),
        grub_image("/EFI/debian", config=b"search --label --set=root X\n"),
        grub_image("/EFI/debian", config=b"normal\n"),
        grub_image("(,gpt3)/boot/grub2"),
        grub_image("(hd0,gpt3)/boot/grub2"),
        grub_image("(memdisk)/boot/grub", memdisk=b"x"),
        grub_image("(lvm/vg-root)/boot/grub2"),
        grub_image("(cryptouuid/1)/boot/grub2"),
        grub_image("/boot/grub", config=b"normal (memdisk)/grub.cfg\n", memdisk=b"x"),
    ],
)
def test_what_is_built_in_needs_no_stub(image: bytes) -> None:
    guest = lost()
    guest.remove("/boot/efi/EFI/rocky")
    guest.file("/boot/efi/EFI/debian/grubx64.efi", image)
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", image)
    assert found(guest) == []


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (grub_image("", config=BY_UUID.replace(ROOT.encode(), BOOT.encode())), "on none of the disks"),
        (grub_image("(,gpt7)/boot/grub2"), "has no partition 7"),
        (grub_image("(,gpt3)/grub2"), "/grub2/grub.cfg is not there"),
        (
            grub_image("/EFI/debian", config=b"normal (memdisk)/grub.cfg\n", memdisk=b"x"),
            "EFI/debian/grub.cfg is not there",
        ),
    ],
)
def test_what_is_built_in_leads_nowhere(image: bytes, says: str) -> None:
    guest = lost()
    guest.remove("/boot/efi/EFI/rocky")
    guest.file("/boot/efi/EFI/debian/grubx64.efi", image)
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", image)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{RULE}", ERROR)
    assert says in finding.message


def test_names_on_fat_have_no_case_and_a_grub_may_read_what_lies_beside_it() -> None:
    guest = lost()
    guest.file("/boot/efi/EFI/Rocky/GRUB.CFG", STUB.format(uuid=ROOT, folder="/boot/grub2"))
    guest.remove("/boot/efi/EFI/rocky")
    guest.remove("/boot/efi/EFI/BOOT")
    guest.file("/boot/efi/EFI/Rocky/grubx64.efi", grub_image("/EFI/rocky"))
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", pe((b".text", b"shim")))
    guest.file("/boot/efi/EFI/Rocky/shimx64.efi", pe((b".text", b"shim")))
    assert found(guest) == []
    guest = lost()
    guest.remove("/boot/efi/EFI/rocky")
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/rocky"))
    guest.file("/boot/efi/EFI/BOOT/grub.cfg", STUB.format(uuid=ROOT, folder="/boot/grub2"))
    assert found(guest) == []


def test_a_whole_menu_on_the_partition() -> None:
    guest = lost()
    menu = guest.nodes[GuestPath("/boot/grub2/grub.cfg")].content
    guest.remove("/boot/grub2")
    guest.file(CONFIG, menu)
    assert found(guest) == []


@pytest.mark.parametrize(
    "path",
    [
        "/boot/efi/EFI/systemd/systemd-bootx64.efi",
        "/boot/efi/EFI/refind/refind_x64.efi",
        "/boot/efi/EFI/Linux/x.efi",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI",
    ],
)
def test_beside_another_loader_a_grub_is_a_leftover(path: str) -> None:
    guest = lost()
    guest.file(path, pe((b".text", b"another loader"), (b".sbat", b"sbat,1")))
    assert found(guest) == []


def test_shim_is_no_other_loader() -> None:
    guest = lost()
    for path in ("rocky/shimx64.efi", "rocky/mmx64.efi", "BOOT/fbx64.efi", "BOOT/BOOTX64.EFI"):
        guest.file(f"/boot/efi/EFI/{path}", pe((b".text", b"shim")))
    assert brief(guest) == [(RULE, ERROR)]


def test_a_vendors_grub_without_while_the_fallback_has_its_own() -> None:
    guest = lost()
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/BOOT"))
    guest.file("/boot/efi/EFI/BOOT/grub.cfg", STUB.format(uuid=ROOT, folder="/boot/grub2"))
    assert brief(guest) == [(RULE, WARNING)]
    guest = with_entries(bios=False)
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/BOOT"))
    assert found(guest) == []


def test_without_a_menu_in_boot_nothing_is_written() -> None:
    guest = with_menu(bios=False)
    guest.file("/boot/efi/EFI/rocky/grubx64.efi", grub_image("/EFI/rocky"))
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/rocky"))
    guest.remove("/boot/grub/grub.cfg")
    findings = [f for f in found(guest) if f.rule == f"boot/{RULE}"]
    assert [f.repair.safety for f in findings if f.repair is not None] == [Safety.MANUAL]


def test_damaged_and_unreadable_programs() -> None:
    guest = lost()
    whole = grub_image("/EFI/rocky")
    for damaged in (whole[:100], whole[:1100], whole.replace(b"mimg\0\0\0\0\x18", b"mimg\0\0\0\0\xff\xff")):
        guest.file("/boot/efi/EFI/rocky/grubx64.efi", damaged)
        findings, inconclusive = run_analyzer(CHECKED, Context(guest))
        assert [f for f in findings if f.rule == f"boot/{RULE}"] == []
        assert inconclusive
    guest = lost()
    guest.nodes[GuestPath("/boot/efi/EFI/BOOT/BOOTX64.EFI")].unreadable = "Input/output error"
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert "Input/output error" in inconclusive[0].reason


def test_the_kernel_of_the_entry_is_another_matter() -> None:
    guest = lost()
    guest.remove(f"/boot/vmlinuz-{VERSION}")
    assert RULE in [rule for rule, _ in brief(guest)]
