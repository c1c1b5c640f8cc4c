"""Which disks an initramfs reaches: what is said of it, and what comes of a boot from each controller.

The machine gets kernel and initramfs from outside, so that no loader has a part in it. A boot ends when the
root filesystem, an empty one, is mounted, or when the initramfs has given up.
"""

from __future__ import annotations

import functools
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.initramfs import Lab, changed, lab
from fixtures.run import run
from guestrepair.appliance.acceleration import Acceleration, acceleration
from guestrepair.formats.kernel_cmdline import parse
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.boot_drivers import BootDrivers
from guestrepair.system.drivers import Drivers
from guestrepair.system.kernels import Kernels
from guestrepair.system.storage_buses import BUSES

pytestmark = pytest.mark.boot

ROOT_UUID = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c1d1"
INITRD = GuestPath("/boot/initrd")
MOUNTED = re.compile(rb"EXT4-fs \(\w+\): mounted filesystem")
GAVE_UP = re.compile(
    rb"Gave up waiting for root|ALERT!|Failed to mount|Kernel panic|mount: .* failed|Could not boot"
    rb"|/dev/disk/by-uuid/\S+ does not exist"
)
SECONDS = 300.0

ON = {
    "virtio-blk": ["virtio-blk-pci,drive=disk"],
    "virtio-scsi": ["virtio-scsi-pci,id=bus", "scsi-hd,drive=disk,bus=bus.0"],
    "nvme": ["nvme,drive=disk,serial=1"],
    "ahci": ["ide-hd,drive=disk,bus=ide.0"],
    "ide": ["ide-hd,drive=disk,bus=ide.0"],
    "lsi-53c895a": ["lsi53c895a,id=bus", "scsi-hd,drive=disk,bus=bus.0"],
    "lsi-sas": ["mptsas1068,id=bus", "scsi-hd,drive=disk,bus=bus.0,wwn=0x5000c50015ea71ac"],
    "megaraid-sas": ["megasas,id=bus", "scsi-hd,drive=disk,bus=bus.0"],
    "pvscsi": ["pvscsi,id=bus", "scsi-hd,drive=disk,bus=bus.0"],
}
"""A controller and a disk on it, in qemu's words; ahci is that of a q35, ide that of a pc."""

VIRTIO_AND_NVME = r"/(virtio_blk|virtio_scsi|virtio_pci\w*|nvme)\.ko$"


def image(kernel: str, kind: str) -> bytes:
    """An initramfs of the lab, or one made of that."""
    folder = lab().folder / kernel
    most = (folder / "most.img").read_bytes
    made = {
        "without virtio and nvme": lambda: changed(most(), without=VIRTIO_AND_NVME),
        "without what virtio_pci needs": lambda: changed(most(), without=r"/virtio_pci_\w+_dev\.ko$"),
        "without disks": lambda: changed(most(), without=r"/sd_mod\.ko$"),
        "without ext4": lambda: changed(most(), without=r"/ext4\.ko$"),
        "nvme blacklisted": lambda: changed(most(), more={"etc/modprobe.d/a.conf": b"blacklist nvme\n"}),
        "ahci installed to nothing": lambda: changed(
            most(), more={"etc/modprobe.d/a.conf": b"install ahci /bin/false\n"}
        ),
        "of the other kernel": (lab().folder / "generic" / "most.img").read_bytes,
    }
    return made[kind]() if kind in made else (folder / f"{kind}.img").read_bytes()


def said(kernel: str, content: bytes, cmdline: str) -> BootDrivers:
    """What is said of it."""
    guest = MemoryGuest()
    guest.file(str(INITRD), content)
    release = Lab(lab().folder).release(kernel)
    for each in (lab().folder / kernel).glob("modules.*"):
        guest.file(f"/usr/lib/modules/{release}/{each.name}", each.read_bytes())
    found = Kernels(guest).initramfs(INITRD)
    assert found is not None
    assert (found.problem, found.image.unlisted) == ("", "")
    return BootDrivers(Drivers(guest), release, [found], parse(cmdline.encode()), sure=True)


def console(kernel: Path, initrd: Path, disk: Path, bus: str, cmdline: str) -> Iterator[bytes]:
    """The machine's serial console, piece by piece; the machine is gone when this ends."""
    kvm = acceleration().acceleration is Acceleration.KVM
    argv = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-m",
        "1024",
    ]
    argv += [
        "-m",
        "1024",
        "-machine",
        f"{'pc' if bus == 'ide' else 'q35'},accel={'kvm' if kvm else 'tcg'}",
        "-cpu",
        "max",
    ]
    argv += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline]
    argv += ["-drive", f"if=none,id=disk,format=raw,file={disk}"]
    argv += [word for device in ON[bus] for word in ("-device", device)]
    machine = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert machine.stdout is not None
    try:
        while data := _next(machine.stdout.fileno()):
            yield data
    finally:
        machine.kill()
        machine.wait()
        machine.stdout.close()


