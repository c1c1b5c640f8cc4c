"""A guest that fits the platform that asks for everything, for tests that break one thing of it."""

from __future__ import annotations

from guestrepair.analyzers.base import AnalysisOptions, Analyzer, Context, run_analyzer
from guestrepair.analyzers.platform import ANALYZER
from guestrepair.formats.gpt import BIOS_BOOT_TYPE, ESP_TYPE
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, ImageFile, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Examination, GuestPath, Severity
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import Parameters
from tests.unit import boot_drivers_guest as drivers
from tests.unit.analyzers.efi_images import grub_image
from tests.unit.analyzers.network_guest import WANTS, base, service
from tests.unit.analyzers.sshd_guest import debian

GIB = 1 << 30
NET = "/etc/systemd/network/10-lan.network"
CONFIG = "/etc/ssh/sshd_config"
MODULES = f"/usr/lib/modules/{drivers.RELEASE}"
ESP = BlockDevice(
    "/dev/sda1", DeviceKind.PARTITION, GIB, "vfat", "11-22", part_type=ESP_TYPE, disk="/dev/sda"
)
ROOT = BlockDevice("/dev/sda3", DeviceKind.PARTITION, GIB, "ext4", drivers.UUID, disk="/dev/sda")
QCOW2 = ImageFile(format="qcow2")


def requirement(rule: str, parameters: Parameters, severity: Severity | None = None) -> Requirement:
    return Requirement(
        rule=rule, parameters=parameters, why="it is so", source="https://example.org", severity=severity
    )


def platform(*requirements: Requirement, name: str = "here") -> Platform:
    return Platform(name=name, title="a platform", requirements=requirements)


def guest(
    *devices: BlockDevice,
    cmdline: str = "ro quiet console=ttyS0 net.ifnames=0",
    size_bytes: int = 4 * GIB,
    image: ImageFile | None = QCOW2,
    root: Mount | None = None,
) -> MemoryGuest:
    """Debian for BIOS and UEFI: sshd, networkd with DHCP for any card, waagent, drivers of all machines."""
    made = debian()
    booting = drivers.guest(cmdline=cmdline)
    made.nodes = {**base().nodes, **made.nodes, **booting.nodes}
    core = BlockDevice("/dev/sda2", DeviceKind.PARTITION, 1 << 20, part_type=BIOS_BOOT_TYPE, disk="/dev/sda")
    disk = Disk("/dev/sda", "/images/a.qcow2", size_bytes, table="gpt", image=image)
    made.block = BlockDevices((disk,), (ESP, core, *(devices or (ROOT,))))
    made.mounts = (
        root or Mount("/dev/sda3", "/", "ext4", drivers.UUID),
        Mount("/dev/sda1", "/boot/efi", "vfat", "11-22"),
    )
    sector = bytearray(1 << 20)
    sector[:10] = b"code GRUB "
    sector[0x5C:0x64] = (64).to_bytes(8, "little")
    sector[64 * 512 : 64 * 512 + 32 * 1024] = b"core" * 8192
    made.devices["/dev/sda"] = bytes(sector)
    made.file("/boot/grub/i386-pc/normal.mod", b"x")
    made.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/debian"))
    made.file("/boot/efi/EFI/BOOT/grub.cfg", "configfile /boot/grub/grub.cfg\n")
    made.file("/boot/efi/EFI/debian/grubx64.efi", grub_image("/EFI/debian"))
    made.file("/boot/efi/EFI/debian/grub.cfg", "configfile /boot/grub/grub.cfg\n")
    made.file("/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n')
    made.file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "x")
    made.directory(WANTS)
    service(made, "systemd-networkd.service", "/usr/lib/systemd/systemd-networkd")
    made.file(NET, "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n")
    dep = made.nodes[GuestPath(f"{MODULES}/modules.dep")]
    dep.content += b"kernel/drivers/net/virtio_net.ko:\nkernel/drivers/net/e1000.ko:\n"
    made.file("/usr/sbin/waagent", b"x", mode=0o755)
    return made


def run(made: MemoryGuest, one: Platform, *, analyzer: Analyzer = ANALYZER) -> Examination:
    """What the analyzer says where a platform was described."""
    return run_analyzer(analyzer, Context(made, options=AnalysisOptions(machine=one)))


def named(made: MemoryGuest, *names: str, analyzer: Analyzer = ANALYZER) -> Examination:
    """What it says of platforms that come with guestrepair."""
    return run_analyzer(analyzer, Context(made, options=AnalysisOptions(platforms=names)))
