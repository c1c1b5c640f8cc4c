"""A guest whose kernel has the drivers of many machines, and whose initramfs those that a test gives it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from tests.support.initramfs import cpio, member

RELEASE = "6.1.0-1-amd64"
UUID = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c101"
INITRD = f"/boot/initrd.img-{RELEASE}"

DRIVERS: Mapping[str, str] = {
    "virtio_blk": "block",
    "xen-blkfront": "block",
    "virtio_pci": "virtio",
    "virtio_pci_modern_dev": "virtio",
    "virtio_scsi": "scsi",
    "hv_storvsc": "scsi",
    "vmw_pvscsi": "scsi",
    "sd_mod": "scsi",
    "scsi_mod": "scsi",
    "megaraid_sas": "scsi/megaraid",
    "hpsa": "scsi",
    **{f"raid{number}_sas": "scsi" for number in range(9)},
    "mptspi": "message/fusion",
    "nvme": "nvme/host",
    "nvme-core": "nvme/host",
    "nvme-tcp": "nvme/host",
    "hv_vmbus": "hv",
    "ahci": "ata",
    "libata": "ata",
    "ata_piix": "ata",
    "dm-mod": "md",
    "dm-crypt": "md",
    "raid1": "md",
    "md-mod": "md",
}
"""Module to its folder below drivers/."""
NEEDS = {
    "virtio_pci": ("virtio_pci_modern_dev",),
    "virtio_scsi": ("scsi_mod",),
    "hv_storvsc": ("hv_vmbus", "scsi_mod"),
    "vmw_pvscsi": ("scsi_mod",),
    "sd_mod": ("scsi_mod",),
    "nvme": ("nvme-core",),
    "ahci": ("libata", "scsi_mod"),
    "ata_piix": ("libata", "scsi_mod"),
    "dm-crypt": ("dm-mod",),
    "hpsa": ("scsi_mod",),
}
ALIASES = """\
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000002v* virtio_blk
alias virtio:d00000008v* virtio_scsi
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v00008086d00007010sv*sd*bc*sc*i* ata_piix
alias pci:v*d*sv*sd*bc01sc01i* ata_generic
alias pci:v000015ADd000007C0sv*sd*bc*sc*i* vmw_pvscsi
alias xen:vbd xen_blkfront
alias acpi*:VMBUS:* hv_vmbus
alias vmbus:d96361baa104294db60572e2ffb1dc7f hv_storvsc
alias scsi:t-0x00* sd_mod
"""
SCSI = ("sd_mod", "scsi_mod")
VIRTIO = ("virtio_blk", "virtio_scsi", "virtio_pci", "virtio_pci_modern_dev", *SCSI)
VMWARE = ("vmw_pvscsi", *SCSI)
HYPERV = ("hv_storvsc", "hv_vmbus", *SCSI)
XEN = ("xen-blkfront",)
NVME = ("nvme", "nvme-core")
AHCI = ("ahci", "libata", *SCSI)
MANY = (*VIRTIO, *VMWARE, *HYPERV, *XEN, *NVME, *AHCI)
"""As MODULES=most has it."""


def path(module: str) -> str:
    """Where a module lies below its kernel's folder."""
    folder = "fs" if module in {"ext4", "xfs", "btrfs"} else f"drivers/{DRIVERS[module]}"
    return f"kernel/{folder}/{module}.ko"


def dep(modules: Iterable[str]) -> str:
    """A modules.dep."""
    return "".join(f"{path(m)}: {' '.join(path(n) for n in NEEDS.get(m, ()))}\n" for m in modules)


def kernel(release: str = RELEASE) -> bytes:
    """The head of a bzImage that says this release."""
    head = bytearray(2048)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<I", head, 0x1F4, 64)
    struct.pack_into("<H", head, 0x20E, 0x100)
    text = f"{release} (debian) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head)


def initramfs(
    modules: Iterable[str],
    *,
    release: str = RELEASE,
    more: Mapping[str, bytes] | None = None,
    suffix: str = "",
    without: Iterable[str] = (),
) -> bytes:
    """An image with these modules and some programs; ``more`` are other files."""
    home = f"usr/lib/modules/{release}"
    files = {f"{home}/{path(m)}{suffix}": b"elf" for m in modules}
    files |= {"usr/sbin/modprobe": b"elf", "usr/bin/kmod": b"elf", "init": b"#!/bin/sh"}
    files |= more or {}
    return cpio(*(member(name, data) for name, data in files.items() if name not in set(without)))


def guest(
    inside: Iterable[str] = MANY,
    *,
    content: str = "ext4",
    builtin: str = "ext4",
    root: str = f"UUID={UUID}",
    cmdline: str = "ro quiet",
    image: bytes | None = None,
    available: Iterable[str] = DRIVERS,
) -> MemoryGuest:
    """Debian with one kernel: modules ``inside`` its initramfs, and ``available`` in /lib/modules."""
    disk = Disk("/dev/sda", "x", 1 << 20, table="gpt")
    device = BlockDevice("/dev/sda3", DeviceKind.PARTITION, 1 << 20, content, UUID, disk="/dev/sda")
    made = MemoryGuest(
        block=BlockDevices((disk,), (device,)), mounts=(Mount("/dev/sda3", "/", content, UUID),)
    )
    made.file(
        "/boot/grub/grub.cfg",
        "menuentry 'Debian' {\n"
        f"\tlinux /boot/vmlinuz-{RELEASE} root={root} {cmdline}\n\tinitrd {INITRD}\n}}\n",
    )
    made.file(f"/boot/vmlinuz-{RELEASE}", kernel())
    made.file(INITRD, initramfs(inside) if image is None else image)
    home = f"/usr/lib/modules/{RELEASE}"
    made.file(f"{home}/modules.dep", dep(available))
    made.file(f"{home}/modules.alias", ALIASES)
    made.file(f"{home}/modules.builtin", "".join(f"kernel/x/{name}.ko\n" for name in builtin.split()))
    made.file("/usr/sbin/update-initramfs", b"x")
    made.file("/etc/initramfs-tools/initramfs.conf", "# a\nMODULES=most\nBUSYBOX=auto\n")
    return made
