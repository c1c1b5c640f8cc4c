"""Where boot loaders keep their configuration in a guest: the only list of it.

Sources: grub-mkconfig of the distributions; the Boot Loader Specification; GRUB Legacy's manual; CentOS 7,
which has GRUB's whole menu on the EFI system partition, where others have a stub that reads the one in /boot.
"""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

GRUB_FOLDERS = (GuestPath("/boot/grub"), GuestPath("/boot/grub2"))
GRUB_MENUS = tuple(folder / "grub.cfg" for folder in GRUB_FOLDERS)
GRUB_LEGACY_MENUS = (GuestPath("/boot/grub/grub.conf"), GuestPath("/boot/grub/menu.lst"))
EXTLINUX_MENUS = (
    GuestPath("/boot/extlinux/extlinux.conf"),
    GuestPath("/boot/extlinux.conf"),
    GuestPath("/boot/syslinux/syslinux.cfg"),
    GuestPath("/boot/syslinux/extlinux.conf"),
)
ESP_MOUNTS = (GuestPath("/boot/efi"), GuestPath("/efi"), GuestPath("/boot"))
"""Where an EFI system partition is mounted, or what stands for one."""
KERNEL_CMDLINES = (GuestPath("/etc/kernel/cmdline"), GuestPath("/usr/lib/kernel/cmdline"))
"""kernel-install(8): the arguments of the entries that it will write."""
DEFAULT_GRUB = GuestPath("/etc/default/grub")
BUILT_IN = (
    (GuestPath("/etc/initramfs-tools/conf.d"), "*"),
    (GuestPath("/etc/dracut.conf.d"), "*.conf"),
)
"""What initramfs images are built with: initramfs-tools(7) RESUME, dracut.conf(5) kernel_cmdline."""

KERNELS = ("vmlinu*", "bzImage*", "Image*", "linux*", "kernel*")
"""Names of kernels in /boot, as shell patterns."""

MAX_FOLDERS = 64
"""Folders of vendors on one EFI system partition."""
_FOLDERS = ("grub", "grub2", "extlinux", "syslinux", "loader", "efi/EFI", "EFI")


def on_esp(guest: Guest, name: str) -> tuple[GuestPath, ...]:
    """Every file of that name in a vendor's folder on an EFI system partition."""
    found = []
    for top in ESP_MOUNTS[:2]:
        folder = top / "EFI"
        names = guest.listdir(folder)[:MAX_FOLDERS] if guest.is_directory(folder) else ()
        found += [path for vendor in names if guest.is_file(path := folder / vendor / name)]
    return tuple(found)


def has_loader_or_kernel(guest: Guest) -> bool:
    """True when a kernel or a folder of a boot loader is in the guest; else it is started from outside."""
    boot = GuestPath("/boot")
    folders = (*(boot / name for name in _FOLDERS), GuestPath("/efi/EFI"))
    return any(guest.is_directory(path) for path in folders) or any(guest.glob(boot, p) for p in KERNELS)
