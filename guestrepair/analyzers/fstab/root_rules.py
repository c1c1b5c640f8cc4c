"""Rule on the root filesystem's line: it must be there."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.evidence import describe
from guestrepair.analyzers.fstab.facts import FSTAB, Facts
from guestrepair.analyzers.fstab.malformed import root_line
from guestrepair.analyzers.fstab.rootless import Mounter, mounter_of_root
from guestrepair.model import Edit, Evidence, Finding, Repair, Safety, Severity


def check_root_line(facts: Facts) -> Iterator[Finding]:
    """A table without a line for ``/``, where nothing else mounts it for writing."""
    table, data = facts.table, facts.data
    if table is None or data is None or (data and not data.strip(b"\0")):
        return
    if table.for_target("/") or (facts.boot_unread and not facts.boot):
        return  # how the root is mounted cannot be told where the boot loader's words cannot be read
    mounter = mounter_of_root(facts)
    if mounter is not None:
        if not mounter.is_told:
            yield _not_needed(mounter)
        return
    place = next((line for line in facts.boot if line.cmdline.root), None)
    clues = [Evidence(place.place, f"root={place.cmdline.root}", "a line for /")] if place is not None else []
    device = describe(facts.root) if facts.root is not None else "the root filesystem"
    yield Finding(
        rules.ROOT_MISMATCH.name,
        Severity.ERROR,
        str(FSTAB),
        f"{FSTAB} has no line for /: {device} stays read-only, as the kernel mounted it",
        (Evidence(str(FSTAB), "no line for /", device), *clues),
        _append(facts, data),
    )


def _not_needed(mounter: Mounter) -> Finding:
    return Finding(
        rules.ROOT_MISMATCH.name,
        Severity.NOTE,
        str(FSTAB),
        f"{FSTAB} has no line for /, and needs none: {mounter.value}",
        (Evidence(str(FSTAB), "no line for /"),),
    )


def _append(facts: Facts, data: bytes) -> Repair:
    line = None if facts.root is None else root_line(facts, facts.root)
    if line is None:
        return edits.manual("write a line for / by hand")
    start = b"" if not data or data.endswith(b"\n") else b"\n"
    change = Edit(offset=len(data), length=0, text=start + line + b"\n")
    return edits.repair(FSTAB, data, f"add: {line.decode('utf-8', 'replace')}", Safety.SAFE, change)
