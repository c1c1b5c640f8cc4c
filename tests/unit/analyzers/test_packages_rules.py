"""The rules of packages on a guest in memory: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.errors import GuestRepairError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, MakeLink, RestoreFile, Safety, Severity
from guestrepair.packages import open_database
from tests.unit.packages.deb_guest import CONFIG, FILES, deb_guest


def scan(guest: MemoryGuest, digests: str = "all") -> list[Finding]:
    try:
        context = Context(guest, packages=open_database(guest))
    except GuestRepairError as error:
        context = Context(guest, packages_error=error.message)
    context.options = AnalysisOptions(digests=digests)
    findings, inconclusive = run_analyzer(ANALYZER, context)
    assert not inconclusive
    return findings


def rules(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.rule for finding in findings}


def test_a_healthy_guest_has_no_finding() -> None:
    assert scan(deb_guest()) == []
    assert scan(deb_guest(merged=False)) == []


def test_an_edited_configuration_file_is_no_finding() -> None:
    assert CONFIG not in rules(scan(deb_guest()))


@pytest.mark.parametrize("name", ["bin", "sbin", "lib"])
def test_one_finding_for_a_missing_link(name: str) -> None:
    guest = deb_guest()
    guest.remove(f"/{name}")
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/usrmerge-link",
        f"/{name}",
        Severity.ERROR,
    )
    assert finding.repair is not None
    assert finding.repair.changes == (MakeLink(path=GuestPath(f"/{name}"), target=f"usr/{name}"),)


def test_all_links_missing_at_once() -> None:
    guest = deb_guest()
    for name in ("bin", "sbin", "lib"):
        guest.remove(f"/{name}")
    assert set(rules(scan(guest))) == {"/bin", "/sbin", "/lib"}


def test_a_link_that_leads_elsewhere_is_made_again() -> None:
    guest = deb_guest()
    guest.link("/bin", "usr/sbin")
    (finding,) = scan(guest)
    assert finding.repair is not None
    assert finding.repair.changes == (MakeLink(path=GuestPath("/bin"), target="usr/bin", before="usr/sbin"),)


def test_a_missing_program_is_restored_where_it_really_lies() -> None:
    guest = deb_guest()
    guest.remove("/usr/bin/tool")
    guest.deleted = {"/usr/bin/tool": 1_700_000_000}
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/file-missing",
        "/usr/bin/tool",
        Severity.ERROR,
    )
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    (change,) = finding.repair.changes
    assert isinstance(change, RestoreFile)
    assert change.path == GuestPath("/usr/bin/tool")
    assert any("2023-11-14" in evidence.observed for evidence in finding.evidence)


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        ("/usr/share/tool/data", Severity.WARNING),
        ("/usr/share/doc/tool/README", Severity.NOTE),
        (CONFIG, Severity.NOTE),
        ("/usr/lib/libx.so.1.2", Severity.ERROR),
    ],
)
def test_how_bad_a_loss_is(path: str, severity: Severity) -> None:
    guest = deb_guest()
    guest.remove(path)
    found = {f.subject: f.severity for f in scan(guest) if f.rule == "packages/file-missing"}
    assert found == {path: severity}


def test_a_directory_that_is_gone_stands_for_its_files() -> None:
    guest = deb_guest()
    guest.remove("/usr/share/tool")
    (finding,) = scan(guest)
    assert (finding.subject, finding.folded) == ("/usr/share/tool", ("/usr/share/tool/data",))


def test_an_empty_file() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/other", b"", mode=0o755)
    (finding,) = scan(guest)
    assert (finding.rule, finding.severity) == ("packages/file-empty", Severity.ERROR)


def test_a_changed_file_needs_review() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/other", b"another progrem", mode=0o755)
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject) == ("packages/file-changed", "/usr/bin/other")
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    assert scan(guest, "none") == []


def test_sudo_without_setuid() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/sudo", FILES["/usr/bin/sudo"], mode=0o755)
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject, finding.severity) == (
        "packages/wrong-mode",
        "/usr/bin/sudo",
        Severity.ERROR,
    )


def test_a_stat_override_is_no_finding() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/sudo", FILES["/usr/bin/sudo"], mode=0o700)
    guest.file("/var/lib/dpkg/statoverride", "root root 0700 /usr/bin/sudo\n")
    assert scan(guest) == []


def test_a_path_that_everybody_may_write() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/other", FILES["/usr/bin/other"], mode=0o777)
    assert rules(scan(guest)) == {"/usr/bin/other": "packages/wrong-mode"}


def test_a_program_of_a_person() -> None:
    guest = deb_guest()
    guest.file("/usr/bin/other", FILES["/usr/bin/other"], mode=0o755, uid=1000, gid=1000)
    assert rules(scan(guest)) == {"/usr/bin/other": "packages/wrong-owner"}


def test_excluded_paths_and_diversions_are_no_findings() -> None:
    guest = deb_guest()
    guest.remove("/usr/share/doc/tool/README")
    guest.file("/etc/dpkg/dpkg.cfg.d/slim", "path-exclude=/usr/share/doc/*\n")
    guest.file("/usr/bin/other.real", FILES["/usr/bin/other"], mode=0o755)
    guest.file("/usr/bin/other", b"wrapper", mode=0o755)
    guest.file("/var/lib/dpkg/diversions", "/usr/bin/other\n/usr/bin/other.real\n:\n")
    assert scan(guest) == []


def test_alternatives_are_made_again() -> None:
    guest = deb_guest()
    guest.file("/var/lib/dpkg/alternatives/thing", "auto\n/usr/bin/thing\n\n/usr/bin/other\n10\n\n")
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject) == ("packages/link-dangling", "/usr/bin/thing")
    assert finding.repair is not None
    assert [change.path for change in finding.repair.changes if isinstance(change, MakeLink)] == [
        GuestPath("/etc/alternatives/thing"),
        GuestPath("/usr/bin/thing"),
    ]


@pytest.mark.parametrize(
    ("status", "safety"),
    [("install ok installed", Safety.SAFE), ("install ok half-installed", Safety.REVIEW)],
)
def test_an_alternative_of_a_package_that_was_not_unpacked_may_come_back(status: str, safety: Safety) -> None:
    guest = deb_guest()
    choices = "/bin/tool\n50\n/usr/bin/second\n10\n"
    guest.file("/var/lib/dpkg/alternatives/thing", f"auto\n/usr/bin/thing\n\n{choices}\n")
    guest.file("/usr/bin/second", b"another", mode=0o755)
    guest.remove("/usr/bin/tool")
    text = guest.nodes[GuestPath("/var/lib/dpkg/status")].content.decode()
    guest.file("/var/lib/dpkg/status", text.replace("install ok installed", status))
    found = next(f for f in scan(guest) if f.rule == "packages/link-dangling")
    assert found.repair is not None
    assert found.repair.safety is safety


SLAVES = (
    "auto\n/usr/bin/thing\nthing.1\n/usr/share/man/thing.1\nnthing\n/usr/bin/nthing\nnone\n/usr/bin/none\n\n"
    "/usr/bin/other\n10\n/usr/share/man/other.1\n/usr/bin/other\n\n\n"
)


def test_what_follows_an_alternative_is_made_again_as_well() -> None:
    """awk leads nowhere with all that follows it; a page that is not installed is not missed."""
    guest = deb_guest()
    guest.file("/var/lib/dpkg/alternatives/thing", SLAVES)
    (finding,) = scan(guest)
    assert (finding.subject, finding.folded) == ("/usr/bin/thing", ("/usr/bin/nthing",))
    assert finding.repair is not None
    made = {str(c.path): c.target for c in finding.repair.changes if isinstance(c, MakeLink)}
    assert made == {
        "/etc/alternatives/thing": "/usr/bin/other",
        "/usr/bin/thing": "/etc/alternatives/thing",
        "/etc/alternatives/nthing": "/usr/bin/other",
        "/usr/bin/nthing": "/etc/alternatives/nthing",
    }
    for path, target in made.items():
        guest.link(path, target)
    assert scan(guest) == []
    guest.remove("/usr/bin/nthing")
    (finding,) = scan(guest)
    assert (finding.subject, finding.folded, finding.severity) == ("/usr/bin/nthing", (), Severity.WARNING)


def test_preload_of_a_missing_library() -> None:
    guest = deb_guest()
    guest.file("/etc/ld.so.preload", "/usr/lib/none.so\n")
    assert rules(scan(guest)) == {"/etc/ld.so.preload:1": "packages/preload"}


def test_a_database_that_is_gone_is_one_finding() -> None:
    guest = deb_guest()
    guest.remove("/var/lib/dpkg")
    (finding,) = scan(guest)
    assert (finding.rule, finding.severity) == ("packages/database-damaged", Severity.ERROR)


def test_an_unmounted_usr_is_not_10000_missing_files() -> None:
    guest = deb_guest()
    guest.remove("/usr")
    guest.unmounted = (("/usr", "no such device"),)
    _findings, inconclusive = run_analyzer(ANALYZER, Context(guest, packages=open_database(guest)))
    assert len(inconclusive) == 1
    assert not [f for f in _findings if f.rule == "packages/file-missing"]


def test_an_unreadable_file_is_inconclusive_not_healthy() -> None:
    guest = deb_guest()
    guest.nodes[GuestPath("/usr/bin/other")].unreadable = "Input/output error"
    _findings, inconclusive = run_analyzer(ANALYZER, Context(guest, packages=open_database(guest)))
    assert inconclusive


def test_hostile_names_in_the_database_do_no_harm() -> None:
    guest = deb_guest()
    listing = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.list")]
    listing.content += b"/usr/bin/../../../../etc/shadow\n/usr/bin/\xff\x1b[31m\nrelative\n"
    found = rules(scan(guest))
    assert set(found.values()) <= {"packages/file-missing"}


def test_a_directory_that_is_gone_stands_for_what_is_listed_by_its_old_name_too() -> None:
    guest = deb_guest()
    guest.remove("/usr/bin")
    found = {f.subject: f for f in scan(guest) if f.rule.startswith("packages/file-")}
    assert set(found) == {"/usr/bin"}
    assert set(found["/usr/bin"].folded) == {"/usr/bin/tool", "/usr/bin/other", "/usr/bin/sudo"}


def test_a_directory_listed_by_both_of_its_names_is_one_finding() -> None:
    guest = deb_guest()
    listing = guest.nodes[GuestPath("/var/lib/dpkg/info/tool.list")]
    listing.content += b"/lib\n/lib/sub\n/lib/sub/a\n/usr/lib/sub\n/usr/lib/sub/b\n"
    (finding,) = scan(guest)
    assert (finding.rule, finding.subject) == ("packages/file-missing", "/usr/lib/sub")
    assert finding.repair is not None
    places = [c.path for c in finding.repair.changes if isinstance(c, RestoreFile)]
    assert sorted(map(str, places)) == ["/usr/lib/sub", "/usr/lib/sub/a", "/usr/lib/sub/b"]


@pytest.mark.parametrize(
    ("mtime", "words"), [(1_700_000_000, "2023-11-14 22:13:20 UTC"), (2**62, f"{2**62} s after 1970")]
)
def test_the_directory_tells_when_an_entry_went_where_no_deleted_name_does(mtime: int, words: str) -> None:
    guest = deb_guest()
    guest.remove("/usr/bin/tool")
    guest.nodes[GuestPath("/usr/bin")].mtime = mtime
    (finding,) = scan(guest)
    assert finding.evidence[-1].source == "modification time of /usr/bin"
    assert words in finding.evidence[-1].observed


def test_one_file_of_the_alternatives_that_is_damaged_hides_nothing() -> None:
    guest = deb_guest()
    guest.file("/var/lib/dpkg/alternatives/bad", "neither\n")
    guest.file("/var/lib/dpkg/alternatives/thing", "auto\n/usr/bin/thing\n\n/usr/bin/other\n10\n\n")
    guest.remove("/usr/bin/tool")
    found, inconclusive = run_analyzer(ANALYZER, Context(guest, packages=open_database(guest)))
    assert {f.subject for f in found} == {"/usr/bin/tool", "/usr/bin/thing"}
    assert ["/var/lib/dpkg/alternatives/bad" in item.reason for item in inconclusive] == [True]


def test_what_lies_in_a_directory_in_a_links_place_is_not_missing_and_is_named_where_it_is() -> None:
    guest = deb_guest()
    guest.remove("/bin")
    guest.remove("/usr/bin/tool")
    guest.file("/bin/tool", FILES["/bin/tool"], mode=0o777)
    found = {f.rule: f for f in scan(guest)}
    assert set(found) == {"packages/usrmerge-link", "packages/wrong-mode"}
    repair = found["packages/wrong-mode"].repair
    assert repair is not None
    assert [getattr(change, "path", None) for change in repair.changes] == [GuestPath("/bin/tool")]


@pytest.mark.parametrize("merged", [True, False])
def test_a_file_listed_by_its_old_name_is_named_where_it_lies_in_every_word(merged: bool) -> None:
    guest = deb_guest(merged=merged)
    place = "/usr/bin/tool" if merged else "/bin/tool"
    guest.file(place, b"", mode=0o755)
    (finding,) = scan(guest)
    assert finding.repair is not None
    assert (finding.subject, finding.message.split()[0]) == (place, place)
    assert finding.repair.summary == f"restore {place}"


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        ("/usr/games", Severity.NOTE),
        ("/var/local", Severity.NOTE),
        ("/var/log/apt", Severity.NOTE),
        ("/var/log/tool", Severity.WARNING),
        ("/usr/games/tool", Severity.WARNING),
    ],
)
def test_an_empty_directory_that_nobody_needs_may_be_gone(path: str, severity: Severity) -> None:
    guest = deb_guest()
    listed = guest.read(GuestPath("/var/lib/dpkg/info/tool.list"))
    guest.file("/var/lib/dpkg/info/tool.list", listed + f"{path}\n".encode())
    assert {f.subject: f.severity for f in scan(guest)} == {path: severity}


def test_configuration_that_is_gone_with_its_directory_is_as_bad_as_without_it() -> None:
    guest = deb_guest()
    guest.file("/var/lib/dpkg/info/tool.list", "/etc\n/etc/tool.d\n/etc/tool.d/10-x\n")
    status = guest.read(GuestPath("/var/lib/dpkg/status")).decode()
    guest.file(
        "/var/lib/dpkg/status", status.replace("Conffiles:\n", f"Conffiles:\n /etc/tool.d/10-x {'0' * 32}\n")
    )
    (finding,) = (f for f in scan(guest) if f.subject.startswith("/etc/tool.d"))
    assert (finding.subject, finding.severity) == ("/etc/tool.d", Severity.NOTE)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
