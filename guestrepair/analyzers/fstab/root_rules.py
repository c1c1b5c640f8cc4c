"""Rule on the root filesystem's line: it must be there."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.evidence import describe
from guestrepair.analyzers.fstab.facts import FSTAB, Facts
from guestrepair.analyzers.fstab.malformed import root_line
from guestrepair.analyzers.fstab.text_rules import mounts_without_table
from guestrepair.model import Edit, Evidence, Finding, GuestPath, Repair, Safety, Severity

_ROOT_UNIT = GuestPath("/etc/systemd/system/-.mount")


def check_root_line(facts: Facts) -> Iterator[Finding]:
    """A table without a line for ``/``, where nothing else mounts it for writing."""
    table, data = facts.table, facts.data
    if table is None or data is None or (data and not data.strip(b"\0")):
        return
    if table.for_target("/") or mounts_without_table(facts):
        return
    if facts.guest.exists(_ROOT_UNIT):
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


def _append(facts: Facts, data: bytes) -> Repair:
    line = None if facts.root is None else root_line(facts, facts.root)
    if line is None:
        return edits.manual("write a line for / by hand")
    start = b"" if not data or data.endswith(b"\n") else b"\n"
    change = Edit(offset=len(data), length=0, text=start + line + b"\n")
    return edits.repair(FSTAB, data, f"add: {line.decode('utf-8', 'replace')}", Safety.SAFE, change)
