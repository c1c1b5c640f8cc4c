"""Kernel command lines from every boot loader's configuration, and what cannot be read of them."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.boot_lines import BootLines

MENU = "menuentry 'x' {\n search --fs-uuid --set=root AAAA\n linux /vmlinuz root=UUID=r ro quiet\n}\n"


EXTLINUX = "LABEL x\n KERNEL /vmlinuz\n APPEND root=/dev/vda1\n"


@pytest.mark.parametrize(
    ("path", "text", "place", "root"),
    [
        ("/boot/grub/grub.cfg", MENU, ":1", "UUID=r"),
        ("/boot/grub2/grub.cfg", MENU, ":1", "UUID=r"),
        ("/boot/efi/EFI/centos/grub.cfg", MENU, ":1", "UUID=r"),
        ("/boot/loader/entries/a.conf", "linux /vmlinuz\noptions root=LABEL=r ro\n", ":1", "LABEL=r"),
        ("/boot/extlinux/extlinux.conf", EXTLINUX, ":1", "/dev/vda1"),
        ("/etc/kernel/cmdline", "root=UUID=r ro\n", "", "UUID=r"),
    ],
)  # fmt: skip
def test_a_command_line_is_found_wherever_a_loader_keeps_it(
    path: str, text: str, place: str, root: str
) -> None:
    guest = MemoryGuest()
    guest.file(path, text)
    (line,) = BootLines(guest).lines
    assert (line.place, line.cmdline.root, line.is_rescue) == (f"{path}{place}", root, False)
    assert BootLines(guest).unread == ()


def test_what_grub_searches_for_is_told_with_its_place() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub/grub.cfg", MENU + "search --fs-uuid $x\nsearch --label y\n")
    assert BootLines(guest).searched == (("/boot/grub/grub.cfg:2", "AAAA"),)


def test_what_initramfs_images_are_built_with_is_no_line_that_is_booted() -> None:
    guest = MemoryGuest()
    guest.file("/etc/initramfs-tools/conf.d/resume", "# RESUME=none\nRESUME=UUID=s\n")
    guest.file("/etc/dracut.conf.d/a.conf", 'kernel_cmdline+=" resume=UUID=t "\n')
    assert [(line.cmdline.get("resume"), line.is_rescue) for line in BootLines(guest).lines] == [
        ("UUID=s", True),
        ("UUID=t", True),
    ]


def test_variables_are_put_into_entries_of_the_boot_loader_specification() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=root=UUID=r rw\n")
    guest.file("/boot/loader/entries/a.conf", "linux /vmlinuz\noptions $kernelopts\n")
    (line,) = BootLines(guest).lines
    assert (line.cmdline.root, line.cmdline.writable_root) == ("UUID=r", True)


@pytest.mark.parametrize(
    "path", ["/boot/grub/grub.cfg", "/boot/loader/entries/a.conf", "/etc/kernel/cmdline"]
)
def test_a_configuration_that_cannot_be_read_is_named_and_the_others_are_read(path: str) -> None:
    guest = MemoryGuest()
    guest.file("/boot/extlinux/extlinux.conf", EXTLINUX)
    guest.file(path, MENU)
    guest.nodes[GuestPath(path)].size_bytes = 1 << 40
    found = BootLines(guest)
    assert [each.path for each in found.unread] == [path]
    assert [line.cmdline.root for line in found.lines] == ["/dev/vda1"]


@pytest.mark.parametrize(
    ("path", "own"), [("/boot/vmlinuz-6.1", True), ("/boot/grub/x", True), ("/boot/readme", False)]
)
def test_a_guest_brings_its_own_kernel_when_one_or_a_loader_is_there(path: str, own: bool) -> None:
    guest = MemoryGuest()
    guest.file(path, b"x")
    assert BootLines(guest).brings_its_own_kernel is own
