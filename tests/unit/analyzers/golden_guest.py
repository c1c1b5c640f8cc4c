"""A golden image in memory with nothing of a machine in it, and what its tests ask."""

from __future__ import annotations

import datetime as dt

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.golden import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Inconclusive, RemoveFile, Repair, Safety, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
SAFE, REVIEW, MANUAL = Safety.SAFE, Safety.REVIEW, Safety.MANUAL
PASSWD = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n"
NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC).timestamp()
TIMESYNCD = "/usr/lib/systemd/system/systemd-timesyncd.service"


def sealed(*, cloud: bool = True, sshd: bool = False) -> MemoryGuest:
    """An image with nothing of a machine in it."""
    guest = MemoryGuest()
    guest.file("/usr/lib/systemd/systemd", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    guest.link("/etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    guest.file(TIMESYNCD, "[Service]\nExecStart=!!/usr/lib/systemd/systemd-timesyncd\n")
    guest.link(f"/etc/systemd/system/sysinit.target.wants/{TIMESYNCD.rpartition('/')[2]}", TIMESYNCD)
    guest.file("/usr/lib/systemd/system/sysinit.target", "[Unit]\n")
    guest.file("/etc/passwd", PASSWD)
    guest.file("/etc/shadow", "root:*:1::::::\nann:!:1::::::\n", mode=0o640)
    guest.file("/etc/group", "root:x:0:\nann:x:1000:\n")
    guest.file("/etc/machine-id", "")
    guest.file("/etc/hostname", "localhost\n")
    for folder in ("/root", "/home/ann", "/var/log/journal", "/tmp", "/var/tmp", "/etc/ssh"):  # noqa: S108
        guest.directory(folder)
    if cloud:
        guest.file("/usr/bin/cloud-init", "#!/usr/bin/python3\n", mode=0o755)
        guest.file("/usr/lib/systemd/system-generators/cloud-init-generator", "#!/bin/sh\n", mode=0o755)
        guest.file("/usr/lib/systemd/system/cloud-init.target", "[Unit]\n")
        guest.file("/usr/lib/systemd/system/cloud-init.service", "[Service]\nExecStart=/usr/bin/cloud-init\n")
    if sshd:
        guest.file("/usr/sbin/sshd", b"\x7fELF\0OpenSSH_9.2p1\0", mode=0o755)
        guest.file("/usr/lib/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n")
        guest.link(
            "/etc/systemd/system/multi-user.target.wants/ssh.service", "/usr/lib/systemd/system/ssh.service"
        )
        guest.file("/etc/ssh/sshd_config", "")
    return guest


def examine(guest: MemoryGuest) -> tuple[list[Finding], list[Inconclusive]]:
    found = run_analyzer(ANALYZER, Context(guest, options=AnalysisOptions(profile="golden", now=NOW)))
    return found.findings, found.inconclusive


def only(guest: MemoryGuest, rule: str) -> Finding:
    findings, inconclusive = examine(guest)
    assert inconclusive == []
    assert [f.rule for f in findings] == [f"golden/{rule}"]
    return findings[0]


def repair_of(finding: Finding) -> Repair:
    assert finding.repair is not None
    return finding.repair


def gone(finding: Finding) -> set[str]:
    """The paths that its repair removes; nothing else must be in it, and no copy may stay."""
    changes = repair_of(finding).changes
    assert all(isinstance(c, RemoveFile) and not c.backup for c in changes)
    return {str(change.place) for change in changes}
