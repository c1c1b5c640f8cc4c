"""policy/require: each kind of requirement, met and not met; and what cannot be known is never met."""

from __future__ import annotations

import hashlib

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.policy import ANALYZER
from guestrepair.errors import FormatError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Examination, Severity
from guestrepair.packages import open_database
from guestrepair.packages.base import Package, PackageDatabase, PackagedFile
from guestrepair.policy.reading import parse_policy
from tests.unit.packages.deb_guest import deb_guest

MOTD = b"Welcome to ACME\nbye\n"
DIGEST = hashlib.sha256(MOTD).hexdigest()
GRUB = (
    "menuentry 'Linux' {\n linux /vmlinuz root=/dev/sda1 ro quiet console=tty0 console=ttyS0,115200\n}\n"
    "menuentry 'Other' {\n linux /vmlinuz root=/dev/sda1 single\n}\n"
)


def server() -> MemoryGuest:
    guest = deb_guest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\nstaff:x:50:\n")
    guest.file("/etc/motd", MOTD, mode=0o640, gid=50)
    guest.link("/etc/message", "motd")
    guest.link("/etc/dangling", "nowhere")
    guest.file("/usr/lib/systemd/systemd", b"x", mode=0o755)
    for name in ("ssh", "cups", "apache"):
        guest.file(f"/usr/lib/systemd/system/{name}.service", "[Install]\nWantedBy=multi-user.target\n")
    guest.file("/usr/lib/systemd/system/cups.socket", "[Socket]\n")
    guest.link(
        "/etc/systemd/system/multi-user.target.wants/ssh.service", "/usr/lib/systemd/system/ssh.service"
    )
    guest.link("/etc/systemd/system/sockets.target.wants/cups.socket", "/usr/lib/systemd/system/cups.socket")
    guest.link("/etc/systemd/system/apache.service", "/dev/null")
    guest.file("/etc/init.d/oldstyle", "#!/bin/sh\n", mode=0o755)
    guest.file("/boot/grub/grub.cfg", GRUB)
    return guest


def judged(
    text: str, guest: MemoryGuest | None = None, packages: PackageDatabase | None = None
) -> Examination:
    guest = guest or server()
    policy = parse_policy(f"[[require]]\n{text}".encode(), "p.toml", ())
    options = AnalysisOptions(requirements=policy.requirements)
    return run_analyzer(ANALYZER, Context(guest, packages or open_database(guest), options=options))


MET = [
    'path = "/etc/motd"',
    'path = "/etc/motd"\ntype = "file"',
    'path = "/etc/motd"\nmode = "0640"',
    'path = "/etc/motd"\nowner = "root"\ngroup = "staff"',
    'path = "/etc/motd"\nowner = "0"',
    f'path = "/etc/motd"\ndigest = "sha256:{DIGEST}"',
    'path = "/etc/motd"\ncontains = ["ACME", "bye"]',
    'path = "/etc/motd"\nmatches = "Welcome*ACME"',
    'path = "/etc/message"\ncontains = "ACME"',
    'path = "/etc/message"\ntype = "link"',
    'path = "/etc"\ntype = "directory"',
    'path-absent = "/etc/nologin"',
    'path = "/etc/nologin"\nexists = false',
    'package = "tool"',
    'package = "tool"\nversion = ">= 1.0-1, < 1.1"',
    'package = "tool"\nversion = "1.0-1"',
    'package-absent = "telnetd"',
    'package-absent = "removed"',
    'service-enabled = "ssh"',
    'service-enabled = "cups.socket"',
    'service-disabled = ["telnet", "apache"]',
    'account = "ann"',
    'account-absent = "vagrant"',
    'kernel-parameter = ["quiet", "console=tty0", "console=ttyS0*", "ro"]',
    'kernel-parameter-absent = "single"',
    'kernel-parameter-absent = "console=ttyS1"',
]


@pytest.mark.parametrize("text", MET)
def test_what_is_met_is_silent(text: str) -> None:
    assert judged(text) == ([], [])


