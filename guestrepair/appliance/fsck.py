"""Running a filesystem's own checker inside the appliance: to look (never writing), and to repair."""

from __future__ import annotations

from collections.abc import Callable

from guestrepair.appliance.toolbox import TIMEOUT_SECONDS, Outcome, Toolbox
from guestrepair.errors import GuestReadError, RepairError
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.filesystem_state import CheckResult
from guestrepair.model import RunFsck

_LIMITED = f"{{timeout}} {TIMEOUT_SECONDS} "
_TIMED_OUT = 124
_NOT_COPIED = 120
"""A status that e2fsck(8) does not have."""
_FAT_LOOKED = (0, 1)
"""fsck.fat(8): 2 and more, and it has not looked at the filesystem."""
_MAX_QUOTED = 1000
_FAT_HARMLESS = (
    "Dirty bit is set",
    " Automatically removing dirty bit",
    "There are differences between boot sector and its backup",
    "This is mostly harmless",
    " Not automatically fixing this",
    " Differences: ",
    " ",
)
_FAT_NOISE = (
    "fsck.fat ",
    "Cannot initialize conversion",
    "Using internal CP",
    "Leaving filesystem unchanged",
)


def check_filesystem(toolbox: Toolbox, device: BlockDevice) -> CheckResult:
    """The verdict of the checker of the filesystem on a device, mounted read-only or not at all.

    Nothing is written to the device. A filesystem whose journal has not been
    replayed is judged as it will be once that has happened (ext: on a copy of
    its metadata).

    Raises:
        GuestReadError: no checker for this type, or it could not run.
    """
    checkers: dict[str, Callable[[Toolbox, BlockDevice], CheckResult]] = {
        "ext2": _check_ext,
        "ext3": _check_ext,
        "ext4": _check_ext,
        "xfs": _check_xfs,
        "btrfs": _check_btrfs,
        "vfat": _check_fat,
    }
    check = checkers.get(device.content)
    if check is None:
        raise GuestReadError(device.name, f"no checker for {device.content or 'what is on it'}")
    return check(toolbox, device)


def _ran(device: BlockDevice, outcome: Outcome) -> Outcome:
    """The outcome of a checker that came to a verdict.

    Raises:
        GuestReadError: it ran out of time or was killed.
    """
    if outcome.status == _TIMED_OUT:
        raise GuestReadError(device.name, f"its checker was stopped after {TIMEOUT_SECONDS} s")
    if outcome.status > _TIMED_OUT:
        raise GuestReadError(device.name, f"its checker crashed (status {outcome.status})")
    return outcome


def _check_ext(toolbox: Toolbox, device: BlockDevice) -> CheckResult:
    script = _LIMITED + "{e2fsck} -fn $DEV"
    if device.ext is not None and device.ext.has_journal_to_replay:
        script = (
            f"{_LIMITED}{{e2image}} -r $DEV $TMP/copy || exit {_NOT_COPIED}; "
            f"{_LIMITED}{{e2fsck}} -y -E journal_only $TMP/copy; {_LIMITED}{{e2fsck}} -fn $TMP/copy"
        )
    outcome = _ran(device, toolbox.run(device.name, script, needs=("e2fsck", "e2image", "timeout")))
    if outcome.status == _NOT_COPIED and f"while trying to open {device.name}" not in outcome.output:
        # For want of space, say: that is no verdict. A superblock that e2image does not believe is one.
        words = " ".join(outcome.output.split())[-_MAX_QUOTED:]
        raise GuestReadError(device.name, f"its metadata cannot be copied to replay the journal: {words}")
    # Bits of e2fsck(8): 4 errors left, 8 operational error; with -n nothing is corrected.
    return CheckResult(outcome.status == 0, outcome.output)


def _check_xfs(toolbox: Toolbox, device: BlockDevice) -> CheckResult:
    outcome = _ran(
        device, toolbox.run(device.name, _LIMITED + "{xfs_repair} -n $DEV", needs=("xfs_repair", "timeout"))
    )
    # Mounting has replayed the journal before (see Stage.mount), unless it could not be mounted.
    words = ("log which is being", "log which needs to be replayed")
    pending = any(word in outcome.output for word in words)
    return CheckResult(outcome.status == 0 and not pending, outcome.output, pending)


def _check_btrfs(toolbox: Toolbox, device: BlockDevice) -> CheckResult:
    # --force: it may be mounted here, read-only.
    script = _LIMITED + "{btrfs} check --readonly --force $DEV"
    outcome = _ran(device, toolbox.run(device.name, script, needs=("btrfs", "timeout")))
    return CheckResult(outcome.status == 0, outcome.output)


def _check_fat(toolbox: Toolbox, device: BlockDevice) -> CheckResult:
    outcome = _ran(
        device, toolbox.run(device.name, _LIMITED + "{fsck.fat} -n $DEV", needs=("fsck.fat", "timeout"))
    )
    lines = [line for line in outcome.output.splitlines() if not line.startswith(_FAT_NOISE)]
    if outcome.status not in _FAT_LOOKED:
        words = " ".join("\n".join(lines).split())[-_MAX_QUOTED:]
        raise GuestReadError(device.name, f"its checker did not run (status {outcome.status}): {words}")
    serious = [li for li in lines if li and not li.startswith(_FAT_HARMLESS) and " clusters" not in li]
    return CheckResult(outcome.status == 0 or not serious, "\n".join(lines))


def repair_filesystem(toolbox: Toolbox, change: RunFsck) -> str:
    """Run the checker with repair allowed on an unmounted device; afterwards the filesystem is clean.

    Returns what the checker said.

    Raises:
        RepairError: no checker for the type, it could not correct everything, or did not end.
    """
    scripts = {
        "ext2": ("e2fsck", _ext_repair(change), 1),
        "ext3": ("e2fsck", _ext_repair(change), 1),
        "ext4": ("e2fsck", _ext_repair(change), 1),
        "xfs": ("xfs_repair", "{xfs_repair} $DEV", 0),
        "vfat": ("fsck.fat", "{fsck.fat} -a -w $DEV", 1),
    }
    if change.filesystem == "btrfs":
        raise RepairError(
            f"{change.device}: btrfs check --repair is dangerous and is not run",
            hint="copy what you need with btrfs restore, and make the filesystem again",
        )
    if change.filesystem not in scripts:
        raise RepairError(f"{change.device}: no checker for {change.filesystem}")
    program, script, worst = scripts[change.filesystem]
    try:
        outcome = toolbox.run(change.device, _LIMITED + script, needs=(program, "timeout"))
    except GuestReadError as error:
        raise RepairError(f"{change.device}: {error.reason}", hint=error.hint) from error
    if outcome.status == _TIMED_OUT:
        raise RepairError(f"{change.device}: {program} was stopped after {TIMEOUT_SECONDS} s")
    if outcome.status > worst:
        words = " ".join(outcome.output.split())[-_MAX_QUOTED:]
        raise RepairError(f"{change.device}: {program} could not correct everything: {words}")
    return outcome.output


def _ext_repair(change: RunFsck) -> str:
    where = ""
    if change.backup_superblock is not None:
        where = f" -b {int(change.backup_superblock)}"
        where += f" -B {int(change.block_size_bytes)}" if change.block_size_bytes else ""
    return f"{{e2fsck}} -fy{where} $DEV"
