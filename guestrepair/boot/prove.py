"""Does it boot? One machine, watched until it is clear how far it comes."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from guestrepair.appliance.acceleration import Acceleration, acceleration
from guestrepair.boot.console import Console
from guestrepair.boot.firmware import needs_uefi
from guestrepair.boot.machine import Machine, MachineOptions, running
from guestrepair.boot.outcome import BootReport, Milestone, Outcome, Stage
from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.overlay import files_under, link_reached
from guestrepair.disk.sectors import sector_bytes_of
from guestrepair.disk.space import watched
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import BootError, BudgetError
from guestrepair.fence import LOOK, within

DEFAULT_TIMEOUT_SECONDS = 300.0
_POLL_SECONDS = 0.25
_SETTLE_SECONDS = 1.5
"""After the deciding line, what explains it may still come."""

_SSH_PATIENCE_SECONDS = 45.0
"""How long after the login prompt sshd may take; both are started side by side."""

_SSH_GIVEN_UP_SECONDS = 12.0
"""The same once its unit has failed: systemd tries it again some times."""

_SSH_UNIT = re.compile(r"^sshd?\.service$|Secure Shell server|OpenSSH server|OpenSSH Daemon", re.IGNORECASE)
"""The unit, or its description in Debian, the Red Hat family and SUSE: consoles may show only that."""

_SILENCE_SECONDS = {Acceleration.KVM: 15.0, Acceleration.TCG: 25.0}
"""After the boot loader, a kernel with a serial console has said something within that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootOptions:
    """How to boot: ``ssh`` waits for sshd's banner too; ``screenshot`` is where a PNG of the screen goes."""

    ssh: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    screenshot: Path | None = None
    acceleration: Acceleration | None = None
    add_serial_console: bool = True
    progress: Callable[[str], None] = lambda _message: None
    while_up: Callable[[int], None] | None = None
    """Called with the forwarded port when sshd answers; the machine runs on until it returns."""


def prove(
    overlay: Path,
    image_format: str = "qcow2",
    *,
    further: Sequence[Path] = (),
    options: BootOptions | None = None,
) -> BootReport:
    """Boot a throw-away overlay on ``overlay`` and report how far it came; ``overlay`` itself is only read.

    ``image_format`` is the format of ``overlay``, and of the guest's ``further``
    disks. True afterwards: no process and no file of the boot is left, whatever happened.

    Raises:
        BootError: qemu or its firmware is not installed, or qemu does not start.
        ImageError: an overlay cannot be made.
    """
    chosen = options or BootOptions()
    with private_directory() as directory:
        disks = [
            _on_top(disk, image_format, directory / f"disk{n}.qcow2", link_reached(directory / str(n), disk))
            for n, disk in enumerate((overlay, *further))
        ]
        report, silent = _boot(disks, directory, chosen)
        if silent and chosen.add_serial_console:
            from guestrepair.boot.serial_console import add_serial_console

            chosen.progress("no serial console: adding console=ttyS0 to the overlay's boot loader")
            disks[0].unlink()
            _on_top(overlay, image_format, disks[0], files_under(disks[0]))
            try:
                changed = within(LOOK, lambda: add_serial_console(disks[0], overlay))
            except BudgetError:
                changed = False
            if changed:
                report, _ = _boot(disks, directory, chosen, serial_console_added=True)
        return report


def _on_top(below: Path, image_format: str, path: Path, reached: tuple[Path, ...]) -> Path:
    arguments = ("create", "-q", "-f", "qcow2", "-F", image_format, "-b", str(below.absolute()), str(path))
    cage = Cage(read=reached, write=(path.parent,))
    qemu.run("qemu-img", *arguments, path=below, cage=cage, writes=True)
    return path


def _boot(
    disks: Sequence[Path], directory: Path, options: BootOptions, *, serial_console_added: bool = False
) -> tuple[BootReport, bool]:
    """One boot; also whether the kernel was started and stayed silent."""
    verdict = options.acceleration or acceleration().acceleration
    sectors = tuple(sector_bytes_of(disk) for disk in disks)
    uefi = _uefi(disks[0], directory, sectors[0])
    machine_options = MachineOptions(
        disks=tuple(disks), sectors=sectors, uefi=uefi, ssh=options.ssh, acceleration=verdict
    )
    with running(machine_options, directory) as machine:
        watch = _Watch(machine, options, _SILENCE_SECONDS[verdict])
        with _room_in(directory, machine):
            watch.run()
        shot = _screenshot(machine, options.screenshot)
        seen = watch.console.verdict()
        return (
            BootReport(
                outcome=watch.outcome,
                detail=seen.detail or watch.last_line(),
                failed_units=seen.failed_units,
                milestones=(*seen.milestones, *watch.ssh_milestone),
                seconds=watch.elapsed(),
                firmware="UEFI" if uefi else "BIOS",
                acceleration=verdict.value,
                serial_console_added=serial_console_added,
                ssh_banner=watch.banner if options.ssh else None,
                screenshot=shot,
                console_tail=watch.console.tail(),
            ),
            watch.silent,
        )


@contextmanager
def _room_in(directory: Path, machine: Machine) -> Iterator[None]:
    """End the machine where its overlay cannot grow any more: qemu would wait for room without end.

    Raises:
        BootError: it was ended.
    """
    low = threading.Event()

    def give_up() -> None:
        low.set()
        machine.kill()

    try:
        with watched(directory, give_up):
            yield
    except BootError:
        if not low.is_set():
            raise
    if low.is_set():
        raise BootError(
            f"no room left in {directory.parent} for what the guest writes: the boot was ended",
            hint="free some space there, or name another directory in TMPDIR",
        )


