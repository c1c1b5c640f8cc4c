"""boot/entry-without-initramfs: entries that need one and name none, and those that need none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.model import EditFile, GuestPath, RunGuestProgram, Safety
from tests.unit.analyzers.boot_guest import (
    BOOT,
    ENTRY,
    ERROR,
    MENU,
    WARNING,
    brief,
    found,
    mended,
    with_entries,
    with_menu,
)
from tests.unit.analyzers.test_boot_rules import INITRD, ROOT, VERSION

RULE = "entry-without-initramfs"
BUILT_IN = "kernel/fs/ext4/ext4.ko\nkernel/virtio_blk.ko\n"


@pytest.mark.parametrize("root", [f"UUID={ROOT}", "LABEL=system", f"/dev/disk/by-uuid/{ROOT}"])
@pytest.mark.parametrize("built_in", ["kernel/lib/x.ko\n", BUILT_IN])
def test_a_kernel_knows_no_uuid_whatever_is_built_in(root: str, built_in: str) -> None:
    guest = with_menu(root, initrd=False)
    first, second = guest.block.devices
    guest.block = replace(guest.block, devices=(first, replace(second, label="system")))
    guest.file(f"/lib/modules/{VERSION}/modules.builtin", built_in)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{RULE}", ERROR)
    assert finding.subject.startswith(MENU)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    mended(guest, finding)
    text = guest.nodes[GuestPath(MENU)].content.decode()
    assert f" ro quiet\n\tinitrd /boot/initrd.img-{VERSION}\n}}\n" in text
    assert found(guest) == []


@pytest.mark.parametrize("root", ["PARTUUID=p-3", "/dev/vda3", "/dev/sda3", "8:3", "PARTLABEL=root"])
def test_with_all_drivers_built_in_none_is_needed(root: str) -> None:
    guest = with_menu(root, initrd=False)
    first, second = guest.block.devices
    guest.block = replace(guest.block, devices=(first, replace(second, partlabel="root")))
    assert brief(guest) == [(RULE, ERROR)]  # ext4 and the controllers are modules
    guest.file(f"/lib/modules/{VERSION}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    assert brief(guest) == [(RULE, ERROR)]  # the controllers still are
    guest.file(f"/lib/modules/{VERSION}/modules.builtin", BUILT_IN)
    assert found(guest) == []


def test_what_is_not_known_counts_as_built_in() -> None:
    guest = with_menu("PARTUUID=p-3", initrd=False)
    guest.remove(f"/lib/modules/{VERSION}/modules.builtin")
    assert found(guest) == []
    guest = with_menu(f"UUID={ROOT}", initrd=False)
    guest.file(f"/boot/config-{VERSION}", 'CONFIG_INITRAMFS_SOURCE="/usr/src/initramfs"\n')
    assert found(guest) == []


@pytest.mark.parametrize("words", ["ro initrd=\\initrd.img", "rdinit=/init"])
def test_an_initramfs_named_otherwise(words: str) -> None:
    assert found(with_menu(words=words, initrd=False)) == []


def test_only_what_certainly_starts_linux_is_judged() -> None:
    guest = with_menu()
    text = guest.nodes[GuestPath(MENU)].content
    guest.file("/boot/memtest86+.bin", b"x" * 600)
    guest.file("/boot/ipxe.lkrn", b"x" * 600)
    more = b"menuentry 'T' {\n\tlinux16 /boot/memtest86+.bin root=LABEL=x\n}\n"
    more += b"menuentry 'W' {\n\tchainloader /EFI/Microsoft/Boot/bootmgfw.efi\n}\n"
    more += b"menuentry 'P' {\n\tlinux16 /boot/ipxe.lkrn root=LABEL=x\n}\n"
    guest.block = replace(
        guest.block, devices=(guest.block.devices[0], replace(guest.block.devices[1], label="x"))
    )
    guest.file(MENU, text + more)
    assert found(guest) == []


def test_where_the_image_is_gone_it_is_built_and_named() -> None:
    guest = with_menu(initrd=False)
    guest.remove(f"/boot/initrd.img-{VERSION}")
    guest.remove(f"/boot/initramfs-{VERSION}.img")
    guest.file("/usr/sbin/update-initramfs", b"x")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    edit, program = finding.repair.changes
    assert isinstance(edit, EditFile)
    assert f"initrd /boot/initrd.img-{VERSION}".encode() in edit.after
    assert isinstance(program, RunGuestProgram)
    assert program.arguments == ("/usr/sbin/update-initramfs", "-c", "-k", VERSION)
    guest.remove("/usr/sbin/update-initramfs")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL
    guest.file("/usr/bin/dracut", b"x")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert f"/boot/initramfs-{VERSION}.img" in finding.repair.summary


def test_an_image_that_is_cut_off_is_not_named() -> None:
    guest = with_menu(initrd=False)
    guest.file(f"/boot/initrd.img-{VERSION}", INITRD[:-100])
    guest.remove(f"/boot/initramfs-{VERSION}.img")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_entries_of_the_boot_loader_specification() -> None:
    guest = with_entries()
    text = guest.nodes[GuestPath(ENTRY)].content.decode()
    line = f"initrd /boot/initramfs-{VERSION}.img\n"
    guest.file(ENTRY, text.replace(line, ""))
    guest.remove(f"/boot/initrd.img-{VERSION}")
    (finding,) = found(guest)
    assert (finding.rule, finding.severity) == (f"boot/{RULE}", ERROR)
    mended(guest, finding)
    assert sorted(guest.nodes[GuestPath(ENTRY)].content.decode().splitlines()) == sorted(text.splitlines())
    assert found(guest) == []


def test_paths_are_those_of_the_loader() -> None:
    guest = with_menu(initrd=False)
    text = guest.nodes[GuestPath(MENU)].content
    for kernel, command, line in (
        ("linux\t/vmlinuz", "linux", f"\tinitrd /initrd.img-{VERSION}\n"),
        ("linux16 ($root)/boot/vmlinuz", "linux16", f"\tinitrd16 ($root)/boot/initrd.img-{VERSION}\n"),
        ("linuxefi /boot/vmlinuz", "linuxefi", f"\tinitrdefi /boot/initrd.img-{VERSION}\n"),
    ):
        guest.file(MENU, text.replace(b"linux\t/boot/vmlinuz", kernel.encode()))
        finding = next(f for f in found(guest) if f.rule == f"boot/{RULE}")
        mended(guest, finding)
        assert line.encode() in guest.nodes[GuestPath(MENU)].content, command
        assert found(guest) == []


def test_a_line_that_is_not_plain_is_left_to_a_person() -> None:
    guest = with_menu(initrd=False)
    text = guest.nodes[GuestPath(MENU)].content.decode()
    for wrong in (
        text.replace(" ro quiet\n}", " ro quiet; }"),
        text.replace("/boot/vmlinuz", "'/boot'/vmlinuz"),
    ):
        guest.file(MENU, wrong)
        finding = next(f for f in found(guest) if f.rule == f"boot/{RULE}")
        assert finding.repair is not None
        assert finding.repair.safety is Safety.MANUAL


def test_another_entry_that_lacks_one_is_a_warning_or_folded() -> None:
    guest = with_menu()
    text = guest.nodes[GuestPath(MENU)].content.decode()
    without = text.replace("set default=0\n", "").replace(f"\tinitrd\t/boot/initrd.img-{VERSION}\n", "")
    guest.file(MENU, text + without.replace("gnulinux-1", "gnulinux-2"))
    assert brief(guest) == [(RULE, WARNING)]
    guest.file(MENU, "set default=0\n" + without + without.replace("gnulinux-1", "gnulinux-2"))
    (finding,) = found(guest)
    assert len(finding.folded) == 1
    mended(guest, finding)
    assert found(guest) == []


def test_it_is_no_entry_to_fall_back_to() -> None:
    guest = with_menu()
    old = "6.0.0-1-amd64"
    text = guest.nodes[GuestPath(MENU)].content.decode()
    guest.file(f"/boot/vmlinuz-{old}", guest.nodes[GuestPath(f"/boot/vmlinuz-{VERSION}")].content)
    other = text.replace("set default=0\n", "").replace(VERSION, old).replace("gnulinux-1", "gnulinux-2")
    guest.file(MENU, text + other.replace(f"\tinitrd\t/boot/initrd.img-{old}\n", ""))
    guest.remove(f"/boot/initrd.img-{VERSION}")
    assert "default-entry-broken" not in [rule for rule, _ in brief(guest)]


def test_a_variable_may_hold_the_root() -> None:
    guest = with_menu("$somewhere", initrd=False)
    assert found(guest) == []
    text = guest.nodes[GuestPath(MENU)].content
    guest.file(MENU, f"set somewhere=UUID={ROOT}\n".encode() + text)
    assert brief(guest) == [(RULE, ERROR)]
    assert BOOT not in found(guest)[0].message
