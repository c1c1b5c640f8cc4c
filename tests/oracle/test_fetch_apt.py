"""``--fetch`` for a dpkg guest: apt on this host, a repository that really answers, and a guest that lies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.sources import FetchSource, resolve_sources
from tests.unit.packages.apt_repository import (
    TOOLS,
    Repository,
    Served,
    asks_for,
    make_repository,
    redirects_to,
    served,
)

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason="apt and gpg make and read the repository"
)
TINY = RestoreFile(path=GuestPath("/usr/bin/tiny"), package="tiny", version="1.0-1", architecture="amd64")
TRUSTED = "/etc/apt/trusted.gpg.d/test.gpg"
KEYRING = "/usr/share/keyrings/test.gpg"
NO_REPOSITORY = "no usable repositories"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("apt"))


@pytest.fixture
def server(repository: Repository) -> Iterator[Served]:
    with served(repository.directory) as found:
        yield found


def guest_with(files: dict[str, str | bytes]) -> MemoryGuest:
    guest = MemoryGuest()
    guest.os = OperatingSystem(distro="debian", version="12", arch="x86_64", package_format="deb")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    for path, content in files.items():
        guest.file(path, content)
    return guest


def fetched(guest: MemoryGuest, folder: Path, said: list[str] | None = None) -> str:
    """The name of the package's file, or the reason of the refusal."""
    say = (lambda line: None) if said is None else said.append
    found = resolve_sources(guest, [TINY], [FetchSource(guest, "deb", say)], folder)
    return found.resolved[TINY].source if TINY in found.resolved else "; ".join(found.refused[TINY])


def test_the_exact_version_is_taken_and_the_host_is_said_first(
    repository: Repository, server: Served, tmp_path: Path
) -> None:
    guest = guest_with({"/etc/apt/sources.list": f"deb {server.url} ./\n", TRUSTED: repository.key})
    said: list[str] = []
    assert fetched(guest, tmp_path, said) == "tiny_1.0-1_amd64.deb"
    assert said == [f"--fetch: asking the guest's repositories at {server.host}"]


@pytest.mark.parametrize(
    "way", ["line", "stanza", "inline", "fingerprint", "two files", "mirrors", "old file"]
)
def test_every_way_to_name_repository_and_key_is_understood(
    way: str, repository: Repository, server: Served, tmp_path: Path
) -> None:
    url, listed = server.url, "/etc/apt/sources.list.d/x.list"
    stanza = f"Types: deb\nURIs: {url}\nSuites: ./\nSigned-By: {{}}\n"
    block = "\n " + repository.armored.strip().replace("\n\n", "\n.\n").replace("\n", "\n ")
    files: dict[str, dict[str, str | bytes]] = {
        "line": {listed: f"deb [signed-by={KEYRING}] {url} ./\n", KEYRING: repository.key},
        "stanza": {
            "/etc/apt/sources.list.d/x.sources": stanza.format("/etc/apt/keyrings/a.asc"),
            "/etc/apt/keyrings/a.asc": repository.armored,
        },
        "inline": {"/etc/apt/sources.list.d/x.sources": stanza.format(block)},
        "fingerprint": {
            listed: f"deb [signed-by={repository.fingerprint}] {url} ./\n",
            TRUSTED: repository.key,
        },
        "two files": {
            listed: f"deb [signed-by=/usr/share/keyrings/gone.gpg,{KEYRING}] {url} ./\n",
            KEYRING: repository.key,
        },
        "mirrors": {
            listed: "deb mirror+file:/etc/apt/mirrors/x.list ./\n",
            "/etc/apt/mirrors/x.list": f"{url}\tpriority:1\n",
            TRUSTED: repository.key,
        },
        "old file": {listed: f"deb {url} ./\n", "/etc/apt/trusted.gpg": repository.key},
    }
    assert fetched(guest_with(files[way]), tmp_path) == "tiny_1.0-1_amd64.deb"


@pytest.mark.parametrize(
    "line",
    [
        "deb [trusted=yes] file:{} ./",
        "deb [trusted=yes] %66ile:{} ./",
        'deb [trusted=yes] "fi"le:{} ./',
        "deb [trusted=yes] %63opy:{} ./",
        "deb [trusted=yes] %66%74p://localhost{} ./",
        "deb %73sh://-oProxyCommand=x{} ./",
        "deb [signed-by=/etc/apt/../../root/key.gpg] http://127.0.0.1:9/ ./",
        "deb [signed-by=/root/key.gpg] http://127.0.0.1:9/ ./",
    ],
)
def test_a_repository_on_this_hosts_disk_is_no_repository(
    line: str, repository: Repository, tmp_path: Path
) -> None:
    guest = guest_with({"/etc/apt/sources.list": line.format(repository.directory), TRUSTED: repository.key})
    assert NO_REPOSITORY in fetched(guest, tmp_path)


