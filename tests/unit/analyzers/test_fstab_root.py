"""When ``/`` needs a line in fstab, and when a table is needed at all: who else mounts it for writing?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.analyzers.base import Context
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, Severity
from tests.unit.analyzers.fstab_guest import ESP, HEALTHY, ROOT, analyze, disks, findings, guest, part, usual

WITHOUT_ROOT = "".join(line for line in HEALTHY.splitlines(keepends=True) if " / " not in line)
ALPINE = "/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n/dev/usbdisk\t/media/usb\tvfat\tnoauto\t0 0\n"
X86_64_ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
Change = Callable[[MemoryGuest], None]


def menu(words: str, path: str = "/boot/grub/grub.cfg") -> Change:
    def change(made: MemoryGuest) -> None:
        made.file(path, f"menuentry 'x' {{\n linux /boot/vmlinuz {words}\n}}\n")

    return change


def no_loader(made: MemoryGuest) -> None:
    made.remove("/boot")
    made.directory("/boot")


def openrc(made: MemoryGuest) -> None:
    made.remove("/usr/lib/systemd")
    made.file("/sbin/openrc", b"x", mode=0o755)
    made.link("/sbin/init", "/bin/busybox")
    made.file("/bin/busybox", b"x", mode=0o755)


def both_inits(made: MemoryGuest) -> None:
    made.link("/sbin/init", "openrc-init")
    made.file("/sbin/openrc-init", b"x", mode=0o755)


def systemd_as_init(made: MemoryGuest) -> None:
    made.link("/sbin/init", "../usr/lib/systemd/systemd")


def whole_disk(made: MemoryGuest) -> None:
    """One filesystem on a disk without a partition table."""
    root = BlockDevice("/dev/sda3", DeviceKind.DISK, 1 << 30, "ext4", ROOT, disk="/dev/sda")
    made.block = BlockDevices(disks(), (root,))


def discoverable(made: MemoryGuest) -> None:
    devices = [d for d in usual() if d.name != "/dev/sda3"]
    made.block = BlockDevices(disks(), (*devices, part(3, "ext4", ROOT, part_type=X86_64_ROOT.upper())))


def remount_unit(made: MemoryGuest) -> None:
    folder = "/usr/lib/systemd/system/systemd-remount-fs.service.d"
    made.file(f"{folder}/rw.conf", "[Service]\nEnvironment=SYSTEMD_REMOUNT_ROOT_RW=1\n")


def root_unit(made: MemoryGuest) -> None:
    made.file("/etc/systemd/system/-.mount", "[Mount]\nWhat=/dev/vda\nWhere=/\n")


def kernel(made: MemoryGuest) -> None:
    made.file("/boot/vmlinuz-6.1", b"x")


ERROR, NOTE = Severity.ERROR, Severity.NOTE


@pytest.mark.parametrize(
    ("table", "changes", "expected"),
    [
        # systemd with a boot loader: the command line decides.
        (WITHOUT_ROOT, [], ERROR),
        (WITHOUT_ROOT, [systemd_as_init], ERROR),
        (WITHOUT_ROOT, [menu(f"root=UUID={ROOT}")], ERROR),
        (WITHOUT_ROOT, [menu(f"root=UUID={ROOT} rw")], None),
        (WITHOUT_ROOT, [menu(f"root=UUID={ROOT} rw ro")], ERROR),
        (WITHOUT_ROOT, [menu("root=gpt-auto")], None),
        # systemd finds the root by its partition's type, unless the command line says ro.
        (WITHOUT_ROOT, [discoverable, menu(f"root=UUID={ROOT} quiet")], None),
        (WITHOUT_ROOT, [discoverable, menu("quiet systemd.gpt_auto=0")], ERROR),
        (WITHOUT_ROOT, [discoverable], ERROR),
        (WITHOUT_ROOT, [discoverable, no_loader], None),
        # A unit of its own.
        (WITHOUT_ROOT, [remount_unit], None),
        (WITHOUT_ROOT, [root_unit], None),
        # A kernel from outside: nobody knows how it mounts the root.
        ("", [no_loader], NOTE),
        (ALPINE, [no_loader, whole_disk], NOTE),
        ("", [no_loader, kernel], ERROR),
        (WITHOUT_ROOT, [no_loader], ERROR),
        # Another init remounts the root whatever the table says.
        (ALPINE, [openrc, no_loader, whole_disk], NOTE),
        (ALPINE, [openrc], NOTE),
        (WITHOUT_ROOT, [openrc], NOTE),
        (WITHOUT_ROOT, [both_inits], NOTE),
    ],
)
def test_no_line_for_the_root(table: str, changes: list[Change], expected: Severity | None) -> None:
    made = guest(table)
    for change in changes:
        change(made)
    found = [f for f in findings(made) if f.rule == "fstab/root-mismatch"]
    assert [f.severity for f in found] == ([] if expected is None else [expected])
    assert [f.repair is not None for f in found] == [expected is ERROR] * len(found)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], ERROR),
        ([menu(f"root=UUID={ROOT} rw")], NOTE),
        ([discoverable, menu(f"root=UUID={ROOT}")], NOTE),
        ([no_loader, whole_disk], NOTE),
        ([no_loader, whole_disk, openrc], NOTE),
        ([no_loader], ERROR),
        ([openrc], ERROR),
        ([whole_disk, openrc], NOTE),
        ([discoverable, menu("quiet ro")], ERROR),
        ([discoverable, no_loader], NOTE),
        ([whole_disk], ERROR),
    ],
)
def test_no_table(changes: list[Change], expected: Severity) -> None:
    made = guest(None)
    for change in changes:
        change(made)
    (found,) = findings(made)
    assert (found.rule, found.severity) == ("fstab/missing", expected)
    assert (found.repair is None) == (expected is NOTE)


def test_a_boot_loader_that_cannot_be_read_is_no_proof_of_a_root_without_a_line() -> None:
    made = guest(WITHOUT_ROOT)
    made.nodes[GuestPath("/boot/grub/grub.cfg")].unreadable = "Input/output error"
    found, unclear = analyze(made)
    assert [f for f in found if f.rule == "fstab/root-mismatch"] == []
    assert any("grub.cfg" in item.reason for item in unclear)


@pytest.mark.parametrize("top", ["/boot/efi", "/efi"])
def test_a_menu_on_the_efi_partition_is_seen_by_both_who_look_for_it(top: str) -> None:
    made = guest(WITHOUT_ROOT)
    no_loader(made)
    path = f"{top}/EFI/centos/grub.cfg"
    made.file(f"{top}/EFI/other/grub.cfg", f"search.fs_uuid {ESP} root\nconfigfile $prefix/grub.cfg\n")
    made.file(
        path,
        f"menuentry 'x' {{\n search --fs-uuid --set=root {ESP}\n"
        f" linuxefi /vmlinuz root=UUID={ROOT} $opts\n}}\n",
    )
    made.file(f"{top}/EFI/centos/grubenv", "# GRUB Environment Block\nopts=rw\n")
    context = Context(made)
    own = other = context.system.boot_loader
    assert [line.place for line in own.lines] == [entry.place for entry in other.entries] == [f"{path}:1"]
    assert [uuid for _, uuid in own.searched] == [ESP]
    assert [f for f in findings(made) if f.rule == "fstab/root-mismatch" and f.severity is NOTE] == []


def test_a_stub_on_the_efi_partition_does_not_hide_the_menu_in_boot() -> None:
    made = guest(HEALTHY)
    made.file("/boot/efi/EFI/debian/grub.cfg", "menuentry 'y' {\n linux /other root=/dev/sdz\n}\n")
    context = Context(made)
    places = [line.place for line in context.system.boot_loader.lines]
    entries = context.system.boot_loader.entries
    assert places == [entry.place for entry in entries] == ["/boot/grub/grub.cfg:1"]
