"""A program in a cage opens what was named and nothing else, by whatever means the kernel has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guestrepair.confine import means
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import confinement, run_caged, start_caged, wrapped
from guestrepair.errors import ConfinementError

SECRET = "planted-secret"


def usable() -> list[str]:
    found = [means.LANDLOCK] if confinement() == means.LANDLOCK else []
    return [*found, *([means.NAMESPACE] if os.geteuid() == 0 else [])]


BY = pytest.mark.parametrize("by", usable())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "host" / "secret"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def shell(script: str, cage: Cage, by: str | None) -> subprocess.CompletedProcess[bytes]:
    return run_caged(["sh", "-c", script], cage=cage, timeout_seconds=30, by=by)


def test_this_host_confines() -> None:
    assert usable(), "neither Landlock nor root: nothing of this could be tested"


def test_without_a_cage_the_secret_shows(secret: Path) -> None:
    assert SECRET in shell(f"cat {secret}", Cage(), means.NOTHING).stdout.decode()


@BY
@pytest.mark.parametrize(
    "way",
    [
        "cat {secret}",
        "cat {own}/link",
        "cat {own}/../host/secret",
        "cat /proc/self/root{secret}",
        "cp {secret} {own}/x",
    ],
)
def test_what_was_not_named_is_not_read(by: str, way: str, secret: Path, own: Path) -> None:
    (own / "link").symlink_to(secret)
    done = shell(way.format(secret=secret, own=own), Cage(write=(own,)), by)
    assert done.returncode != 0
    assert SECRET not in done.stdout.decode() + done.stderr.decode()
    assert not (own / "x").exists() or (own / "x").read_bytes() == b""


@BY
@pytest.mark.parametrize(
    "way",
    [
        "echo x > {secret}",
        "rm {secret}",
        "mv {secret} {own}/",
        "ln {secret} {own}/y && echo x > {own}/y",
        "truncate -s 0 {secret}",
    ],
)
def test_what_was_not_named_is_not_written(by: str, way: str, secret: Path, own: Path) -> None:
    done = shell(way.format(secret=secret, own=own), Cage(write=(own,)), by)
    assert done.returncode != 0
    assert secret.read_text() == SECRET


@BY
def test_what_was_named_is_read_through_links_and_not_written(by: str, secret: Path, own: Path) -> None:
    link = own / "i"
    link.symlink_to(secret)
    cage = Cage(read=(link, own))
    assert shell(f"cat {link}", cage, by).stdout.decode() == SECRET
    assert shell(f"echo x > {secret}", cage, by).returncode != 0
    assert shell(f"touch {own}/new", cage, by).returncode != 0
    assert secret.read_text() == SECRET


@BY
def test_what_may_be_written_is_written(by: str, own: Path) -> None:
    script = f"cd {own} && echo one > a && mv a b && mkdir d && echo two >> b && cat b"
    assert shell(script, Cage(write=(own,)), by).stdout == b"one\ntwo\n"
    assert (own / "b").read_text() == "one\ntwo\n"


@BY
def test_a_path_that_is_not_there_is_no_error(by: str, own: Path) -> None:
    assert shell("echo fine", Cage(read=(own / "missing",)), by).stdout == b"fine\n"


@BY
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to lose")
def test_of_roots_rights_only_opening_files_is_left(by: str, own: Path) -> None:
    (own / "others").write_text("x")
    (own / "others").chmod(0o000)
    os.chown(own / "others", 1, 1)
    done = shell(f"cat {own}/others; chown 0 {own}/others", Cage(write=(own,)), by)
    assert done.stdout == b"x"
    assert b"Operation not permitted" in done.stderr
    assert (own / "others").stat().st_uid == 1


@BY
def test_the_network_is_reached_only_where_it_was_allowed(by: str) -> None:
    script = (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "socket.create_connection(s.getsockname(), 5); print('met')"
    )
    command = [sys.executable, "-I", "-S", "-c", script]
    assert run_caged(command, cage=Cage(network=True), timeout_seconds=30, by=by).stdout == b"met\n"
    assert run_caged(command, cage=Cage(), timeout_seconds=30, by=by).returncode != 0


@BY
def test_a_program_runs_as_another_user_without_any_rights(by: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    process = start_caged(["id", "-u"], cage=Cage(), user=61999, by=by, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=30)
    assert out == b"61999\n"


@BY
def test_another_user_comes_by_and_a_program_may_be_a_link_elsewhere(by: str, own: Path) -> None:
    """Also where our own umask is strict: a new root directory is not ours alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    usual = os.umask(0o077)
    try:
        script = "awk 'BEGIN { print \"ran\" }'; touch /made /tmp/made /var/tmp/made 2>/dev/null; umask"
        process = start_caged(["sh", "-c", script], cage=Cage(), user=61999, by=by, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=30)
    finally:
        os.umask(usual)
    assert out == b"ran\n0077\n"


@BY
def test_a_program_that_hangs_is_ended(by: str) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_caged(["sleep", "60"], cage=Cage(), timeout_seconds=0.2, by=by)


def test_a_program_that_is_not_there_is_the_callers_error() -> None:
    with pytest.raises(FileNotFoundError):
        run_caged(["no-such-program-anywhere"], cage=Cage(), timeout_seconds=5)


def test_a_program_outlives_neither_its_parent_nor_is_it_ended_before() -> None:
    process = start_caged(["setpriv", "--pdeathsig", "KILL", "sleep", "30"], cage=Cage())
    time.sleep(0.3)
    assert process.poll() is None, "the thread that started it has ended, and it with that"
    process.kill()
    assert process.wait(5) == -signal.SIGKILL


def test_the_caller_is_not_in_the_cage_himself(secret: Path) -> None:
    shell("true", Cage(), None)
    assert secret.read_text() == SECRET


def test_a_cage_that_cannot_be_made_is_said_and_nothing_runs(own: Path) -> None:
    class Impossible(Cage):
        """Names a path with rights that no kernel knows."""

        def rules(self) -> list[tuple[str, int]]:
            raise OSError(22, "Invalid argument")

    with pytest.raises(ConfinementError):
        run_caged(["touch", str(own / "ran")], cage=Impossible(), timeout_seconds=5)
    assert not (own / "ran").exists()


def test_a_wrapped_program_is_in_the_cage_with_its_arguments(secret: Path, own: Path) -> None:
    program = wrapped(Path("/bin/cat"), cage=Cage(write=(own,)), directory=own)
    (own / "mine").write_text("mine")
    assert subprocess.run([program, own / "mine"], capture_output=True, check=True).stdout == b"mine"
    done = subprocess.run([program, secret], capture_output=True, check=False)
    assert done.returncode != 0
    assert SECRET.encode() not in done.stdout


def test_a_wrapped_program_looks_the_same_each_time(tmp_path: Path) -> None:
    made = []
    for name in ("one", "another-much-longer-name"):
        directory = tmp_path / name
        directory.mkdir()
        made.append(wrapped(Path("/bin/cat"), cage=Cage(), directory=directory).stat())
    assert len({(status.st_size, status.st_mtime_ns) for status in made}) == 1
