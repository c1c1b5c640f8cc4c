"""TCP wrappers: a line of hosts.deny that turns everyone away from an sshd that is linked with libwrap.

Upstream dropped libwrap in 6.7; Debian and others patch it back in. Without it
both files mean nothing to sshd, whatever they say.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.formats.hosts_access import AccessLine
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.hosts_access import AccessFile
from guestrepair.system.sshd.sshd import Sshd

TCP_WRAPPERS = Rule(
    name="sshd/tcp-wrappers",
    summary="hosts.deny turns everyone away from sshd",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW,),
    what="A line of /etc/hosts.deny (or a deny option in hosts.allow) matches sshd and every"
    " client, nothing"
    " before it allows anyone, and this sshd is really linked with libwrap.",
    why='sshd closes each connection with "refused connect from".',
    repair="Comment the line out, for review.",
    example="sshd: ALL",
    sources=("hosts_access(5)", "hosts_options(5)"),
)


def check_wrappers(sshd: Sshd) -> Iterator[Finding]:
    """tcp-wrappers."""
    if not sshd.server.links_libwrap:
        return
    for file in sshd.system.hosts_access:
        for line in file.lines:
            if not line.is_about("sshd"):
                continue
            if not file.turns_away(line):
                return  # somebody is let in by this line: narrowing access is what the files are for
            if line.is_about_everyone:
                yield _finding(sshd, file, line)
                return


def _finding(sshd: Sshd, file: AccessFile, line: AccessLine) -> Finding:
    path = file.path
    text = f"{' '.join(line.daemons)}: {' '.join(line.clients)}"
    edit = Edit(offset=line.offset_bytes, length=0, text=b"#")
    change = EditFile(path=file.real, before=file.data, edits=(edit,))
    return TCP_WRAPPERS.finding(
        Subject.of_line(path, line.number),
        f"{path} line {line.number} turns everyone away from sshd, which is linked with libwrap:"
        ' "refused connect from"',
        evidence=(
            Evidence(f"{path}:{line.number}", text, "no line that matches sshd and every client"),
            Evidence(str(sshd.server.binary), "NEEDED libwrap.so"),
        ),
        repair=Repair(f"comment out line {line.number} of {path}", Safety.REVIEW, (change,)),
    )
