"""The readers of hostile files: what they are once they read, and that nothing of them stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from guestrepair.disk.children import LESSER_USERS, Limits, lesser_user
from guestrepair.packages.child import LimitedChild

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=60, file_bytes=1 << 20)
READER = """
import ctypes, json, os, resource, subprocess, sys

def opened(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    # The library that ctypes uses may keep some memory of its own open.
    return not os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:libffi")

def capabilities():
    sets = ctypes.create_string_buffer(24)
    number = {"x86_64": 125, "aarch64": 90}[os.uname().machine]
    ctypes.CDLL(None).syscall(number, (ctypes.c_uint * 2)(0x20080522, 0), sets)
    return sets.raw.hex()

def main(*words):
    def opens(path):
        try:
            open(path).close()
        except OSError:
            return False
        return True
    grandchild = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print(json.dumps({
        "user": os.getresuid(), "group": os.getresgid(), "groups": os.getgroups(),
        "no new rights": str(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)), "capabilities": capabilities(),
        "memory": resource.getrlimit(resource.RLIMIT_AS), "file": resource.getrlimit(resource.RLIMIT_FSIZE),
        "core": resource.getrlimit(resource.RLIMIT_CORE), "secret": opens(words[0]),
        "files": [number for number in range(1024) if opened(number)],
        "children": [os.getpid(), grandchild.pid],
    }), flush=True)
    if words[1:]:
        sys.stdin.close()
        __import__("time").sleep(600)
    return 0
"""
PARENT = """
import sys, time
from pathlib import Path
from guestrepair.disk.children import lesser_user
from guestrepair.packages.child import LimitedChild
with LimitedChild(sys.argv[1], [sys.argv[2], "stay"], user=lesser_user()) as child:
    for line in child.lines():
        print(line.decode(), flush=True)
"""
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="without root there are no rights to give up")


@pytest.fixture
def reader(tmp_path: Path) -> str:
    """Its code lies where only we can read it, as a program installed in root's home does."""
    script = tmp_path / "reader.py"
    script.write_text(READER)
    script.chmod(0o600)
    return str(script)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    return str(path)


def told_by(reader: str, secret: str, user: int | None) -> dict[str, Any]:
    with LimitedChild(reader, [secret], limits=LIMITS, user=user) as child:
        (line,) = child.lines()
    told: dict[str, Any] = json.loads(line)
    return told


@only_root
def test_where_we_are_root_the_reader_is_not(reader: str, secret: str) -> None:
    user = lesser_user()
    assert user in LESSER_USERS
    told = told_by(reader, secret, user)
    assert told["user"] == told["group"] == [user] * 3
    assert told["groups"] == []
    assert int(told["capabilities"], 16) == 0
    assert told["secret"] is False


def test_it_has_its_limits_its_standard_streams_and_no_way_to_more_rights(reader: str, secret: str) -> None:
    told = told_by(reader, secret, lesser_user())
    assert told["no new rights"] == "1"
    assert (told["memory"], told["file"], told["core"]) == ([1 << 30] * 2, [1 << 20] * 2, [0, 0])
    assert told["files"] == [0, 1, 2]


def test_it_gets_the_open_files_that_it_is_given(tmp_path: Path, secret: str) -> None:
    Path(secret).write_text("the copy")
    script = tmp_path / "reader.py"
    script.write_text(
        "import os\ndef main(number):\n    print(os.read(int(number), 99).decode())\n    return 0\n"
    )
    with (
        Path(secret).open("rb") as given,
        LimitedChild(str(script), [str(given.fileno())], user=lesser_user(), files=[given.fileno()]) as child,
    ):
        assert list(child.lines()) == [b"the copy"]


def test_what_it_started_ends_with_it(reader: str, secret: str) -> None:
    assert gone(told_by(reader, secret, lesser_user())["children"])


def test_it_dies_with_us(reader: str, secret: str) -> None:
    command = [sys.executable, "-c", PARENT, reader, secret]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, grandchild = json.loads(parent.stdout.readline())["children"]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone([child])
    os.kill(grandchild, signal.SIGKILL)


def gone(processes: list[int]) -> bool:
    """True when none of them runs any more, some seconds later at the latest."""
    deadline = time.monotonic() + 5
    while any(is_running(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
