"""The process that is killed: one repair or one undo of an image, ending itself at a step that is given."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk import Transaction, examine, undo
from guestrepair.errors import GuestRepairError

CHANGES = (
    "write -P 0x21 4k 12k",
    "write -P 0 1M 256k",
    "write -P 0x22 3M 2560k",
    "write -P 0x01 6M 64k",
    "write -P 0x23 12M 4k",
)
"""What a repair does to the disk, for qemu-io: new data, zeros, several megabytes, and bytes that stay."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the victim does: ``what`` is repair or undo; ``log`` gets a line for each step it reached.

    ``at`` is the number of the step at which ``target`` is killed (from 0; None: never):
    self, or server (the qemu-nbd that writes for it).
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


class Killer:
    """The hook that ends this process, or its server, at one step."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.count = 0

    def __call__(self, name: str) -> None:
        with self.task.log.open("a") as log:
            log.write(f"{name}\n")
        if self.count == self.task.at:
            for pid in servers() if self.task.target == "server" else [os.getpid()]:
                os.kill(pid, signal.SIGKILL)
        self.count += 1


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
        else:
            with Transaction.begin(image, task.state, steps=killer) as transaction:
                change(transaction.overlay)
                transaction.commit({"plan": "test"}, {"findings": []})
    except GuestRepairError as error:
        with task.log.open("a") as log:
            log.write(f"{error.message}\n")
        return error.exit_status
    return 0


def run_and_exit(task: Task) -> None:
    """The body of a child process."""
    os._exit(run(task))
