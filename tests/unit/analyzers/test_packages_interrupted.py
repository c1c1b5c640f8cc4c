"""Work of the package manager that broke off: dpkg's states and journal, records that rpm holds twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    Effect,
    EraseRecords,
    Examination,
    Finding,
    GuestPath,
    RestoreFile,
    RpmRecord,
    Safety,
    Severity,
)
from guestrepair.packages import open_database
from guestrepair.packages.rpm import RpmDatabase
from guestrepair.packages.sources import UnpackedSource, resolve_sources
from tests.unit.packages.deb_guest import FILES, deb_guest, md5

STATUS = "/var/lib/dpkg/status"


def examined(guest: MemoryGuest) -> Examination:
    context = Context(guest, packages=open_database(guest))
    context.options = AnalysisOptions(digests="all")
    return run_analyzer(ANALYZER, context)


def found(guest: MemoryGuest) -> dict[str, Finding]:
    findings, inconclusive = examined(guest)
    assert not inconclusive
    return {finding.rule: finding for finding in findings}


def in_state(status: str, *, name: str = "tool") -> MemoryGuest:
    """The guest whose one package is in that state, with another that is healthy; ``login`` is part of it."""
    guest = deb_guest()
    text = guest.nodes[GuestPath(STATUS)].content.decode()
    guest.file(STATUS, text.replace("install ok installed", status) + OTHER)
    listing = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.list")].content.decode()
    if name == "tool":  # nothing that login needs
        listing = listing.replace("/usr/bin/sudo\n", "")
        guest.file("/var/lib/dpkg/info/tool.list", listing)
    guest.file("/var/lib/dpkg/info/other.list", "/.\n")
    if name == "login":
        guest.file("/usr/bin/login", b"login", mode=0o755)
        guest.file("/var/lib/dpkg/info/tool.list", f"{listing}/usr/bin/login\n")
        sums = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.md5sums")].content.decode()
        guest.file("/var/lib/dpkg/info/tool.md5sums", f"{sums}{md5(b'login')}  usr/bin/login\n")
    return guest


OTHER = "Package: other\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
UNFINISHED = (
    "install reinstreq half-installed",
    "install ok half-installed",
    "install ok unpacked",
    "install ok half-configured",
    "install reinstreq installed",
    "hold reinstreq half-configured",
)
TRIGGERS = ("install ok triggers-pending", "install ok triggers-awaited")
REMOVALS = ("deinstall ok half-installed", "purge ok half-installed", "deinstall ok half-configured")
SETTLED = ("install ok installed", "hold ok installed", "deinstall ok installed")


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_package_of_login_is_an_error_and_any_other_a_warning(status: str) -> None:
    finding = found(in_state(status, name="login"))["packages/interrupted"]
    assert (finding.subject, finding.severity) == (f"{STATUS}:1", Severity.ERROR)
    assert status.split()[2] in finding.message
    assert finding.evidence[0].observed == f"tool: {status}"
    assert found(in_state(status))["packages/interrupted"].severity is Severity.WARNING


@pytest.mark.parametrize("status", [*TRIGGERS, *REMOVALS])
def test_triggers_and_removals_are_warnings(status: str) -> None:
    findings = found(in_state(status, name="login"))
    assert set(findings) == {"packages/interrupted"}
    assert findings["packages/interrupted"].severity is Severity.WARNING


@pytest.mark.parametrize("status", SETTLED)
def test_a_settled_state_is_no_finding(status: str) -> None:
    assert found(in_state(status, name="login")) == {}


@pytest.mark.parametrize("status", ["install ok flying", "install ok", "installed", "install ok installed x"])
def test_a_state_that_nobody_knows_is_inconclusive(status: str) -> None:
    findings, inconclusive = examined(in_state(status))
    assert not findings
    assert any(status in lost.reason for lost in inconclusive)


def test_what_is_missing_of_a_half_installed_package_is_restored_after_review() -> None:
    guest = in_state("install reinstreq half-installed", name="login")
    guest.remove("/usr/bin/login")
    guest.remove("/usr/bin/other")
    guest.file("/usr/bin/login.dpkg-new", b"login", mode=0o755)
    findings = found(guest)
    missing, broken_off = findings["packages/file-missing"], findings["packages/interrupted"]
    assert (missing.subject, missing.folded) == ("/usr/bin/login", ("/usr/bin/other",))
    assert missing.repair is not None
    assert (missing.repair.safety, missing.effect) == (Safety.REVIEW, Effect.STOPS_LOGIN)
    assert broken_off.effect is Effect.STOPS_LOGIN
    assert "/usr/bin/login is missing" in broken_off.message
    assert "/usr/bin/login.dpkg-new" in {evidence.source for evidence in broken_off.evidence}
    assert broken_off.repair is not None
    assert "apt-get install --reinstall tool" in broken_off.repair.summary


@pytest.mark.parametrize("status", ["deinstall ok half-installed", "purge ok half-installed"])
def test_what_a_removal_took_away_is_not_missing(status: str) -> None:
    guest = in_state(status)
    guest.remove("/usr/bin/tool")
    assert set(found(guest)) == {"packages/interrupted"}


def test_a_half_installed_package_need_not_have_its_list() -> None:
    guest = in_state("install ok half-installed")
    guest.remove("/var/lib/dpkg/info/tool.list")
    assert set(found(guest)) == {"packages/interrupted"}


def test_one_finding_for_all_that_wait_for_their_scripts() -> None:
    guest = in_state("install ok unpacked", name="login")
    text = guest.nodes[GuestPath(STATUS)].content.decode()
    guest.file(STATUS, text.replace(OTHER, OTHER.replace("ok installed", "ok half-configured")))
    finding = found(guest)["packages/interrupted"]
    assert (finding.severity, len(finding.folded)) == (Severity.ERROR, 1)
    assert "other" in finding.message


def test_the_journal_of_dpkg() -> None:
    guest = deb_guest()
    stanza = "Package: tool\nStatus: install ok {}\nArchitecture: amd64\nVersion: 1.0-1\n\n"
    guest.file("/var/lib/dpkg/updates/0001", stanza.format("installed"))
    finding = found(guest)["packages/interrupted"]
    assert (finding.subject, finding.severity) == ("/var/lib/dpkg/updates", Severity.WARNING)
    guest.file("/var/lib/dpkg/updates/0002", stanza.format("half-configured"))
    assert found(guest)["packages/interrupted"].subject == "/var/lib/dpkg/updates/0002:1"
    guest.remove("/var/lib/dpkg/updates")
    guest.file("/var/lib/dpkg/updates/tmp.i", b"")
    guest.file("/var/lib/dpkg/lock", b"")
    assert found(guest) == {}


def test_a_log_of_apt_without_an_end_is_evidence_only() -> None:
    log = "Log started: 2026-11-28  10:00:00\nUnpacking\n"
    guest = in_state("install ok unpacked")
    guest.file("/var/log/apt/term.log", log)
    evidence = found(guest)["packages/interrupted"].evidence
    assert "2026-11-28  10:00:00" in {e.source: e.observed for e in evidence}["/var/log/apt/term.log"]
    guest.file("/var/log/apt/term.log", f"{log}Log ended: 2026-11-28  10:01:00\n")
    assert len(found(guest)["packages/interrupted"].evidence) == 1
    settled = deb_guest()
    settled.file("/var/log/apt/term.log", log)
    assert found(settled) == {}


# --- what was unpacked beside its place ---------------------------------------------------------------

WANTED = RestoreFile(
    path=GuestPath("/usr/bin/tool"),
    package="tool",
    version="1.0-1",
    architecture="amd64",
    digest=f"md5:{md5(FILES['/bin/tool'])}",
)


@pytest.mark.parametrize("ending", [".dpkg-new", ".dpkg-tmp", ";5f3c01ab"])
def test_the_right_content_under_another_name_is_a_source(ending: str, tmp_path: Path) -> None:
    guest = deb_guest()
    guest.remove("/usr/bin/tool")
    guest.file(f"/usr/bin/tool{ending}", FILES["/bin/tool"], mode=0o755)
    source = resolve_sources(guest, [WANTED], [UnpackedSource(guest)], tmp_path).resolved[WANTED]
    assert source.content is not None
    assert (source.content.read_bytes(), source.mode) == (FILES["/bin/tool"], 0o755)
    assert f"/usr/bin/tool{ending}" in source.source


@pytest.mark.parametrize(
    ("name", "content"),
    [("tool.dpkg-new", b"of another version"), ("tool.bak", b"program"), ("tool;zz", b"program")],
)
def test_any_other_is_none(name: str, content: bytes, tmp_path: Path) -> None:
    guest = deb_guest()
    guest.remove("/usr/bin/tool")
    guest.file(f"/usr/bin/{name}", content)
    guest.link("/usr/bin/tool.dpkg-tmp", "/etc/passwd")
    assert not resolve_sources(guest, [WANTED], [UnpackedSource(guest)], tmp_path).resolved


# --- rpm: two records ----------------------------------------------------------------------------------

PLACE = "/var/lib/rpm/rpmdb.sqlite"
OLD, NEW = b"old", b"new"


def record(
    version: str,
    files: Mapping[str, bytes],
    *,
    name: str = "pam",
    number: int = 1,
    config: Sequence[str] = (),
    several: bool = False,
) -> bytes:
    paths = [path.rpartition("/") for path in files]
    data = {
        "name": name, "version": version, "arch": "x86_64", "algo": 8, "record": number, "several": several,
        "dirs": [f"{folder}/" for folder, _, _ in paths], "dir": list(range(len(paths))),
        "base": [base for _, _, base in paths], "mode": [0o100755] * len(paths),
        "digest": [hashlib.sha256(content).hexdigest() for content in files.values()],
        "size": [len(content) for content in files.values()],
        "user": ["root"] * len(paths), "group": ["root"] * len(paths),
        "flag": [int(path in config) for path in files],
    }  # fmt: skip
    return json.dumps(data).encode()


def twice(disk: Mapping[str, bytes], *lines: bytes) -> tuple[RpmDatabase, list[Finding]]:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    for path, content in disk.items():
        guest.file(path, content, mode=0o755)
    database = RpmDatabase(lines, guest=guest, place=PLACE)
    context = Context(guest, packages=database)
    context.options = AnalysisOptions(digests="all")
    findings, inconclusive = run_analyzer(ANALYZER, context)
    assert not inconclusive
    return database, findings


LOGIN, DATA, CONFIG = "/usr/bin/login", "/usr/share/pam/data", "/etc/pam.conf"
OLDER = record("1.0-1", {LOGIN: OLD, DATA: OLD, CONFIG: OLD}, number=7, config=(CONFIG,))
NEWER = record("1.0-2", {LOGIN: NEW, DATA: NEW, CONFIG: NEW}, number=9, config=(CONFIG,))


@pytest.mark.parametrize("lines", [(OLDER, NEWER), (NEWER, OLDER)])
def test_the_older_record_is_erased_where_the_files_are_the_newer_ones(lines: Sequence[bytes]) -> None:
    database, (finding,) = twice({LOGIN: NEW, DATA: NEW, CONFIG: OLD}, *lines)
    assert [package.version for package in database.packages] == ["1.0-2"]
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/interrupted",
        PLACE,
        Severity.ERROR,
    )
    assert "pam (1.0-2, 1.0-1) is installed in two versions: an interrupted transaction" in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    older = RpmRecord(number=7, name="pam", version="1.0-1", architecture="x86_64")
    assert finding.repair.changes == (EraseRecords(path=GuestPath(PLACE), records=(older,)),)


def test_files_that_are_still_the_older_ones() -> None:
    database, (finding,) = twice({LOGIN: OLD, DATA: OLD, CONFIG: OLD}, OLDER, NEWER)
    assert [package.version for package in database.packages] == ["1.0-1"]
    assert "still those of the older record" in finding.message
    assert finding.repair is not None
    assert (finding.repair.safety, "pam-1.0-2.x86_64" in finding.repair.summary) == (Safety.MANUAL, True)


def test_files_of_both_are_left_to_a_person() -> None:
    database, findings = twice({LOGIN: NEW, DATA: OLD, CONFIG: OLD}, OLDER, NEWER)
    finding = next(f for f in findings if f.rule == "packages/interrupted")
    assert [package.version for package in database.packages] == ["1.0-2"]
    assert finding.repair is not None
    assert (finding.subject, finding.repair.safety) == ("/var/lib/rpm", Safety.MANUAL)
    assert DATA in finding.evidence[0].observed


def test_three_records_of_one_package() -> None:
    oldest = record("0.9-1", {LOGIN: b"oldest"}, number=3)
    _database, (finding,) = twice({LOGIN: NEW, DATA: NEW, CONFIG: NEW}, oldest, OLDER, NEWER)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, EraseRecords)
    assert [each.number for each in change.records] == [7, 3]


def test_a_change_of_ones_own_beside_two_equal_records_is_still_found() -> None:
    older = NEWER.replace(b"1.0-2", b"1.0-1")
    _database, findings = twice({LOGIN: b"mine", DATA: NEW, CONFIG: NEW}, NEWER, older)
    assert {finding.rule for finding in findings} == {"packages/interrupted", "packages/file-changed"}


@pytest.mark.parametrize(
    ("name", "several"),
    [("kernel", False), ("kernel-core", False), ("kernel-modules-extra", False), ("gpg-pubkey", False),
     ("a-driver", True)],
)  # fmt: skip
def test_packages_that_may_be_there_several_times(name: str, several: bool) -> None:
    lines = [
        record(version, {f"/usr/lib/modules/{version}/x": OLD}, name=name, several=several)
        for version in ("5.14-1", "5.14-2")
    ]
    disk = {f"/usr/lib/modules/{version}/x": OLD for version in ("5.14-1", "5.14-2")}
    database, findings = twice(disk, *lines)
    assert not findings
    assert len(database.packages) == 2


def test_another_architecture_is_another_package() -> None:
    other = NEWER.replace(b"x86_64", b"i686")
    assert twice({LOGIN: NEW, DATA: NEW, CONFIG: NEW}, NEWER, other)[1] == []


def test_a_transaction_that_yum_left() -> None:
    guest = MemoryGuest()
    guest.file("/var/lib/yum/transaction-all.2026-11-28.10:00.00", b"")
    database = RpmDatabase([record("1", {})], guest=guest, place="/var/lib/rpm/Packages")
    findings, _ = run_analyzer(ANALYZER, Context(guest, packages=database))
    assert [(f.rule, f.severity) for f in findings] == [("packages/interrupted", Severity.WARNING)]


def test_a_database_that_cannot_be_written_here_is_left_to_a_person() -> None:
    guest = MemoryGuest()
    for path in (LOGIN, DATA):
        guest.file(path, NEW, mode=0o755)
    database = RpmDatabase([OLDER, NEWER], guest=guest, place="/var/lib/rpm/Packages.db")
    findings, _ = run_analyzer(ANALYZER, Context(guest, packages=database))
    finding = next(f for f in findings if f.rule == "packages/interrupted")
    assert finding.repair is not None
    assert "rpm -e --justdb --nodeps pam-1.0-1.x86_64" in finding.repair.summary