MISSED = [
    ('path = "/etc/nologin"', "/etc/nologin", "there is nothing, required is a file or directory"),
    ('path = "/etc/dangling"', "/etc/dangling", "there is a link that leads nowhere"),
    ('path-absent = "/etc/dangling"', "/etc/dangling", "there is a link, required is nothing"),
    ('path = "/etc/motd"\nexists = false', "/etc/motd", "there is a file, required is nothing"),
    ('path = "/etc/motd"\ntype = "directory"', "/etc/motd", "there is a file, required is a directory"),
    ('path = "/etc/motd"\ntype = "link"', "/etc/motd", "there is a file, required is a link"),
    ('path = "/etc/motd"\nmode = "0644"', "/etc/motd", "mode 0640, required is mode 0644"),
    ('path = "/etc/motd"\nowner = "ann"', "/etc/motd", "owner root, required is owner ann"),
    ('path = "/etc/motd"\ngroup = "root"', "/etc/motd", "group staff, required is group root"),
    (f'path = "/etc/motd"\ndigest = "{"0" * 64}"', "/etc/motd", f"SHA-256 {DIGEST}, required is SHA-256 000"),
    ('path = "/etc/motd"\ncontains = "EMCA"', "/etc/motd", "no text 'EMCA' is in it"),
    ('path = "/etc/motd"\nmatches = "ACME"', "/etc/motd", "no line like 'ACME' is in it"),
    ('path = "/etc"\ncontains = "x"', "/etc", "there is a directory, required is a file"),
    ('package = "telnetd"', "package telnetd", "it is not installed, required is that it is"),
    ('package = "removed"', "package removed", "it is not installed"),
    (
        'package = "tool"\nversion = "> 1.0-1"',
        "package tool",
        "version 1.0-1 is installed, required is > 1.0-1",
    ),
    ('package = "tool"\nversion = "1.0"', "package tool", "version 1.0-1 is installed, required is == 1.0"),
    ('package-absent = "tool"', "package tool", "version 1.0-1 is installed, required is none"),
    ('service-enabled = "telnet"', "unit telnet.service", "there is no such unit"),
    ('service-enabled = "cups"', "unit cups.service", "nothing starts it, required is that boot starts it"),
    ('service-enabled = "apache"', "unit apache.service", "it is masked"),
    ('service-disabled = "ssh"', "unit ssh.service", "multi-user.target.wants/ssh.service starts it"),
    ('service-disabled = "cups"', "unit cups.service", "sockets.target.wants/cups.socket starts it"),
    ('account = "vagrant"', "account vagrant", "there is none, required is that there is one"),
    ('account-absent = "ann"', "account ann", "there is one (uid 1000), required is that there is none"),
    ('kernel-parameter = "single"', "kernel parameter single", "the default entry does not have it"),
    (
        'kernel-parameter = "console=ttyS1"',
        "kernel parameter console=ttyS1",
        "the default entry has console=tty0 console=ttyS0,115200, required is console=ttyS1",
    ),
    ('kernel-parameter-absent = "quiet"', "kernel parameter quiet", "the default entry has quiet"),
    (
        'kernel-parameter-absent = "console=tty0"',
        "kernel parameter console=tty0",
        "required is that it has not",
    ),
]


@pytest.mark.parametrize(("text", "subject", "words"), MISSED, ids=[text for text, _, _ in MISSED])
def test_what_is_not_met_is_a_finding(text: str, subject: str, words: str) -> None:
    (finding,), unclear = judged(f'{text}\nreason = "said so"')
    assert unclear == []
    assert (finding.rule, finding.severity, finding.subject) == ("policy/require", Severity.ERROR, subject)
    assert words in finding.message
    assert finding.message.endswith("(said so; p.toml:2)")
    assert finding.evidence
    assert all(each.source and each.observed and each.expected for each in finding.evidence)


def test_what_several_say_of_one_thing_is_one_finding_the_worst() -> None:
    text = (
        'path = "/etc/motd"\nmode = "0644"\nseverity = "note"\n'
        '[[require]]\npath = "/etc/motd"\ncontains = "x"\nseverity = "warning"'
    )
    (finding,), _ = judged(text)
    assert (finding.severity, len(finding.evidence)) == (Severity.WARNING, 2)


def spoiled(*paths: str) -> MemoryGuest:
    guest = server()
    for path in paths:
        guest.file(path).unreadable = "Input/output error"
    return guest


def without(*paths: str) -> MemoryGuest:
    guest = server()
    for path in paths:
        guest.remove(path)
    return guest


def unmounted() -> MemoryGuest:
    guest = server()
    guest.unmounted = (("/srv", "no such device"),)
    guest.link("/etc/there", "/srv/data")
    return guest


