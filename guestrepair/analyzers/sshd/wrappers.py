"""TCP wrappers: a line of hosts.deny that turns everyone away from an sshd that is linked with libwrap.

Upstream dropped libwrap in 6.7; Debian and others patch it back in. Without it
both files mean nothing to sshd, whatever they say.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.formats.hosts_access import AccessLine, parse_hosts_access
from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
)

ALLOW, DENY = GuestPath("/etc/hosts.allow"), GuestPath("/etc/hosts.deny")


def check_wrappers(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """tcp-wrappers."""
    if not facts.server.links_libwrap:
        return
    for path in (ALLOW, DENY):
        data = facts.guest.read_if_there(path) if facts.guest.is_file(path) else None
        if data is None:
            continue
        for line in parse_hosts_access(data):
            if not line.is_about("sshd"):
                continue
            denying = line.denies if path == ALLOW else not line.allows
            if not denying:
                return  # somebody is let in by this line: narrowing access is what the files are for
            if line.is_about_everyone:
                yield _finding(facts, path, data, line)
                return


def _finding(facts: SshdFacts, path: GuestPath, data: bytes, line: AccessLine) -> Finding:
    text = f"{' '.join(line.daemons)}: {' '.join(line.clients)}"
    change = EditFile(
        path=facts.guest.resolve(path) or path,
        before=data,
        edits=(Edit(offset=line.offset_bytes, length=0, text=b"#"),),
    )
    return Finding(
        rule="sshd/tcp-wrappers",
        severity=Severity.ERROR,
        subject=f"{path}:{line.number}",
        message=f"{path} line {line.number} turns everyone away from sshd, which is linked with libwrap:"
        ' "refused connect from"',
        evidence=(
            Evidence(f"{path}:{line.number}", text, "no line that matches sshd and every client"),
            Evidence(str(facts.server.binary), "NEEDED libwrap.so"),
        ),
        repair=Repair(f"comment out line {line.number} of {path}", Safety.REVIEW, (change,)),
    )
