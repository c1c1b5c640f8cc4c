"""Where boot loaders keep their configuration in a guest: one list for everybody who looks for it.

Sources: grub-mkconfig of the distributions; the Boot Loader Specification; CentOS 7, which has GRUB's whole
menu on the EFI system partition, where others have a stub that reads the one in /boot.
"""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

GRUB_MENUS = (GuestPath("/boot/grub/grub.cfg"), GuestPath("/boot/grub2/grub.cfg"))
GRUB_LEGACY_MENUS = (GuestPath("/boot/grub/grub.conf"), GuestPath("/boot/grub/menu.lst"))
EXTLINUX_MENUS = (
    GuestPath("/boot/extlinux/extlinux.conf"),
    GuestPath("/boot/extlinux.conf"),
    GuestPath("/boot/syslinux/syslinux.cfg"),
)
ESP_MOUNTS = (GuestPath("/boot/efi"), GuestPath("/efi"), GuestPath("/boot"))
"""Where an EFI system partition is mounted, or what stands for one."""

KERNELS = ("vmlinu*", "bzImage*", "Image*", "linux*", "kernel*")
"""Names of kernels in /boot, as shell patterns."""

_MAX_FOLDERS = 64
_FOLDERS = ("grub", "grub2", "extlinux", "syslinux", "loader", "efi/EFI", "EFI")


def grub_on_esp(guest: Guest) -> tuple[GuestPath, ...]:
    """Every grub.cfg of a vendor's folder on an EFI system partition, a menu or a stub."""
    found = []
    for top in ESP_MOUNTS[:2]:
        folder = top / "EFI"
        names = guest.listdir(folder)[:_MAX_FOLDERS] if guest.is_directory(folder) else ()
        found += [path for name in names if guest.is_file(path := folder / name / "grub.cfg")]
    return tuple(found)


def is_whole_menu(data: bytes) -> bool:
    """True for a grub.cfg that has entries itself, and does not only lead to another one."""
    return b"menuentry" in data


def brings_its_own_kernel(guest: Guest) -> bool:
    """True when a kernel or a folder of a boot loader is in the guest; else it is started from outside."""
    boot = GuestPath("/boot")
    folders = (*(boot / name for name in _FOLDERS), GuestPath("/efi/EFI"))
    return any(guest.is_directory(path) for path in folders) or any(guest.glob(boot, p) for p in KERNELS)
