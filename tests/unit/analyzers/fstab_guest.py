"""Guests of mapped files for the fstab rules: disks, filesystems, and an fstab to judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.fstab import ANALYZER
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, ExtDetails, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, GuestPath, Inconclusive, Safety, WriteFile

ROOT = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c101"
SWAP = "77aa2c34-1111-4c39-9d5a-6a1f3be0aaaa"
HOME = "0c7bd2f1-52a4-4f6e-8f30-9f8f2b9f5d10"
VAR = "e2a4d6b8-3c5e-4a7f-b1d3-f5a7c9e1b3d5"
DATA = "9d8c7b6a-5f4e-4d3c-8b2a-190817263544"
ESP = "5F1D-C103"
GONE = "deadbeef-dead-4ead-8ead-deadbeefdead"

HEALTHY = f"""# /etc/fstab: static file system information.
UUID={ROOT} /         ext4 errors=remount-ro 0 1
UUID={ESP}  /boot/efi vfat umask=0077        0 1
UUID={SWAP} none      swap sw                0 0
"""


def part(number: int, content: str, uuid: str, **more: object) -> BlockDevice:
    """A partition of the first disk."""
    return device(f"/dev/sda{number}", content, uuid, part_number=number, **more)


def device(name: str, content: str, uuid: str, **more: object) -> BlockDevice:
    """A partition, or what ``more`` makes of it."""
    base = BlockDevice(name, DeviceKind.PARTITION, 1 << 30, content=content, uuid=uuid, disk="/dev/sda")
    values = {
        "partuuid": f"11111111-2222-4333-8444-{abs(hash(name)) % 10**12:012d}" if name[-1].isdigit() else "",
        **more,
    }
    return replace(base, **values)  # type: ignore[arg-type]


def ext(last_mounted: str) -> ExtDetails:
    """The superblock of an ext filesystem that was last mounted there."""
    return ExtDetails(last_mounted, 1, False, 0, 0, 0, 0, 0, 1000, 4096)


def disks(count: int = 1) -> tuple[Disk, ...]:
    """A few disks: sda, sdb, …"""
    return tuple(Disk(f"/dev/sd{chr(97 + i)}", f"{i}.img", 1 << 34, table="gpt") for i in range(count))


def usual() -> list[BlockDevice]:
    """ESP, root and swap on one disk."""
    return [
        part(1, "", ""),
        part(2, "vfat", ESP, part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
        part(3, "ext4", ROOT, ext=ext("/")),
        part(4, "swap", SWAP),
    ]


def guest(
    fstab: str | bytes | None,
    devices: Iterable[BlockDevice] = (),
    *,
    mounts: Iterable[Mount] = (),
    disk_count: int = 1,
    root: str = "/dev/sda3",
) -> MemoryGuest:
    """A Debian-like guest with systemd; devices are the usual ones and those given."""
    found = list(devices) or usual()
    made = MemoryGuest(
        block=BlockDevices(disks(disk_count), tuple(found)),
        mounts=(Mount(root, "/", "ext4"), *mounts),
    )
    made.file("/usr/lib/systemd/systemd", b"")
    for path in ("/boot/efi", "/home", "/var", "/data", "/proc", "/mnt", "/srv"):
        made.directory(path)
    made.file("/etc/passwd", "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n")
    made.file(
        "/boot/grub/grub.cfg",
        f"menuentry 'Debian' {{\n linux /boot/vmlinuz root=UUID={ROOT} ro quiet\n}}\n",
    )
    if fstab is not None:
        made.file("/etc/fstab", fstab)
    for found_device in found:
        made.top_names.setdefault(found_device.name, ())
    return made


def analyze(made: MemoryGuest, **options: bool) -> tuple[list[Finding], list[Inconclusive]]:
    """Run the analyzer."""
    return run_analyzer(ANALYZER, Context(made, options=AnalysisOptions(**options)))  # type: ignore[arg-type]


def findings(made: MemoryGuest, **options: bool) -> list[Finding]:
    """The findings, where nothing was inconclusive."""
    found, inconclusive = analyze(made, **options)
    assert not inconclusive
    return found


def rules(made: MemoryGuest, **options: bool) -> list[tuple[str, str]]:
    """(rule without its area, line or file) of every finding that is no note."""
    return [
        (f.rule.removeprefix("fstab/"), f.subject.removeprefix("/etc/fstab:"))
        for f in findings(made, **options)
        if f.severity != "note"
    ]


def repaired(made: MemoryGuest, *, path: str = "/etc/fstab", review: bool = False, **options: bool) -> str:
    """The file after all safe repairs (and those for review), merged as the planner does."""
    node = made.nodes[next(p for p in made.nodes if str(p) == path)] if path in map(str, made.nodes) else None
    before = node.content if node is not None else b""
    wanted = {Safety.SAFE, Safety.REVIEW} if review else {Safety.SAFE}
    edits = []
    for finding in analyze(made, **options)[0]:
        for change in finding.repair.changes if finding.repair and finding.repair.safety in wanted else ():
            if isinstance(change, EditFile) and str(change.path) == path:
                assert change.before == before
                edits += list(change.edits)
            elif isinstance(change, WriteFile) and str(change.path) == path:
                return change.after.decode()
    edits.sort(key=lambda e: (e.offset, e.length))
    for one, other in pairwise(edits):
        assert one.offset + one.length <= other.offset, "overlapping edits"
    after = before
    for edit in reversed(edits):
        after = after[: edit.offset] + edit.text + after[edit.offset + edit.length :]
    return after.decode()


def check_repair(made: MemoryGuest, expected: str, **options: bool) -> None:
    """The repair gives this text, and a guest with it has no error and no warning left."""
    after = repaired(made, path="/etc/fstab", review=False, **options)
    assert after == expected
    made.file("/etc/fstab", after)
    assert rules(made, **options) == []


def text_of(made: MemoryGuest) -> str:
    """The file as it is."""
    return made.nodes[GuestPath("/etc/fstab")].content.decode()
