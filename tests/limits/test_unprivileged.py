"""A package client's place: no rights of root, nothing of this host, limits, and results that are its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.packages.sources.unprivileged import TOTAL_FILES, Workplace

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


@pytest.fixture
def place() -> Iterator[Workplace]:
    made = Workplace()
    yield made
    made.close()
    assert not made.directory.exists()


def shell(place: Workplace, script: str, *, wall_seconds: float = 60) -> tuple[str, str]:
    ran = place.run(["sh", "-c", script], wall_seconds=wall_seconds)
    return ran.output, ran.stopped


@as_root
def test_the_client_is_a_user_that_nobody_else_is(place: Workplace) -> None:
    said, _ = shell(place, "id -u; id -G; setpriv -dd | grep -E '^(no_new_privs|Effective)'")
    user, groups, *status = said.splitlines()
    assert int(user) == place.user
    assert groups == user
    assert sorted(status) == ["Effective capabilities: [none]", "no_new_privs: 1"]


@as_root
def test_it_reads_what_it_is_given_and_changes_nothing_of_it(place: Workplace) -> None:
    given = place.write("etc/apt/keys/a", b"given\n")
    said, _ = shell(
        place, f"cat {given}; echo x >> {given}; rm -f {given}; touch {place.directory}/x; cat /etc/shadow"
    )
    assert said == "given\n"
    assert given.read_bytes() == b"given\n"
    assert sorted(path.name for path in place.directory.iterdir() if path.name != "lock") == ["etc", "work"]


def test_nothing_of_our_environment_reaches_it_but_the_proxies(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("APT_CONFIG", "/x")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    ran = place.run(["python3", "-I", "-c", "import json, os; print(json.dumps(dict(os.environ)))"])
    seen = json.loads(ran.output)
    assert seen["https_proxy"] == "http://proxy.example:3128"
    assert seen["HOME"] == str(place.work)
    assert not {"SECRET", "APT_CONFIG"} & seen.keys()


@as_root
def test_only_its_own_plain_files_are_collected(place: Workplace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (place.work / "planted.deb").write_text("root's own file")
    os.link(secret, place.work / "hard.deb")
    shell(
        place,
        f"echo good > good.deb; ln -s {secret} link.deb; mkfifo pipe.deb; echo x > 'a b.deb'; "
        "echo x > .hidden.deb; echo x > other.rpm",
    )
    found = place.collect(".deb", tmp_path)
    assert [path.name for path in found] == ["good.deb"]
    assert found[0].read_text() == "good\n"
    assert found[0].stat().st_uid == os.geteuid()
    assert secret.read_text() == "secret"


def test_a_folder_that_became_a_link_has_no_names(place: Workplace) -> None:
    place.own_folder("lists/partial")
    shell(place, "touch lists/a_Packages")
    assert place.names("lists") == ["a_Packages", "partial"]
    shell(place, "mv lists old; ln -s /etc lists")
    assert place.names("lists") == []
    assert place.names("nowhere") == []


@pytest.mark.parametrize(
    ("script", "word", "wall_seconds"),
    [
        ("exec sleep 600", "took more than", 1),
        (f"seq {TOTAL_FILES + 2} | xargs touch; exec sleep 600", "were downloaded", 120),
        ("exec cat /dev/zero", "said more than", 120),
        ("kill -XCPU $$", "processor time", 60),
        ("exec truncate -s 3G big", "larger than", 60),
    ],
    ids=["time", "files", "words", "processor", "size"],
)
def test_a_limit_ends_it_and_is_named(place: Workplace, script: str, word: str, wall_seconds: float) -> None:
    _, stopped = shell(place, script, wall_seconds=wall_seconds)
    assert word in stopped
    assert not (place.work / "big").exists() or (place.work / "big").stat().st_size == 0


def test_it_gets_no_more_memory_than_the_limit(place: Workplace) -> None:
    ran = place.run(["python3", "-I", "-c", "print(len(bytearray(3 << 30)))"])
    assert ran.output == ""
    assert "MemoryError" in ran.errors


def test_nothing_of_it_is_left_running(place: Workplace) -> None:
    shell(place, "sleep 611 & sleep 611 & echo $! > child; exit 0")
    child = int((place.work / "child").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    state = Path(f"/proc/{child}/stat").read_text().split()[2] if Path(f"/proc/{child}").exists() else "gone"
    assert state in {"Z", "gone"}


def test_a_program_that_is_not_there_is_said(place: Workplace) -> None:
    ran = place.run(["no-such-program"])
    assert "no-such-program" in ran.errors
