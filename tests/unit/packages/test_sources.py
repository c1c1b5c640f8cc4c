"""Sources of files and the gate: the right version, architecture and digest, or a reason."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, PackagedKind, RestoreAttributes, RestoreFile
from guestrepair.packages.rpm import RpmDatabase
from guestrepair.packages.sources import (
    CacheSource,
    DirectorySource,
    DonorSource,
    Resolution,
    resolve_sources,
)

from .deb_guest import FILES, deb_guest, md5

WANTED = RestoreFile(
    path=GuestPath("/usr/bin/tool"),
    package="tool",
    version="1.0-1",
    architecture="amd64",
    digest=f"md5:{md5(FILES['/bin/tool'])}",
)


def deb_package(
    version: str = "1.0-1", *, content: bytes = FILES["/bin/tool"], linked: bool = False
) -> bytes:
    def tar(members: dict[str, bytes]) -> bytes:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:xz") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime = len(data), 0o755, 1_700_000_000
                info.uname = info.gname = "root"
                archive.addfile(info, io.BytesIO(data))
            if linked:
                link = tarfile.TarInfo("./bin/alias")
                link.type, link.linkname = tarfile.LNKTYPE, "./bin/tool"
                archive.addfile(link)
        return raw.getvalue()

    control = f"Package: tool\nVersion: {version}\nArchitecture: amd64\n".encode()
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"./control": control}),
        "data.tar.xz": tar({"./bin/tool": content}),
    }
    out = b"!<arch>\n"
    for name, data in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def _damaged() -> MemoryGuest:
    guest = deb_guest()
    guest.remove("/usr/bin/tool")
    return guest


def _resolve(guest: MemoryGuest, source: object, workdir: Path) -> Resolution:
    return resolve_sources(guest, [WANTED], [source], workdir)  # type: ignore[list-item]


def test_a_donor_of_the_same_version_serves(tmp_path: Path) -> None:
    found = _resolve(_damaged(), DonorSource(deb_guest(), "donor x"), tmp_path).resolved[WANTED]
    assert found.content is not None
    assert found.content.read_bytes() == FILES["/bin/tool"]
    assert (found.mode, found.uid, found.gid, found.source) == (0o755, 0, 0, "donor x")


def test_a_donor_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    donor = deb_guest()
    status = donor.nodes[GuestPath("/var/lib/dpkg/status")]
    status.content = status.content.replace(b"1.0-1", b"1.1-1")
    (reason,) = _resolve(_damaged(), DonorSource(donor, "donor x"), tmp_path).refused[WANTED]
    assert "1.1-1" in reason
    assert "1.0-1" in reason


def test_a_changed_file_of_the_donor_is_refused(tmp_path: Path) -> None:
    donor = deb_guest()
    donor.file("/usr/bin/tool", b"trojan", mode=0o755)
    (reason,) = _resolve(_damaged(), DonorSource(donor, "donor x"), tmp_path).refused[WANTED]
    assert "digest" in reason


def test_without_a_source_the_options_are_named(tmp_path: Path) -> None:
    (reason,) = resolve_sources(_damaged(), [WANTED], [], tmp_path).refused[WANTED]
    assert "--donor" in reason


@pytest.mark.parametrize(("format_", "words"), [("deb", "stat-override"), ("rpm", "package database")])
def test_what_says_a_mode_is_named_as_what_it_is(format_: str, words: str, tmp_path: Path) -> None:
    """dpkg records no modes: that sudo is setuid does not come from the guest's database."""
    guest = deb_guest()
    guest.os = replace(guest.os, package_format=format_)
    change = RestoreAttributes(
        path=GuestPath("/usr/bin/tool"), package="tool", version="1.0-1", architecture="amd64",
        mode=0o4755, owner="root", group="root",
    )  # fmt: skip
    assert words in resolve_sources(guest, [change], [], tmp_path).resolved[change].source


def test_package_files_are_found_by_content_not_by_name(tmp_path: Path) -> None:
    directory, work = tmp_path / "debs", tmp_path / "work"
    directory.mkdir()
    work.mkdir()
    (directory / "anything.deb").write_bytes(deb_package())
    (directory / "broken.deb").write_bytes(b"!<arch>\nrubbish")
    found = _resolve(_damaged(), DirectorySource(directory), work).resolved[WANTED]
    assert found.content is not None
    assert found.content.read_bytes() == FILES["/bin/tool"]
    assert found.mtime == 1_700_000_000


