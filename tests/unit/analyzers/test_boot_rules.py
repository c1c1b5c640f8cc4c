"""Boot rules on an in-memory guest: each link of the chain taken away, healthy chains of several loaders."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.boot import ANALYZER
from guestrepair.errors import FormatError
from guestrepair.formats import initramfs
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    Finding,
    GuestPath,
    Inconclusive,
    RunGuestProgram,
    Safety,
    Severity,
    WriteFile,
)
from tests.unit.analyzers.efi_images import grub_image

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
ROOT = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c101"
OTHER = "00000000-0b6e-4c39-9d5a-6a1f3be0c101"
VERSION = "6.1.0-1-amd64"
OLD = "6.1.0-0-amd64"


def kernel(version: str = VERSION) -> bytes:
    head = bytearray(2048)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<I", head, 0x1F4, 64)
    struct.pack_into("<H", head, 0x20E, 0x100)
    text = f"{version} (debian) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head)


def cpio(name: bytes = b"init", data: bytes = b"#!/bin/sh\n") -> bytes:
    def member(n: bytes, d: bytes) -> bytes:
        fields = [1, 0o100755, 0, 0, 1, 0, len(d), 0, 0, 0, 0, len(n) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + n + b"\0"
        head += bytes(-len(head) % 4)
        return head + d + bytes(-len(d) % 4)

    return member(name, data) + member(b"TRAILER!!!", b"")


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


INITRD = cpio() + bytes(64) + gzip(cpio(data=bytes(range(256)) * 400))


def grub_cfg(*versions: str, root: str = ROOT, search: str = ROOT, default: str = "0") -> str:
    text = f'set default="{default}"\n'
    for version in versions:
        text += f"menuentry 'Debian {version}' $menuentry_id_option 'gnulinux-{version}' {{\n"
        text += f"\tset root='hd0,gpt3'\n\tsearch --no-floppy --fs-uuid --set=root {search}\n"
        text += f"\tlinux /boot/vmlinuz-{version} root=UUID={root} ro quiet\n"
        text += f"\tinitrd /boot/initrd.img-{version}\n}}\n"
    return text


def bare(*, sector: bytes = b"code GRUB ", esp: bool = True) -> MemoryGuest:
    devices = [BlockDevice("/dev/sda3", DeviceKind.PARTITION, 1 << 20, "ext4", ROOT, disk="/dev/sda")]
    mounts = [Mount("/dev/sda3", "/", "ext4", ROOT)]
    if esp:
        devices.append(BlockDevice("/dev/sda2", DeviceKind.PARTITION, 1 << 20, "vfat", "1", disk="/dev/sda"))
        mounts.append(Mount("/dev/sda2", "/boot/efi", "vfat", "1"))
    disk = Disk("/dev/sda", "x", 1 << 20, table="gpt")
    guest = MemoryGuest(block=BlockDevices((disk,), tuple(devices)), mounts=tuple(mounts))
    content = bytearray(1 << 20)
    content[: len(sector)] = sector
    content[0x5C:0x64] = (64).to_bytes(8, "little")
    content[64 * 512 : 64 * 512 + 32 * 1024] = b"core" * 8192
    guest.devices["/dev/sda"] = bytes(content) if sector else bytes(1 << 20)
    return guest


def healthy(*versions: str, **options: str) -> MemoryGuest:
    versions = versions or (VERSION,)
    guest = bare()
    guest.file("/boot/grub/grub.cfg", grub_cfg(*versions, **options))
    guest.file("/boot/grub/i386-pc/normal.mod", b"x")
    guest.directory("/boot/grub/x86_64-efi")
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", b"MZ")
    guest.file("/usr/sbin/update-initramfs", b"x")
    for version in versions:
        guest.file(f"/boot/vmlinuz-{version}", kernel(version))
        guest.file(f"/boot/initrd.img-{version}", INITRD)
        guest.file(f"/lib/modules/{version}/modules.dep", b"kernel/x.ko:\n")
    return guest


def run(guest: MemoryGuest) -> tuple[list[Finding], list[Inconclusive]]:
    return run_analyzer(ANALYZER, Context(guest))


def brief(guest: MemoryGuest) -> list[tuple[str, Severity, str]]:
    findings, inconclusive = run(guest)
    assert inconclusive == []
    return [(f.rule.removeprefix("boot/"), f.severity, f.subject) for f in findings]


def test_healthy_grub() -> None:
    assert brief(healthy(VERSION, OLD)) == []


def test_healthy_bls_with_variables() -> None:
    guest = bare(esp=False)
    guest.file("/boot/grub2/grub.cfg", 'set default="${saved_entry}"\nblscfg\n')
    block = f"# GRUB Environment Block\nsaved_entry=m-{VERSION}\nkernelopts=root=UUID={ROOT} ro\n"
    guest.file("/boot/grub2/grubenv", block.ljust(1024, "#"))
    entry = f"title R\nversion {VERSION}\nlinux /vmlinuz-{VERSION}\ninitrd /initramfs-{VERSION}.img\n"
    guest.file(f"/boot/loader/entries/m-{VERSION}.conf", entry + "options $kernelopts\n")
    guest.file(f"/boot/vmlinuz-{VERSION}", kernel())
    guest.file(f"/boot/initramfs-{VERSION}.img", INITRD)
    guest.file(f"/lib/modules/{VERSION}/modules.dep", b"kernel/x.ko:\n")
    assert brief(guest) == []


def test_menu_on_the_efi_system_partition() -> None:
    guest = healthy()
    guest.remove("/boot/grub")
    guest.file("/boot/efi/EFI/centos/grub.cfg", grub_cfg(VERSION))
    assert brief(guest) == []
    guest.remove(f"/boot/vmlinuz-{VERSION}")
    assert brief(guest) == [("kernel-missing", ERROR, f"/boot/vmlinuz-{VERSION}")]


def test_healthy_unified_kernel() -> None:
    guest = bare(sector=b"")
    guest.file("/boot/efi/EFI/Linux/debian.efi", b"MZ")
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", b"MZ")
    assert brief(guest) == []


def test_container_without_kernel_is_a_note() -> None:
    guest = bare(sector=b"", esp=False)
    assert brief(guest) == [("kernel-missing", NOTE, "/boot")]


def test_unmounted_boot_is_inconclusive() -> None:
    guest = bare(esp=False)
    guest.unmounted = (("/boot", "UUID=x is on no disk"),)
    findings, inconclusive = run(guest)
    assert findings == []
    assert "UUID=x is on no disk" in inconclusive[0].reason


def test_kernel_missing() -> None:
    guest = healthy()
    guest.remove(f"/boot/vmlinuz-{VERSION}")
    assert brief(guest) == [("kernel-missing", ERROR, f"/boot/vmlinuz-{VERSION}")]


def test_kernel_cut_off_with_a_copy_among_the_modules() -> None:
    guest = healthy()
    guest.file(f"/boot/vmlinuz-{VERSION}", kernel()[:1600])
    guest.file(f"/lib/modules/{VERSION}/vmlinuz", kernel())
    (found,), _ = run(guest)
    assert "it is cut off: 1600 bytes of 2048" in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    (change,) = found.repair.changes
    assert isinstance(change, WriteFile)
    assert change.after == kernel()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (bytes(5000), "nothing but zeros"),
        (INITRD[:60], "it is cut off"),
        (INITRD[:-100], "it is cut off"),
        (b"hello world", "neither a cpio archive"),
        (b"\xfd7zXZ\0" + b"x" * 100, "xz data is damaged"),
        (b"\x28\xb5\x2f\xfd\x24\x10\xff\xff\xff", "zstd data is damaged"),
    ],
)
def test_initramfs_damaged(content: bytes, says: str) -> None:
    guest = healthy()
    guest.file(f"/boot/initrd.img-{VERSION}", content)
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("boot/initramfs-missing", ERROR)
    assert says in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, RunGuestProgram)
    assert change.arguments == ("/usr/sbin/update-initramfs", "-c", "-k", VERSION)


def test_initramfs_missing_and_older_entry_complete() -> None:
    guest = healthy(VERSION, OLD)
    guest.remove(f"/boot/initrd.img-{VERSION}")
    findings, _ = run(guest)
    assert [f.rule for f in findings] == ["boot/default-entry-broken", "boot/initramfs-missing"]
    assert findings[0].repair is not None
    (change,) = findings[0].repair.changes
    assert isinstance(change, EditFile)
    guest.file("/boot/grub/grub.cfg", change.after)
    assert [(f.rule, f.severity) for f in run(guest)[0]] == [("boot/initramfs-missing", WARNING)]


def test_modules_missing() -> None:
    guest = healthy()
    guest.remove(f"/lib/modules/{VERSION}/modules.dep")
    assert brief(guest) == [("modules-missing", ERROR, f"/lib/modules/{VERSION}/modules.dep")]
    guest.remove(f"/lib/modules/{VERSION}")
    assert brief(guest) == [("modules-missing", ERROR, f"/lib/modules/{VERSION}")]


def test_root_device_wrong_everywhere() -> None:
    guest = healthy(VERSION, OLD, root=OTHER, search=OTHER)
    findings, _ = run(guest)
    assert [(f.rule, f.severity) for f in findings] == [("boot/root-device-wrong", ERROR)] * 2
    content = guest.read(GuestPath("/boot/grub/grub.cfg"))
    for finding in findings:
        assert finding.repair is not None
        assert finding.repair.safety is Safety.SAFE
        (change,) = finding.repair.changes
        assert isinstance(change, EditFile)
        assert len(change.edits) == 2
        assert change.before == content
    edits = tuple(e for f in findings for c in f.repair.changes if isinstance(c, EditFile) for e in c.edits)  # type: ignore[union-attr]
    change = findings[0].repair.changes[0]  # type: ignore[union-attr]
    assert isinstance(change, EditFile)
    guest.file("/boot/grub/grub.cfg", EditFile(path=change.path, before=content, edits=edits).after)
    assert brief(guest) == []


def test_entries_of_other_systems_are_left_alone() -> None:
    guest = healthy()
    text = grub_cfg(VERSION) + grub_cfg("9.9-other", root=OTHER, search=OTHER).partition("\n")[2]
    guest.file("/boot/grub/grub.cfg", text)
    assert [f for f in brief(guest) if f[0] == "root-device-wrong"] == []


def test_efi_stub_searches_for_a_missing_filesystem() -> None:
    guest = healthy()
    stub = f"search.fs_uuid {OTHER} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    guest.file("/boot/efi/EFI/debian/grub.cfg", stub)
    (found,) = brief(guest)
    assert found == ("root-device-wrong", ERROR, "/boot/efi/EFI/debian/grub.cfg:1")


def test_kernel_cmdline_file() -> None:
    guest = healthy()
    guest.file("/etc/kernel/cmdline", f"quiet root=UUID={OTHER} ro\n")
    assert brief(guest) == [("root-device-wrong", WARNING, "/etc/kernel/cmdline:1")]


def test_no_configuration_of_an_installed_grub() -> None:
    guest = healthy()
    guest.remove("/boot/grub/grub.cfg")
    assert ("default-entry-broken", ERROR, "/boot/grub/grub.cfg") in brief(guest)
    guest.file("/boot/grub/grub.cfg", "")
    assert ("default-entry-broken", ERROR, "/boot/grub/grub.cfg") in brief(guest)


def test_default_that_is_no_entry_is_a_note() -> None:
    assert brief(healthy(default="7")) == [("default-entry-broken", NOTE, "/boot/grub/grub.cfg")]


def test_boot_code_gone() -> None:
    guest = healthy()
    guest.devices["/dev/sda"] = bytes(1 << 20)
    (found,), _ = run(guest)
    assert (found.rule, found.severity, found.subject) == ("boot/loader-missing", ERROR, "/dev/sda")
    assert "UEFI still starts" in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL
    guest.remove("/boot/efi/EFI")
    assert ("loader-missing", ERROR, "/dev/sda") in brief(guest)


def test_boot_code_gone_and_the_guest_can_install_it() -> None:
    guest = healthy()
    guest.devices["/dev/sda"] = bytes(1 << 20)
    guest.file("/usr/sbin/grub-install", b"x")
    for name in ("kernel.img", "boot.img"):
        guest.file(f"/usr/lib/grub/i386-pc/{name}", b"x")
    (found,), _ = run(guest)
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, RunGuestProgram)
    assert change.arguments == ("/usr/sbin/grub-install", "--target=i386-pc", "/dev/sda")


def test_an_empty_esp_is_filled_under_both_names() -> None:
    guest = healthy()
    guest.remove("/boot/efi/EFI")
    guest.file("/usr/sbin/grub-install", b"x")
    guest.file("/usr/lib/grub/x86_64-efi/modinfo.sh", b"x")
    (found,), _ = run(guest)
    assert (found.rule, found.subject) == ("boot/loader-missing", "/boot/efi")
    assert found.repair is not None
    removable = ["--removable" in c.arguments for c in found.repair.changes if isinstance(c, RunGuestProgram)]
    assert removable == [False, True]


def test_without_an_index_of_modules_depmod_comes_before_the_initramfs() -> None:
    guest = healthy()
    guest.file(f"/lib/modules/{VERSION}/modules.dep", b"")
    guest.remove(f"/boot/initrd.img-{VERSION}")
    found = {f.rule: f for f in run(guest)[0]}
    repair = found["boot/initramfs-missing"].repair
    assert repair is not None
    programs = [c.arguments[0] for c in repair.changes if isinstance(c, RunGuestProgram)]
    assert programs == ["/sbin/depmod", "/usr/sbin/update-initramfs"]
    assert found["boot/modules-missing"].repair is not None
    assert found["boot/modules-missing"].repair.changes == repair.changes[:1]


def test_core_image_gone_and_modules_gone() -> None:
    guest = healthy()
    guest.devices["/dev/sda"] = guest.devices["/dev/sda"][: 64 * 512] + bytes(4096)
    assert brief(guest) == [("loader-missing", ERROR, "/dev/sda")]
    guest = healthy()
    content = bytearray(guest.devices["/dev/sda"])
    content[70 * 512 : 71 * 512] = bytes(512)
    guest.devices["/dev/sda"] = bytes(content)
    assert brief(guest) == [("loader-missing", ERROR, "/dev/sda")]
    guest = healthy()
    guest.remove("/boot/grub/i386-pc/normal.mod")
    guest.directory("/boot/grub/i386-pc")
    assert brief(guest) == [("loader-missing", ERROR, "/dev/sda")]


def test_efi_programs() -> None:
    guest = healthy()
    guest.remove("/boot/efi/EFI/BOOT")
    assert brief(guest) == [("loader-missing", WARNING, "/boot/efi")]
    guest.file(
        "/boot/efi/EFI/debian/grubx64.efi", grub_image("", config=b"search.fs_uuid %s root" % ROOT.encode())
    )
    assert brief(guest) == [("loader-missing", NOTE, "/boot/efi/EFI/BOOT/BOOTX64.EFI")]
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", b"")
    assert brief(guest) == [("loader-missing", WARNING, "/boot/efi/EFI/BOOT/BOOTX64.EFI")]


def test_unreadable_configuration_is_inconclusive() -> None:
    guest = healthy()
    guest.file("/boot/grub/grub.cfg", b"").unreadable = "Input/output error"
    _, inconclusive = run(guest)
    assert any("Input/output error" in i.reason for i in inconclusive)


def test_an_unreadable_menu_is_never_no_boot_loader() -> None:
    guest = healthy()
    guest.file("/boot/grub/grub.cfg", b"").unreadable = "Input/output error"
    findings, inconclusive = run(guest)
    assert findings == []
    assert [i.reason for i in inconclusive] == ["/boot/grub/grub.cfg: Input/output error"]


def with_submenus(guest: MemoryGuest, saved: str) -> None:
    """Two menus of one entry each: of the older kernel, then of the newer one."""
    entries = grub_cfg(OLD, VERSION).partition("\n")[2].split("menuentry ")[1:]
    menus = (f"submenu 'M{n}' --id m{n} {{\nmenuentry {text}}}\n" for n, text in enumerate(entries))
    guest.file("/boot/grub/grub.cfg", 'set default="${saved_entry}"\n' + "".join(menus))
    guest.file("/boot/grub/grubenv", f"# GRUB Environment Block\nsaved_entry={saved}\n".ljust(1024, "#"))


@pytest.mark.parametrize("saved", ["1>0", "m1>0", "M1>Debian 6.1.0-1-amd64", "1"])
def test_the_default_may_be_in_any_of_several_submenus(saved: str) -> None:
    guest = healthy(VERSION, OLD)
    with_submenus(guest, saved)
    guest.remove(f"/boot/vmlinuz-{VERSION}")
    found = {f.rule: f for f in run(guest)[0]}
    assert found["boot/kernel-missing"].severity is ERROR
    repair = found["boot/default-entry-broken"].repair
    assert repair is not None
    (change,) = repair.changes
    assert isinstance(change, EditFile)
    after = change.after
    assert len(after) == 1024
    assert f"\nsaved_entry=m0>gnulinux-{OLD}\n".encode() in after
    guest.file("/boot/grub/grubenv", after)
    assert brief(guest) == [("kernel-missing", WARNING, f"/boot/vmlinuz-{VERSION}")]


def test_grub_legacy_is_a_boot_loader() -> None:
    guest = bare(sector=b"\xeb\x48\x90 GRUB ", esp=False)
    guest.devices["/dev/sda"] = guest.devices["/dev/sda"][:512] + bytes(1 << 19)
    menu = f"default=0\ntitle CentOS\n root (hd0,0)\n kernel /boot/vmlinuz-{VERSION} ro root=UUID={ROOT}\n"
    menu += f" initrd /boot/initrd.img-{VERSION}\n"
    guest.file("/boot/grub/grub.conf", menu)
    guest.file(f"/boot/vmlinuz-{VERSION}", kernel())
    guest.file(f"/boot/initrd.img-{VERSION}", INITRD)
    guest.file(f"/lib/modules/{VERSION}/modules.dep", b"kernel/x.ko:\n")
    assert brief(guest) == []
    guest.file("/boot/grub/grub.conf", menu.replace(ROOT, OTHER))
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("boot/root-device-wrong", ERROR)
    guest.remove(f"/boot/vmlinuz-{VERSION}")
    assert ("kernel-missing", ERROR, f"/boot/vmlinuz-{VERSION}") in brief(guest)


def test_a_menu_program_as_default_of_extlinux_is_no_missing_entry() -> None:
    guest = bare(sector=b"\xfasyslinux", esp=False)
    text = f"DEFAULT vesamenu.c32\nLABEL l\n LINUX ../vmlinuz-{VERSION}\n APPEND root=/dev/sda3\n"
    guest.file("/boot/extlinux/extlinux.conf", text)
    guest.file(f"/boot/vmlinuz-{VERSION}", kernel())
    guest.file(f"/lib/modules/{VERSION}/modules.dep", b"kernel/x.ko:\n")
    assert brief(guest) == []


def test_an_unreadable_image_is_said_once() -> None:
    guest = healthy(VERSION, OLD)
    guest.nodes[GuestPath(f"/boot/initrd.img-{VERSION}")].unreadable = "Input/output error"
    findings, inconclusive = run(guest)
    assert findings == []
    assert [i.reason for i in inconclusive] == [f"/boot/initrd.img-{VERSION}: Input/output error"]


def test_a_damaged_file_of_one_entry_does_not_hide_the_others() -> None:
    guest = healthy(VERSION, OLD)
    guest.nodes[GuestPath(f"/boot/vmlinuz-{OLD}")].unreadable = "Input/output error"
    guest.remove(f"/lib/modules/{VERSION}/modules.dep")
    guest.remove("/boot/efi/EFI")
    findings, inconclusive = run(guest)
    assert [f.rule for f in findings] == ["boot/modules-missing", "boot/loader-missing"]
    assert "Input/output error" in {i.reason.partition(": ")[2] for i in inconclusive}


@given(st.binary(max_size=400), st.binary(max_size=600))
def test_hostile_files(config: bytes, image: bytes) -> None:
    guest = healthy()
    text = grub_cfg(VERSION).encode()
    guest.file("/boot/grub/grub.cfg", text[: len(config)] + config + text)
    guest.file(f"/boot/initrd.img-{VERSION}", INITRD[: len(image) // 2] + image)
    guest.file(f"/boot/vmlinuz-{VERSION}", image)
    for finding in run(guest)[0]:
        assert finding.evidence


@given(
    st.sampled_from(
        [b"", b"070701", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"\x02\x21\x4c\x18", b"\xfd7zXZ\0"]
    ),
    st.binary(max_size=300),
)
def test_hostile_images(magic: bytes, data: bytes) -> None:
    content = magic + data
    with contextlib.suppress(FormatError):  # such as a window of two gigabytes
        assert isinstance(initramfs.problem(lambda o, n: content[o : o + n], len(content)), str)
