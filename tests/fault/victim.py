"""The process that is killed: one repair or one undo of an image, ending itself at a step that is given."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk import Transaction, examine, undo
from guestrepair.errors import GuestRepairError, RepairError

CHANGES = (
    "write -P 0x21 4k 12k",
    "write -P 0 1M 256k",
    "write -P 0x22 3M 2560k",
    "write -P 0x01 6M 64k",
    "write -P 0x23 12M 4k",
)
"""What a repair does to the disk, for qemu-io: new data, zeros, several megabytes, and bytes that stay."""


INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Task:
    """What the victim does: ``log`` gets a line for each step it reached.

    ``what`` is repair, undo, revert (a repair that Ctrl-C interrupts while it is written, which
    therefore takes itself back) or recover (what the next repair does first, and no more). ``at``
    is the number of the step at which ``target`` is hit (from 0; None: never): self or server
    (the qemu-nbd that writes for it) are killed, ``space:DIR`` is filled up, ``device:/dev/loopN`` goes away.
    """

    what: str
    image: Path
    format: str
    state: Path
    log: Path
    at: int | None = None
    target: str = "self"


def change(overlay: Path) -> None:
    """Make the changes of the repair in an overlay."""
    commands = [part for text in CHANGES for part in ("-c", text)]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, overlay], check=True, stdout=subprocess.DEVNULL)


INTERRUPTED_AT = "write 3"


class Killer:
    """The hook that ends this process, or its server, at one step."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.count = 0

    def __call__(self, name: str) -> None:
        with self.task.log.open("a") as log:
            log.write(f"{name}\n")
        if self.task.what == "revert" and name == INTERRUPTED_AT:
            os.kill(os.getpid(), signal.SIGINT)
        if self.count == self.task.at:
            hit(self.task.target)
        self.count += 1


def hit(target: str) -> None:
    """Do to a target what :class:`Task` says."""
    kind, _, where = target.partition(":")
    if kind == "space":
        fill(Path(where))
    elif kind == "device":
        vanish(where)
    else:
        for pid in servers() if kind == "server" else [os.getpid()]:
            os.kill(pid, signal.SIGKILL)


def fill(directory: Path) -> None:
    """Take all the space of the filesystem there, to the last block."""
    fd = os.open(directory / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        end = os.fstat(fd).st_size
        for piece in (16 << 20, 1 << 20, 64 << 10, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(fd, end, piece)
                    end += piece
    finally:
        os.close(fd)


_LOOP_SET_STATUS64, _LOOP_GET_STATUS64 = 0x4C04, 0x4C05
_BLKFLSBUF = 0x1261
_SIZE_LIMIT_AT = 32


def vanish(device: str, *, size_limit: int = 512) -> None:
    """Leave one sector of a loop device, as of a disk that was pulled (0: all of it is back)."""
    fd = os.open(device, os.O_RDONLY)
    try:
        status = bytearray(232)  # struct loop_info64 of linux/loop.h
        fcntl.ioctl(fd, _LOOP_GET_STATUS64, status)
        struct.pack_into("<Q", status, _SIZE_LIMIT_AT, size_limit)
        fcntl.ioctl(fd, _LOOP_SET_STATUS64, status)
        if not size_limit:
            # A disk that comes back is a new one to the kernel, without pages of when it was short.
            fcntl.ioctl(fd, _BLKFLSBUF, 0)
    finally:
        os.close(fd)


def servers() -> list[int]:
    """The qemu-nbd processes that this process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
            command = (entry.parent / "comm").read_text().strip()
        except OSError:
            continue  # it ended between the listing and the reading
        if command == "qemu-nbd" and int(fields[1]) == os.getpid():
            found.append(int(entry.parent.name))
    return found


def run(task: Task) -> int:
    """Do it; 0 when it was done, else the exit status of the error (its message goes to the log)."""
    killer = Killer(task)
    try:
        image = examine(task.image, input_format=task.format)
        if task.what == "undo":
            undo(image, task.state, steps=killer)
            return 0
        with Transaction.begin(image, task.state, steps=killer) as transaction:
            if task.what != "recover":
                change(transaction.overlay)
                transaction.commit({"plan": "test"}, {"findings": []})
    except KeyboardInterrupt:
        return INTERRUPTED
    except subprocess.CalledProcessError:
        return RepairError.exit_status  # the changes could not be staged
    except GuestRepairError as error:
        with task.log.open("a") as log:
            log.write(f"{error.message}\n")
        return error.exit_status
    return 0


def run_and_exit(task: Task) -> None:
    """The body of a child process."""
    os._exit(run(task))
