"""The rule on filesystems without room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import Mount
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.filesystems import Directory, Filesystems

FULL = Rule(
    name="filesystems/full",
    summary="a filesystem has no room left",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="Less than one percent of the blocks or inodes is free for programs (what XFS holds back for itself"
    " is not); an error when root cannot write either: less than 64 KiB, or no inode.",
    why="Services fail to start or to log, logins by graphics or by lease fail, updates break half-way.",
    repair="None by itself: the largest directories are named; a person decides what may go.",
    example="/var/log filled the disk.",
    sources=("statvfs(3)", "Linux fs/xfs/xfs_mount.c"),
)
RULES = (FULL,)

_ALWAYS_FULL = frozenset({"iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs"})
_BOOT_NEEDS = frozenset({"/", "/var"})
_NAMED = 5
_NOTHING_BYTES = 1 << 16
"""A full filesystem keeps some blocks that no file gets."""


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the room of the guest's mounted filesystems."""
    filesystems = context.system.filesystems
    seen: set[str] = set()
    for mount in context.system.mounted:
        if mount.type in _ALWAYS_FULL or mount.source in seen:
            continue
        seen.add(mount.source)  # subvolumes share their room
        try:
            usage = filesystems.room(mount.target)
        except GuestReadError as error:
            yield Inconclusive("filesystems", error.message)
            continue
        missing = _missing(usage)
        if missing:
            context.progress(f"looking for the largest directories of {mount.target}")
            yield _finding(filesystems, mount, usage, missing)


def _missing(usage: FilesystemUsage) -> str:
    if usage.size_bytes and usage.available_bytes * 100 < usage.size_bytes:
        return "blocks"
    if usage.inodes and usage.inodes_free * 100 < usage.inodes:
        return "inodes"
    return ""


def _finding(filesystems: Filesystems, mount: Mount, usage: FilesystemUsage, missing: str) -> Finding:
    nothing = usage.free_bytes < _NOTHING_BYTES if missing == "blocks" else not usage.inodes_free
    severity = Severity.ERROR if nothing and mount.target in _BOOT_NEEDS else Severity.WARNING
    if missing == "blocks":
        observed = f"{_size(usage.available_bytes)} of {_size(usage.size_bytes)} available"
    else:
        observed = f"{usage.inodes_free} of {usage.inodes} inodes free"
    largest = _largest(filesystems.directories(mount.target), by_count=missing == "inodes")
    return FULL.finding(
        Subject.of_device(mount.source),
        f"{mount.target} ({mount.source}) is full: {observed}",
        severity=severity,
        evidence=(
            Evidence(f"room on {mount.target}", observed, "at least one percent"),
            *(Evidence(str(d.path), f"{d.files} files, {_size(d.size_bytes)}") for d in largest),
        ),
        repair=Repair(
            f"make room on {mount.target} (largest: {', '.join(str(d.path) for d in largest) or 'unknown'}), "
            "or make the disk larger",
            Safety.MANUAL,
        ),
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB" if size_bytes < 1024**3 else f"{size_bytes / 1024**3:.1f} GiB"


def _largest(directories: Iterable[Directory], *, by_count: bool) -> list[Directory]:
    """The directories whose own files take most."""

    def order(directory: Directory) -> tuple[int, GuestPath]:
        return -(directory.files if by_count else directory.size_bytes), directory.path

    return sorted(directories, key=order)[:_NAMED]
