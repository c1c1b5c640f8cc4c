"""apk's database, written as apk-installed(5) has it: links and files alike, defaults left out."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, RestoreFile
from guestrepair.packages import open_database
from guestrepair.packages.sources import DonorSource, resolve_sources


def _sum(data: bytes) -> str:
    return "Q1" + base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def apk_guest() -> MemoryGuest:
    guest = MemoryGuest()
    guest.os = OperatingSystem(distro="alpine", package_format="apk", arch="x86_64")
    guest.file("/bin/busybox", b"busybox", mode=0o755)
    guest.file("/bin/bbsuid", b"suid", mode=0o4711)
    guest.link("/bin/sh", "/bin/busybox")
    guest.file("/etc/securetty", b"edited")
    guest.file("/usr/share/data", b"data")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    guest.file(
        "/lib/apk/db/installed",
        f"C:Q1abc=\nP:busybox\nV:1.36.1-r5\nA:x86_64\nF:bin\nR:bbsuid\na:0:0:4711\nZ:{_sum(b'suid')}\n"
        f"R:busybox\na:0:0:755\nZ:{_sum(b'busybox')}\nR:sh\na:0:0:777\nZ:{_sum(b'/bin/busybox')}\n"
        f"F:etc\nR:securetty\nZ:{_sum(b'as shipped')}\nF:usr\nF:usr/share\nR:data\nZ:{_sum(b'data')}\n\n",
    )
    return guest


def scan(guest: MemoryGuest) -> list[Finding]:
    context = Context(guest, packages=open_database(guest), options=AnalysisOptions(digests="all"))
    findings, inconclusive = run_analyzer(ANALYZER, context)
    assert not inconclusive
    return findings


def test_a_healthy_guest_has_no_finding() -> None:
    assert scan(apk_guest()) == []


def test_damage_is_found_and_comes_back_from_a_donor(tmp_path: Path) -> None:
    guest = apk_guest()
    guest.remove("/bin/sh")
    guest.file("/bin/busybox", b"trojan", mode=0o755)
    guest.nodes[GuestPath("/bin/bbsuid")].mode = 0o100755
    guest.file("/usr/share/data", b"", mode=0o666)
    found = {(f.rule.partition("/")[2], f.subject): f for f in scan(guest)}
    assert set(found) == {
        ("file-missing", "/bin/sh"),
        ("file-changed", "/bin/busybox"),
        ("wrong-mode", "/bin/bbsuid"),
        ("file-empty", "/usr/share/data"),
        ("wrong-mode", "/usr/share/data"),
    }
    changes = [
        change
        for finding in found.values()
        if finding.repair is not None
        for change in finding.repair.changes
        if isinstance(change, RestoreFile)
    ]
    resolution = resolve_sources(guest, changes, [DonorSource(apk_guest(), "donor x")], tmp_path)
    assert not resolution.refused
    link = next(f for c, f in resolution.resolved.items() if c.path == GuestPath("/bin/sh"))
    assert link.link_target == "/bin/busybox"


def test_a_donors_link_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    guest, donor = apk_guest(), apk_guest()
    guest.remove("/bin/sh")
    donor.link("/bin/sh", "/bin/other")
    (finding,) = scan(guest)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, RestoreFile)
    resolution = resolve_sources(guest, [change], [DonorSource(donor, "donor x")], tmp_path)
    assert "digest" in resolution.refused[change][0]
