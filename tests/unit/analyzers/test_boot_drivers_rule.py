"""boot/initramfs-lacks-driver: broken, its healthy twins, and machines that are right as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.boot import ANALYZER, drivers, kernels
from guestrepair.analyzers.boot.drivers import bus_of_disk
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    Effect,
    Finding,
    GuestPath,
    Inconclusive,
    RunGuestProgram,
    Safety,
    Severity,
)
from tests.support.initramfs import cpio, member
from tests.unit import boot_drivers_guest as made
from tests.unit.boot_drivers_guest import (
    AHCI,
    HYPERV,
    INITRD,
    MANY,
    NVME,
    RELEASE,
    SCSI,
    UUID,
    VIRTIO,
    VMWARE,
    XEN,
)

CHECKED = replace(ANALYZER, checks=(kernels.check, drivers.check))
RULE = "boot/initramfs-lacks-driver"
ERROR, WARNING = Severity.ERROR, Severity.WARNING
OTHERS = tuple(f"raid{number}_sas" for number in range(9))
MANY_SERVERS = (*OTHERS, "ata_piix", "libata", *SCSI)
SERVER = ("hpsa", "megaraid_sas", *SCSI)


def run(guest: MemoryGuest, *, buses: tuple[str, ...] = ()) -> tuple[list[Finding], list[Inconclusive]]:
    findings, inconclusive = run_analyzer(CHECKED, Context(guest, options=AnalysisOptions(buses=buses)))
    return [f for f in findings if f.rule == RULE], inconclusive


def the_one(guest: MemoryGuest, *, buses: tuple[str, ...] = ()) -> Finding:
    (found,), inconclusive = run(guest, buses=buses)
    assert inconclusive == []
    assert found.subject == INITRD
    return found


def less(modules: Iterable[str], *gone: str) -> tuple[str, ...]:
    return tuple(m for m in modules if m not in gone)


CUT_DOWN = less(MANY, "virtio_blk", "virtio_scsi", "virtio_pci", "virtio_pci_modern_dev", "nvme")
"""As MODULES=most has it, without virtio and NVMe: field case 18."""


# --- the disk ---------------------------------------------------------------------------------------


def test_one_made_for_many_machines_lacks_virtio() -> None:
    found = the_one(made.guest(CUT_DOWN, builtin="ext4 nvme"))
    assert (found.severity, found.effect) == (WARNING, Effect.DEGRADES)
    assert "reaches disks by NVMe, SATA (AHCI), pvscsi (VMware), Xen, Hyper-V, and not by" in found.message
    assert "virtio-blk (KVM), virtio-scsi (KVM): virtio_pci" in found.message
    assert "NVMe (" not in found.message, "built in"


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        (less(MANY, "virtio_blk"), "not by virtio-blk (KVM): virtio_blk is not in it"),
        (less(MANY, "virtio_pci"), "not by virtio-blk (KVM), virtio-scsi (KVM): virtio_pci is not in it"),
        (less(MANY, "virtio_pci_modern_dev"), "(KVM): virtio_pci_modern_dev is not in it"),
        (less(MANY, "nvme-core"), "not by NVMe: nvme_core is not in it"),
        (less(MANY, "ahci"), "not by SATA (AHCI): ahci is not in it"),
        ((), "reaches disks by no controller of virtual machines, and not by virtio-blk (KVM), "),
        (MANY_SERVERS, "not by virtio-blk (KVM), virtio-scsi (KVM), NVMe, SATA (AHCI): "),
        (SCSI, "reaches disks by no controller of virtual machines, and not by virtio-blk (KVM), "),
    ],
)
def test_what_is_missing_is_named(inside: Iterable[str], says: str) -> None:
    found = the_one(made.guest(inside))
    assert found.severity is WARNING
    assert says in found.message


def test_modules_of_another_kernel() -> None:
    found = the_one(made.guest(image=made.initramfs(MANY, release="6.1.0-0-amd64")))
    assert found.severity is WARNING
    assert f"the modules in it are for 6.1.0-0-amd64, and the kernel is {RELEASE}" in found.message


def test_a_driver_that_is_kept_from_being_loaded_is_left_to_a_person() -> None:
    image = made.initramfs(MANY, more={"etc/modprobe.d/a.conf": b"# a\nblacklist virtio_blk\n"})
    found = the_one(made.guest(image=image))
    place = f"/etc/modprobe.d/a.conf:2 in {INITRD}"
    assert (
        f"not by virtio-blk (KVM): virtio_blk is kept from being loaded by blacklist ({place})"
        in found.message
    )
    assert found.repair is not None
    assert (found.repair.safety, found.repair.changes) == (Safety.MANUAL, ())


def test_a_disk_that_root_names_and_no_driver_makes() -> None:
    found = the_one(made.guest(VMWARE, root="/dev/vda1"))
    assert (found.severity, found.effect) == (ERROR, Effect.STOPS_BOOT)
    assert (
        "cannot reach /dev/vda1, which root= names: virtio_pci, virtio_pci_modern_dev, virtio_blk"
        in found.message
    )
    assert run(made.guest(VIRTIO, root="/dev/vda1")) == ([], [])


@pytest.mark.parametrize(
    ("path", "bus"),
    [
        ("/dev/vda", "virtio-blk"),
        ("/dev/vdaa12", "virtio-blk"),
        ("/dev/xvda1", "xen"),
        ("/dev/nvme0n1p2", "nvme"),
        ("/dev/sda1", None),
        ("/dev/vdata/root", None),
        ("/dev/mapper/vg-root", None),
        ("UUID=vda", None),
    ],
)
def test_names_of_disks(path: str, bus: str | None) -> None:
    found = bus_of_disk(path)
    assert (found.name if found else None) == bus


# --- machines that are right as they are ------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "builtin"),
    [
        pytest.param(MANY, "ext4", id="most"),
        pytest.param(VMWARE, "ext4", id="VMware"),
        pytest.param((*VMWARE, *OTHERS), "ext4", id="VMware, cut down"),
        pytest.param((*VIRTIO, *OTHERS), "ext4", id="KVM, cut down"),
        pytest.param((*VMWARE, "mptspi", *AHCI, *NVME), "ext4", id="VMware, all of it"),
        pytest.param(HYPERV, "ext4", id="Hyper-V"),
        pytest.param((*HYPERV, *NVME), "ext4", id="Azure"),
        pytest.param(XEN, "ext4", id="Xen"),
        pytest.param((*XEN, *NVME), "ext4", id="AWS"),
        pytest.param(NVME, "ext4", id="NVMe"),
        pytest.param((), "ext4 nvme", id="NVMe, built in"),
        pytest.param(VIRTIO, "ext4", id="KVM"),
        pytest.param(("virtio_blk", "virtio_pci", "virtio_pci_modern_dev"), "ext4", id="virtio-blk alone"),
        pytest.param(AHCI, "ext4", id="VirtualBox"),
        pytest.param(("ata_piix", "libata", *SCSI), "ext4", id="IDE"),
        pytest.param(SERVER, "ext4", id="a server with a RAID controller"),
        pytest.param(("hpsa", *SCSI), "ext4", id="a server with one of another kind"),
        pytest.param((), "ext4 virtio_pci virtio_blk", id="all built in"),
        pytest.param(("nvme-tcp", "nvme-core"), "ext4", id="NVMe over TCP"),
    ],
)
def test_an_initramfs_for_one_machine_is_right_where_it_was_made(inside: Iterable[str], builtin: str) -> None:
    guest = made.guest(inside, builtin=builtin)
    guest.file("/etc/initramfs-tools/conf.d/driver-policy", "MODULES=dep\n")
    assert run(guest) == ([], [])


def test_a_kernel_that_has_no_such_driver_is_not_held_against_its_initramfs() -> None:
    cloud = less(MANY, "ahci", "libata")
    assert run(made.guest(cloud, available=cloud)) == ([], [])


def test_a_kernel_without_any_module_says_nothing() -> None:
    guest = made.guest(image=cpio(member("init")))
    guest.remove(f"/usr/lib/modules/{RELEASE}")
    assert run(guest)[0] == []


@pytest.mark.parametrize("root", ["/dev/nfs", "nfs:10.0.0.1:/root", "live:CDLABEL=x", "zfs:tank/root"])
def test_a_root_from_elsewhere(root: str) -> None:
    assert run(made.guest(VMWARE, builtin="btrfs", root=root))[0] == []


# --- the named platform ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "buses", "severity"),
    [
        (VMWARE, ("virtio-blk", "virtio-scsi"), ERROR),
        (VMWARE, ("pvscsi", "lsi-parallel"), None),
        (MANY, ("virtio-blk",), None),
        (MANY, ("hyper-v",), None),
        (NVME, ("hyper-v",), ERROR),
        (SERVER, ("nvme",), ERROR),
    ],
)
def test_where_the_platform_is_named(
    inside: Iterable[str], buses: tuple[str, ...], severity: Severity | None
) -> None:
    findings, _ = run(made.guest(inside), buses=buses)
    assert [f.severity for f in findings] == ([] if severity is None else [severity])


def test_a_platform_that_the_kernel_has_no_driver_for() -> None:
    found = the_one(made.guest(XEN, available=XEN), buses=("ahci",))
    assert f"not by SATA (AHCI): kernel {RELEASE} has no driver for them" in found.message
    assert found.repair is not None
    assert found.repair.summary == "install another kernel, one that has the driver"


# --- the root filesystem ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["ext4", "xfs", "btrfs"])
def test_the_driver_of_the_root_filesystem_is_nowhere(content: str) -> None:
    guest = made.guest(MANY, content=content, builtin="loop")
    found = the_one(guest)
    assert (found.severity, found.effect) == (ERROR, Effect.STOPS_BOOT)
    assert f"cannot mount the root filesystem: {content} is not in it, which {content} needs" in found.message
    image = made.initramfs(MANY, more={f"lib/modules/{RELEASE}/kernel/fs/{content}/{content}.ko.xz": b"elf"})
    assert run(made.guest(image=image, content=content, builtin="loop")) == ([], [])
    assert run(made.guest(MANY, content=content, builtin=content)) == ([], [])


def test_a_kernel_without_the_driver_of_the_root_filesystem_is_not_mended_by_a_rebuild() -> None:
    repair = the_one(made.guest(MANY, content="xfs", builtin="loop")).repair
    assert repair is not None
    assert repair.summary == "install another kernel, one that has the driver"
    guest = made.guest(MANY, content="xfs", builtin="loop", available=(*made.DRIVERS, "xfs"))
    repair = the_one(guest).repair
    assert repair is not None
    assert repair.safety is Safety.REVIEW


def test_an_ext3_is_mounted_by_ext4() -> None:
    assert run(made.guest(MANY, content="ext3", builtin="ext4")) == ([], [])


def test_the_entry_of_another_system_is_not_held_against_this_root() -> None:
    guest = made.guest(MANY, content="btrfs", root="UUID=1-2")
    guest.block = BlockDevices(
        guest.block.disks,
        (*guest.block.devices, BlockDevice("/dev/sda5", DeviceKind.PARTITION, 1, "xfs", "1-2")),
    )
    assert run(guest)[0] == []


def stacked(kind: DeviceKind, inside: Iterable[str], *programs: str) -> MemoryGuest:
    image = made.initramfs((*MANY, *inside), more={f"usr/sbin/{name}": b"elf" for name in programs})
    guest = made.guest(image=image)
    below = BlockDevice("/dev/sda3", DeviceKind.PARTITION, 1 << 20, "member", disk="/dev/sda")
    root = BlockDevice("/dev/x/root", kind, 1 << 20, "ext4", UUID, parents=("/dev/sda3",))
    guest.block = BlockDevices((Disk("/dev/sda", "x", 1 << 20, table="gpt"),), (below, root))
    guest.mounts = (Mount("/dev/x/root", "/", "ext4", UUID),)
    return guest


@pytest.mark.parametrize(
    ("kind", "modules", "program", "needs"),
    [
        (DeviceKind.LOGICAL_VOLUME, ("dm-mod",), "lvm", "LVM"),
        (DeviceKind.CRYPT, ("dm-mod", "dm-crypt"), "cryptsetup", "LUKS"),
        (DeviceKind.CRYPT, ("dm-mod", "dm-crypt"), "systemd-cryptsetup", "LUKS"),
        (DeviceKind.MD, ("md-mod",), "mdadm", "RAID"),
    ],
)
def test_what_lies_under_the_root_filesystem(
    kind: DeviceKind, modules: tuple[str, ...], program: str, needs: str
) -> None:
    assert run(stacked(kind, modules, program)) == ([], [])
    found = the_one(stacked(kind, modules[:-1], program))
    assert found.severity is ERROR
    assert f"{modules[-1].replace('-', '_')} is not in it, which {needs} needs" in found.message
    found = the_one(stacked(kind, modules))
    assert found.severity is ERROR
    assert f"is not in it, which {needs} needs" in found.message


# --- the repair ---------------------------------------------------------------------------------------


def test_the_repair_makes_the_policy_most_and_rebuilds() -> None:
    guest = made.guest(CUT_DOWN)
    path = GuestPath("/etc/initramfs-tools/conf.d/driver-policy")
    guest.file(str(path), "# As chosen at installation\nMODULES=dep\n")
    found = the_one(guest)
    assert any(e.source == f"{path}:2" and e.observed == "MODULES=dep" for e in found.evidence)
    assert found.repair is not None
    edit, program = found.repair.changes
    assert found.repair.safety is Safety.REVIEW
    assert isinstance(edit, EditFile)
    assert (edit.path, edit.after) == (path, b"# As chosen at installation\nMODULES=most\n")
    assert not edit.backup, "a copy in conf.d would be read after it"
    assert isinstance(program, RunGuestProgram)
    assert program.arguments == ("/usr/sbin/update-initramfs", "-c", "-k", RELEASE)


def test_the_repair_without_a_policy_and_by_dracut() -> None:
    found = the_one(made.guest(CUT_DOWN))
    assert found.repair is not None
    assert [type(c) for c in found.repair.changes] == [RunGuestProgram]
    guest = made.guest(CUT_DOWN)
    guest.remove("/usr/sbin/update-initramfs")
    assert the_one(guest).repair is not None
    assert the_one(guest).repair.changes == ()  # type: ignore[union-attr]
    guest.file("/usr/bin/dracut", b"x")
    repair = the_one(guest).repair
    assert repair is not None
    (program,) = repair.changes
    assert isinstance(program, RunGuestProgram)
    assert program.arguments == ("/usr/bin/dracut", "--force", "--no-hostonly", INITRD, RELEASE)


# --- unreadable, hostile --------------------------------------------------------------------------------


def test_what_cannot_be_read_is_said() -> None:
    guest = made.guest(image=cpio(member("squash-root.img")))
    assert run(guest)[0] == []
    assert "squash-root.img, which is not looked into" in run(guest)[1][0].reason
    guest = made.guest()
    guest.nodes[GuestPath(f"/usr/lib/modules/{RELEASE}/modules.dep")].size_bytes = 1 << 40
    findings, (inconclusive,) = run(guest)
    assert findings == []
    assert "modules.dep" in inconclusive.reason
    guest = made.guest()
    guest.nodes[GuestPath(INITRD)].unreadable = "Input/output error"
    findings, inconclusives = run(guest)
    assert findings == []
    assert [i.reason for i in inconclusives] == [f"{INITRD}: Input/output error"]


def test_hostile_names_and_lists() -> None:
    home = f"lib/modules/{RELEASE}"
    image = made.initramfs(
        MANY,
        more={
            f"{home}/modules.dep": b"kernel/a.ko: " + b"../../b.ko " * 1000 + b"\n\xff\xfe:\n",
            f"{home}/modules.alias": b"alias * \xff\nalias scsi:" + b"*[" * 200 + b" x\n",
            f"{home}/modules.builtin.modinfo": b"\0" * 1000 + b"a.alias=\0.alias=*\0",
            "etc/modprobe.d/\x1b[2J.conf": b"install virtio_blk /bin/false\n",
            "lib/modules/../../x.ko": b"x",
            "lib/modules/x.ko/y.ko": b"x",
        },
    )
    findings, inconclusive = run(made.guest(image=image))
    assert inconclusive == []
    assert len(findings) == 1