@pytest.mark.parametrize(
    ("package", "word"),
    [
        (deb_package("2.0-1"), "2.0-1"),
        (deb_package(content=b"other"), "digest"),
        (b"no package", "cannot be read"),
    ],
)
def test_package_files_that_do_not_fit_are_refused(package: bytes, word: str, tmp_path: Path) -> None:
    directory, work = tmp_path / "debs", tmp_path / "work"
    directory.mkdir()
    work.mkdir()
    (directory / "tool_1.0-1_amd64.deb").write_bytes(package)
    (reason,) = _resolve(_damaged(), DirectorySource(directory), work).refused[WANTED]
    assert word in reason


def test_hard_links_in_a_package_have_content(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(deb_package(linked=True))
    alias = RestoreFile(
        path=GuestPath("/usr/bin/alias"),
        package="tool",
        version="1.0-1",
        architecture="amd64",
        digest=WANTED.digest,
    )
    work = tmp_path / "work"
    work.mkdir()
    assert alias in resolve_sources(_damaged(), [alias], [DirectorySource(tmp_path)], work).resolved


def test_the_guests_own_cache_comes_first(tmp_path: Path) -> None:
    guest = _damaged()
    guest.file("/var/cache/apt/archives/tool_1.0-1_amd64.deb", deb_package())
    resolution = resolve_sources(
        guest, [WANTED], [CacheSource(guest), DonorSource(deb_guest(), "d")], tmp_path
    )
    assert resolution.resolved[WANTED].source == "/var/cache/apt/archives/tool_1.0-1_amd64.deb"


def test_what_the_database_describes_whole_needs_no_source(tmp_path: Path) -> None:
    common = {
        "package": "p",
        "version": "1",
        "architecture": "noarch",
        "mode": 0o755,
        "owner": "root",
        "group": "root",
    }
    empty = hashlib.sha256(b"").hexdigest()
    changes: list[RestoreFile | RestoreAttributes] = [
        RestoreFile(path=GuestPath("/d"), file_kind=PackagedKind.DIRECTORY, **common),  # type: ignore[arg-type]
        RestoreFile(path=GuestPath("/l"), file_kind=PackagedKind.SYMLINK, link_target="d", **common),  # type: ignore[arg-type]
        RestoreFile(path=GuestPath("/e"), digest=f"sha256:{empty}", **common),  # type: ignore[arg-type]
        RestoreAttributes(path=GuestPath("/a"), capabilities="cap_net_raw=ep", **common),  # type: ignore[arg-type]
    ]
    resolution = resolve_sources(deb_guest(), changes, [], tmp_path)
    assert not resolution.refused
    assert resolution.resolved[changes[3]].xattrs["security.capability"]


def test_an_unknown_owner_is_refused(tmp_path: Path) -> None:
    change = RestoreAttributes(
        path=GuestPath("/a"),
        package="p",
        version="1",
        architecture="x",
        mode=0o644,
        owner="nobody-here",
        group="root",
    )
    (reason,) = resolve_sources(deb_guest(), [change], [], tmp_path).refused[change]
    assert "nobody-here" in reason


def test_a_donor_directory_cannot_lead_out_of_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/leak").symlink_to(secret)
    (root / "up").symlink_to("../../../..")
    guest = HostDirectoryGuest(root)
    assert not guest.exists(GuestPath("/etc/leak"))
    assert guest.resolve(GuestPath("/up")) == GuestPath("/")
    with pytest.raises(GuestReadError):
        guest.read_range(GuestPath("/etc/leak"), 0, 10)


def test_an_rpm_answer_that_makes_no_sense_is_refused() -> None:
    line = json.dumps(
        {"name": "p", "version": "1", "arch": "x", "base": ["a"], "dir": [7], "dirs": [], "algo": 8}
    )
    with pytest.raises(Exception, match="damaged"):
        list(RpmDatabase([line.encode()]).files())
