"""The root filesystem's line: it must be there."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.rootless import Mounter, mounter_of_root
from guestrepair.formats.splice import Splice
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity, Subject
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.facts import FSTAB
from guestrepair.system.mounts.normalize import root_line

ROOT_MISMATCH = Rule(
    name="fstab/root-mismatch",
    summary="no line for /, or one that names another filesystem",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="No line mounts /, and nothing else has it mounted for writing: neither the boot loader nor the "
    "partition's type nor an init other than systemd; or the line names another filesystem than the one "
    "that the boot loader's root= names and this /etc lies on. No line is a note where init mounts / for "
    "writing by itself, or where kernel and command line come from outside.",
    why="The root filesystem stays read-only, or fsck and remount work on the wrong device.",
    repair="The root's own UUID is written, or a line for it is added at the end.",
    example="UUID of /home in the line for /",
    sources=("systemd-remount-fs.service(8)", "kernel-command-line(7), root="),
)


def check_root_line(context: Context) -> Iterator[Finding]:
    """A table without a line for ``/``, where nothing else mounts it for writing."""
    mounts, boot = context.system.mounts, context.system.boot_loader
    table, text = mounts.table, mounts.text
    if table is None or (text and not text.strip(b"\0")):
        return
    if table.for_target("/") or (boot.unread and not boot.lines):
        return  # how the root is mounted cannot be told where the boot loader's words cannot be read
    mounter = mounter_of_root(context.system)
    if mounter is not None:
        if not mounter.is_told:
            yield _not_needed(mounter)
        return
    place = next((line for line in boot.lines if line.cmdline.root), None)
    clues = [Evidence(place.place, f"root={place.cmdline.root}", "a line for /")] if place is not None else []
    device = describe(mounts.root) if mounts.root is not None else "the root filesystem"
    yield ROOT_MISMATCH.finding(
        Subject.of_path(FSTAB),
        f"{FSTAB} has no line for /: {device} stays read-only, as the kernel mounted it",
        evidence=(Evidence(str(FSTAB), "no line for /", device), *clues),
        repair=_append(mounts),
    )


def _not_needed(mounter: Mounter) -> Finding:
    return ROOT_MISMATCH.finding(
        Subject.of_path(FSTAB),
        f"{FSTAB} has no line for /, and needs none: {mounter.value}",
        severity=Severity.NOTE,
        evidence=(Evidence(str(FSTAB), "no line for /"),),
    )


def _append(mounts: Mounts) -> Repair:
    line = None if mounts.root is None else root_line(mounts, mounts.root)
    if line is None:
        return edits.manual("write a line for / by hand")
    start = b"" if not mounts.text or mounts.text.endswith(b"\n") else b"\n"
    change = Splice(len(mounts.text), 0, start + line + b"\n")
    return edits.of_table(mounts, f"add: {line.decode('utf-8', 'replace')}", Safety.SAFE, change)