def _uefi(disk: Path, directory: Path, sector_bytes: int) -> bool:
    """Whether the disk needs UEFI, from a copy of its first megabyte."""
    head = directory / "head.raw"
    arguments = ("dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=1", f"if={disk}", f"of={head}")
    head.touch(mode=0o600)  # so that nothing else can be put in its place
    cage = Cage(read=(disk, *files_under(disk)), write=(head,))
    qemu.run("qemu-img", *arguments, path=disk, cage=cage, writes=True)
    data = head.read_bytes()
    head.unlink()
    return needs_uefi(lambda offset, length: data[offset : offset + length], len(data), sector_bytes)


def _screenshot(machine: Machine, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        picture = machine.screenshot()
    except BootError:
        # The machine may have switched itself off: then there is no screen any more.
        return ""
    path.write_bytes(picture)
    return str(path)


class _Watch:
    """Following one machine's console until it is clear what became of it."""

    def __init__(self, machine: Machine, options: BootOptions, silence_seconds: float) -> None:
        self.console = Console()
        self.outcome = Outcome.TIMEOUT
        self.banner = ""
        self.silent = False
        self.ssh_milestone: tuple[Milestone, ...] = ()
        self._machine = machine
        self._options = options
        self._silence_seconds = silence_seconds
        self._started = time.monotonic()
        self._last_output = self._started
        self._shown = 0
        self._ended = False

    def elapsed(self) -> float:
        """Seconds since power-on."""
        return time.monotonic() - self._started

    def last_line(self) -> str:
        """What the console said last."""
        return (self.console.tail() or ("",))[-1].strip()

    def run(self) -> None:
        """Watch to the end.

        Raises:
            BootError: qemu did not start.
        """
        while self.elapsed() < self._options.timeout_seconds:
            self._read(_POLL_SECONDS)
            found = self.console.verdict().outcome
            if self._ended:
                self._at_end(found)
                return
            if found is not None:
                self._settle(found)
                return
            if self._is_silent():
                self.silent = True
                return

    def _settle(self, found: Outcome) -> None:
        """An outcome was seen: wait for what belongs to it."""
        at_login = found in {Outcome.LOGIN, Outcome.READ_ONLY}
        if not at_login:
            until = self.elapsed() + _SETTLE_SECONDS
            while self.elapsed() < until and not self._ended:
                self._read(_POLL_SECONDS)
        self.outcome = self.console.verdict().outcome or found
        if at_login and self._options.ssh:
            self._wait_for_ssh()

    def _at_end(self, found: Outcome | None) -> None:
        if self._machine.failed_to_start:
            complaint = self._machine.complaint()
            raise BootError(f"qemu does not run: {complaint or 'no message'}", hint="try it with -v")
        self.outcome = found if found is Outcome.PANIC else Outcome.STOPPED

    def _read(self, timeout_seconds: float) -> None:
        data = self._machine.read(timeout_seconds)
        if data is None:
            self._ended = True
            # The process ends a moment after its console does.
            time.sleep(_POLL_SECONDS)
            return
        if data:
            self._last_output = time.monotonic()
            self.console.feed(data, self.elapsed())
            milestones = self.console.verdict().milestones
            for milestone in milestones[self._shown :]:
                self._options.progress(f"{milestone.seconds:5.1f} s  {milestone.stage.value}")
            self._shown = len(milestones)

    def _is_silent(self) -> bool:
        """The boot loader handed over, and nothing came since."""
        return (
            self.console.reached(Stage.LOADER)
            and not self.console.reached(Stage.KERNEL)
            and time.monotonic() - self._last_output > self._silence_seconds
        )

    def _wait_for_ssh(self) -> None:
        self._options.progress("waiting for sshd")
        with self._machine.monitor() as monitor:
            port = monitor.forwarded_port()
        at_login = self.elapsed()
        while not self.banner and not self._ended and self.elapsed() < self._patience(at_login):
            self.banner = ssh_banner(port)
            self._read(_POLL_SECONDS)
        if self.banner:
            self.ssh_milestone = (Milestone(Stage.SSH, self.elapsed(), self.banner),)
            self._visit(port)

    def _patience(self, at_login: float) -> float:
        """Until when sshd may take; less once the service manager has given it up."""
        given_up = any(_SSH_UNIT.search(unit) for unit in self.console.verdict().failed_units)
        patience = _SSH_GIVEN_UP_SECONDS if given_up else _SSH_PATIENCE_SECONDS
        return min(at_login + patience, self._options.timeout_seconds)

    def _visit(self, port: int) -> None:
        """Let the caller at the running guest, while its console goes on being read: a full one stops it."""
        visit = self._options.while_up
        if visit is None:
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            visitor = pool.submit(visit, port)
            while not visitor.done():
                self._read(_POLL_SECONDS)
            visitor.result()


def ssh_banner(port: int, *, timeout_seconds: float = 3.0) -> str:
    """What the server on 127.0.0.1 says first (RFC 4253, 4.2); empty where none answers."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as connection,
    ):
        connection.settimeout(timeout_seconds)
        line = connection.recv(255).split(b"\n")[0]
        text = "".join(c for c in line.decode("ascii", errors="replace") if c.isprintable())
        return text if text.startswith("SSH-") else ""
    return ""
