"""The controllers that virtual machines reach their disks by, and which drivers each takes.

A device says what it is (its ``modalias``), the kernel's lists say which modules are for that. A driver that
is a part of the kernel is in no such list before Linux 6.16 (scripts/mod/file2alias.c), so it is known by its
name, too.

Sources: the drivers' own tables of devices in Linux (drivers/virtio, drivers/block/virtio_blk.c,
drivers/scsi/virtio_scsi.c, drivers/nvme/host/pci.c, drivers/ata/ahci.c and ata_piix.c,
drivers/message/fusion, drivers/scsi/{vmw_pvscsi,sym53c8xx_2,megaraid,storvsc_drv}.c, drivers/hv/vmbus_drv.c,
drivers/block/xen-blkfront.c); QEMU docs/specs/pci-ids.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.formats.modules import module_name


@dataclass(frozen=True, slots=True)
class Device:
    """One device by its modalias, and the names under which the kernel may have its driver built in."""

    modalias: str
    drivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bus:
    """A way to a disk: all of these devices have to be driven.

    ``hypervisor`` is whose invention it is, "" for one that physical machines have as well. ``disks`` is how
    the names of its disks begin, and those of no other.
    """

    name: str
    title: str
    devices: tuple[Device, ...]
    hypervisor: str = ""
    disks: str = ""

    @property
    def own_drivers(self) -> frozenset[str]:
        """The drivers of the controller itself."""
        return frozenset(name for device in self.devices for name in device.drivers) - {"sd_mod"}


_SCSI_DISK = Device("scsi:t-0x00", ("sd_mod",))
_VIRTIO_PCI = ("virtio_pci",)

BUSES = (
    Bus(
        "virtio-blk",
        "virtio-blk (KVM)",
        (
            Device("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", _VIRTIO_PCI),
            Device("virtio:d00000002v00001AF4", ("virtio_blk",)),
        ),
        "KVM",
        "vd",
    ),
    Bus(
        "virtio-scsi",
        "virtio-scsi (KVM)",
        (
            Device("pci:v00001AF4d00001004sv00001AF4sd00000008bc01sc00i00", _VIRTIO_PCI),
            Device("virtio:d00000008v00001AF4", ("virtio_scsi",)),
            _SCSI_DISK,
        ),
        "KVM",
    ),
    Bus(
        "nvme",
        "NVMe",
        (Device("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", ("nvme",)),),
        disks="nvme",
    ),
    Bus(
        "ahci",
        "SATA (AHCI)",
        (Device("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", ("ahci",)), _SCSI_DISK),
    ),
    Bus(
        "ide",
        "IDE (PIIX)",
        (Device("pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80", ("ata_piix",)), _SCSI_DISK),
    ),
    Bus(
        "lsi-parallel",
        "LSI Logic parallel (VMware)",
        (Device("pci:v00001000d00000030sv000015ADsd00001976bc01sc00i00", ("mptspi",)), _SCSI_DISK),
    ),
    Bus(
        "lsi-sas",
        "LSI Logic SAS (VMware)",
        (Device("pci:v00001000d00000054sv000015ADsd00001976bc01sc07i00", ("mptsas",)), _SCSI_DISK),
    ),
    Bus(
        "lsi-53c895a",
        "LSI 53C895A",
        (Device("pci:v00001000d00000012sv00001AF4sd00001100bc01sc00i00", ("sym53c8xx",)), _SCSI_DISK),
    ),
    Bus(
        "megaraid-sas",
        "MegaRAID SAS",
        (Device("pci:v00001000d00000060sv00001000sd00001000bc01sc04i00", ("megaraid_sas",)), _SCSI_DISK),
    ),
    Bus(
        "pvscsi",
        "pvscsi (VMware)",
        (Device("pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc00i00", ("vmw_pvscsi",)), _SCSI_DISK),
        "VMware",
    ),
    Bus(
        "xen",
        "Xen",
        (Device("xen:vbd", ("xen_blkfront", "xen_vbd")),),
        "Xen",
        "xvd",
    ),
    Bus(
        "hyper-v",
        "Hyper-V",
        (
            Device("acpi:VMBUS:", ("hv_vmbus",)),
            Device("vmbus:d96361baa104294db60572e2ffb1dc7f", ("hv_storvsc",)),
            _SCSI_DISK,
        ),
        "Hyper-V",
    ),
)
"""What qemu, VMware, VirtualBox, Xen, Hyper-V and the clouds give their guests."""

MODALIASES = tuple(dict.fromkeys(device.modalias for bus in BUSES for device in bus.devices))

_STORAGE = re.compile(
    r"kernel/(drivers/(ata|block|firewire|message|mmc|mtd|nvdimm|nvme|s390/(block|scsi)|scsi|usb/storage|ufs)"
    r"|arch/[^/]+/drivers)/|(extra|updates|weak-updates)/"
)
_HELPERS = frozenset(
    name
    for line in (
        "brd ch cdrom drbd enclosure floppy libahci libata libiscsi libsas loop mmc_core nbd",
        "null_blk nvme_auth nvme_common nvme_core nvme_fabrics nvmet pktcdvd raid_class rbd",
        "rnbd_client rnbd_server scsi_common scsi_debug scsi_dh_alua scsi_dh_emc scsi_dh_hp_sw",
        "scsi_dh_rdac scsi_mod scsi_transport_fc scsi_transport_iscsi scsi_transport_sas",
        "scsi_transport_spi scsi_transport_srp sd_mod ses sg sr_mod st target_core_mod ublk_drv",
        "xen_blkback zram mptbase mptscsih ata_generic pata_acpi pata_legacy",
    )
    for name in line.split()
)
_OF_BUSES = frozenset(driver for bus in BUSES for device in bus.devices for driver in device.drivers)
UNCERTAIN = frozenset({"ata_generic", "pata_acpi"})
"""Modules that name a whole class of devices, and leave all but a few of them alone."""


def is_other_controller(path: str) -> bool:
    """Whether a module, by its path below a kernel's, drives a controller that is no :class:`Bus`.

    Physical machines have hundreds of kinds. What only helps such a driver, or makes disks of other things,
    is none.
    """
    name = module_name(path)
    return _STORAGE.match(path) is not None and name not in _HELPERS and name not in _OF_BUSES
