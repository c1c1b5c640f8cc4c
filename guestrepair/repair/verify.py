"""Verifying a staged repair: the planned findings gone, no new one, the filesystems clean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from guestrepair.guest.devices import BlockDevices
from guestrepair.model import Examination, Finding, Severity

_BY_REMOVING = frozenset({"golden/unzeroed-space"})
"""What a removal brings by its nature, no fault of a repair: content of what is gone lies in free space."""
_LINE = re.compile(r":[0-9]+$")
# State bits of an ext superblock (ext4.h): EXT4_VALID_FS, EXT4_ERROR_FS.
_VALID, _ERROR = 0x1, 0x2


def gone_wrong(planned: Sequence[Finding], before: Examination, after: Examination) -> list[str]:
    """The checks that a staged repair fails, a sentence each; empty when it may be committed."""
    left = {finding.identity for finding in after.findings}
    problems = [f"{f.rule} {f.subject} is still found" for f in planned if f.identity in left]
    problems += [
        f"{f.rule} {f.subject} is new: {f.message}"
        for f in new_findings(before.findings, after.findings, planned)
    ]
    known = set(before.inconclusive)
    problems += [f"{i.analyzer} can no longer look: {i.reason}" for i in after.inconclusive if i not in known]
    return problems


def new_findings(
    before: Sequence[Finding], after: Sequence[Finding], planned: Sequence[Finding] = ()
) -> list[Finding]:
    """Findings that were not there before; a line number that moved does not make one new, nor does a note.

    One that was planned to be repaired, and is gone, is no excuse for another of its rule in the same file.
    A repair may well leave something worth a note: a mount made optional because its device is not there.
    """
    repaired = {finding.identity for finding in planned} - {finding.identity for finding in after}
    known = Counter(place(finding) for finding in before if finding.identity not in repaired)
    folded = {(f.rule, _LINE.sub("", subject)) for f in before for subject in f.folded}
    new = []
    for finding in after:
        if finding.severity is Severity.NOTE or finding.rule in _BY_REMOVING:
            continue
        where = place(finding)
        if known[where]:
            known[where] -= 1
        elif where not in folded:
            new.append(finding)
    return new


def gone(findings: Sequence[Finding], planned: Sequence[Finding], after: Sequence[Finding]) -> list[Finding]:
    """Those that are repaired: planned (and so verified), or found nowhere in their file or device any more.

    A finding that was not planned is not gone because an edit before it moved its line.
    """
    wanted = {finding.identity for finding in planned}
    left = {place(finding) for finding in after}
    return [f for f in findings if f.identity in wanted or place(f) not in left]


def place(finding: Finding) -> tuple[str, str]:
    """The rule and the subject without its line, which an edit elsewhere in the file may move."""
    return finding.rule, _LINE.sub("", finding.subject)


def unclean(before: BlockDevices, after: BlockDevices) -> list[str]:
    """ext filesystems that the staged writes left unclean, a sentence each."""
    problems = []
    for device in after.devices:
        was = before.get(device.name)
        if device.ext is None or (was is not None and was.ext == device.ext):
            continue
        if device.ext.has_journal_to_replay or not device.ext.state & _VALID:
            problems.append(f"{device.name} was not unmounted cleanly")
        if device.ext.state & _ERROR and not (was and was.ext and was.ext.state & _ERROR):
            problems.append(f"{device.name} now records filesystem errors")
    return problems
