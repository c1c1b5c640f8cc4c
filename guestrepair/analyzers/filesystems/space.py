"""The rule on filesystems without room."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import Mount
from guestrepair.guest.view import FilesystemUsage, Guest
from guestrepair.model import Evidence, Finding, GuestPath, Inconclusive, Repair, Safety, Severity

FULL = Rule(
    name="filesystems/full",
    summary="a filesystem has no room left",
    severities=(Severity.WARNING, Severity.ERROR),
    safeties=(Safety.MANUAL,),
    what="Less than one percent of the blocks or inodes is free; an error when root cannot write either.",
    why="Services fail to start or to log, logins by graphics or by lease fail, updates break half-way.",
    repair="None by itself: the largest directories are named; a person decides what may go.",
    example="/var/log filled the disk.",
    sources=("statvfs(3)",),
)
RULES = (FULL,)

_ALWAYS_FULL = frozenset({"iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs"})
_BOOT_NEEDS = frozenset({"/", "/var"})
_MAX_DIRECTORIES = 4000
_NAMED = 5


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the room of the guest's mounted filesystems."""
    guest = context.guest
    seen: set[str] = set()
    for mount in guest.mounts:
        if mount.type in _ALWAYS_FULL or mount.source in seen:
            continue
        seen.add(mount.source)  # subvolumes share their room
        try:
            usage = guest.usage(mount.target)
        except GuestReadError as error:
            yield Inconclusive("filesystems", error.message)
            continue
        lacking = _lacking(usage)
        if lacking:
            context.progress(f"looking for the largest directories of {mount.target}")
            yield _finding(guest, mount, usage, lacking)


def _lacking(usage: FilesystemUsage) -> str:
    if usage.size_bytes and usage.available_bytes * 100 < usage.size_bytes:
        return "blocks"
    if usage.inodes and usage.inodes_free * 100 < usage.inodes:
        return "inodes"
    return ""


def _finding(guest: Guest, mount: Mount, usage: FilesystemUsage, lacking: str) -> Finding:
    free = usage.free_bytes if lacking == "blocks" else usage.inodes_free
    severity = Severity.ERROR if not free and mount.target in _BOOT_NEEDS else Severity.WARNING
    if lacking == "blocks":
        observed = f"{_size(usage.available_bytes)} of {_size(usage.size_bytes)} available"
    else:
        observed = f"{usage.inodes_free} of {usage.inodes} inodes free"
    largest = list(_largest(guest, GuestPath(mount.target), by_count=lacking == "inodes"))
    return Finding(
        rule=FULL.name,
        severity=severity,
        subject=mount.source,
        message=f"{mount.target} ({mount.source}) is full: {observed}",
        evidence=(
            Evidence(f"statvfs of {mount.target}", observed, "at least one percent"),
            *(Evidence(str(path), said) for path, said in largest),
        ),
        repair=Repair(
            f"make room on {mount.target} (largest: {', '.join(str(p) for p, _ in largest) or 'unknown'}), "
            "or make the disk larger",
            Safety.MANUAL,
        ),
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB" if size_bytes < 1024**3 else f"{size_bytes / 1024**3:.1f} GiB"


def _largest(guest: Guest, top: GuestPath, *, by_count: bool) -> Iterator[tuple[GuestPath, str]]:
    """The directories whose own files take most, of at most some thousand that are looked at."""
    others = {GuestPath(mount.target) for mount in guest.mounts} - {top}
    own: dict[GuestPath, tuple[int, int]] = {}
    pending = [top]
    while pending and len(own) < _MAX_DIRECTORIES:
        directory = pending.pop(0)
        try:
            stats = guest.lstat_many([directory / name for name in guest.listdir(directory)])
        except GuestReadError:
            continue  # a damaged directory is for the checker to say
        files = [found for found in stats.values() if found is not None and found.is_file]
        own[directory] = (len(files), sum(found.size_bytes for found in files))
        pending += [p for p, found in stats.items() if found and found.is_directory and p not in others]
    rank = 0 if by_count else 1
    for path in sorted(own, key=lambda p: (-own[p][rank], p))[:_NAMED]:
        count, size = own[path]
        yield path, f"{count} files, {_size(size)}"
