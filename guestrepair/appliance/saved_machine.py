"""An appliance that has booted once, saved, and resumed instead of booted.

Most of a launch is the same each time: firmware, kernel, modules, udev. So a machine that has nothing
but the appliance is started once, saved where it waits for disks (``init_script.py``), and its memory
kept beside the appliance. A launch goes on from there: qemu loads it (``-incoming``), with the disks of this
launch on the same controller, which the machine then looks for.

That holds for the very same machine alone. So libguestfs's own command line is recorded, without a start;
the machine to be saved is made from it; and a later launch is resumed where its command line is the same
but for disks, sockets and the kernel's arguments (``confine/variant.py``). Whatever differs, it boots. Only
emulated machines are saved: with KVM their state is of one kind of processor, and a launch is short. And
only such as have new random numbers when they go on (``reseeding.py``).

Memory and disk belong together: both are in a folder of that qemu, which is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestrepair.appliance import reseeding
from guestrepair.appliance.cache import is_sound
from guestrepair.appliance.init_script import WAIT, WAITING
from guestrepair.appliance.qmp import Monitor
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.confine.variant import options
from guestrepair.errors import GuestRepairError

SAVE_SECONDS = 180.0
"""How long it may take until the machine waits, and to save it; a launch without KVM takes under 10."""

RESUME_SECONDS = 60.0
"""How long a resumed machine may take: it is over in two seconds, or does not work."""

_OLD_SECONDS = 24 * 3600
_STATE, _ROOT, _TOLD = "state", "root.qcow2", "how.json"
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_POLL_SECONDS = 0.05
_FASTEST = 1 << 40
"""Bytes a second: qemu saves slowly by itself, as if to another host."""

_VARIES = (
    "-drive file=", "-device scsi-hd,drive=hd", "-chardev socket,path=", "-append ", "-kernel ", "-initrd ",
)  # fmt: skip
"""How libguestfs's options begin that are others at each launch, or mean nothing to a resumed one."""

_DISK = "-device scsi-hd,drive=appliance"


