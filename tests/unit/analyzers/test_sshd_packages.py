"""sshd rules with a package database: packaged modes, packaged files, an sshd that is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, PackagedKind, RestoreFile, Safety, SetMode
from guestrepair.packages.base import Package, PackageDatabase, PackagedFile, Unfinished
from tests.unit.analyzers.sshd_guest import centos7, debian, scan

SSHD = Package("openssh-server", "1:7.4p1-21.el7", "x86_64")


class Listed(PackageDatabase):
    """A database of the entries given."""

    format = "rpm"

    def __init__(self, *entries: PackagedFile) -> None:
        self.entries = entries
        self.packages = tuple(dict.fromkeys(entry.package for entry in entries))

    def files(self) -> Iterator[PackagedFile]:
        return iter(self.entries)

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        return tuple(entry for entry in self.entries if entry.path == path)


def only_finding(guest: MemoryGuest, packages: PackageDatabase) -> Finding:
    found, inconclusive = scan(guest, packages=packages)
    assert (len(found), inconclusive) == (1, []), found
    return found[0]


def test_the_packaged_mode_goes_before_the_table() -> None:
    guest = centos7()
    guest.directory("/var/empty/sshd", mode=0o777)
    entry = PackagedFile("/var/empty/sshd", PackagedKind.DIRECTORY, SSHD, mode=0o40710, owner="root")
    repair = only_finding(guest, Listed(entry)).repair
    assert repair is not None
    assert repair.changes == (SetMode(path=GuestPath("/var/empty/sshd"), before=0o777, after=0o710),)


def test_a_packaged_mode_that_sshd_would_refuse_is_not_taken() -> None:
    guest = centos7()
    guest.directory("/var/empty/sshd", mode=0o777)
    entry = PackagedFile("/var/empty/sshd", PackagedKind.DIRECTORY, SSHD, mode=0o777)
    repair = only_finding(guest, Listed(entry)).repair
    assert repair is not None
    assert repair.changes == (SetMode(path=GuestPath("/var/empty/sshd"), before=0o777, after=0o711),)


def test_the_directory_is_known_from_the_package_where_the_binary_is_silent() -> None:
    guest = centos7()
    guest.file("/usr/sbin/sshd", b"\x7fELF", mode=0o755)
    entry = PackagedFile("/var/lib/empty", PackagedKind.DIRECTORY, SSHD, mode=0o755)
    assert only_finding(guest, Listed(entry)).subject == "/var/lib/empty"


def test_packaged_files_are_restored() -> None:
    guest = centos7()
    guest.remove("/usr/libexec/openssh/sftp-server")
    guest.remove("/etc/ssh/sshd_config")
    digest = "sha256:" + "0" * 64
    config = PackagedFile("/etc/ssh/sshd_config", PackagedKind.FILE, SSHD, digest, mode=0o600, owner="root")
    change = only_finding(guest, Listed(config)).repair
    assert change is not None
    assert change.safety is Safety.SAFE
    assert change.changes == (
        RestoreFile(
            path=GuestPath("/etc/ssh/sshd_config"),
            package=SSHD.name,
            version=SSHD.version,
            architecture=SSHD.architecture,
            digest=digest,
            mode=0o600,
            owner="root",
        ),
    )


def test_an_sshd_that_is_gone_but_packaged_is_still_judged() -> None:
    guest = debian()
    guest.remove("/usr/sbin/sshd")
    guest.remove("/etc/systemd/system/multi-user.target.wants/ssh.service")
    assert scan(guest) == ([], [])
    guest = debian()
    guest.remove("/usr/sbin/sshd")
    entry = PackagedFile("/usr/sbin/sshd", PackagedKind.FILE, SSHD)
    finding = only_finding(guest, Listed(entry))
    assert (finding.rule, finding.subject) == ("sshd/helper-missing", "/usr/sbin/sshd")


@pytest.mark.parametrize(
    ("state", "safety"), [("", Safety.SAFE), ("half-installed", Safety.REVIEW), ("unpacked", Safety.REVIEW)]
)
def test_a_half_unpacked_package_is_restored_after_review(state: str, safety: Safety) -> None:
    guest = debian()
    guest.remove("/usr/lib/openssh/sftp-server")
    packages = Listed(PackagedFile("/usr/lib/openssh/sftp-server", PackagedKind.FILE, SSHD))
    if state:
        packages.unfinished = (Unfinished(SSHD, "install", "ok", state, "/var/lib/dpkg/status", 1),)
    found = only_finding(guest, packages)
    assert (found.rule, found.repair is not None) == ("sshd/helper-missing", True)
    assert found.repair is not None
    assert found.repair.safety is safety
