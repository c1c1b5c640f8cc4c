"""A machine-id file that is none: neither an identity, nor empty, nor "uninitialized"."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.machine_id import MachineIdState, identity_in
from guestrepair.model import (
    Change,
    Effect,
    EmptyFile,
    Evidence,
    Finding,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.machine_id import IdentityFile

INVALID = Rule(
    name="system/machine-id-invalid",
    summary="/etc/machine-id is no identity",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what='/etc/machine-id is neither 32 hexadecimal digits on one line, nor empty, nor "uninitialized".',
    why="systemd 231 and 232 do without journald, tmpfiles and what needs them; others make up a new"
    " identity at boot, and programs that read the file themselves fail.",
    repair="Where an identity stands on its first line, that line alone (safe). Else empty the file:"
    " systemd makes a new one (review: the machine is another one to DHCP servers and inventories then).",
    example="2c0771634a3144059497699f79981f6b, and a second line",
    sources=("machine-id(5)", "https://github.com/systemd/systemd/issues/4475"),
)
RULES = (INVALID,)


def check(context: Context) -> Iterator[Finding]:
    """machine-id-invalid; silent without systemd, whose file it is."""
    file = context.system.machine_id.file
    if file is None or file.state is not MachineIdState.INVALID or not context.system.systemd.installed:
        return
    yield INVALID.finding(
        Subject.of_path(file.path),
        f"{file.path} is no identity that systemd can read",
        evidence=(Evidence(str(file.path), _words(file), "32 hexadecimal digits, or nothing"),),
        repair=_repair(file),
    )


def _words(file: IdentityFile) -> str:
    return f"{file.size_bytes} bytes: {file.data[:40].decode('ascii', 'backslashreplace')!r}"


def _repair(file: IdentityFile) -> Repair:
    kept = identity_in(file.data)
    if kept is not None and len(file.data) == file.size_bytes:
        change: Change = WriteFile(path=file.real, before=file.data, after=kept)
        return Repair("keep the identity on its first line alone", Safety.SAFE, (change,))
    change = EmptyFile(path=file.real, before_bytes=file.size_bytes)
    return Repair("empty it: systemd makes a new identity at boot", Safety.REVIEW, (change,))


CHECKS = (check,)