@dataclass(frozen=True, slots=True)
class SavedMachine:
    """What was saved of the appliance in ``directory``, for that qemu and no other."""

    directory: Path
    qemu: Path

    @property
    def place(self) -> Path:
        """Where its memory is, what it wrote to its disk (over the appliance's own), and how it is resumed.

        Raises:
            OSError: there is no such qemu.
        """
        identity = json.dumps(self._identity()).encode()
        return self.directory / f"saved-{hashlib.sha256(identity).hexdigest()[:16]}"

    @property
    def given_up(self) -> bool:
        """True when it could not be saved or resumed in the last day, or never can be on this host."""
        if reseeding.program() is None:
            return True
        try:
            return time.time() - (self.directory / "unsaved").stat().st_mtime < _OLD_SECONDS
        except OSError:
            return False

    def give_up(self) -> None:
        """Forget it, and do not try for a day."""
        with contextlib.suppress(OSError):
            (self.directory / "unsaved").touch(mode=0o600)
            _removed(self.place)

    def variant(self) -> Mapping[str, Any] | None:
        """What makes qemu resume it, for :func:`guestrepair.confine.process.wrapped`; None: there is none."""
        try:
            place = self.place
            if not all(map(is_sound, (place, *(place / name for name in (_STATE, _ROOT, _TOLD))))):
                return None
            told: dict[str, Any] = json.loads((place / _TOLD).read_text())
            if told.pop("qemu") != self._identity():
                return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return told

    def _identity(self) -> list[object]:
        status = self.qemu.stat()
        return [str(self.qemu), status.st_size, status.st_mtime_ns]

    def save(self, line: Sequence[str], home: Path, wanted: Callable[[], bool]) -> bool:
        """Start a machine from a command line of libguestfs's, and save it; True when that is done.

        ``home`` is a private directory; ``wanted`` is false once nobody needs it any more. Nobody else may be
        saving one (:func:`locked_at_once`): what is left of who was killed at it is removed.
        """
        work = self.directory / "saving"
        try:
            _removed(work)
            work.mkdir(mode=0o700)
            self._save(options(line), work, home, wanted)
            _removed(self.place)  # what was not believed
            work.rename(self.place)
        except (OSError, ValueError, subprocess.SubprocessError, GuestRepairError):
            if wanted():
                self.give_up()
            return False
        finally:
            _removed(work)
        return True

    def _save(
        self, line: Sequence[Sequence[str]], work: Path, home: Path, wanted: Callable[[], bool]
    ) -> None:
        roots = [option for option in line if _is_root(option)]
        known = [list(o) for o in line if o in roots or not " ".join(o).startswith(_VARIES)]
        if len(roots) != 1 or _DISK.split() not in known:
            raise ValueError("the appliance's own disk is not where it was known to be")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "../root", str(work / _ROOT)]
        subprocess.run(command, check=True, capture_output=True, timeout=SAVE_SECONDS)
        with self._machine(_to_be_saved(line, _drive(work, "")), home, work) as (machine, state):
            _until_it_waits(machine, home / "console", wanted)
            _written(machine, state, home)
        variant = {
            "qemu": self._identity(),
            "known": known,
            "varies": [*_VARIES],
            "instead": {
                _DISK: _own_disk(),
                " ".join(roots[0]): ["-drive", _drive(self.place, "snapshot=on,")],
            },
            "more": ["-incoming", "fd:{descriptor}"],
            "open": str(self.place / _STATE),
        }
        (work / _TOLD).write_text(json.dumps(variant))
        for file in work.iterdir():
            file.chmod(0o600)
            _to_disk(file)  # half of it, after a crash of this host, would be another machine

    @contextlib.contextmanager
    def _machine(
        self, line: Sequence[str], home: Path, work: Path
    ) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        state = os.open(
            work / _STATE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            process = start_caged(
                [*_DIES_WITH_US, self.qemu, *line, "-serial", f"file:{home / 'console'}",
                 "-qmp", f"unix:{home / 'qmp'},server=on,wait=off"],
                cage=Cage(read=(self.directory,), write=(work / _ROOT, home), run=(self.qemu,), machine=True),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": str(home)},
            )  # fmt: skip
            try:
                yield process, state
            finally:
                process.kill()
                process.wait()
        finally:
            os.close(state)


@contextlib.contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Whether the lock on a file could be had, without waiting; held while the block runs."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def _removed(directory: Path) -> None:
    """It is gone, and at no moment half of it under its name."""
    if directory.is_dir():
        gone = directory.with_name(f".gone-{os.getpid()}-{threading.get_native_id()}")
        with contextlib.suppress(OSError):
            directory.rename(gone)
            shutil.rmtree(gone)


def _drive(place: Path, snapshot: str) -> str:
    file = str(place / _ROOT).replace(",", ",,")
    return f"file={file},{snapshot}id=appliance,cache=unsafe,if=none,format=qcow2"


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _is_root(option: Sequence[str]) -> bool:
    return option[0] == "-drive" and ",id=appliance," in option[-1]


def _own_disk() -> list[str]:
    """The appliance's disk, not among the others: the kernel is to call the first of these /dev/sda."""
    return ["-device", "virtio-blk-pci,drive=appliance"]


def _to_be_saved(line: Sequence[Sequence[str]], root: str) -> list[str]:
    """The command line of a machine that waits for disks."""
    words: list[str] = []
    for option in line:
        text = " ".join(option)
        if _is_root(option):
            words += ["-drive", root]
        elif text == _DISK:
            words += _own_disk()
        elif option[0] == "-append":
            words += ["-append", f"{option[1]} quiet {WAIT}"]
        elif option[0] == "-chardev":
            words += ["-chardev", "null,id=channel0"]
        elif not text.startswith(("-drive ", "-device scsi-hd,", "-serial ")):
            words += option
    return words


def _until_it_waits(machine: subprocess.Popen[bytes], console: Path, wanted: Callable[[], bool]) -> None:
    until = time.monotonic() + SAVE_SECONDS
    while not (console.exists() and WAITING.encode() in console.read_bytes()):
        if machine.poll() is not None or time.monotonic() > until or not wanted():
            raise subprocess.SubprocessError("the machine does not come to where it can be saved")
        time.sleep(_POLL_SECONDS)


def _written(machine: subprocess.Popen[bytes], state: int, home: Path) -> None:
    """The machine's memory, in the open file ``state``; the machine has ended, and its disk is whole.

    Raises:
        GuestRepairError, subprocess.SubprocessError: qemu cannot do it.
    """
    until = time.monotonic() + SAVE_SECONDS
    with Monitor(home / "qmp") as monitor:
        monitor.execute("migrate-set-parameters", **{"max-bandwidth": _FASTEST})
        monitor.lend(state, "state")
        monitor.execute("migrate", uri="fd:state")
        while (status := monitor.execute("query-migrate").get("status")) != "completed":
            if status not in {"setup", "active", "device"} or time.monotonic() > until:
                raise subprocess.SubprocessError(f"the machine cannot be saved: {status}")
            time.sleep(_POLL_SECONDS)
        monitor.execute("quit")
    machine.wait(SAVE_SECONDS)
