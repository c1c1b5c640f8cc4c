"""boot/root-device-wrong: names of the image builder, of volumes that are not there, and no name at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, GuestPath, Safety
from tests.unit.analyzers.boot_guest import (
    BOOT,
    CHECKED,
    ENTRY,
    ERROR,
    MENU,
    WARNING,
    brief,
    device,
    found,
    mended,
    with_entries,
    with_menu,
)
from tests.unit.analyzers.efi_images import grub_image
from tests.unit.analyzers.test_boot_rules import ROOT, VERSION

WRONG = "root-device-wrong"


@pytest.mark.parametrize(
    "root",
    [
        "/dev/mapper/loop0p3", "/dev/loop0p3", "/dev/loop12", "/dev/nbd0p1", "/dev/mapper/nbd3p2",
        "/dev/mapper/vg0-root", "/dev/vg0/root", "/dev/mapper/my--vg-root", "/dev/mapper/cryptroot",
        "/dev/md0",
        "/dev/sda7",
        "block:/dev/mapper/loop0p3",
    ],
)  # fmt: skip
def test_a_device_that_only_the_builder_had_is_an_error_and_mended_safely(root: str) -> None:
    guest = with_menu(root)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{WRONG}", ERROR)
    assert root in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    before = guest.nodes[GuestPath(MENU)].content
    mended(guest, finding)
    assert guest.nodes[GuestPath(MENU)].content == before.replace(root.encode(), f"UUID={ROOT}".encode())
    assert found(guest) == []


@pytest.mark.parametrize("root", ["/dev/sdb1", "/dev/vdc3", "/dev/nvme2n1p1"])
def test_a_disk_that_the_guest_does_not_have_is_a_warning(root: str) -> None:
    (finding,) = found(with_menu(root))
    assert finding.severity is WARNING
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW


HEALTHY = """
/dev/vda3 /dev/sda3 /dev/nvme0n1p3 /dev/xvda3 /dev/xvde3 /dev/mmcblk1p3 LABEL=system PARTUUID=p-3
/dev/disk/by-id/virtio-1-part3 /dev/disk/by-path/pci-0000:00:04.0-part3 /dev/ram0 /dev/nfs 8:3 0803
ZFS=rpool/ROOT/debian zfs:AUTO zfs:rpool/root live:CDLABEL=X live:/dev/sr0 nfs:10.0.0.1:/x tmpfs gpt-auto
dissect fstab overlay /dev/mapper/mpatha3 /dev/mapper/mpatha-part3 /dev/mapper/isw_abc_Vol0p3
/dev/mapper/3600a098038303742695d4933306e7a51p3 /dev/mapper/live-rw /dev/mapper/root /dev/dm-0 $rootdevice
/dev/bcache0 /dev/cciss/c0d0p3 virtiofs:root cifs://x/y mtd:rootfs ubi0:rootfs /dev/block/8:3
iscsi:@10.0.0.1::3260:1:iqn
"""


@pytest.mark.parametrize("root", HEALTHY.split())
def test_what_the_machine_decides_and_other_ways_to_a_root_are_silent(root: str) -> None:
    guest = with_menu(root)
    first, second = guest.block.devices
    guest.block = replace(guest.block, devices=(first, replace(second, label="system")))
    assert found(guest) == []


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("/dev/loop0", "loop=/ubuntu/disks/root.disk ro"),
        ("/dev/loop0", "boot=live"),
        ("/dev/nbd0", "nbdroot=10.0.0.1,export"),
        ("/dev/mapper/secret", f"cryptdevice=UUID={BOOT}:secret"),
        ("/dev/mapper/secret", f"rd.luks.name={BOOT}=secret"),
        ("/dev/mapper/secret", f"cryptopts=target=secret,source=UUID={BOOT}"),
        ("/dev/mapper/vroot", "dm-mod.create=vroot,,,ro,0"),
        ("/dev/mapper/vg0-x", "rd.live.image"),
        ("/dev/mapper/x", "roothash=abc"),
    ],
)
def test_what_the_command_line_itself_opens_is_silent(root: str, words: str) -> None:
    assert found(with_menu(root, words=words)) == []


def test_a_name_in_crypttab_and_what_nobody_could_look_into_are_silent() -> None:
    guest = with_menu("/dev/mapper/cryptroot")
    guest.file("/etc/crypttab", f"cryptroot UUID={ROOT} none luks\n")
    assert found(guest) == []
    for content in ("crypto_LUKS", "LVM2_member"):
        guest = with_menu("/dev/mapper/vg0-root")
        locked = device("/dev/sda5", content, BOOT)
        guest.block = replace(guest.block, devices=(*guest.block.devices, locked))
        assert found(guest) == []
    guest = with_menu("/dev/mapper/vg0-root")
    guest.block = replace(guest.block, unread=(("/dev/sdb", "Input/output error"),))
    assert found(guest) == []
    guest = with_menu("/dev/mapper/boot_disk")
    guest.file("/etc/multipath.conf", "defaults {}\n")
    assert found(guest) == []


def test_a_second_disk_may_have_another_order() -> None:
    guest = with_menu("/dev/sdb1")
    disks = (*guest.block.disks, Disk("/dev/sdb", "y", 1 << 20, table="gpt"))
    guest.block = replace(
        guest.block, disks=disks, devices=(*guest.block.devices, device("/dev/sdb1", "ext4", BOOT))
    )
    assert found(guest) == []


def on_lvm(root: str, words: str = "ro") -> MemoryGuest:
    guest = with_menu(root, words=words)
    disk = guest.block.disks
    pv = device("/dev/sda3", "LVM2_member", "pv")
    volumes = [
        BlockDevice(
            f"/dev/vg-1/{name}", DeviceKind.LOGICAL_VOLUME, 1 << 20, content, uuid, parents=("/dev/sda3",)
        )
        for name, content, uuid in (("root", "ext4", ROOT), ("swap", "swap", BOOT))
    ]
    guest.block = BlockDevices(disk, (guest.block.devices[0], pv, *volumes))
    guest.mounts = (Mount("/dev/vg-1/root", "/", "ext4", ROOT), guest.mounts[1])
    config = f"search.fs_uuid {ROOT} root\n".encode()
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("", config=config))
    guest.devices["/dev/vg-1/root"] = guest.devices["/dev/vg-1/swap"] = bytes(1 << 20)
    return guest


def test_a_renamed_volume_group_is_named_in_the_same_manner() -> None:
    for wrong, right in (
        ("/dev/mapper/vg0-root", "/dev/mapper/vg--1-root"),
        ("/dev/vg0/root", "/dev/vg-1/root"),
        ("/dev/mapper/loop0p3", "/dev/mapper/vg--1-root"),
    ):
        guest = on_lvm(wrong)
        (finding,) = found(guest)
        assert finding.severity is ERROR
        mended(guest, finding)
        assert f"root={right} ".encode() in guest.nodes[GuestPath(MENU)].content
    assert found(on_lvm("/dev/mapper/vg--1-root", "ro rd.lvm.lv=vg-1/root rd.lvm.lv=vg-1/swap")) == []


def test_dracut_waits_for_volumes_that_are_not_there() -> None:
    guest = on_lvm("/dev/mapper/vg--1-root", "ro rd.lvm.lv=old/root rd.lvm.lv=vg-1/gone rd.lvm.lv=far/data")
    severities = {f.message.partition("names ")[2].split(",")[0]: f.severity for f in found(guest)}
    assert severities == {"old/root": ERROR, "vg-1/gone": ERROR, "far/data": WARNING}
    assert found(on_lvm("/dev/mapper/vg--1-root", "ro rd.lvm=0 rd.lvm.lv=old/root")) == []


def test_without_fstab_or_with_another_root_in_it_a_person_decides() -> None:
    for fstab in ("", f"UUID={BOOT} / ext4 defaults 0 1\n"):
        guest = with_menu("/dev/loop0p3")
        guest.file("/etc/fstab", fstab)
        (finding,) = found(guest)
        assert finding.repair is not None
        assert finding.repair.safety is Safety.REVIEW


def test_without_an_initramfs_the_partition_is_named() -> None:
    guest = with_menu("/dev/loop0p3", initrd=False)
    guest.file(f"/lib/modules/{VERSION}/modules.builtin", "kernel/ext4.ko\nkernel/virtio_blk.ko\n")
    (finding,) = found(guest)
    mended(guest, finding)
    assert b"root=PARTUUID=p-3 " in guest.nodes[GuestPath(MENU)].content
    assert found(guest) == []


def test_variables_of_grub_are_put_into_the_value() -> None:
    guest = with_menu("UUID=$rootuuid")
    assert found(guest) == []  # nothing sets it plainly: nobody can tell
    text = guest.nodes[GuestPath(MENU)].content
    for uuid, expected in ((ROOT, []), (BOOT, [(WRONG, ERROR)])):
        guest.file(MENU, f"set rootuuid={uuid}\n".encode() + text)
        assert brief(guest) == expected


# --- no root= at all -----------------------------------------------------------------------------


def test_lost_kernelopts_come_back_from_kernel_cmdline() -> None:
    guest = with_entries("$kernelopts $tuned_params")
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{WRONG}", ERROR)
    assert "nothing sets $kernelopts" in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    mended(guest, finding)
    assert (
        f"options root=UUID={ROOT} ro quiet $tuned_params\n".encode() in guest.nodes[GuestPath(ENTRY)].content
    )
    assert found(guest) == []


def test_where_the_menu_loads_the_environment_block_it_gets_them_and_keeps_its_size() -> None:
    guest = with_entries(
        "$kernelopts $tuned_params", menu="if [ -f ${config_directory}/grubenv ]; then\n  load_env -f x\nfi\n"
    )
    (finding,) = found(guest)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    assert change.path == GuestPath("/boot/grub2/grubenv")
    assert len(change.after) == 1024
    assert change.after.startswith(b"# GRUB Environment Block\nsaved_entry=m-")
    mended(guest, finding)
    assert found(guest) == []


@pytest.mark.parametrize(
    ("cmdline", "safety", "text"),
    [
        (f"root=UUID={BOOT} ro\n", Safety.REVIEW, f"root=UUID={ROOT} ro"),
        ("", Safety.REVIEW, f"root=UUID={ROOT} ro"),
        (f"root=UUID={ROOT} ro console=$x\n", Safety.REVIEW, f"root=UUID={ROOT} ro"),
        (f"root=/dev/disk/by-uuid/{ROOT}\n quiet\n", Safety.SAFE, f"root=/dev/disk/by-uuid/{ROOT} quiet"),
    ],
)
def test_a_command_line_that_is_not_right_is_not_copied(cmdline: str, safety: Safety, text: str) -> None:
    guest = with_entries("$kernelopts")
    guest.file("/etc/kernel/cmdline", cmdline)
    finding = next(f for f in found(guest) if f.severity is ERROR)
    assert finding.repair is not None
    assert finding.repair.safety is safety
    mended(guest, finding)
    assert f"options {text}\n".encode() in guest.nodes[GuestPath(ENTRY)].content


@pytest.mark.parametrize("options", ["", "ro quiet", "root= ro", "$tuned_params ro"])
def test_a_plain_entry_without_root(options: str) -> None:
    guest = with_entries(options)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{WRONG}", ERROR)
    mended(guest, finding)
    assert found(guest) == []


def test_a_menu_entry_without_root() -> None:
    guest = with_menu("", words="ro quiet")
    (finding,) = found(guest)
    assert finding.severity is ERROR
    mended(guest, finding)
    assert f" root=UUID={ROOT} ro ro quiet\n".encode() in guest.nodes[GuestPath(MENU)].content
    assert found(guest) == []


def test_several_entries_with_one_cause_are_one_finding() -> None:
    guest = with_entries("$kernelopts")
    old = "6.0.0-1-amd64"
    guest.file(f"/boot/vmlinuz-{old}", guest.nodes[GuestPath(f"/boot/vmlinuz-{VERSION}")].content)
    guest.file(f"/boot/initramfs-{old}.img", guest.nodes[GuestPath(f"/boot/initramfs-{VERSION}.img")].content)
    text = guest.nodes[GuestPath(ENTRY)].content.decode()
    guest.file(f"/boot/loader/entries/m-{old}.conf", text.replace(VERSION, old))
    (finding,) = found(guest)
    assert finding.folded == (f"/boot/loader/entries/m-{old}.conf:3",)
    mended(guest, finding)
    assert found(guest) == []


@pytest.mark.parametrize(
    ("options", "env", "menu"),
    [
        ("$kernelopts", f"kernelopts=root=UUID={ROOT} ro\n", ""),
        ("$kernelopts", "", f'set kernelopts="root=UUID={ROOT} ro"\n'),
        ("${kernelopts} $tuned_params", f"kernelopts=root=UUID={ROOT} ro\n", ""),
        ("$kernelopts", "", f'if [ -z "$x" ]; then\n  set kernelopts="root=UUID={ROOT} ro"\nfi\n'),
        ("$mine", "", ""),  # nobody knows what sets it
        ("boot=live", "", ""),
        ("systemd.volatile=yes", "", ""),
        ("ostree=/ostree/boot.1/x/0", "", ""),
        ("rd.live.image", "", ""),
        ("nfsroot=10.0.0.1:/x ip=dhcp", "", ""),
        ("netroot=iscsi:@10.0.0.1::3260:1:iqn", "", ""),
        ("real_root=/dev/sda3", "", ""),
        ("inst.stage2=hd:LABEL=X", "", ""),
        ("modules=loop,squashfs modloop=/boot/modloop", "", ""),
        ("roothash=abc", "", ""),
        ("init=/nix/store/x/init loglevel=4", "", ""),
    ],
)  # fmt: skip
def test_healthy_ways_to_a_root(options: str, env: str, menu: str) -> None:
    guest = with_entries(options, env=env, menu=menu)
    guest.file("/nix/store/x/init", b"x", mode=0o755)
    assert found(guest) == []


def test_a_file_that_the_menu_reads_may_set_it() -> None:
    guest = with_entries("$kernelopts")
    guest.file("/boot/grub2/custom.cfg", f'set kernelopts="root=UUID={ROOT} ro"\n')
    assert found(guest) == []


def test_a_root_partition_of_its_type_needs_no_name() -> None:
    guest = with_entries("ro")
    root = replace(guest.block.devices[1], part_type="4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
    guest.block = replace(guest.block, devices=(guest.block.devices[0], root))
    assert found(guest) == []


def test_what_is_built_in_is_no_error() -> None:
    guest = with_entries("ro")
    guest.file(f"/boot/config-{VERSION}", 'CONFIG_CMDLINE="root=/dev/sda3"\n')
    assert found(guest) == []
    guest = with_entries("ro")
    guest.file(f"/boot/config-{VERSION}", 'CONFIG_CMDLINE=""\n')
    assert brief(guest) == [(WRONG, ERROR)]
    for path, text in (
        ("/etc/dracut.conf.d/x.conf", 'kernel_cmdline+=" root=UUID=x "\n'),
        ("/etc/dracut.conf", 'hostonly_cmdline="yes"\n'),
        ("/etc/initramfs-tools/conf.d/root", "ROOT=/dev/sda3\n"),
    ):
        guest = with_entries("$kernelopts")
        guest.file(path, text)
        findings, inconclusive = run_analyzer(CHECKED, Context(guest))
        assert findings == []
        assert "may have one built in" in inconclusive[0].reason


def test_dracut_may_have_built_in_what_a_plain_entry_lacks() -> None:
    guest = with_entries("ro")
    guest.file("/usr/bin/dracut", b"x")
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert (findings, len(inconclusive)) == ([], 1)
    guest.file("/usr/lib/dracut/dracut.conf.d/01-dist.conf", 'hostonly="yes"\nhostonly_cmdline="no"\n')
    assert brief(guest) == [(WRONG, ERROR)]
    guest = with_entries("$kernelopts")
    guest.file("/usr/bin/dracut", b"x")
    assert brief(guest) == [(WRONG, ERROR)]


def test_what_cannot_be_read_or_is_not_mounted_is_no_error() -> None:
    guest = with_entries("$kernelopts")
    guest.nodes[GuestPath("/boot/grub2/grubenv")].unreadable = "Input/output error"
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert "grubenv: Input/output error" in inconclusive[0].reason
    guest = with_entries("$kernelopts")
    guest.unmounted = (("/boot/efi", "it is on none of the disks"),)
    assert found(guest) == []


def test_memtest_and_unified_kernels_need_no_root() -> None:
    guest = with_menu()
    text = guest.nodes[GuestPath(MENU)].content
    extra = b"menuentry 'Memory test' {\n\tlinux16 /boot/memtest86+x64.bin\n}\n"
    guest.file("/boot/memtest86+x64.bin", b"x" * 600)
    guest.file(MENU, text + extra)
    assert found(guest) == []
    guest = with_entries()
    guest.file("/boot/x.efi", b"MZ")
    guest.file("/boot/loader/entries/a.conf", "title U\nlinux /boot/x.efi\n")
    assert found(guest) == []
