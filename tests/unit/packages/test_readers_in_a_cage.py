"""Each helper that meets hostile bytes, as one that they have taken over: this host's files stay unseen.

Each test has its control: the same helper, or its program, shows the secret where nothing holds it. The
secret may be read by everybody, so that no change of the user keeps it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.confine import means
from guestrepair.disk.children import Limits, lesser_user
from guestrepair.packages import rpm_child
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.sources.unprivileged import Workplace
from guestrepair.repair.host_keys import generate_host_key
from tests.unit.confine.test_cage import SECRET, usable

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=60)
READER = """
import subprocess, sys
from pathlib import Path
def main(*words):
    for word in words:
        try:
            print(Path(word).read_text(), flush=True)
        except OSError as error:
            print(type(error).__name__, flush=True)
        subprocess.run(["cat", word], stderr=subprocess.DEVNULL)
    print("end")
    return 0
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def secret(place: Path) -> Path:
    path = place / "secret"
    path.write_text(SECRET)
    path.chmod(0o644)
    return path


def told_by_reader(place: Path, secret: Path, by: str, user: int | None) -> str:
    """What a reader says that is led to the secret by its name, and by a link in its own directory."""
    script, home = place / "reader.py", place / "home"
    script.write_text(READER)
    home.mkdir()
    (home / "link").symlink_to(secret)
    if user is not None:
        os.chown(home, user, user)
    words = [str(secret), str(home / "link"), f"/proc/self/root{secret}"]
    with LimitedChild(str(script), words, home=home, limits=LIMITS, user=user, by=by) as child:
        return b"\n".join(child.lines()).decode()


@pytest.mark.parametrize("user", [None, lesser_user()], ids=["same user", "lesser user"])
@pytest.mark.parametrize("by", usable())
def test_a_reader_that_was_fooled_shows_nothing(by: str, user: int | None, place: Path, secret: Path) -> None:
    told = told_by_reader(place, secret, by, user)
    assert told.endswith("end")
    assert SECRET not in told


@pytest.mark.parametrize("user", [None, lesser_user()], ids=["same user", "lesser user"])
def test_without_a_cage_it_would(user: int | None, place: Path, secret: Path) -> None:
    assert told_by_reader(place, secret, means.NOTHING, user).count(SECRET) >= 4


def opened_database(place: Path, by: str) -> str:
    """What rpm's reader says of a database that is a link to another one of this host."""
    outside, home = place / "outside", place / "home"
    subprocess.run(
        ["rpm", "--define", "_db_backend sqlite", "--dbpath", outside, "--initdb"],
        check=True,
        capture_output=True,
    )
    home.mkdir()
    (home / "rpmdb.sqlite").symlink_to(outside / "rpmdb.sqlite")
    with LimitedChild(rpm_child.__file__, [str(home), "sqlite"], home=home, limits=LIMITS, by=by) as child:
        return b"\n".join(child.lines()).decode() + child.words()


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm makes the database")
@pytest.mark.parametrize("by", usable())
def test_a_database_that_is_a_link_out_is_not_opened(by: str, place: Path) -> None:
    assert "unable to open database file" in opened_database(place, by)


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm makes the database")
def test_without_a_cage_that_link_is_followed(place: Path) -> None:
    assert json.loads(opened_database(place, means.NOTHING).splitlines()[0]) == {"end": 0, "problems": []}


def test_a_package_client_shows_what_it_was_given_and_nothing_else(place: Path, secret: Path) -> None:
    client = Workplace()
    given = client.write("given", b"given")
    script = (
        f"ln -s {secret} link; cat {given} {secret} link /proc/self/root{secret} /etc/passwd; cp {secret} x"
    )
    assert client.run(["sh", "-c", script]).output == "given"
    assert not (client.work / "x").exists() or not (client.work / "x").read_bytes()
    free = subprocess.run(["cat", secret], capture_output=True, check=False, user=client.user)
    assert free.stdout.decode() == SECRET
    client.also_read.append(secret)
    assert SECRET in client.run(["cat", str(secret)]).output


def standing_in(place: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = place / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    return program


def test_a_key_maker_reads_nothing_of_this_host(
    place: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = generate_host_key("ed25519", "host")
    assert b"PRIVATE KEY" in private
    assert public.startswith(b"ssh-ed25519 ")
    script = f'for word in "$@"; do key=$word; done; cat {secret} > "$key"; cp "$key" "$key.pub"'
    program = standing_in(place, "ssh-keygen", script, monkeypatch)
    assert generate_host_key("ed25519", "host") == (b"", b"")
    subprocess.run([program, place / "key"], check=True)
    assert (place / "key.pub").read_text() == SECRET
