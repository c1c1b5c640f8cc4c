"""The few words of the QEMU Machine Protocol that we need (docs/interop/qmp-spec in QEMU's sources).

The machine works on a hostile disk, and may have become the guest's: what it answers is bounded, in bytes and
in time, and may be anything.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from guestrepair.errors import BootError

_TIMEOUT_SECONDS = 20.0
_MAX_ANSWER_BYTES = 1 << 20


class Monitor:
    """A connection to a running machine's QMP socket; a context manager.

    Raises:
        BootError: nobody answers there, or not as qemu does.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._rest = b""
        try:
            self._socket.settimeout(_TIMEOUT_SECONDS)
            self._socket.connect(str(path))
            self._message(time.monotonic() + _TIMEOUT_SECONDS)
            self.execute("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise BootError(f"qemu's monitor does not answer: {error}") from error
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its value.

        Raises:
            BootError: the machine refuses it, or does not answer.
        """
        return self._ask(command, arguments)

    def hand_over(self, file: int) -> str:
        """Give the machine an open file; the answer is the name by which it then opens that.

        Raises:
            BootError: the machine refuses it, or does not answer.
        """
        added = self._ask("add-fd", {}, [file])
        number = added.get("fdset-id") if isinstance(added, dict) else None
        if not isinstance(number, int):
            raise BootError("qemu's answer to add-fd names no set of files")
        return f"/dev/fdset/{number}"

    def lend(self, file: int, name: str) -> None:
        """Let the machine have an open file under a name, for a command that takes "fd:NAME".

        Raises:
            BootError: the machine refuses it, or does not answer.
        """
        self._ask("getfd", {"fdname": name}, [file])

    def _ask(self, command: str, arguments: Mapping[str, object], files: Sequence[int] = ()) -> Any:
        request = {"execute": command, "arguments": arguments}
        until = time.monotonic() + _TIMEOUT_SECONDS
        try:
            self._socket.settimeout(_TIMEOUT_SECONDS)
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], files)
            while True:
                answer = self._message(until)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise BootError(f"qemu refuses {command}: {_description(answer['error'])}")
        except OSError as error:
            raise BootError(f"qemu does not answer {command}: {error}") from error

    def forwarded_port(self) -> int:
        """The host's port that is forwarded to the guest's ssh; 0 where there is none.

        Raises:
            BootError: the machine does not answer.
        """
        text = str(self.execute("human-monitor-command", **{"command-line": "info usernet"}))
        for line in text.splitlines():
            words = line.split()
            # Protocol[State]  FD  Source Address  Port  Dest. Address  Port  RecvQ SendQ
            if words and words[0] == "TCP[HOST_FORWARD]" and len(words) >= 4 and words[3].isdecimal():
                return int(words[3])
        return 0

    def _message(self, until: float) -> dict[str, Any]:
        """The next message: an answer, or an event.

        Raises:
            BootError: it is none.
            OSError: there is none, or not before ``until``.
        """
        while True:
            left = until - time.monotonic()
            if left <= 0:  # also where something comes all the time: events, or an answer bit by bit
                raise TimeoutError("timed out")
            if b"\n" in self._rest:
                break
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("connection closed")
            self._rest += data
            if len(self._rest) > _MAX_ANSWER_BYTES:
                raise ConnectionError("the answer is too long")
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise BootError("qemu's monitor does not speak its protocol")
        return message


def _description(error: object) -> str:
    return str(error.get("desc", "")) if isinstance(error, dict) else ""
