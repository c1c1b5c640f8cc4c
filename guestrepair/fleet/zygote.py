"""A process that has imported the tool and forks a child for each image, so that imports are paid once.

It is a program of its own (``cli/fleet_child.py``), without threads and without handles, so that a fork
copies nothing that does not survive one: guestfs handles, nbd connections and threads are made in the
children only. It reads requests, a line of JSON each, from stdin, and writes events to stdout::

    {"start": ID, "arguments": [...], "mark": "...", "record": "/…/ID.json"}
    {"end": ID, "kill": false}                              TERM to its group, or the end of all its processes
    {"started": ID, "pid": 4711}
    {"ended": ID, "status": 256, "said": "…"}               as wait(2) has it, and its last words on stderr

At the end of stdin, whatever the reason, it kills all that runs and ends itself: no image is worked on for a
driver that is gone.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestrepair.fleet.child import MAX_RECORD_BYTES, Command, run_child
from guestrepair.fleet.processes import adopt_orphans, die_with_parent, kill_tree, tree

_LAST_WORDS = 4096
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class _Child:
    """A child that runs: its process, and where its stderr goes (a memory file)."""

    id: str
    pid: int
    pidfd: int
    stderr: int


class Zygote:
    """The loop: requests in, children out, events back."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._children: dict[str, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._unread = b""

    def serve(self) -> None:
        """Until the end of stdin; nothing that was started lives afterwards."""
        adopt_orphans()
        gc.freeze()  # collections in the children touch, and so copy, less
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C at its terminal means
        self._selector.register(0, selectors.EVENT_READ)
        try:
            self._loop()
        finally:
            for child in self._children.values():
                kill_tree(child.pid)
            for pid in tree(os.getpid())[1:]:
                kill_tree(pid)

    def _loop(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._ended(key.data)
                    continue
                requests = self._requests()
                if requests is None:
                    return
                for request in requests:
                    self._do(request)

    def _requests(self) -> list[dict[str, Any]] | None:
        """The whole lines that came; None at the end of stdin."""
        piece = os.read(0, _PIECE)
        if not piece:
            return None
        *lines, self._unread = (self._unread + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def _do(self, request: dict[str, Any]) -> None:
        if "start" in request:
            self._start(request)
            return
        child = self._children.get(request["end"])
        if child is None:
            return  # it has ended by itself meanwhile
        if request["kill"]:
            kill_tree(child.pid)
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)

    def _start(self, request: dict[str, Any]) -> None:
        stdout, stderr = os.memfd_create("stdout"), os.memfd_create("stderr")
        parent = os.getpid()
        if threading.active_count() > 1:
            raise AssertionError("a fork would leave threads behind")
        pid = os.fork()
        if pid == 0:
            self._be_child(request, parent, stdout, stderr)
        os.close(stdout)
        child = _Child(request["start"], pid, os.pidfd_open(pid), stderr)
        self._children[child.id] = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)
        _say({"started": child.id, "pid": pid})

    def _be_child(self, request: dict[str, Any], parent: int, stdout: int, stderr: int) -> None:
        """Everything that a child does; it does not return."""
        status = 70
        try:
            die_with_parent(parent)
            os.setsid()
            adopt_orphans()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._forget()
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            with open(os.devnull, "rb") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), 0)
            os.close(stderr)
            status = run_child(
                request["arguments"],
                request["mark"],
                Path(request["record"]),
                self._command,
                lambda: _content(stdout, MAX_RECORD_BYTES),
            )
        except BaseException as error:
            os.write(2, f"guestrepair: {type(error).__name__}: {error}\n".encode(errors="backslashreplace"))
        finally:
            sys.stderr.flush()
            os._exit(status)  # the interpreter of the zygote is not ours to take down

    def _forget(self) -> None:
        """Close what belongs to the zygote and to its other children."""
        self._selector.close()
        for child in self._children.values():
            os.close(child.pidfd)
            os.close(child.stderr)

    def _ended(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        del self._children[child.id]
        self._sweep()
        words = _content(child.stderr, _LAST_WORDS, last=True).decode(errors="replace")
        os.close(child.stderr)
        said = next((line for line in reversed(words.splitlines()) if line.strip()), "")
        _say({"ended": child.id, "status": status, "said": said})

    def _sweep(self) -> None:
        """Kill what a child has left: its orphans are ours now, and nobody else's are."""
        living = {child.pid for child in self._children.values()}
        for pid in list(_children_of_ours()):
            if pid not in living:
                kill_tree(pid)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _children_of_ours() -> Iterator[int]:
    """Our direct children, those that ended too."""
    found = tree(os.getpid())[1:]
    for pid in found:
        with suppress(OSError, IndexError, ValueError):
            line = Path(f"/proc/{pid}/stat").read_bytes()
            if int(line.rpartition(b")")[2].split()[1]) == os.getpid():
                yield pid


def _content(fd: int, most: int, *, last: bool = False) -> bytes:
    """The first bytes of a memory file, or the last ones."""
    size = os.fstat(fd).st_size
    return os.pread(fd, most, max(0, size - most) if last else 0)


def _say(event: dict[str, Any]) -> None:
    data = memoryview(json.dumps(event).encode() + b"\n")
    while data:
        data = data[os.write(1, data) :]
