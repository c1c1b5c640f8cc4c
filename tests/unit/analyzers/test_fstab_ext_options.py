"""What a remount of / refuses, and what a filesystem without a journal does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, GuestPath, Severity
from tests.unit.analyzers.fstab_guest import (
    DATA,
    HEALTHY,
    ROOT,
    analyze,
    check_repair,
    ext,
    findings,
    guest,
    part,
    repaired,
    usual,
)

ERROR, WARNING = Severity.ERROR, Severity.WARNING
MENU = "menuentry 'Debian' {{\n linux /boot/vmlinuz root=UUID={} {}\n}}\n"


def rooted(
    options: str, cmdline: str = "ro", content: str = "ext4", superblock: Mapping[str, object] | None = None
) -> MemoryGuest:
    """A guest whose line for / has these options, booted with that command line."""
    devices = usual()
    details = replace(ext("/"), **(superblock or {}))  # type: ignore[arg-type]
    devices[2] = replace(devices[2], ext=details if content.startswith("ext") else None, content=content)
    text = HEALTHY.replace("errors=remount-ro", options).replace("/         ext4", f"/         {content}")
    made = guest(text, devices)
    made.file("/boot/grub/grub.cfg", MENU.format(ROOT, cmdline))
    return made


def kernel(made: MemoryGuest, release: str) -> MemoryGuest:
    made.file(f"/usr/lib/modules/{release}/modules.dep", "kernel/fs/ext4/ext4.ko:\nkernel/fs/fat/vfat.ko:\n")
    made.file(f"/usr/lib/modules/{release}/modules.builtin", "")
    return made


def test_bad_option_that_a_remount_of_the_root_refuses() -> None:
    made = rooted("noatime,data=writeback,commit=120,errors=remount-ro")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity, finding.subject) == ("fstab/bad-option", ERROR, "/etc/fstab:2")
    assert finding.effect is Effect.STOPS_BOOT
    assert "stays read-only" in finding.message
    check_repair(made, HEALTHY.replace("errors=remount-ro", "noatime,commit=120,errors=remount-ro"))


@pytest.mark.parametrize("mode", ["journal", "ordered", "writeback"])
@pytest.mark.parametrize(
    ("cmdline", "superblock", "first"),
    [
        ("ro", {}, "ordered"),
        ("ro rootflags=data=writeback", {}, "writeback"),
        ("ro rootflags=noatime,data=journal", {}, "journal"),
        ("ro rootflags=data=journal,data=ordered", {"default_data": "writeback"}, "ordered"),
        ("ro rootflags=data=journal rootflags=noatime", {}, "ordered"),
        ("ro", {"default_data": "writeback"}, "writeback"),
        ("ro", {"default_data": "journal"}, "journal"),
        ("ro", {"default_data": "journal", "mount_options": "noatime,data=writeback"}, "writeback"),
        ("ro", {"mount_options": "data=journal"}, "journal"),
    ],
)
def test_the_mode_that_the_root_is_mounted_with_first(
    mode: str, cmdline: str, superblock: dict[str, object], first: str
) -> None:
    found = findings(rooted(f"data={mode}", cmdline, superblock=superblock))
    assert [f.severity for f in found] == ([] if mode == first else [ERROR])
    assert not found or f"data={first}" in found[0].message


@pytest.mark.parametrize(
    ("options", "content", "superblock"),
    [
        ("data=writeback", "ext4", {"has_journal": False}),  # the remount says so, and passes over it
        ("noatime,commit=120,nodelalloc,journal_checksum", "ext4", {}),
        ("logbufs=8,logbsize=256k,inode64", "xfs", {}),
        ("compress=zstd:1,space_cache=v2", "btrfs", {}),
    ],
)
def test_what_a_remount_of_the_root_takes(options: str, content: str, superblock: dict[str, object]) -> None:
    made = kernel(rooted(options, content=content, superblock=superblock), "6.1.0-1-amd64")
    if content == "btrfs":
        made.file(
            "/etc/fstab", HEALTHY.replace("ext4 errors=remount-ro", f"btrfs {options}").replace("0 1", "0 0")
        )
    assert [f for f in findings(made) if f.severity is not Severity.NOTE] == []


@pytest.mark.parametrize(
    ("option", "release", "severities"),
    [
        ("journal_dev=0x801", "6.1.0", [ERROR]),
        ("journal_path=/dev/sdb1", "6.1.0", [ERROR]),
        ("dax", "6.1.0-18-amd64", [ERROR]),
        ("dax=always", "5.8.0", [ERROR]),
        ("dax=inode", "6.18.1", [ERROR]),
        ("dax", "4.18.0-513.el8.x86_64", []),
        ("dax", "linux", []),
        ("nombcache", "6.1.0", [ERROR]),
        ("no_mbcache", "3.10.0", []),
        ("nodelalloc", "6.18.1", [ERROR]),
        ("nodelalloc", "6.1.0-18-amd64", []),
        ("journal_async_commit", "6.1.0", [ERROR]),
        ("delalloc", "6.1.0", []),
    ],
)
def test_other_options_that_hold_only_for_the_first_mount(
    option: str, release: str, severities: list[Severity]
) -> None:
    made = kernel(rooted(f"{option},noatime"), release)
    assert [f.severity for f in findings(made)] == severities
    assert findings(kernel(rooted("dax,noatime", "ro rootflags=dax"), release)) == []
    if severities:
        check_repair(made, HEALTHY.replace("errors=remount-ro", "noatime"))


def test_a_root_that_is_mounted_for_writing_before_stays_so() -> None:
    (finding,) = findings(rooted("data=writeback", "rw quiet"))
    assert finding.severity is WARNING
    assert "read-only" not in finding.message


def test_the_entry_that_is_booted_decides() -> None:
    made = rooted("data=writeback")
    rescue = MENU.replace("Debian", "Debian, recovery").format(ROOT, "ro single")
    made.file("/boot/grub/grub.cfg", MENU.format(ROOT, "ro rootflags=data=writeback") + rescue)
    assert findings(made) == []
    made.file(
        "/boot/grub/grub.cfg", MENU.format(ROOT, "ro") + MENU.format(ROOT, "ro rootflags=data=writeback")
    )
    assert [f.severity for f in findings(made)] == [ERROR]


def test_a_command_line_from_outside_is_not_known() -> None:
    made = rooted("data=writeback,noatime")
    for path in [p for p in made.nodes if str(p).startswith("/boot/grub")]:
        del made.nodes[path]
    (finding,) = findings(made)
    assert finding.severity is WARNING
    assert repaired(made) == made.nodes[GuestPath("/etc/fstab")].content.decode()
    assert repaired(made, review=True) == HEALTHY.replace("errors=remount-ro", "noatime")


def test_a_boot_loader_that_cannot_be_read_makes_it_inconclusive() -> None:
    made = rooted("data=writeback")
    made.nodes[GuestPath("/boot/grub/grub.cfg")].unreadable = "Input/output error"
    found, inconclusive = analyze(made)
    assert [f for f in found if f.rule == "fstab/bad-option"] == []
    assert any("grub.cfg" in each.reason for each in inconclusive)


def test_data_mode_is_right_on_any_other_line() -> None:
    text = f"{HEALTHY}UUID={DATA} /data ext4 data=writeback 0 2\n"
    assert findings(guest(text, [*usual(), part(5, "ext4", DATA, ext=ext("/data"))])) == []


def test_a_misspelled_option_beside_it_is_mended_with_it() -> None:
    made = rooted("noatime,data=writebak")
    (finding,) = findings(made)
    assert finding.severity is ERROR
    made = rooted("noatme,data=writeback")
    (finding,) = findings(made)
    check_repair(made, HEALTHY.replace("errors=remount-ro", "noatime"))


@pytest.mark.parametrize(
    ("option", "release", "journal", "bad"),
    [
        ("data=ordered", "6.1.0", False, True),
        ("journal_checksum", "6.1.0", False, True),
        ("commit=60", "6.1.0", False, True),
        ("commit=5", "6.1.0", False, False),
        ("data=ordered", "6.1.0", True, False),
        ("data=ordered", "3.10.0-1160.el7", False, False),
        ("journal_async_commit", "6.1.0", True, True),
        ("journal_async_commit", "6.1.0", False, True),
        ("data=journal,delalloc", "6.1.0", True, True),
        ("data=writeback,journal_async_commit", "6.1.0", True, False),
        ("data=journal,nodelalloc", "6.1.0", True, False),
        ("journal_async_commit", "3.10.0-1160.el7", True, False),
    ],
)
def test_a_filesystem_without_a_journal(option: str, release: str, *, journal: bool, bad: bool) -> None:
    text = f"{HEALTHY}UUID={DATA} /data ext4 {option} 0 2\n"
    data = part(5, "ext4", DATA, ext=replace(ext("/data"), has_journal=journal))
    made = kernel(guest(text, [*usual(), data]), release)
    assert [f.rule for f in findings(made)] == (["fstab/bad-option"] if bad else [])
    if bad:
        check_repair(
            made,
            text.replace(option, option.removesuffix("delalloc").strip(",") if "," in option else "defaults"),
        )
