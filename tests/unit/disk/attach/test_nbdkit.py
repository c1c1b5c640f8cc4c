"""What nbdkit's log and standard error say of a source: how much was read, what failed, and why."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

import pytest

from guestrepair.confine.cage import Cage
from guestrepair.disk.attach import nbdkit
from guestrepair.disk.attach.nbdkit import Server, Traffic, cannot_open, check_size, serving
from guestrepair.errors import ImageAccessError, ImageError, UnsafeImageError

SHOWN = "ssh://host/disk.raw"


class Process:
    """nbdkit, running or ended."""

    def __init__(self, returncode: int | None = None) -> None:
        self.returncode = returncode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9


def server(home: Path, stderr: str = "", returncode: int | None = None) -> Server:
    """A server that has said that so far."""
    (home / "socket.stderr").write_text(stderr)
    return Server(home / "socket", cast("subprocess.Popen[bytes]", Process(returncode)), Traffic())


def noted(*lines: str) -> tuple[int, bool, bool]:
    """Bytes read, whether one failed, and whether one has no answer, after these lines of the log."""
    traffic = Traffic()
    for line in lines:
        traffic.note(f"2026-12-01 00:00:00.000000 {line}")
    return traffic.read_bytes, traffic.failed, traffic.longest_wait_seconds > 0


def test_what_was_read_is_counted_by_the_answers() -> None:
    lines = [
        "connection=1 Read id=1 offset=0x0 count=0x1000 ...",
        "connection=2 Read id=1 offset=0x1000 count=0x200 ...",
        "connection=1 ...Read id=1 return=0",
        "connection=1 ...Read id=9 return=0",
        "connection=1 Connect export='' tls=0 size=0x1000",
    ]
    assert noted(*lines) == (0x1000, False, True)
    assert noted(*lines, "connection=2 ...Read id=1 return=-1 (Input/output error)") == (0x1000, True, False)


def test_a_server_tells_the_last_of_its_errors_safe_to_print(tmp_path: Path) -> None:
    said = server(
        tmp_path, "nbdkit: error: first\nnbdkit: curl[1]: error: \x1b[31mlast\nnbdkit: debug: more\n"
    )
    assert said.errors == ["first", "\x1b[31mlast"]
    assert said.words == "?[31mlast"
    (tmp_path / "socket.stderr").unlink()
    assert said.words == ""


def test_why_not_all_was_read(tmp_path: Path) -> None:
    assert server(tmp_path).failure == ""
    assert server(tmp_path, returncode=1).failure == "nbdkit has ended in the middle (status 1)"
    assert server(tmp_path, "nbdkit: error: gone\n", returncode=1).failure == "gone"
    failed = server(tmp_path)
    failed.traffic.failed = True
    assert failed.failure == "a part of it could not be read"
    stalled = server(tmp_path)
    stalled.give_up()
    assert stalled.failure == f"no answer for {nbdkit.STALL_SECONDS:.0f} s"
    assert stalled.process.poll() == -9


@pytest.mark.parametrize(
    ("stderr", "ended", "kind", "message", "hint"),
    [
        ("", None, ImageError, "no answer", "firewall"),
        ("", 1, ImageError, "cannot be opened: nbdkit has ended", "check the address"),
        (
            "nbdkit: error: cannot open plugin 'ssh'\n",
            1,
            ImageAccessError,
            "cannot open plugin",
            "install nbdkit",
        ),
        ("nbdkit: ssh: error: unknown host key\n", 1, ImageError, "unknown host key", "fingerprint"),
        ("nbdkit: ssh: error: all possible authentication failed\n", 1, ImageError, "failed", "ssh-add"),
        ("nbdkit: ssh: error: no such file\n", 1, ImageError, "no such file", "check the address"),
    ],
)
def test_a_source_that_is_not_opened_is_one_line_with_what_to_do(
    tmp_path: Path, stderr: str, ended: int | None, kind: type[ImageError], message: str, hint: str
) -> None:
    error = cannot_open(SHOWN, server(tmp_path, stderr, ended))
    assert type(error) is kind
    assert error.message.startswith(f"{SHOWN}: ")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("size", [-1, 0, 1 << 60])
def test_a_size_that_no_disk_has_is_refused(size: int) -> None:
    with pytest.raises(UnsafeImageError, match=f"{size} bytes, which no disk image has"):
        check_size(size, SHOWN)
    check_size(1, SHOWN)


def test_where_nbdkit_is_not_installed_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(nbdkit, "_PROGRAM_PLACES", "/nowhere")
    with (
        pytest.raises(ImageAccessError, match="nbdkit, which opens it, is not installed") as error,
        serving(tmp_path, ["file"], cage=Cage(), shown=SHOWN, name="socket"),
    ):
        pass
    assert "install nbdkit" in error.value.hint
    assert list(tmp_path.iterdir()) == []
