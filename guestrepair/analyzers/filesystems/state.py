"""Rules on what a filesystem says of itself, and what its checker says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import GuestReadError
from guestrepair.formats.superblock.ext import STATE_ERRORS, STATE_VALID
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.filesystem_state import CheckResult
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    RunFsck,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.filesystems import Filesystems, RecordedError

DIRTY = Rule(
    name="filesystems/dirty",
    summary="a filesystem was not unmounted cleanly",
    severities=(Severity.NOTE, Severity.WARNING),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW,),
    what="The filesystem was in use when the disk was copied or the power went (ext, XFS, btrfs, FAT).",
    why="Normal for the snapshot of a running guest: its journal mends it. Without one it stays damaged.",
    repair="Without a journal: its own checker. Otherwise nothing: mounting it replays the journal.",
    example="A snapshot of a running machine.",
    sources=("ext4(5)", "e2fsck(8)", "Microsoft FAT specification, section 3.5"),
)
ERRORS_RECORDED = Rule(
    name="filesystems/errors-recorded",
    summary="the kernel has recorded errors in a filesystem",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW,),
    what="The ext superblock counts errors that the kernel met, with time and place of the first and last.",
    why="The next one may make it read-only; the boot checks it and may stop for a person.",
    repair="Run e2fsck, which corrects what is wrong and clears the record.",
    example="A bad sector under a directory block.",
    sources=("Linux fs/ext4/ext4.h, s_error_count", "tune2fs(8), -e"),
)
CORRUPT = Rule(
    name="filesystems/corrupt",
    summary="a filesystem's checker finds damage",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="e2fsck -n, xfs_repair -n, btrfs check or fsck.fat -n finds contradictions in its structures, or "
    "what a directory lists cannot be read.",
    why="Files are lost or unreadable, and the boot stops where its own check cannot mend it.",
    repair="The checker with repair allowed; btrfs only by hand, since its repair can make things worse.",
    example="A disk image was changed while the machine that used it was running.",
    sources=("e2fsck(8)", "xfs_repair(8)", "btrfs-check(8)", "fsck.fat(8)"),
)
RULES = (DIRTY, ERRORS_RECORDED, CORRUPT)

CHECKABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "vfat"})
_EXT = frozenset({"ext2", "ext3", "ext4"})
_MAX_QUOTED_LINES = 8
_MAX_DAMAGED = 200
_REPLAYED = "its {} waits to be replayed, which the next mount does, as in a snapshot of a running guest"


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the state of the guest's filesystems."""
    block, filesystems = context.system.block, context.system.filesystems
    own = {mount.source for mount in context.system.mounted}
    for device in block.filesystems():
        if device.ext is not None and device.ext.backup_superblock:
            continue  # filesystems/superblock-damaged stands for it
        if _is_cut_off(block, device):
            continue  # partitions/beyond-end stands for it
        try:
            dirty, findings = _recorded(filesystems, device)
        except GuestReadError as error:
            yield Inconclusive("filesystems", error.message)
            continue
        yield from findings
        if device.content not in CHECKABLE:
            continue
        refused = "" if device.name in own else filesystems.refusal(device.name)
        damage = filesystems.damage_on(device.name)
        if context.options.deep or refused or damage or (dirty and device.name in own):
            context.progress(f"checking {device.name}")
            yield from _checked(filesystems, device, refused, damage)


def _is_cut_off(block: BlockDevices, device: BlockDevice) -> bool:
    disk = next((d for d in block.disks if d.name == device.disk), None)
    end = device.start_bytes + device.size_bytes
    return disk is not None and device.kind is DeviceKind.PARTITION and end > disk.size_bytes


def _recorded(filesystems: Filesystems, device: BlockDevice) -> tuple[bool, list[Finding]]:
    """What the filesystem itself says: whether it may need its checker, and the findings."""
    if device.content in _EXT and device.ext is not None:
        return _ext(filesystems, device)
    if not device.unclean:
        return False, []
    if device.content == "vfat":
        return True, [_dirty(device, "its dirty bit is set")]
    return True, [_dirty(device, _REPLAYED.format("log tree" if device.content == "btrfs" else "journal"))]


def fsck(device: BlockDevice) -> Repair:
    """The repair by the filesystem's own checker."""
    return Repair(
        f"run the checker of {device.content} on {device.name}, with repair allowed",
        Safety.REVIEW,
        (RunFsck(device=device.name, filesystem=device.content),),
    )


# --- ext ----------------------------------------------------------------------------


def _ext(filesystems: Filesystems, device: BlockDevice) -> tuple[bool, list[Finding]]:
    details = device.ext
    if details is None:
        return False, []
    findings = []
    failed = details.error_count > 0 or bool(details.state & STATE_ERRORS)
    if failed:
        findings.append(_errors(filesystems, device))
    if details.has_journal_to_replay:
        findings.append(_dirty(device, _REPLAYED.format("journal")))
        return True, findings
    if not details.state & STATE_VALID and not failed:
        findings.append(_dirty(device, "it has no journal, and was not unmounted", needs_check=True))
        return True, findings
    if details.last_orphan and not failed:
        how = f"inode {details.last_orphan} was deleted while in use, and the next mount frees it"
        findings.append(_dirty(device, how))
    return failed, findings


