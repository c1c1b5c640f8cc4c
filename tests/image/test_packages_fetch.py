"""``--fetch`` for an rpm guest: dnf on this host asks a repository that really answers, on this machine."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import fixtures
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.sources import FetchSource, resolve_sources

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(shutil.which("createrepo_c") is None, reason="createrepo_c makes the repository"),
]
GZIP = RestoreFile(
    path=GuestPath("/usr/bin/gzip"), package="gzip", version="2.0.12-1.el9", architecture="x86_64"
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a repository of two packages of the Rocky-9-like guest."""
    folder = tmp_path_factory.mktemp("repository")
    packages = fixtures.build("rocky9-like").parent / "rpms"
    for name in ("gzip", "less"):
        for path in packages.glob(f"{name}-*.rpm"):
            shutil.copyfile(path, folder / path.name)
    subprocess.run(["createrepo_c", "--quiet", folder], check=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def guest_with(*lines: str) -> MemoryGuest:
    guest = MemoryGuest()
    guest.os = OperatingSystem(distro="rocky", version="9.4", arch="x86_64", package_format="rpm")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    guest.file("/etc/yum.repos.d/base.repo", "[base]\nname=base $releasever\n" + "\n".join(lines) + "\n")
    return guest


def fetched(guest: MemoryGuest, change: RestoreFile, folder: Path) -> str:
    """What comes of it: the source's name, or the reason of the refusal."""
    found = resolve_sources(guest, [change], [FetchSource(guest, "rpm")], folder)
    if change in found.resolved:
        content = found.resolved[change].content
        assert content is not None
        assert content.read_bytes().startswith((b"#!", b"\x7fELF"))
        return found.resolved[change].source
    return "; ".join(found.refused[change])


def test_the_exact_version_is_taken(repository: str, tmp_path: Path) -> None:
    guest = guest_with(f"baseurl={repository}", "gpgcheck=0")
    assert fetched(guest, GZIP, tmp_path) == "gzip-2.0.12-1.el9.x86_64.rpm"


@pytest.mark.parametrize(
    ("version", "lines", "word"),
    [
        ("1.0-1.el9", ["baseurl={}", "gpgcheck=0"], "superseded; they have 2.0.12-1.el9"),
        ("2.0.12-1.el9", ["baseurl={}", "gpgcheck=1"], "none of the keys"),
        ("2.0.12-1.el9", ["baseurl={}", "gpgcheck=1", "gpgkey=file:///etc/key"], "signature"),
        ("2.0.12-1.el9", ["baseurl=http://127.0.0.1:9/", "gpgcheck=0"], "cannot be reached"),
        ("2.0.12-1.el9", ["baseurl=file:///var/repo"], "no enabled repositories of the network"),
        ("2.0.12-1.el9", ["baseurl={}", "enabled=0"], "no enabled repositories of the network"),
    ],
    ids=["superseded", "no key", "bad key", "offline", "this host's files", "disabled"],
)
def test_a_refusal_says_why(
    version: str, lines: list[str], word: str, repository: str, tmp_path: Path
) -> None:
    guest = guest_with(*(line.format(repository) for line in lines))
    guest.file("/etc/key", "no key at all\n")
    change = RestoreFile(path=GZIP.path, package="gzip", version=version, architecture="x86_64")
    assert word in fetched(guest, change, tmp_path)
