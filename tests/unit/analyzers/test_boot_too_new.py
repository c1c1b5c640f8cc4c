"""boot/filesystem-too-new: features that the guest's own kernel, GRUB or e2fsck does not know."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest

from guestrepair.analyzers.boot.features import (
    BTRFS_INCOMPAT,
    BTRFS_RO_COMPAT,
    EXT_COMPAT,
    EXT_INCOMPAT,
    EXT_RO_COMPAT,
    XFS_INCOMPAT,
    XFS_RO_COMPAT,
)
from guestrepair.formats.superblock.features import key_derivations
from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount, OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Safety, Severity
from guestrepair.packages.base import Package
from guestrepair.system.readers import numbers_of
from tests.unit.analyzers.boot_guest import BOOT, ERROR, WARNING, Packages, brief, device, found, with_menu
from tests.unit.analyzers.test_boot_rules import ROOT, VERSION, kernel

RULE = "filesystem-too-new"


def ext(compat: int = 0, incompat: int = 0, ro_compat: int = 0) -> bytes:
    block = bytearray(2048)
    block[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    struct.pack_into("<III", block, 1024 + 0x5C, compat, incompat, ro_compat)
    return bytes(block)


def xfs(incompat: int = 0, ro_compat: int = 0) -> bytes:
    block = bytearray(512)
    block[:4] = b"XFSB"
    struct.pack_into(">H", block, 100, 5)
    struct.pack_into(">III", block, 208, 0, ro_compat, incompat)
    return bytes(block)


def btrfs(incompat: int = 0, ro_compat: int = 0) -> bytes:
    block = bytearray(0x10000 + 4096)
    block[0x10040:0x10048] = b"_BHRfS_M"
    struct.pack_into("<QQQ", block, 0x10000 + 172, 0, ro_compat, incompat)
    return bytes(block)


def packages(e2fsprogs: str = "1.47.0-2", grub: str = "2.06-13") -> Packages:
    return Packages(Package("e2fsprogs", e2fsprogs, "amd64"), Package("grub-common", grub, "amd64"))


AT, OTHER = 0x40000, 0x80000
"""Where partitions begin, in bytes of the disk."""


def put(guest: MemoryGuest, at: int, superblock: bytes) -> None:
    disk = guest.devices["/dev/sda"]
    guest.devices["/dev/sda"] = disk[:at] + superblock + disk[at + len(superblock) :]


def on(content: str, superblock: bytes, release: str = VERSION) -> MemoryGuest:
    """A guest whose root is this."""
    guest = with_menu()
    root = replace(guest.block.devices[1], content=content, start_bytes=AT)
    guest.block = replace(guest.block, devices=(guest.block.devices[0], root))
    put(guest, AT, superblock)
    guest.file("/etc/fstab", f"UUID={ROOT} / {content} defaults 0 1\n")
    if release != VERSION:
        guest.file(f"/boot/vmlinuz-{VERSION}", kernel(release))
        guest.file(f"/lib/modules/{release}/modules.dep", "kernel/x.ko:\n")
        guest.remove(f"/lib/modules/{VERSION}")
    return guest


@pytest.mark.parametrize(
    ("superblock", "e2fsprogs", "says", "command"),
    [
        (ext(compat=0x1000), "1.46.2-2", "orphan_file", "^orphan_file "),
        (ext(compat=0x1000, ro_compat=0x10000), "1.46.2-2", "orphan_present", "^orphan_file "),
        (ext(compat=0x400), "1.45.5-2ubuntu1", "fast_commit", "^fast_commit "),
        (ext(ro_compat=0x400), "1.42.9-19.el7", "metadata_csum", "^metadata_csum "),
        (ext(incompat=0x2000), "1.42.12-1", "metadata_csum_seed", "^metadata_csum_seed "),
        (ext(incompat=0x20000), "1.44.1-1", "casefold", "^casefold "),
        (ext(compat=0x800), "1.45.6-1", "stable_inodes", "cannot be taken off"),
        (ext(ro_compat=0x2000), "1.42.13", "project", "^project "),
    ],
)  # fmt: skip
def test_e2fsck_does_not_know_it(superblock: bytes, e2fsprogs: str, says: str, command: str) -> None:
    guest = on("ext4", superblock)
    (finding,) = found(guest, packages(e2fsprogs, "2.12-1"))[:1]
    assert (finding.rule, finding.severity) == (f"boot/{RULE}", ERROR)
    assert f"e2fsck {e2fsprogs}" in finding.message
    assert says in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL
    assert command in finding.repair.summary
    guest.file("/etc/fstab", f"UUID={ROOT} / ext4 defaults 0 0\n")
    severities = {s for _, s in brief(guest, packages(e2fsprogs, "2.12-1"))}
    assert severities == {WARNING} or "casefold" in says  # GRUB knows no casefold, whoever checks


@pytest.mark.parametrize(
    ("superblock", "grub", "distro", "severity"),
    [
        (ext(incompat=0x2000), "2.04-20", "debian", ERROR),
        (ext(incompat=0x2000), "2.06-3~deb11u6", "debian", ERROR),
        (ext(incompat=0x2000), "2.06-8", "debian", None),
        (ext(incompat=0x2000), "2.12-5", "debian", None),
        (ext(incompat=0x2000), "1:2.02-0.87.el7", "centos", ERROR),
        (ext(incompat=0x2000), "1:2.02-150.el8", "rocky", None),
        (ext(incompat=0x2000), "1:2.06-80.el9", "rocky", None),
        (ext(incompat=0x20000), "2.12-5", "debian", ERROR),
        (ext(incompat=0x8000), "1:2.06-80.el9", "rocky", ERROR),
        (ext(incompat=0x400), "2.12-5", "debian", ERROR),
        (ext(ro_compat=0x200), "2.12-5", "debian", ERROR),
        (ext(incompat=0x4000), "2.04-1ubuntu26", "ubuntu", ERROR),
        (ext(incompat=0x2C2), "2.02-1", "debian", None),
    ],
)
def test_grub_does_not_know_it(superblock: bytes, grub: str, distro: str, severity: Severity | None) -> None:
    guest = on("ext4", superblock)
    guest.os = OperatingSystem(distro, "1", distro, "x86_64", "deb", "g")
    expected = [] if severity is None else [(RULE, severity)]
    assert brief(guest, packages(grub=grub)) == expected


@pytest.mark.parametrize(
    ("superblock", "grub", "severity"),
    [
        (xfs(incompat=0x20), "2.04-13", ERROR),
        (xfs(incompat=0x20), "2.06-13", None),
        (xfs(incompat=0x8), "2.04-1", ERROR),
        (xfs(incompat=0x8 | 0x7), "2.06-3", None),
        (xfs(incompat=0x40), "2.12-1", ERROR),
        (xfs(incompat=0x7), "2.02-1", None),
    ],
)
def test_grub_and_xfs(superblock: bytes, grub: str, severity: Severity | None) -> None:
    guest = on("xfs", superblock, "6.12.0-1-amd64")
    assert brief(guest, packages(grub=grub)) == ([] if severity is None else [(RULE, severity)])


@pytest.mark.parametrize(
    ("content", "superblock", "release", "severity"),
    [
        ("ext4", ext(incompat=0x20000), "4.19.0-1-amd64", ERROR),
        ("ext4", ext(ro_compat=0x8000), "4.19.0-1-amd64", ERROR),
        ("ext4", ext(compat=0x1000), "4.19.0-1-amd64", None),
        ("ext4", ext(incompat=0x2C2, ro_compat=0x46B), "4.19.0-1-amd64", None),
        ("xfs", xfs(incompat=0x8), "5.4.0-1-generic", ERROR),
        ("xfs", xfs(ro_compat=0x8), "5.4.0-1-generic", ERROR),
        ("xfs", xfs(incompat=0xF, ro_compat=0xF), "5.10.0-1-amd64", None),
        ("xfs", xfs(ro_compat=0x4), "3.10.0-1160.el7.x86_64", ERROR),
        ("xfs", xfs(incompat=0x3, ro_compat=0x1), "3.10.0-1160.el7.x86_64", None),
        ("xfs", xfs(incompat=0xB, ro_compat=0xD), "4.18.0-513.el8.x86_64", ERROR),
        ("xfs", xfs(incompat=0x3, ro_compat=0x5), "4.18.0-513.el8.x86_64", None),
        ("xfs", xfs(incompat=0x2B, ro_compat=0xD), "5.14.0-427.el9.x86_64", None),
        ("xfs", xfs(incompat=0x8), "5.3.18-150300.59.106-default", None),
        ("btrfs", btrfs(ro_compat=0xB), "5.15.0-1-generic", ERROR),
        ("btrfs", btrfs(ro_compat=0x3, incompat=0x371), "5.15.0-1-generic", None),
        ("btrfs", btrfs(incompat=0x10000), "6.1.0-1-amd64", ERROR),
    ],
)
def test_the_kernel_does_not_know_it(
    content: str, superblock: bytes, release: str, severity: Severity | None
) -> None:
    guest = on(content, superblock, release)
    assert brief(guest, Packages()) == ([] if severity is None else [(RULE, severity)])


def test_only_what_boot_reads_is_judged() -> None:
    guest = on("ext4", ext())
    data = device("/dev/sda5", "ext4", BOOT, start_bytes=OTHER)
    guest.block = replace(guest.block, devices=(*guest.block.devices, data))
    guest.mounts = (*guest.mounts, Mount("/dev/sda5", "/data", "ext4", BOOT))
    put(guest, OTHER, ext(compat=0x1000))
    old = packages("1.46.2-2")
    fstab = f"UUID={ROOT} / ext4 defaults 0 1\nUUID={BOOT} /data ext4 defaults 0 2\n"
    guest.file("/etc/fstab", fstab)
    assert brief(guest, old) == [(RULE, ERROR)]
    guest.file("/etc/fstab", fstab.replace("/data ext4 defaults", "/data ext4 nofail"))
    assert found(guest, old) == []


def test_unknown_versions_and_no_packages_prove_nothing() -> None:
    guest = on("ext4", ext(compat=0x1000, incompat=0x22000))
    assert found(guest) == []
    assert found(guest, Packages()) == []
    assert found(guest, packages("unknown", "rolling")) == []


def test_argon2_where_grub_has_to_open_the_container() -> None:
    text = json.dumps({"keyslots": {"0": {"type": "luks2", "kdf": {"type": "argon2id"}}}}).encode()
    header = bytearray(0x4000)
    header[:8] = b"LUKS\xba\xbe\0\x02"
    struct.pack_into(">Q", header, 8, 0x4000)
    header[4096 : 4096 + len(text)] = text
    assert key_derivations(lambda at, size: bytes(header[at : at + size])) == {"argon2id"}
    guest = with_menu("/dev/mapper/x")
    root = BlockDevice("/dev/mapper/x", DeviceKind.CRYPT, 1 << 20, "ext4", ROOT, parents=("/dev/sda3",))
    container = device("/dev/sda3", "crypto_LUKS", BOOT, disk="")
    guest.block = replace(guest.block, devices=(guest.block.devices[0], container, root))
    guest.mounts = (Mount("/dev/mapper/x", "/", "ext4", ROOT), guest.mounts[1])
    guest.file("/etc/crypttab", f"x UUID={BOOT} none luks\n")
    guest.devices["/dev/sda3"], guest.devices["/dev/mapper/x"] = bytes(header), ext()
    old = packages()
    rules = [f for f in found(guest, old) if f.rule == f"boot/{RULE}"]
    assert len(rules) == 1
    assert rules[0].repair is not None
    assert "luksConvertKey --pbkdf pbkdf2" in rules[0].repair.summary
    guest.devices["/dev/sda3"] = bytes(header).replace(b"argon2id", b"pbkdf2\0\0")
    assert [f for f in found(guest, old) if f.rule == f"boot/{RULE}"] == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.47.0-2+b2", ((1, 47, 0), 2)),
        ("2.06-13+deb12u1", ((2, 6), 13)),
        ("2.02+dfsg1-20+deb10u4", ((2, 2), 20)),
        ("1:2.06-70.el9_3.2", ((2, 6), 70)),
        ("2.02~beta2-36", ((2, 2), 36)),
        ("1.42.13", ((1, 42, 13), 0)),
        ("git", None),
        ("", None),
    ],
)
def test_versions(text: str, numbers: object) -> None:
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    "table",
    [EXT_COMPAT, EXT_INCOMPAT, EXT_RO_COMPAT, XFS_INCOMPAT, XFS_RO_COMPAT, BTRFS_INCOMPAT, BTRFS_RO_COMPAT],
)
def test_each_feature_has_a_bit_of_its_own(table: tuple[object, ...]) -> None:
    bits = [feature.bit for feature in table]  # type: ignore[attr-defined]
    assert len(set(bits)) == len(bits)
    assert all(bit and bit & (bit - 1) == 0 for bit in bits)