UNKNOWN = [
    ('path = "/etc/motd"', spoiled("/etc/motd"), "/etc/motd"),
    ('path = "/etc/motd"\ncontains = "x"', spoiled("/etc/motd"), "/etc/motd"),
    ('path = "/srv/data"', unmounted(), "/srv is not mounted"),
    ('path-absent = "/srv/data"', unmounted(), "/srv is not mounted"),
    ('path = "/etc/motd"\nowner = "ann"', without("/etc/passwd"), "whether user 0 is ann is not known"),
    ('account = "ann"', without("/etc/passwd"), "/etc/passwd is not there"),
    ('account-absent = "vagrant"', without("/etc/passwd"), "/etc/passwd is not there"),
    ('account = "ann"', spoiled("/etc/passwd"), "/etc/passwd"),
    ('service-enabled = "ssh"', without("/usr/lib/systemd/systemd"), "the guest has no systemd"),
    ('service-disabled = "oldstyle"', server(), "it is the init script /etc/init.d/oldstyle"),
    ('service-enabled = "ssh"', spoiled("/usr/lib/systemd/system/ssh.service"), "ssh.service"),
    ('kernel-parameter-absent = "quiet"', without("/boot/grub"), "which kernel is booted by default"),
    ('kernel-parameter = "quiet"', spoiled("/boot/grub/grub.cfg"), "grub.cfg"),
]


@pytest.mark.parametrize(("text", "guest", "words"), UNKNOWN, ids=range(len(UNKNOWN)))
def test_what_cannot_be_known_is_neither_met_nor_missed(text: str, guest: MemoryGuest, words: str) -> None:
    found, (unclear,) = judged(text, guest, open_database(server()))
    assert found == []
    assert unclear.analyzer == "policy"
    assert unclear.reason.startswith("p.toml:2")
    assert words in unclear.reason


def test_what_one_requirement_cannot_look_at_costs_no_other() -> None:
    found, unclear = judged('path = "/etc/motd"\naccount = "vagrant"', spoiled("/etc/motd"))
    assert [f.subject for f in found] == ["account vagrant"]
    assert len(unclear) == 1


class _Packages(PackageDatabase):
    """Some packages, and no files."""

    def __init__(self, package_format: str, *packages: tuple[str, str]) -> None:
        self.format = package_format
        self.packages = [Package(name, version, "x86_64") for name, version in packages]

    def files(self) -> list[PackagedFile]:  # type: ignore[override]
        return []


@pytest.mark.parametrize(
    ("package_format", "installed", "wanted", "verdict"),
    [
        ("rpm", "8.7p1-38.el9", ">= 8.7p1", "met"),
        ("rpm", "8.7p1-38.el9", "== 8.7p1", "met"),
        ("rpm", "8.7p1-38.el9", "> 8.7p1", "missed"),
        ("rpm", "8.7p1-38.el9", ">= 8.7p1-40", "missed"),
        ("rpm", "1:3.0.7-1", "< 3.1", "missed"),
        ("rpm", "1:3.0.7-1", "< 1:3.1", "met"),
        ("deb", "1:9.2p1-2+deb12u10", ">= 1:9.2p1-2+deb12u9", "met"),
        ("deb", "1.2~rc1-1", ">= 1.2", "missed"),
        ("deb", "1.2-1", "!= 1.2-1", "missed"),
        ("apk", "1.2-r3", "== 1.2-r3", "met"),
        ("apk", "1.2-r3", "== 1.2-r4", "missed"),
        ("apk", "1.2-r3", ">= 1.2-r3", "unknown"),
        ("pacman", "1.2-3", "< 2", "unknown"),
    ],
)
def test_versions_by_the_guests_own_format(
    package_format: str, installed: str, wanted: str, verdict: str
) -> None:
    database = _Packages(package_format, ("a", installed))
    found, unclear = judged(f'package = "a"\nversion = "{wanted}"', packages=database)
    assert (bool(found), bool(unclear)) == (verdict == "missed", verdict == "unknown")


def test_each_installed_version_has_to_be_in_the_range() -> None:
    database = _Packages("rpm", ("kernel", "5.14-1"), ("kernel", "4.18-1"))
    (finding,), _ = judged('package = "kernel"\nversion = ">= 5"', packages=database)
    assert "version 4.18-1 is installed" in finding.message


def test_without_a_package_database_no_package_is_missing() -> None:
    options = AnalysisOptions(
        requirements=parse_policy(
            b"[[require]]\npackage = 'a'\npackage-absent = 'b'", "p.toml", ()
        ).requirements
    )
    found, unclear = run_analyzer(ANALYZER, Context(MemoryGuest(), None, options=options))
    assert found == []
    assert [each.reason for each in unclear] == [
        f"p.toml:{line}: package {name}: the guest has no package database"
        for line, name in ((2, "a"), (3, "b"))
    ]


def test_it_runs_only_where_something_is_required() -> None:
    assert ANALYZER.runs is not None
    assert not ANALYZER.runs(AnalysisOptions())
    with pytest.raises(FormatError):
        parse_policy(b"[[require]]\npackage = 1", "p.toml", ())