def _next(descriptor: int) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], SECONDS)
    return os.read(descriptor, 65536) if ready else b""


def mounts_root(kernel: str, content: bytes, bus: str, cmdline: str, folder: Path) -> bool:
    """Whether the root filesystem is mounted in a machine whose disk is on that controller."""
    (folder / "initrd").write_bytes(content)
    line = f"root=UUID={ROOT_UUID} ro console=ttyS0 rootdelay=60 rd.retry=20 rd.timeout=60 panic=1 {cmdline}"
    disk = folder / "disk.raw"
    disk.touch()
    os.truncate(disk, 32 << 20)
    run(["mke2fs", "-q", "-t", "ext4", "-U", ROOT_UUID, disk])
    seen, started = b"", time.monotonic()
    for piece in console(lab().folder / kernel / "vmlinuz", folder / "initrd", disk, bus, line):
        seen += piece
        if MOUNTED.search(seen):
            return True
        if GAVE_UP.search(seen):
            return False
        if time.monotonic() - started > SECONDS:
            break
    pytest.fail(f"neither mounted nor given up:\n{seen[-3000:].decode(errors='replace')}")


@functools.cache
def content_of(kernel: str, kind: str) -> bytes:
    return image(kernel, kind)


CELLS = [
    # kernel, initramfs, controller, command line, whether the root filesystem is mounted
    ("cloud", "without virtio and nvme", "virtio-blk", "", False),
    ("cloud", "without virtio and nvme", "nvme", "", True),  # it is built in
    ("cloud", "most", "virtio-blk", "", True),
    ("cloud", "most", "pvscsi", "", True),
    ("cloud", "most", "ide", "", True),
    ("cloud", "most", "ahci", "", False),  # the kernel has no such driver
    ("cloud", "most", "lsi-sas", "", False),
    ("cloud", "list", "virtio-blk", "", True),
    ("cloud", "list", "virtio-scsi", "", False),
    ("cloud", "of the other kernel", "virtio-blk", "", False),
    ("cloud", "of the other kernel", "nvme", "", True),
    ("generic", "most", "virtio-scsi", "", True),
    ("generic", "most", "ahci", "", True),
    ("generic", "most", "nvme", "", True),
    ("generic", "most", "lsi-53c895a", "", True),
    ("generic", "most", "lsi-sas", "", True),
    ("generic", "most", "megaraid-sas", "", True),
    ("generic", "without virtio and nvme", "nvme", "", False),
    ("generic", "without what virtio_pci needs", "virtio-blk", "", False),
    ("generic", "without disks", "ahci", "", False),
    ("generic", "nvme blacklisted", "nvme", "", False),
    ("generic", "ahci installed to nothing", "ahci", "", False),
    ("generic", "most", "ahci", "module_blacklist=ahci", False),
    ("generic", "most", "nvme", "modprobe.blacklist=nvme", False),
    ("generic", "dracut", "pvscsi", "", True),
    ("generic", "dracut", "virtio-blk", "", True),  # dracut adds qemu's devices by itself
    ("generic", "dracut", "nvme", "", False),
]


@pytest.mark.long
@pytest.mark.parametrize(("kernel", "kind", "bus", "cmdline", "mounted"), CELLS)
def test_a_controller_is_reached_where_the_boot_mounts_its_disk(
    kernel: str, kind: str, bus: str, cmdline: str, *, mounted: bool, tmp_path: Path
) -> None:
    content = content_of(kernel, kind)
    verdict = said(kernel, content, cmdline).reaches(next(b for b in BUSES if b.name == bus))
    came = mounts_root(kernel, content, bus, cmdline, tmp_path)
    print(f"{kernel}, {kind}, {bus} {cmdline}: said {verdict}, came {came}")
    assert (verdict, came) == (mounted, mounted)


@pytest.mark.long
def test_without_its_filesystems_driver_the_root_is_mounted_on_no_controller(tmp_path: Path) -> None:
    content = content_of("generic", "without ext4")
    found = said("generic", content, "")
    assert (found.loads("ext4"), found.loads("nvme")) == (False, True)
    assert not mounts_root("generic", content, "nvme", "", tmp_path)
