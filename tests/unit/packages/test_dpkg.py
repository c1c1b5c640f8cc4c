"""dpkg's database: what it lists, and what is left of a damaged one."""

from __future__ import annotations

import gzip

import pytest

from guestrepair.errors import FormatError
from guestrepair.model import PackagedKind
from guestrepair.packages import open_database
from guestrepair.packages.base import PackageDatabase

from .deb_guest import CONFIG, FILES, deb_guest, md5


def _open(guest: object) -> PackageDatabase:
    database = open_database(guest)  # type: ignore[arg-type]
    assert database is not None
    return database


def test_only_installed_packages_count() -> None:
    database = _open(deb_guest())
    assert [(p.name, p.version, p.architecture) for p in database.packages] == [("tool", "1.0-1", "amd64")]
    assert not database.damage


def test_kinds_and_digests() -> None:
    files = {f.path: f for f in _open(deb_guest()).files()}
    assert files["/bin/tool"].digest == f"md5:{md5(FILES['/bin/tool'])}"
    assert files["/usr/share/tool"].kind is PackagedKind.DIRECTORY
    assert files["/usr/lib/libx.so.1"].kind is PackagedKind.OTHER
    assert "config" in files[CONFIG].flags


@pytest.mark.parametrize("path", ["/bin/tool", "/usr/bin/tool"])
def test_lookup_knows_both_names_of_a_merged_path(path: str) -> None:
    (found,) = _open(deb_guest()).lookup(path)
    assert found.path == "/bin/tool"
    assert found.digest


def test_lookup_of_what_nobody_owns() -> None:
    assert _open(deb_guest()).lookup("/usr/bin/too") == ()


def test_diverted_and_overridden_and_excluded() -> None:
    guest = deb_guest()
    guest.file("/var/lib/dpkg/diversions", "/usr/bin/other\n/usr/bin/other.real\n:\n")
    guest.file("/var/lib/dpkg/statoverride", "root root 0700 /usr/bin/sudo\n")
    guest.file("/etc/dpkg/dpkg.cfg.d/slim", "path-exclude=/usr/share/doc/*\n")
    files = {f.path: f for f in _open(guest).files()}
    assert "/usr/bin/other" not in files
    assert files["/usr/bin/other.real"].digest
    assert files["/usr/bin/sudo"].mode == 0o700
    assert "excluded" in files["/usr/share/doc/tool/README"].flags
    (found,) = _open(guest).lookup("/usr/bin/other.real")
    assert "diverted" in found.flags


def test_a_missing_list_is_damage_of_that_package_alone() -> None:
    guest = deb_guest()
    guest.remove("/var/lib/dpkg/info/tool.list")
    (damage,) = _open(guest).damage
    assert damage.path == "/var/lib/dpkg/info/tool.list"


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"Package: tool\nSta"])
def test_a_damaged_status_file_is_replaced_by_its_backup_for_reading(content: bytes) -> None:
    guest = deb_guest()
    good = guest.nodes[next(p for p in guest.nodes if p.name == "status")].content
    guest.file("/var/lib/dpkg/status", content)
    guest.file("/var/backups/dpkg.status.1.gz", gzip.compress(good))
    database = _open(guest)
    assert [p.name for p in database.packages] == ["tool"]
    assert database.damage[0].path == "/var/lib/dpkg/status"
    assert "dpkg.status.1.gz" in database.damage[0].hint


def test_no_status_and_no_backup_is_an_error() -> None:
    guest = deb_guest()
    guest.remove("/var/lib/dpkg/status")
    with pytest.raises(FormatError, match="no backup"):
        open_database(guest)


def test_a_pending_update_counts() -> None:
    guest = deb_guest()
    guest.file(
        "/var/lib/dpkg/updates/0001",
        "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.0-1\n\n",
    )
    assert _open(guest).packages[0].version == "2.0-1"
