"""Guests whose boot chain is whole, for tests that break one link of it."""

from __future__ import annotations

from dataclasses import replace

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.boot import ANALYZER, drivers
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, MakeLink, SetMode, Severity, WriteFile
from guestrepair.packages.base import Package, PackageDatabase, PackagedFile
from tests.unit.analyzers.efi_images import grub_image
from tests.unit.analyzers.test_boot_rules import INITRD, ROOT, VERSION, kernel

# What is in the initramfs is another test's business: here it is one without drivers.
CHECKED = replace(ANALYZER, checks=tuple(c for c in ANALYZER.checks if c is not drivers.check))
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
BOOT = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c1b0"
ENTRY = f"/boot/loader/entries/m-{VERSION}.conf"
MENU = "/boot/grub/grub.cfg"
FSTAB = f"UUID={ROOT} / ext4 errors=remount-ro 0 1\n"
STUB = (
    "search --no-floppy --fs-uuid --set=dev {uuid}\nset prefix=($dev){folder}\nconfigfile $prefix/grub.cfg\n"
)


def device(name: str, content: str, uuid: str, **more: object) -> BlockDevice:
    number = int(name[-1]) if name[-1].isdigit() else 0
    kind = DeviceKind.PARTITION if number else DeviceKind.DISK
    values: dict[str, object] = {
        "part_number": number,
        "disk": name.rstrip("0123456789"),
        "partuuid": f"p-{number}",
    }
    return BlockDevice(name, kind, 1 << 20, content, uuid, **(values | more))  # type: ignore[arg-type]


def guest(*, bios: bool = True, distro: str = "") -> MemoryGuest:
    """A disk with an EFI system partition and a root, and an init; no loader yet."""
    devices = (device("/dev/sda2", "vfat", "1111-2222"), device("/dev/sda3", "ext4", ROOT))
    mounts = (Mount("/dev/sda3", "/", "ext4", ROOT), Mount("/dev/sda2", "/boot/efi", "vfat", "1111-2222"))
    block = BlockDevices((Disk("/dev/sda", "x", 1 << 20, table="gpt"),), devices)
    made = MemoryGuest(block=block, mounts=mounts)
    sector = bytearray(1 << 20)
    if bios:
        sector[:10] = b"code GRUB "
        sector[0x5C:0x64] = (64).to_bytes(8, "little")
        sector[64 * 512 : 64 * 512 + 32 * 1024] = b"core" * 8192
    made.devices["/dev/sda"] = bytes(sector)
    made.file("/etc/fstab", FSTAB)
    made.file("/bin/sh", b"x", mode=0o755)
    made.file("/usr/lib/systemd/systemd", b"x", mode=0o755)
    made.link("/sbin/init", "/usr/lib/systemd/systemd")
    made.file(f"/boot/vmlinuz-{VERSION}", kernel())
    made.file(f"/boot/initramfs-{VERSION}.img", INITRD)
    made.file(f"/boot/initrd.img-{VERSION}", INITRD)
    made.file(
        f"/lib/modules/{VERSION}/modules.dep",
        "kernel/fs/ext4/ext4.ko:\nkernel/virtio_blk.ko:\nkernel/nvme.ko:\n",
    )
    made.file(f"/lib/modules/{VERSION}/modules.builtin", "kernel/lib/x.ko\n")
    return made


def with_menu(
    root: str = f"UUID={ROOT}", *, words: str = "ro quiet", initrd: bool = True, bios: bool = True
) -> MemoryGuest:
    """A GRUB menu of one entry, as grub-mkconfig writes it."""
    made = guest(bios=bios)
    text = "set default=0\nmenuentry 'Debian' --class debian $menuentry_id_option 'gnulinux-1' {\n"
    text += f"\tlinux\t/boot/vmlinuz-{VERSION}" + (f" root={root} {words}\n" if root else f" {words}\n")
    text += f"\tinitrd\t/boot/initrd.img-{VERSION}\n" if initrd else ""
    made.file(MENU, text + "}\n")
    made.file("/boot/grub/i386-pc/normal.mod", b"x")
    return made


def with_entries(
    options: str = f"root=UUID={ROOT} ro", *, env: str = "", menu: str = "", bios: bool = True
) -> MemoryGuest:
    """A Boot Loader Specification entry, grub.cfg, an environment block, and GRUB on the ESP."""
    made = guest(bios=bios)
    entry = f"title R\nversion {VERSION}\nlinux /boot/vmlinuz-{VERSION}\n"
    entry += f"initrd /boot/initramfs-{VERSION}.img\n"
    made.file(ENTRY, entry + (f"options {options}\n" if options else ""))
    made.file("/boot/grub2/grub.cfg", menu + "blscfg\n")
    block = f"# GRUB Environment Block\nsaved_entry=m-{VERSION}\n{env}"
    made.file("/boot/grub2/grubenv", block.ljust(1024, "#"))
    made.file("/etc/kernel/cmdline", f"root=UUID={ROOT} ro quiet\n")
    made.file("/boot/efi/EFI/rocky/grubx64.efi", grub_image("/EFI/rocky"))
    made.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/rocky"))
    made.file("/boot/efi/EFI/rocky/grub.cfg", STUB.format(uuid=ROOT, folder="/boot/grub2"))
    return made


class Packages(PackageDatabase):
    """A database of some packages, which own some files."""

    format = "deb"

    def __init__(self, *packages: Package, files: tuple[PackagedFile, ...] = ()) -> None:
        self.packages = packages
        self._files = files

    def files(self):  # type: ignore[no-untyped-def]
        return iter(self._files)


def found(made: MemoryGuest, packages: PackageDatabase | None = None) -> list[Finding]:
    """The findings of the analyzer, which could look at all."""
    findings, inconclusive = run_analyzer(CHECKED, Context(made, packages))
    assert inconclusive == []
    return findings


def brief(made: MemoryGuest, packages: PackageDatabase | None = None) -> list[tuple[str, Severity]]:
    """Rule and severity of each finding."""
    return [(f.rule.removeprefix("boot/"), f.severity) for f in found(made, packages)]


def mended(made: MemoryGuest, finding: Finding) -> None:
    """Carry a finding's edits and new files out."""
    assert finding.repair is not None
    for change in finding.repair.changes:
        if isinstance(change, EditFile | WriteFile):
            node = made.nodes.get(change.path)
            assert (None if node is None else node.content) == change.before
            made.file(str(change.path), change.after)
        elif isinstance(change, MakeLink):
            made.link(str(change.path), change.target)
        elif isinstance(change, SetMode):
            made.nodes[change.path].mode = 0o100000 | change.after
