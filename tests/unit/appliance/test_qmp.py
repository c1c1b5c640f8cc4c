"""The monitor of a machine that may have become the guest's: any answer is an answer, or one clear line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guestrepair.appliance import qmp
from guestrepair.appliance.qmp import Monitor
from guestrepair.errors import BootError

GREETING = b'{"QMP": {}}\n'
USERNET = """\
Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  12       127.0.0.1 40123       10.0.2.15    22     0     0
"""


class Qemu:
    """A machine at the other end of a socket: what it answers to each command, as bytes; "" and it hangs up.

    Where it ``repeats`` itself, an answer has no end.
    """

    def __init__(self, path: Path, answers: dict[str, bytes], *, repeats: bool = False) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self.files: list[int] = []
        self.hung_up = threading.Event()
        self._answers = {"qmp_capabilities": b'{"return": {}}\n', **answers}
        self._repeats = repeats
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        self._server.close()
        with client, contextlib.suppress(ConnectionError):
            client.sendall(GREETING)
            while self._answered(client):
                pass
        self.hung_up.set()

    def _answered(self, client: socket.socket) -> bool:
        data, files, _, _ = socket.recv_fds(client, 1 << 16, 4)
        if not data:
            return False
        self.files += files
        asked = json.loads(data)
        self.asked.append(asked)
        answer = self._answers.get(asked["execute"], b'{"return": {}}\n')
        client.sendall(answer)
        while self._repeats and asked["execute"] != "qmp_capabilities":
            client.sendall(answer)
            time.sleep(0.001)
        return bool(answer)


@pytest.fixture
def qemu(tmp_path: Path) -> Callable[..., Qemu]:
    return lambda answers, **how: Qemu(tmp_path / "qmp", answers, **how)


def test_events_that_come_in_between_are_no_answer(qemu: Callable[..., Qemu]) -> None:
    answer = b'{"event": "RESUME", "data": {}}\n{"return": {"status": "running"}}\n'
    machine = qemu({"query-status": answer})
    with Monitor(machine.path) as monitor:
        assert monitor.execute("query-status") == {"status": "running"}
    assert [each["execute"] for each in machine.asked] == ["qmp_capabilities", "query-status"]
    assert machine.hung_up.wait(10), "the connection is still held"


def test_an_open_file_is_handed_over_under_the_name_that_qemu_gives_it(
    qemu: Callable[..., Qemu], tmp_path: Path
) -> None:
    machine = qemu({"add-fd": b'{"return": {"fdset-id": 7, "fd": 30}}\n'})
    with (tmp_path / "picture").open("wb") as file, Monitor(machine.path) as monitor:
        assert monitor.hand_over(file.fileno()) == "/dev/fdset/7"
        (handed,) = machine.files
        assert os.fstat(handed).st_ino == os.fstat(file.fileno()).st_ino
    os.close(handed)


def test_a_command_that_qemu_refuses_is_its_own_words(qemu: Callable[..., Qemu]) -> None:
    machine = qemu({"screendump": b'{"error": {"class": "GenericError", "desc": "no display"}}\n'})
    with Monitor(machine.path) as monitor, pytest.raises(BootError) as refused:
        monitor.execute("screendump", filename="x")
    assert refused.value.message == "qemu refuses screendump: no display"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "does not answer query-status: connection closed"),
        (b"not JSON\n", "does not speak its protocol"),
        (b"\xff\xfe\n", "does not speak its protocol"),
        (b"[1]\n", "does not speak its protocol"),
        (b"null\n", "does not speak its protocol"),
        (b"[" * 50_000 + b"\n", "does not speak its protocol"),
        (b'{"error": "no"}\n', "refuses query-status"),
        (b"x" * (1 << 17), "does not answer query-status: the answer is too long"),
    ],
)
def test_whatever_it_answers_is_one_clear_line(
    answer: bytes, words: str, qemu: Callable[..., Qemu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "_MAX_ANSWER_BYTES", 1 << 16)
    machine = qemu({"query-status": answer})
    with Monitor(machine.path) as monitor, pytest.raises(BootError, match=words):
        monitor.execute("query-status")


@pytest.mark.parametrize("answer", [b'{"return": null}\n', b'{"return": {"fdset-id": "../x"}}\n'])
def test_a_set_of_files_without_a_number_is_no_name(answer: bytes, qemu: Callable[..., Qemu]) -> None:
    with Monitor(qemu({"add-fd": answer}).path) as monitor, pytest.raises(BootError, match="no set of files"):
        monitor.hand_over(0)


@pytest.mark.parametrize("answer", [b'{"event": "RESUME"}\n', b"x"])
def test_what_comes_without_end_is_not_waited_for(
    answer: bytes, qemu: Callable[..., Qemu], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = qemu({"query-status": answer}, repeats=True)
    with Monitor(machine.path) as monitor:
        monkeypatch.setattr(qmp, "_TIMEOUT_SECONDS", 0.1)
        with pytest.raises(BootError, match="does not answer query-status: timed out"):
            monitor.execute("query-status")


def test_who_does_not_answer_at_all_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "_TIMEOUT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "qmp"))
        silent.listen()
        with pytest.raises(BootError, match="monitor does not answer: timed out"):
            Monitor(tmp_path / "qmp")
    with pytest.raises(BootError, match="monitor does not answer"):
        Monitor(tmp_path / "absent")


@pytest.mark.parametrize("refusal", [b'{"error": {"desc": "busy"}}\n', b"no\n"])
def test_a_machine_that_refuses_the_first_word_is_left_with_no_connection(
    refusal: bytes, qemu: Callable[..., Qemu]
) -> None:
    machine = qemu({"qmp_capabilities": refusal})
    with pytest.raises(BootError) as refused:  # which holds what raised it
        Monitor(machine.path)
    assert machine.hung_up.wait(10), f"the connection is still held after: {refused.value}"


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (USERNET, 40123),
        ("", 0),
        ("Hub -1 (net0):\n  UDP[236 sec] 15 10.0.2.15 68 10.0.2.3 67 0 0\n", 0),
        ("TCP[HOST_FORWARD] 12 127.0.0.1 many 10.0.2.15 22 0 0\n", 0),
        ("TCP[HOST_FORWARD] 12\n", 0),
    ],
)
def test_the_port_that_leads_to_the_guest_s_ssh(text: str, port: int, qemu: Callable[..., Qemu]) -> None:
    machine = qemu({"human-monitor-command": json.dumps({"return": text}).encode() + b"\n"})
    with Monitor(machine.path) as monitor:
        assert monitor.forwarded_port() == port
