"""Modes and owners: one chmod or chown is one finding; a donor or a .deb says what dpkg does not record."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, RestoreAttributes, Safety, Severity
from guestrepair.packages import Package, open_database
from guestrepair.packages.reference import Reference
from guestrepair.packages.sources import DirectorySource, DonorSource
from tests.unit.packages.deb_guest import CONFIG, FILES, deb_guest, md5
from tests.unit.packages.test_sources import deb_package

MANY = [f"/usr/bin/many{number}" for number in range(30)]


def scan(guest: MemoryGuest, reference: Reference | None = None) -> list[Finding]:
    context = Context(guest, packages=open_database(guest), reference=reference)
    findings, inconclusive = run_analyzer(ANALYZER, context)
    assert not inconclusive
    return findings


def _wide_guest() -> MemoryGuest:
    """The guest with many more programs in its package, one of them listed as /bin/tool is."""
    guest = deb_guest()
    listing = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.list")]
    sums = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.md5sums")]
    # As with libraries of two packages: one directory listed by both of its names.
    guest.directory("/usr/lib/x86_64-linux-gnu")
    guest.file("/usr/lib/x86_64-linux-gnu/a.so", b"x")
    listing.content += b"/lib\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n"
    listing.content += b"/lib/x86_64-linux-gnu/a.so\n"
    for path in MANY:
        guest.file(path, b"x", mode=0o755)
        listing.content += f"{path}\n".encode()
        sums.content += f"{md5(b'x')}  {path[1:]}\n".encode()
    return guest


def _everything_in_usr(guest: MemoryGuest) -> list[GuestPath]:
    return [path for path in guest.nodes if str(path).startswith("/usr/")]


def donor() -> Reference:
    return Reference([DonorSource(_wide_guest(), "donor x")])


@pytest.mark.parametrize("reference", [None, donor()])
def test_one_chmod_of_usr_is_one_finding(reference: Reference | None) -> None:
    guest = _wide_guest()
    for path in _everything_in_usr(guest):
        guest.nodes[path].mode |= 0o777
        guest.nodes[path].mode &= ~0o7000
    (finding,) = scan(guest, reference)
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/wrong-mode",
        "/usr",
        Severity.ERROR,
    )
    assert {"/usr/bin/tool", "/usr/bin/sudo", *MANY} <= set(finding.folded)
    assert finding.repair is not None
    places = [change.path for change in finding.repair.changes if isinstance(change, RestoreAttributes)]
    assert len(places) == len(set(places)) == len(finding.repair.changes), "each place once"
    assert finding.repair.safety is Safety.SAFE


def test_one_chown_of_usr_is_one_finding_with_the_setuid_bits_that_it_cleared() -> None:
    guest = _wide_guest()
    for path in _everything_in_usr(guest):
        node = guest.nodes[path]
        node.uid = node.gid = 1000
        node.mode &= ~0o6000
    (finding,) = scan(guest, donor())
    assert (finding.rule, finding.subject) == ("packages/wrong-owner", "/usr")
    assert "/usr/bin/sudo" in finding.folded


def test_a_donor_says_which_mode_a_program_had() -> None:
    guest = _wide_guest()
    guest.nodes[GuestPath("/usr/bin/other")].mode = 0o100700
    (finding,) = scan(guest, donor())
    assert (finding.rule, finding.subject) == ("packages/wrong-mode", "/usr/bin/other")
    assert finding.evidence[0].observed == "0700"
    assert finding.evidence[0].expected == "0755"
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, RestoreAttributes)
    assert change.mode is None, "the donor is asked again, so that the plan names it"
    assert scan(guest) == [], "without a donor, nothing says that this is wrong"


def test_a_donor_of_another_version_says_nothing() -> None:
    guest, other = _wide_guest(), _wide_guest()
    status = other.nodes[GuestPath("/var/lib/dpkg/status")]
    status.content = status.content.replace(b"1.0-1", b"1.1-1")
    guest.nodes[GuestPath("/usr/bin/other")].mode = 0o100700
    assert scan(guest, Reference([DonorSource(other, "donor x")])) == []


def test_a_stat_override_is_right_on_either_side() -> None:
    guest, other = _wide_guest(), _wide_guest()
    guest.file("/var/lib/dpkg/statoverride", "root root 0700 /usr/bin/other\n")
    guest.nodes[GuestPath("/usr/bin/other")].mode = 0o100700
    other.file("/var/lib/dpkg/statoverride", "root root 0711 /usr/bin/many1\n")
    other.nodes[GuestPath("/usr/bin/many1")].mode = 0o100711
    assert scan(guest, Reference([DonorSource(other, "donor x")])) == []


def test_configuration_made_stricter_than_the_donors_is_left_for_review() -> None:
    guest = _wide_guest()
    guest.nodes[GuestPath(CONFIG)].mode = 0o100600
    (finding,) = scan(guest, donor())
    assert (finding.subject, finding.severity) == (CONFIG, Severity.NOTE)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW


def test_configuration_that_everybody_may_write_is_found_without_a_donor() -> None:
    guest = _wide_guest()
    guest.nodes[GuestPath(CONFIG)].mode = 0o100666
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/wrong-mode",
        CONFIG,
        Severity.WARNING,
    )


@pytest.mark.parametrize(("mode", "found"), [(0o100644, True), (0o102755, False), (0o100755, False)])
def test_a_deb_tells_what_was_lost_not_what_a_script_added(mode: int, found: bool, tmp_path: Path) -> None:
    (tmp_path / "tool.deb").write_bytes(deb_package())
    guest = _wide_guest()
    guest.nodes[GuestPath("/usr/bin/tool")].mode = mode
    findings = scan(guest, Reference([DirectorySource(tmp_path)]))
    assert [f.subject for f in findings] == (["/usr/bin/tool"] if found else [])


def _elf(size: int, *, table: int) -> bytes:
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 56, 0, 64, 10, 9)
    return head.ljust(size, b"\1")


@pytest.mark.parametrize(
    ("content", "safety"),
    [
        (_elf(4000, table=4000 - 640), Safety.REVIEW),
        (_elf(2000, table=4000 - 640), Safety.SAFE),
        (b"\x7fELF\x02\x01", Safety.SAFE),
        (bytes(5000), Safety.SAFE),
        (b"#!/bin/sh\n", Safety.REVIEW),
    ],
    ids=["whole", "cut off", "cut off in its header", "NUL bytes", "a script"],
)
def test_a_cut_off_program_is_damage_and_another_one_a_change(content: bytes, safety: Safety) -> None:
    guest = deb_guest()
    assert content != FILES["/usr/bin/other"]
    guest.file("/usr/bin/other", content, mode=0o755)
    context = Context(guest, packages=open_database(guest))
    context.options = type(context.options)(digests="all")
    found = {f.rule: f for f in run_analyzer(ANALYZER, context)[0] if f.subject == "/usr/bin/other"}
    repair = found["packages/file-changed"].repair
    assert repair is not None
    assert repair.safety is safety


def test_what_no_package_owns_follows_the_donor_where_one_command_hit_it() -> None:
    guest, other = _wide_guest(), _wide_guest()
    for system in (guest, other):
        system.file("/usr/lib/cache.bin", b"made by a script", mode=0o644)
    for path in _everything_in_usr(guest):
        guest.nodes[path].mode |= 0o777
    guest.file("/usr/lib/own.bin", b"the administrator's", mode=0o777)
    reference = Reference([DonorSource(other, "donor x")])
    (finding,) = scan(guest, reference)
    assert finding.repair is not None
    changes = [c for c in finding.repair.changes if isinstance(c, RestoreAttributes) and not c.package]
    assert {str(change.path) for change in changes} == {"/usr/lib/cache.bin", "/usr/sbin"}
    assert finding.evidence[-1].observed.startswith("1 more below /usr")


def test_a_directory_listed_only_by_its_old_name_is_named_where_it_lies() -> None:
    guest = _wide_guest()
    guest.directory("/usr/lib64", mode=0o777)
    guest.link("/lib64", "usr/lib64")
    guest.nodes[GuestPath("/var/lib/dpkg/info/tool.list")].content += b"/lib64\n/lib64/none\n"
    found = {f.subject: f for f in scan(guest) if f.rule == "packages/wrong-mode"}
    repair = found["/usr/lib64"].repair
    assert repair is not None
    assert [getattr(change, "path", None) for change in repair.changes] == [GuestPath("/usr/lib64")]


def test_what_another_package_may_have_set_is_a_note_for_review() -> None:
    """rsyslog gives /var/log to the group syslog; a donor without it has root:root there."""
    guest, other = _wide_guest(), _wide_guest()
    for system in (guest, other):
        system.directory("/var/log", mode=0o755)
        system.nodes[GuestPath("/var/lib/dpkg/info/tool.list")].content += b"/var/log\n/var/log/x\n"
        system.file("/var/log/x", b"")
    guest.nodes[GuestPath("/var/log")].mode = 0o40775
    guest.nodes[GuestPath("/var/log")].gid = 104
    findings = scan(guest, Reference([DonorSource(other, "donor x")]))
    assert {f.rule for f in findings} == {"packages/wrong-mode", "packages/wrong-owner"}
    assert {f.severity for f in findings} == {Severity.NOTE}
    assert {f.repair.safety for f in findings if f.repair is not None} == {Safety.REVIEW}


def test_only_the_named_packages_are_unpacked_for_their_attributes(tmp_path: Path) -> None:
    (tmp_path / "tool.deb").write_bytes(deb_package())
    guest = _wide_guest()
    guest.nodes[GuestPath("/usr/bin/tool")].mode = 0o100644
    database = open_database(guest)
    assert database is not None
    files = [file for file in database.files() if file.path == "/bin/tool"]
    stats = list(guest.lstat_many([GuestPath("/bin/tool")]).values())
    reference = Reference([DirectorySource(tmp_path)])
    (tool,) = database.packages
    other = frozenset({Package("other", "1", "amd64")})
    assert [f.mode for f in reference.for_packages(frozenset({tool})).complete(files, stats)] == [0o755]
    assert [f.mode for f in reference.for_packages(other).complete(files, stats)] == [None]
