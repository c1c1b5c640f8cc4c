"""The rule on looking up accounts: what nsswitch.conf leaves out is there for nobody."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.resolver import DatabaseLine
from guestrepair.model import Edit, EditFile, Effect, Evidence, Finding, Repair, Safety, Severity, Subject
from guestrepair.system.account_files import GROUP, PASSWD, SHADOW
from guestrepair.system.guest_system import System
from guestrepair.system.network.resolving import NSSWITCH

NOT_LOOKED_UP = Rule(
    name="system/accounts-not-looked-up",
    summary="nsswitch.conf leaves out the guest's own accounts",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The line of passwd, shadow or group in /etc/nsswitch.conf names no source that reads /etc.",
    why="Root, the users of services and all local accounts do not exist for any program: sshd ends, and"
    " nobody logs in.",
    repair="files put first into that line.",
    example="passwd: sss",
    sources=("nsswitch.conf(5)", "nss(5)"),
)
RULES = (NOT_LOOKED_UP,)

_LOCAL = frozenset({"files", "compat", "altfiles", "extrausers", "db"})
"""Sources that read files of the guest itself."""


def check(context: Context) -> Iterator[Finding]:
    """One finding a line; none with musl, which reads no nsswitch.conf."""
    system = context.system
    if system.os.distro == "alpine" or not system.account_files.any_there:
        return
    for path in (PASSWD, SHADOW, GROUP):
        line = system.network.resolving.databases.get(path.name)
        if line is None or not line.sources or _LOCAL & set(line.sources):
            continue
        place = Subject.of_line(NSSWITCH, line.line)
        yield NOT_LOOKED_UP.finding(
            place,
            f"{place}: {path.name} is looked up in {' '.join(line.sources)} alone: what {path} says counts"
            " for nothing",
            severity=Severity.WARNING if path == GROUP else Severity.ERROR,
            evidence=(Evidence(place, line.text[:300], f"{path.name}: files {' '.join(line.sources)}"),),
            repair=_repair(system, line, path.name),
        )


def _repair(system: System, line: DatabaseLine, database: str) -> Repair:
    data, path = system.network.resolving.nsswitch or b"", system.files.resolve(NSSWITCH)
    what = f"put files first into the line of {database}"
    lines = data.split(b"\n")
    text = lines[line.line - 1] if line.line <= len(lines) else b""
    colon = text.find(b":")
    if path is None or colon < 0 or text.decode("utf-8", "replace").strip() != line.text:
        return Repair(what, Safety.MANUAL)
    at = sum(len(each) + 1 for each in lines[: line.line - 1]) + colon + 1
    word = b" files" if text[colon + 1 : colon + 2].isspace() else b" files "
    change = EditFile(path=path, before=data, edits=(Edit(offset=at, length=0, text=word),))
    return Repair(what, Safety.REVIEW, (change,))
