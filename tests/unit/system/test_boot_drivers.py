"""What the default entry's kernel and initramfs can drive."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.boot_drivers import BootDrivers
from guestrepair.system.guest_system import System
from guestrepair.system.storage_buses import BUSES, is_other_controller
from tests.support.initramfs import cpio, member
from tests.unit import boot_drivers_guest as made
from tests.unit.boot_drivers_guest import AHCI, HYPERV, INITRD, MANY, NVME, RELEASE, SCSI, VIRTIO, VMWARE, XEN

BUS = {bus.name: bus for bus in BUSES}
BLACKLIST = "/etc/modprobe.d/a.conf"
CONF, POLICIES = "/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d"
VENDOR = "/usr/share/initramfs-tools/conf.d"
HOME = f"lib/modules/{RELEASE}"


def drivers(guest: MemoryGuest) -> BootDrivers:
    found = System(guest).boot_drivers
    assert found is not None
    return found


def buses(guest: MemoryGuest) -> list[str]:
    return [bus.name for bus in drivers(guest).buses]


@pytest.mark.parametrize(
    ("inside", "builtin", "reached"),
    [
        (MANY, "ext4", ["virtio-blk", "virtio-scsi", "nvme", "ahci", "pvscsi", "xen", "hyper-v"]),
        ((), "ext4", []),
        ((), "nvme", ["nvme"]),
        (("virtio_blk",), "virtio_pci", ["virtio-blk"]),
        (("virtio_blk",), "ext4", []),
        (("virtio_blk", "virtio_pci"), "ext4", []),  # virtio_pci needs virtio_pci_modern_dev
        (("virtio_blk", "virtio_pci", "virtio_pci_modern_dev"), "ext4", ["virtio-blk"]),
        (VIRTIO, "ext4", ["virtio-blk", "virtio-scsi"]),
        (("vmw_pvscsi", "scsi_mod"), "ext4", []),  # a controller without a driver of disks
        (("vmw_pvscsi", "scsi_mod"), "sd_mod", ["pvscsi"]),
        (VMWARE, "ext4", ["pvscsi"]),
        (("hv_storvsc", *SCSI), "ext4", []),
        (HYPERV, "ext4", ["hyper-v"]),
        (XEN, "ext4", ["xen"]),
        (("nvme",), "ext4", []),
        (("nvme-tcp", "nvme-core"), "ext4", []),  # another module of a similar name
        (NVME, "ext4", ["nvme"]),
        (AHCI, "ext4", ["ahci"]),
        (("ata_piix", "libata", *SCSI), "ext4", ["ide"]),
    ],
)
def test_buses_that_are_reached(inside: Iterable[str], builtin: str, reached: list[str]) -> None:
    assert buses(made.guest(inside, builtin=builtin)) == reached


@pytest.mark.parametrize("suffix", [".xz", ".zst", ".gz"])
def test_compressed_modules_count(suffix: str) -> None:
    guest = made.guest(image=made.initramfs(NVME, suffix=suffix))
    assert buses(guest) == ["nvme"]


def test_modules_of_another_release_are_none_of_this_kernel() -> None:
    guest = made.guest(image=made.initramfs(MANY, release="6.1.0-0-amd64"))
    assert buses(guest) == []
    assert drivers(guest).other_releases == ("6.1.0-0-amd64",)


def test_a_kernel_that_does_not_say_its_release_is_not_held_against_names() -> None:
    guest = made.guest(image=made.initramfs(NVME, release="6.1.0-0-arm64"))
    guest.file(f"/boot/vmlinuz-{RELEASE}", b"\x7fELF" + b"x" * 4096)
    assert buses(guest) == ["nvme"]


def test_several_images_count_together() -> None:
    guest = made.guest(image=made.initramfs(NVME))
    guest.file("/boot/more.img", made.initramfs(XEN))
    text = guest.read(GuestPath("/boot/grub/grub.cfg")).replace(
        INITRD.encode(), f"{INITRD} /boot/more.img".encode()
    )
    guest.file("/boot/grub/grub.cfg", text)
    assert buses(guest) == ["nvme", "xen"]


def test_the_lists_inside_count_before_the_guests() -> None:
    lists = {
        f"{HOME}/modules.builtin": b"kernel/drivers/nvme/host/nvme.ko\n",
        f"{HOME}/modules.dep": made.dep(["xen-blkfront"]).encode(),
        f"{HOME}/modules.alias": b"alias xen:vbd xen_blkfront\n",
        f"{HOME}/modules.builtin.modinfo": b"my_ahci.alias=pci:v*d*sv*sd*bc01sc06i01*\0",
    }
    guest = made.guest(image=made.initramfs(XEN, more=lists))
    guest.remove(f"/usr/lib/modules/{RELEASE}")
    assert buses(guest) == ["nvme", "xen"]


def test_a_driver_of_another_name_is_found_by_its_alias() -> None:
    lists = {f"{HOME}/modules.alias": b"alias pci:v*d*sv*sd*bc01sc08i02* vendor_nvme\n"}
    image = made.initramfs((), more={**lists, f"{HOME}/updates/vendor-nvme.ko": b"elf"})
    assert buses(made.guest(image=image)) == ["nvme"]


@pytest.mark.parametrize(
    ("cmdline", "files", "reached", "where"),
    [
        ("modprobe.blacklist=nvme,xen-blkfront", {}, [], "the command line"),
        ("module_blacklist=nvme-core,xen_blkfront", {}, [], "the command line"),
        ("rd.driver.blacklist=nvme", {}, ["xen"], "the command line"),
        (
            "",
            {"etc/modprobe.d/a.conf": b"blacklist nvme\n"},
            ["xen"],
            f"/etc/modprobe.d/a.conf:1 in {INITRD}",
        ),
        ("", {"usr/lib/modprobe.d/a.conf": b"install nvme_core /bin/false\n"}, ["xen"], ""),
        (
            "",
            {"usr/lib/modprobe.d/a.conf": b"blacklist nvme\n", "etc/modprobe.d/a.conf": b"# none\n"},
            ["nvme", "xen"],
            "",
        ),
        ("", {"etc/modprobe.d/a.conf": b"blacklist nvme\n", "conf/modules": b"nvme\n"}, ["nvme", "xen"], ""),
        ("rd.driver.pre=nvme modprobe.blacklist=nvme", {}, ["nvme", "xen"], ""),
        ("", {"etc/modprobe.d/a.conf": b"install nvme /bin/true\n", "conf/modules": b"nvme\n"}, ["xen"], ""),
        ("", {"etc/modprobe.d/a.conf": b"blacklist nvme_core\n"}, ["nvme", "xen"], ""),  # it is a dependency
    ],
)
def test_what_is_kept_from_being_loaded(
    cmdline: str, files: dict[str, bytes], reached: list[str], where: str
) -> None:
    guest = made.guest(cmdline=cmdline, image=made.initramfs((*NVME, *XEN), more=files))
    assert buses(guest) == reached
    if where:
        assert drivers(guest).blocked["nvme_core" if "nvme-core" in cmdline else "nvme"].place == where


def test_modprobe_d_of_the_guest_does_not_count_before_the_root_is_there() -> None:
    guest = made.guest(NVME)
    guest.file("/etc/modprobe.d/a.conf", "blacklist nvme\ninstall nvme /bin/false\n")
    assert buses(guest) == ["nvme"]


def test_what_is_lacking_for_a_bus() -> None:
    found = drivers(made.guest(("virtio_blk", "virtio_pci")))
    assert found.missing(BUS["virtio-blk"]) == ("virtio_pci_modern_dev",)
    assert found.missing(BUS["virtio-scsi"]) == ("virtio_pci_modern_dev", "virtio_scsi", "scsi_mod", "sd_mod")
    assert found.could_reach(BUS["virtio-scsi"])
    assert not drivers(made.guest(available=XEN, inside=XEN)).could_reach(BUS["nvme"])


def test_a_module_that_only_the_list_inside_names_was_taken_out() -> None:
    image = made.initramfs(XEN, more={f"{HOME}/modules.dep": made.dep(made.DRIVERS).encode()})
    found = drivers(made.guest(image=image, available=()))
    assert found.could_reach(BUS["virtio-blk"])
    assert found.missing(BUS["virtio-blk"]) == ("virtio_pci", "virtio_pci_modern_dev", "virtio_blk")


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("kernel/drivers/scsi/hpsa.ko.xz", True),
        ("kernel/drivers/scsi/mpt3sas/mpt3sas.ko", True),
        ("extra/vendor_raid.ko", True),
        ("kernel/drivers/mmc/host/sdhci-pci.ko", True),
        ("kernel/drivers/scsi/sd_mod.ko", False),
        ("kernel/drivers/scsi/vmw_pvscsi.ko", False),
        ("kernel/drivers/block/loop.ko", False),
        ("kernel/drivers/net/virtio_net.ko", False),
        ("kernel/fs/ext4/ext4.ko", False),
    ],
)
def test_controllers_of_other_machines(path: str, *, is_one: bool) -> None:
    assert is_other_controller(path) is is_one


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("squash-root.img",), f"{INITRD}: the most of it is in squash-root.img, which is not looked into"),
        (("squash/root.img",), f"{INITRD}: the most of it is in squash/root.img, which is not looked into"),
        (("erofs-root.img",), f"{INITRD}: the most of it is in erofs-root.img, which is not looked into"),
        (("etc/squash.conf",), ""),
    ],
)
def test_what_is_not_looked_into_is_said(names: tuple[str, ...], says: str) -> None:
    assert drivers(made.guest(image=cpio(*map(member, names)))).unlisted == says


def test_nothing_is_known_without_a_whole_kernel_and_initramfs() -> None:
    for gone in (f"/boot/vmlinuz-{RELEASE}", INITRD, "/boot/grub/grub.cfg"):
        guest = made.guest()
        guest.remove(gone)
        assert System(guest).boot_drivers is None
    guest = made.guest(image=made.initramfs(MANY)[:500])
    assert System(guest).boot_drivers is None


def test_no_list_of_what_is_built_in() -> None:
    guest = made.guest()
    guest.remove(f"/usr/lib/modules/{RELEASE}/modules.builtin")
    assert not drivers(guest).has_no_modules
    with pytest.raises(GuestReadError, match=r"modules\.builtin: no such file"):
        buses(guest)
    guest.file(INITRD, made.initramfs(()))
    assert drivers(guest).has_no_modules


@pytest.mark.parametrize("name", ["modules.dep", "modules.alias", "modules.builtin"])
def test_a_list_that_cannot_be_read_is_an_error(name: str) -> None:
    guest = made.guest()
    guest.nodes[GuestPath(f"/usr/lib/modules/{RELEASE}/{name}")].unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match="Input/output error"):
        buses(guest)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({}, f"{CONF}:2"),
        ({f"{POLICIES}/policy": "MODULES=dep\n"}, f"{POLICIES}/policy:1"),
        ({f"{POLICIES}/a.dpkg-old": "MODULES=dep\n"}, f"{CONF}:2"),
        ({f"{VENDOR}/z": "MODULES=dep\n", f"{POLICIES}/a": "MODULES=list\n"}, f"{POLICIES}/a:1"),
        ({f"{VENDOR}/z": "MODULES=dep\n", f"{POLICIES}/z": "# none\n"}, f"{CONF}:2"),
    ],
)
def test_the_policy_of_initramfs_tools(files: dict[str, str], place: str) -> None:
    guest = made.guest()
    for path, text in files.items():
        guest.file(path, text)
    policy = System(guest).initramfs_modules
    assert policy is not None
    assert policy.place == place
