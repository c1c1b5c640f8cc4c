"""Disks behind sshd, nbdkit and qemu-nbd."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.attach import nbdkit
from guestrepair.disk.attach.attachment import attached
from guestrepair.disk.device import open_image
from guestrepair.errors import ImageError, SourceError
from tests.oracle.attach.conftest import location, whole
from tests.support.servers import agent, free_port, nbd_server, sshd, started

USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of an sshd that lets us in by the key of our agent, and whose host key is known."""
    with sshd(tmp_path / "sshd") as (port, key), agent(tmp_path / "sshd/id") as address:
        monkeypatch.setenv("SSH_AUTH_SOCK", address)
        with known_host(port, key):
            yield port


class known_host:  # noqa: N801 - used like contextlib's
    """While the block runs, the host key is in the user's own file: libssh looks nowhere else."""

    def __init__(self, port: int, key: str) -> None:
        self._line = f"[127.0.0.1]:{port} {key}\n"
        self._file = Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".ssh/known_hosts"

    def __enter__(self) -> None:
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        with self._file.open("a") as file:
            file.write(self._line)

    def __exit__(self, *_error: object) -> None:
        self._file.write_text(self._file.read_text().replace(self._line, ""))


def uri(port: int, path: object) -> str:
    return f"ssh://{USER}@127.0.0.1:{port}{path}"


def test_ssh(ssh: int, disk: Path, content: bytes) -> None:
    assert whole(uri(ssh, disk)) == content
    with pytest.raises(ImageError, match="No such file"):
        whole(uri(ssh, disk.with_name("other.raw")))


def test_ssh_by_a_compressed_name(ssh: int, disk: Path, content: bytes) -> None:
    subprocess.run(["gzip", "-k", disk], check=True)
    assert whole(uri(ssh, f"{disk}.gz")) == content


def test_an_unknown_host_key_and_a_missing_key_are_refused(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with sshd(tmp_path / "sshd") as (port, key):
        with pytest.raises(ImageError, match="host key is unknown") as refusal:
            whole(uri(port, disk))
        assert "fingerprint" in refusal.value.hint
        with known_host(port, key), pytest.raises(ImageError, match="authentication") as refusal:
            whole(uri(port, disk))
        assert "ssh-add" in refusal.value.hint
    with pytest.raises(ImageError, match="refused"):
        whole(uri(port, disk))


def test_nbd_by_tcp_and_socket(disk: Path, content: bytes, tmp_path: Path) -> None:
    with nbd_server("file", disk) as port:
        assert whole(f"nbd://127.0.0.1:{port}") == content
    address = tmp_path / "a socket"
    command = ["qemu-nbd", "-r", "-f", "raw", "-x", "an/export", "-k", str(address), str(disk)]
    with subprocess.Popen(command) as server:
        while not address.exists():
            assert server.poll() is None
        # It lets in one client, once: that is enough.
        assert whole(f"nbd+unix:///an%2Fexport?socket={str(address).replace(' ', '%20')}") == content
        server.wait(timeout=20)


def test_an_export_that_is_not_there(disk: Path) -> None:
    port = free_port()
    command = ["qemu-nbd", "-r", "-t", "-f", "raw", "-x", "e", "-b", "127.0.0.1", "-p", str(port), str(disk)]
    with started(command, port), pytest.raises(ImageError, match="other"):
        whole(f"nbd://127.0.0.1:{port}/other")
    with pytest.raises(ImageError, match="refused"):
        whole(f"nbd://127.0.0.1:{port}/e")


def test_delays_and_a_server_that_fails_now_and_then(disk: Path, content: bytes) -> None:
    words = ["--filter=delay", "--filter=error", "file", str(disk), "delay-read=5ms", "error-pread-rate=20%"]
    with nbd_server(*words) as port:
        assert whole(f"nbd://127.0.0.1:{port}") == content


def test_one_that_fails_always_makes_all_count_for_nothing(disk: Path, tmp_path: Path) -> None:
    trigger = tmp_path / "fails-now"
    with nbd_server("--filter=error", "file", disk, "error-pread-rate=100%", f"error-file={trigger}") as port:

        def read() -> None:
            with attached(location(f"nbd://127.0.0.1:{port}")) as found:
                image = examine(found)
                trigger.touch()
                with open_image(image) as device:
                    device.read(3 << 20, 4096)

        with pytest.raises(SourceError, match="could not be read"):
            read()


def test_one_that_dies_in_the_middle(disk: Path) -> None:
    port = free_port()
    command = ["qemu-nbd", "-r", "-t", "-f", "raw", "-b", "127.0.0.1", "-p", str(port), str(disk)]

    def read() -> None:
        with started(command, port) as server, attached(location(f"nbd://127.0.0.1:{port}")) as found:
            image = examine(found)
            server.kill()
            server.wait()
            with open_image(image) as device:
                device.read(3 << 20, 4096)

    with pytest.raises(SourceError):
        read()


def test_one_that_hangs_is_not_waited_for(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbdkit, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(nbdkit, "START_SECONDS", 2.0)
    with (
        nbd_server("--filter=delay", "file", disk, "delay-read=60") as port,
        pytest.raises(ImageError, match="no answer"),
    ):
        whole(f"nbd://127.0.0.1:{port}")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # it lets in, and says nothing
        pytest.raises(ImageError, match="no answer"),
    ):
        whole(f"nbd://127.0.0.1:{silent.getsockname()[1]}")


def test_a_program_that_is_not_there_is_named(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbdkit, "_PROGRAM_PLACES", "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ImageError, match="nbdkit, which opens it, is not installed") as refusal:
        whole("nbd://127.0.0.1:1")
    assert "install nbdkit" in refusal.value.hint
