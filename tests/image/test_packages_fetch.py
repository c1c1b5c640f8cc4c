"""``--fetch`` for an rpm guest: dnf on this host asks a repository that really answers, on this machine."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fixtures
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.sources import FetchSource, resolve_sources
from tests.unit.packages.apt_repository import asks_for, redirects_to, served

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(shutil.which("createrepo_c") is None, reason="createrepo_c makes the repository"),
]
GZIP = RestoreFile(
    path=GuestPath("/usr/bin/gzip"), package="gzip", version="2.0.12-1.el9", architecture="x86_64"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two packages of the Rocky-9-like guest, on this host's disk."""
    made = tmp_path_factory.mktemp("repository")
    made.chmod(0o755)
    packages = fixtures.build("rocky9-like").parent / "rpms"
    for name in ("gzip", "less"):
        for path in packages.glob(f"{name}-*.rpm"):
            shutil.copyfile(path, made / path.name)
    subprocess.run(["createrepo_c", "--quiet", made], check=True)
    return made


@pytest.fixture(scope="module")
def repository(folder: Path) -> Iterator[str]:
    """The address of that repository."""
    with served(folder) as server:
        yield server.url


def guest_with(*lines: str) -> MemoryGuest:
    guest = MemoryGuest()
    guest.os = OperatingSystem(distro="rocky", version="9.4", arch="x86_64", package_format="rpm")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    guest.file("/etc/yum.repos.d/base.repo", "[base]\nname=base $releasever\n" + "\n".join(lines) + "\n")
    return guest


def fetched(guest: MemoryGuest, change: RestoreFile, folder: Path, said: list[str] | None = None) -> str:
    """What comes of it: the source's name, or the reason of the refusal."""
    say = (lambda line: None) if said is None else said.append
    found = resolve_sources(guest, [change], [FetchSource(guest, "rpm", say)], folder)
    if change in found.resolved:
        content = found.resolved[change].content
        assert content is not None
        assert content.read_bytes().startswith((b"#!", b"\x7fELF"))
        return found.resolved[change].source
    return "; ".join(found.refused[change])


def test_the_exact_version_is_taken(repository: str, tmp_path: Path) -> None:
    guest = guest_with(f"baseurl={repository}", "gpgcheck=0")
    said: list[str] = []
    assert fetched(guest, GZIP, tmp_path, said) == "gzip-2.0.12-1.el9.x86_64.rpm"
    host = repository.removeprefix("http://").rstrip("/")
    assert said == [f"--fetch: asking the guest's repositories at {host}"]


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


def metalink(place: str, folder: Path) -> str:
    digest = hashlib.sha256((folder / "repodata/repomd.xml").read_bytes()).hexdigest()
    return (
        '<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files>'
        f'<file name="repomd.xml"><verification><hash type="sha256">{digest}</hash></verification>'
        f'<resources><url preference="100">{place}/repodata/repomd.xml</url></resources></file>'
        "</files></metalink>"
    )


@pytest.mark.parametrize("kind", ["mirrorlist", "metalink"])
@pytest.mark.parametrize("place", ["this host", "the network"])
def test_a_list_of_mirrors_leads_to_the_network_alone(
    kind: str, place: str, folder: Path, repository: str, tmp_path: Path
) -> None:
    address = folder.as_uri() if place == "this host" else repository.rstrip("/")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "mirrorlist").write_text(f"# mirrors\nfile:/etc/\n{address}/\n")
    (lists / "metalink").write_text(metalink(address, folder))
    with served(lists) as server:
        found = fetched(guest_with(f"{kind}={server.url}{kind}", "gpgcheck=0"), GZIP, tmp_path)
    if place == "the network":
        assert found == "gzip-2.0.12-1.el9.x86_64.rpm"
    else:
        assert "names none of http or https" in found


def hostile_index(kind: str, folder: Path, copy: Path) -> None:
    """A copy of the repository whose index leads to the files of this host."""
    if kind == "base of a package":
        subprocess.run(["createrepo_c", "-q", f"--baseurl={folder.as_uri()}", "-o", copy, folder], check=True)
    elif kind == "place of a package":
        prefix = f"--location-prefix={folder.as_uri()}"
        subprocess.run(["createrepo_c", "-q", prefix, "-o", copy, folder], check=True)
    else:
        shutil.copytree(
            folder / "repodata", copy / "repodata", ignore=shutil.ignore_patterns("*.gz", "*.bz2")
        )
        index = copy / "repodata/repomd.xml"
        base = (
            f'xml:base="{folder.as_uri()}" href="'
            if kind == "base of an index"
            else f'href="{folder.as_uri()}/'
        )
        index.write_text(index.read_text().replace('href="', base))


@pytest.mark.parametrize(
    "kind", ["base of a package", "place of a package", "base of an index", "place of an index"]
)
def test_an_index_leads_to_the_network_alone(kind: str, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    hostile_index(kind, folder, copy)
    with served(copy) as server:
        found = fetched(guest_with(f"baseurl={server.url}", "gpgcheck=0"), GZIP, tmp_path)
    assert "led to another kind of address" in found


def test_a_redirection_leads_to_the_network_alone(folder: Path, tmp_path: Path) -> None:
    with served(tmp_path, redirects_to(f"{folder.as_uri()}/")) as server:
        found = fetched(guest_with(f"baseurl={server.url}", "gpgcheck=0"), GZIP, tmp_path)
    assert "led to another kind of address" in found


def test_an_index_that_is_not_what_its_digest_says_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in (copy / "repodata").glob("*primary.xml.gz"):
        path.write_bytes(path.read_bytes() + b"x")
    with served(copy) as server:
        found = fetched(guest_with(f"baseurl={server.url}", "gpgcheck=0"), GZIP, tmp_path)
    assert "not what its index says" in found


def test_a_password_is_used_and_neither_shown_nor_passed_on(folder: Path, tmp_path: Path) -> None:
    headers: list[str | None] = []

    def elsewhere(request: http.server.BaseHTTPRequestHandler) -> bool:
        headers.append(request.headers.get("Authorization"))
        return False

    with served(folder, asks_for("alice:sesame")) as server:
        guest = guest_with(f"baseurl=http://alice:sesame@{server.host}/", "gpgcheck=0")
        said: list[str] = []
        assert fetched(guest, GZIP, tmp_path, said) == "gzip-2.0.12-1.el9.x86_64.rpm"
        assert "sesame" not in str(said)
    with served(folder, elsewhere) as other, served(tmp_path, redirects_to(other.url)) as server:
        guest = guest_with(f"baseurl=http://alice:sesame@{server.host}/", "gpgcheck=0")
        assert fetched(guest, GZIP, tmp_path) == "gzip-2.0.12-1.el9.x86_64.rpm"
    assert headers
    assert set(headers) == {None}
