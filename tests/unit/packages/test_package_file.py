"""Package files of every kind, read by a process that has nothing of this host but them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from fixtures.rpm.spec import RpmFile, RpmPackage, build_rpms
from guestrepair.errors import FormatError
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.base import Package
from guestrepair.packages.sources.base import Refusal, SourcedFile
from guestrepair.packages.sources.package_file import find_in, identify, member_attributes
from guestrepair.packages.spool import Spool

CONTENT = {"/usr/bin/tool": b"\x7fELF tool" * 9000, "/usr/share/tool/readme": b"read me\n"}
PACKAGE = Package("tool", "1.0-1", "amd64")
CONTROL = (
    "Package: tool\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: nobody <n@example.org>\nDescription: x\n"
)


def changes(*paths: str) -> list[RestoreFile]:
    return [
        RestoreFile(
            path=GuestPath(path), package="tool", version="1.0-1", architecture="amd64", digest="sha256:"
        )
        for path in paths
    ]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """Ours alone, as the work directory of a repair is."""
    path = tmp_path / "work"
    path.mkdir(mode=0o700)
    return path


def deb(folder: Path, compression: str) -> Path:
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(CONTROL)
    for name, content in CONTENT.items():
        path = tree / name.lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        path.chmod(0o755)
    (tree / "usr/bin/alias").hardlink_to(tree / "usr/bin/tool")
    (tree / "usr/bin/link").symlink_to("tool")
    made = folder / "tool.deb"
    words = ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "-b", str(tree), str(made)]
    subprocess.run(words, check=True, capture_output=True)
    made.chmod(0o600)  # a --packages directory that only root can read is as good as any
    return made


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb on this host")
@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_a_debian_package_gives_its_files_whatever_packs_it(
    compression: str, tmp_path: Path, workdir: Path
) -> None:
    path = deb(tmp_path, compression)
    assert [found.package for found in identify([path], workdir)] == [PACKAGE]
    wanted = changes(*CONTENT, "/usr/bin/alias", "/usr/bin/link", "/usr/bin/absent")
    tool, readme, alias, link, absent = find_in(path, path.name, wanted, workdir).values()
    for found, content in ((tool, CONTENT["/usr/bin/tool"]), (alias, CONTENT["/usr/bin/tool"]),
                           (readme, CONTENT["/usr/share/tool/readme"])):  # fmt: skip
        assert isinstance(found, SourcedFile)
        assert found.content is not None
        assert found.content.read_bytes() == content
        assert found.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert found.content.parent == workdir
        assert (found.content.stat().st_uid, found.content.stat().st_mode & 0o777) == (os.geteuid(), 0o600)
    assert isinstance(link, SourcedFile)
    assert link.link_target == "tool"
    assert isinstance(absent, Refusal)
    assert len(member_attributes(path, workdir)) >= 6


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="no rpmbuild on this host")
@pytest.mark.parametrize("payload", ["w2.xzdio", "w3.zstdio", "w6.gzdio"])
def test_an_rpm_package_gives_its_files_whatever_packs_it(
    payload: str, tmp_path: Path, workdir: Path
) -> None:
    pytest.importorskip("rpm")
    files = tuple(RpmFile(path=name, content=content.decode("latin-1")) for name, content in CONTENT.items())
    build_rpms(
        [RpmPackage(name="tool", version="1.0", release="1", files=files)],
        tmp_path / "build",
        tmp_path,
        payload=payload,
    )
    (path,) = tmp_path.glob("*.rpm")
    path.chmod(0o600)
    assert [found.package for found in identify([path], workdir)] == [Package("tool", "1.0-1", "x86_64")]
    for name, found in zip(
        CONTENT, find_in(path, path.name, changes(*CONTENT), workdir).values(), strict=True
    ):
        assert isinstance(found, SourcedFile)
        assert found.content is not None
        assert found.content.read_bytes() == CONTENT[name]


def test_what_is_no_package_is_said_and_waited_for_by_nobody(tmp_path: Path, workdir: Path) -> None:
    text, pipe, folder, absent = (tmp_path / name for name in ("a.deb", "b.deb", "c.deb", "d.deb"))
    text.write_text("no package")
    os.mkfifo(pipe)
    folder.mkdir()
    found = identify([text, pipe, folder, absent], workdir)
    assert [f.path for f in found] == [text, pipe, folder, absent]
    assert all(f.package is None and f.problem for f in found)
    (refused,) = find_in(pipe, pipe.name, changes("/x"), workdir).values()
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    "place",
    [None, "file-abc", "../../etc/shadow", [], [0], [0, 1, 2], [-1, 4], [0, -1], [7, 4], [0, 11], [11, 0],
     [0, 1 << 70], ["0", "4"], [0.0, 4.0], {"offset": 0}],
)  # fmt: skip
def test_a_place_that_makes_no_sense_is_refused(place: object, workdir: Path) -> None:
    with tempfile.TemporaryFile(dir=workdir) as file:
        file.write(b"0123456789")
        file.flush()
        with pytest.raises(FormatError):
            Spool(file, workdir).take(place)
    assert list(workdir.iterdir()) == []


def test_no_more_is_copied_out_than_was_put_in(workdir: Path) -> None:
    """Many names for much content must not fill the disk; a hard link is one piece."""
    with tempfile.TemporaryFile(dir=workdir) as file:
        file.write(b"0123456789")
        file.flush()
        spool = Spool(file, workdir)
        assert spool.take([0, 6]).read_bytes() == b"012345"
        assert spool.take([0, 6]) == spool.take([0, 6])
        assert spool.take([6, 4]).read_bytes() == b"6789"
        with pytest.raises(FormatError):
            spool.take([1, 6])