def _dirty(device: BlockDevice, how: str, *, needs_check: bool = False) -> Finding:
    return DIRTY.finding(
        Subject.of_device(device.name),
        f"{device.name} ({_what(device)}) was not unmounted cleanly: {how}",
        severity=Severity.WARNING if needs_check else Severity.NOTE,
        evidence=(Evidence(f"{device.name} superblock", how, "unmounted cleanly"),),
        repair=fsck(device) if needs_check else None,
    )


def _what(device: BlockDevice) -> str:
    place = device.ext.last_mounted if device.ext else ""
    return f"{device.content} of {place}" if place else device.content


def _errors(filesystems: Filesystems, device: BlockDevice) -> Finding:
    record = filesystems.errors_of(device)
    count = record.count
    observed = f"{count} error{'s' if count != 1 else ''} recorded" if count else "marked as having errors"
    evidence = [Evidence(f"{device.name} superblock", observed, "none")]
    for which, error in (("first", record.first), ("last", record.last)):
        if error is not None:
            evidence.append(Evidence(f"{device.name} superblock, {which} error", _place(error)))
    since = f", the last at {_time(record.last.time)}" if record.last is not None else ""
    return ERRORS_RECORDED.finding(
        Subject.of_device(device.name),
        f"{device.name} ({_what(device)}): the kernel found errors in it: {observed}{since}",
        evidence=tuple(evidence),
        repair=fsck(device),
    )


def _place(error: RecordedError) -> str:
    """Time and place of one recorded error."""
    words = [_time(error.time), f"in {error.function or 'an unknown function'}", f"line {error.line}"]
    words += [f"inode {error.inode}"] if error.inode else []
    words += [f"block {error.block}"] if error.block else []
    return ", ".join(words)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# --- checkers ---------------------------------------------------------------------------------


def _checked(
    filesystems: Filesystems, device: BlockDevice, refused: str, damage: Mapping[str, str]
) -> Iterator[Finding | Inconclusive]:
    if refused.endswith("no such file or directory"):
        reason = f"{device.name} cannot be opened: Linux does not read the partition table of {device.disk}"
        yield Inconclusive("filesystems", reason)
        return
    try:
        result = filesystems.verdict(device.name)
    except GuestReadError as error:
        yield Inconclusive("filesystems", error.message)
        if damage:
            yield _damaged(device, damage)
        return
    if result.journal_pending and not refused:
        yield Inconclusive("filesystems", f"{device.name}: its journal was not replayed by mounting it")
    if not result.clean and not (result.journal_pending and not refused):
        yield _corrupt(device, result, refused, damage)
    elif damage:
        yield _damaged(device, damage)


def _corrupt(device: BlockDevice, result: CheckResult, refused: str, damage: Mapping[str, str]) -> Finding:
    # It is mounted read-only, and the checker writes nothing.
    lines = [li for li in result.output.splitlines() if li.strip() and not li.startswith("Warning!  /dev/")]
    quoted = " | ".join(lines[:_MAX_QUOTED_LINES]) or "no word"
    evidence = [Evidence(f"checker of {device.content} on {device.name}", quoted, "no errors")]
    if refused:
        evidence.append(Evidence(f"mount of {device.name}", refused, "it mounts"))
    evidence += _met(damage)
    repair = fsck(device)
    if device.content == "btrfs":
        advice = f"mount {device.name} read-only, copy what is needed (btrfs restore), and make it again"
        repair = Repair(advice, Safety.MANUAL)
    elif result.journal_pending:
        # xfs_repair refuses to work before the journal is replayed, and throwing it away loses data.
        advice = f"on a copy of the disk: xfs_repair -L {device.name}, which throws the journal away"
        repair = Repair(advice, Safety.MANUAL)
    return CORRUPT.finding(
        Subject.of_device(device.name),
        f"{device.name} ({_what(device)}) is damaged: "
        + ("it cannot be mounted, and " if refused else "")
        + (f"{_unread(damage)}, and " if damage else "")
        + "its checker finds errors",
        evidence=tuple(evidence),
        repair=repair,
        folded=tuple(sorted(damage)[:_MAX_DAMAGED]),
    )


def _damaged(device: BlockDevice, damage: Mapping[str, str]) -> Finding:
    """Paths that cannot be read, of a filesystem whose checker finds nothing, or that has none here."""
    advice = f"copy what can be read off {device.disk or device.name}, and look at the disk itself (ddrescue)"
    return CORRUPT.finding(
        Subject.of_device(device.name),
        f"{device.name} ({_what(device)}): {_unread(damage)}, and its checker finds no reason",
        evidence=tuple(_met(damage)),
        repair=Repair(advice, Safety.MANUAL),
        folded=tuple(sorted(damage)[:_MAX_DAMAGED]),
    )


def _unread(damage: Mapping[str, str]) -> str:
    more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
    return f"{min(damage)}{more} cannot be read"


def _met(damage: Mapping[str, str]) -> list[Evidence]:
    return [Evidence(path, damage[path], "readable") for path in sorted(damage)[:_MAX_QUOTED_LINES]]