def test_a_file_of_this_host_is_no_list_of_mirrors(
    repository: Repository, server: Served, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"open-sesame:/x\n{server.url}\n")
    guest = guest_with(
        {"/etc/apt/sources.list": f"deb %6dirror+%66ile:{secret} ./\n", TRUSTED: repository.key}
    )
    said: list[str] = []
    answer = fetched(guest, tmp_path, said)
    assert NO_REPOSITORY in answer
    assert "sesame" not in answer
    assert (server.asked, said) == ([], [])


@pytest.mark.parametrize(
    "options", ["[trusted=yes]", "[allow-insecure=yes]", "[ trusted=yes allow-weak=yes ]"]
)
def test_the_guest_cannot_say_that_signatures_do_not_matter(
    options: str, repository: Repository, tmp_path: Path
) -> None:
    unsigned = tmp_path / "unsigned"
    shutil.copytree(repository.directory, unsigned, ignore=shutil.ignore_patterns("InRelease"))
    with served(unsigned) as server:
        guest = guest_with(
            {"/etc/apt/sources.list": f"deb {options} {server.url} ./\n", TRUSTED: repository.key}
        )
        answer = fetched(guest, tmp_path)
    assert "cannot be reached" in answer


@pytest.mark.parametrize(
    "prefix", ["file:{}/", "copy:{}/", "store:{}/", "mirror+file:{}/", "ftp://localhost{}/"]
)
def test_a_server_cannot_lead_to_this_hosts_files(
    prefix: str, repository: Repository, tmp_path: Path
) -> None:
    with served(tmp_path, redirects_to(prefix.format(repository.directory))) as server:
        guest = guest_with({"/etc/apt/sources.list": f"deb {server.url} ./\n", TRUSTED: repository.key})
        assert "led to another kind of address" in fetched(guest, tmp_path)


def test_a_password_is_used_and_never_shown(repository: Repository, tmp_path: Path) -> None:
    with served(repository.directory, asks_for("alice:sesame")) as server:
        for password, expected in (("sesame", "tiny_1.0-1_amd64.deb"), ("wrong-sesame", "denies access")):
            line = f"deb http://alice:{password}@{server.host}/ ./\n"
            said: list[str] = []
            guest = guest_with({"/etc/apt/sources.list": line, TRUSTED: repository.key})
            answer = fetched(guest, tmp_path, said)
            assert expected in answer
            assert "sesame" not in answer + str(said)
            assert said == [f"--fetch: asking the guest's repositories at {server.host}"]


def test_what_a_server_says_is_not_shown(tmp_path: Path, repository: Repository) -> None:
    def answer(request: object) -> bool:
        request.send_error(404, "open sesame: root:x:0:0")  # type: ignore[attr-defined]
        return True

    with served(tmp_path, answer) as server:
        guest = guest_with({"/etc/apt/sources.list": f"deb {server.url} ./\n", TRUSTED: repository.key})
        refusal = fetched(guest, tmp_path)
    assert "a host has no such repository" in refusal
    assert "sesame" not in refusal


MOUNTED = """
mount --bind "$1" /etc/apt/apt.conf.d && exec "$2" -c '
import sys
from pathlib import Path
from tests.oracle.test_fetch_apt import fetched, guest_with, TRUSTED
guest = guest_with({"/etc/apt/sources.list": sys.argv[2], TRUSTED: Path(sys.argv[3]).read_bytes()})
print(fetched(guest, Path(sys.argv[1])))
' "$3" "$4" "$5"
"""


def can_mount() -> bool:
    command = ["unshare", "--mount", "mount", "--bind", "/etc", "/etc"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False).returncode


@pytest.mark.skipif(os.geteuid() != 0 or not can_mount(), reason="only root can put another apt.conf.d there")
def test_nothing_of_this_hosts_configuration_is_run_or_counts(
    repository: Repository, server: Served, tmp_path: Path
) -> None:
    parts, ran, key = tmp_path / "apt.conf.d", tmp_path / "ran", tmp_path / "key"
    parts.mkdir()
    key.write_bytes(repository.key)
    hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
    lines = [f'{hook} {{ "touch {ran}"; }};\n' for hook in hooks] + ['Dir::Bin::Methods::http "false";\n']
    (parts / "99hooks").write_text("".join(lines))
    source = f"deb {server.url} ./"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", parts, sys.executable, tmp_path, source, key],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "tiny_1.0-1_amd64.deb\n", done.stderr
    assert not ran.exists()
