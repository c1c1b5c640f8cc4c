"""Adding a serial console to boot loader files."""

from __future__ import annotations

import pytest

from guestrepair.boot.serial_console import files_with_command_lines, with_serial_console
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath

ADDED = b" console=tty0 console=ttyS0,115200"


@pytest.mark.parametrize(
    "line",
    [
        b"\tlinux\t/boot/vmlinuz-6.1 root=UUID=5f1d ro quiet",
        b"\tlinux16 /vmlinuz-3.10 root=/dev/mapper/c-root ro",
        b"\tlinuxefi /vmlinuz root=UUID=1",
        b"options root=UUID=9c1e ro $kernelopts",
        b"    APPEND root=/dev/sda1 quiet",
        b"\tkernel /vmlinuz-2.6.32 ro root=/dev/sda1",
    ],
)
def test_kernel_command_lines_get_it(line: bytes) -> None:
    assert with_serial_console(b"x\n" + line + b"\ny\n") == b"x\n" + line + ADDED + b"\ny\n"


@pytest.mark.parametrize(
    "line",
    [
        b"linux_gfx_mode=keep",
        b"# linux /boot/vmlinuz",
        b"title Linux 6.1",
        b"\tinitrd\t/boot/initrd.img",
        b"initrd=x",
        b"  KERNEL vmlinuz",
    ],
)
def test_other_lines_stay(line: bytes) -> None:
    assert with_serial_console(line + b"\n") == line + b"\n"


def test_carriage_returns_stay_at_the_end() -> None:
    assert with_serial_console(b"linux /v root=x\r\n") == b"linux /v root=x" + ADDED + b"\r\n"


def test_every_menu_and_entry_is_changed_where_it_really_is() -> None:
    guest = MemoryGuest()
    menu = "menuentry x {\n linux /vmlinuz root=/dev/sda1\n}\n"
    for path in ("/boot/efi/EFI/centos/grub.cfg", "/srv/real.conf", "/boot/syslinux/syslinux.cfg"):
        guest.file(path, menu)
    guest.file("/boot/loader/loader.conf", "default x\n")
    guest.file("/boot/efi/loader/entries/a.conf", "linux /vmlinuz\n")
    guest.link("/boot/extlinux.conf", "/srv/real.conf")
    assert set(files_with_command_lines(guest)) == {
        GuestPath("/boot/efi/EFI/centos/grub.cfg"),
        GuestPath("/srv/real.conf"),
        GuestPath("/boot/syslinux/syslinux.cfg"),
        GuestPath("/boot/efi/loader/entries/a.conf"),
    }
