"""A virtual machine for one boot: its command line, and a life that ends with ours.

The disk is always an overlay in a private directory. The machine has no network
card unless ssh is asked for, and then one that reaches nothing: the guest can be
connected to from 127.0.0.1, and cannot connect out (``restrict=on``). qemu runs in its
own sandbox, is killed when this process dies, and never outlives the block that started it. Started
by root, it opens the disks and then becomes a user without rights, in a process namespace
of its own, before the guest runs its first instruction.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from guestrepair.appliance.acceleration import Acceleration
from guestrepair.appliance.qmp import Monitor
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import run_caged, wrapped
from guestrepair.disk import children
from guestrepair.disk.overlay import files_under
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import BootError
from guestrepair.host_packages import hint

MEMORY_MIB = 1024
PROCESSORS = 2
STOP_SECONDS = 5.0
_VERSION_SECONDS = 60.0
_READ_BYTES = 65536
_MAX_PICTURE_BYTES = 64 << 20

OVMF = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
"""UEFI firmware and its empty variable store: Debian, older Debian, Fedora, Arch."""

_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", '"$@"; exit $?', "sh"]
"""The shell is the first process of the namespace: it keeps its user, and so dies with us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOptions:
    """What the machine is made of. ``disks`` are qcow2 overlays, the boot disk first."""

    disks: tuple[Path, ...]
    sectors: tuple[int, ...] = ()
    """Bytes of a sector of each disk; 512 where nothing is said."""
    uefi: bool
    ssh: bool
    acceleration: Acceleration
    memory_mib: int = MEMORY_MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What the process may open, and whom it becomes once that is open (None: it stays who it is)."""

    cage: Cage
    user: int | None


class Machine:
    """A running machine: its console, its monitor, its end."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, errors: IO[bytes]) -> None:
        self._process = process
        self._monitor_path = directory / "qmp"
        self._errors = errors
        self._directory = directory
        self._console_open = True

    def read(self, timeout_seconds: float) -> bytes | None:
        """What the console printed since, waiting at most that long; None when the machine has ended."""
        if self._process.stdout is None or not self._console_open:
            return None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_seconds)
        if not ready:
            return b""
        data = os.read(self._process.stdout.fileno(), _READ_BYTES)
        self._console_open = bool(data)
        return data or None

    def monitor(self) -> Monitor:
        """A connection to its monitor.

        Raises:
            BootError: it does not answer; qemu's own words where it ended.
        """
        if self._process.poll() is not None:
            raise BootError(
                f"qemu ended at once: {self.complaint()}",
                hint="is this qemu complete? qemu-system-x86_64 -machine q35 must work",
            )
        return Monitor(self._monitor_path)

    def screenshot(self) -> bytes:
        """The screen as a PNG.

        Raises:
            BootError: the machine has ended, or its qemu cannot make one (7.1 and newer can).
        """
        # Without a name: qemu has no right to make a file here, and could have put a link in a name's place.
        with tempfile.TemporaryFile(dir=self._directory) as picture:
            with Path(f"/proc/self/fd/{picture.fileno()}").open("wb") as out, self.monitor() as monitor:
                monitor.execute("screendump", filename=monitor.hand_over(out.fileno()), format="png")
            return picture.read(_MAX_PICTURE_BYTES)

    def complaint(self) -> str:
        """The first line that qemu wrote to its standard error, empty when it was content."""
        said = os.pread(self._errors.fileno(), _READ_BYTES, 0).decode(errors="replace")
        lines = said.strip().splitlines()
        return lines[0][:300] if lines else ""

    @property
    def failed_to_start(self) -> bool:
        """True when qemu has ended with an error status."""
        return self._process.poll() not in {None, 0}

    def kill(self) -> None:
        """End its process at once; whoever reads its console sees the end of it."""
        children.end(self._process)

    def stop(self) -> None:
        """End it; true afterwards: no process of it is left."""
        if self._process.poll() is None:
            with suppress(BootError), self.monitor() as monitor:
                monitor.execute("quit")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        children.end(self._process)
        if self._process.stdout is not None:
            # The process that we started may end a moment before the machine does; then this does.
            deque(children.said(self._process.stdout, limit_bytes=_READ_BYTES << 10, seconds=STOP_SECONDS), 0)
            self._process.stdout.close()


@contextmanager
def running(options: MachineOptions, directory: Path) -> Iterator[Machine]:
    """Start a machine whose files go into the private ``directory``; it has ended when the block has.

    Raises:
        BootError: qemu or its firmware is not installed, or qemu does not start.
    """
    # A socket's name may have 107 bytes (unix(7)); the directory given may be deep.
    with private_directory() as place, tempfile.TemporaryFile(dir=place) as errors:
        uefi = _uefi_variables(directory) if options.uefi else None
        how = Confinement(cage=_cage(options, uefi, place), user=_user_of_its_own())
        argv = command_line(options, place, uefi, how)
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        machine = Machine(process, place, errors)
        try:
            yield machine
        finally:
            machine.stop()


def _cage(options: MachineOptions, uefi: tuple[Path, Path] | None, home: Path) -> Cage:
    """The disks and what they lie on, the machine's own files, and the network where there is one for ssh."""
    under = {file for disk in options.disks for file in files_under(disk)}
    code, variables = ((), ()) if uefi is None else (uefi[:1], uefi[1:])
    return Cage(
        read=(*sorted(under), *code),
        write=(*options.disks, *variables, home),
        machine=True,
        network=options.ssh,
    )


def _user_of_its_own() -> int | None:
    """Whom the machine runs as; None: as we do.

    The change of the user takes from qemu that it dies with us (prctl(2), PR_SET_PDEATHSIG), so it is only
    made where a process namespace can be had, whose processes the kernel kills with the first one.
    """
    user = children.lesser_user()
    if user is None or shutil.which("unshare") is None:
        return None
    tried = subprocess.run([*_NAMESPACE, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return user if tried.returncode == 0 else None


def command_line(
    options: MachineOptions,
    directory: Path,
    uefi: tuple[Path, Path] | None,
    how: Confinement | None = None,
) -> list[str]:
    """The command that runs the machine; ``uefi`` is the firmware and its writable variable store.

    Without ``how`` it is not confined.

    Raises:
        BootError: qemu-system-x86_64 or setpriv is not installed.
    """
    qemu = shutil.which("qemu-system-x86_64") or shutil.which("qemu-kvm", path="/usr/libexec:/usr/bin")
    setpriv = shutil.which("setpriv")
    if qemu is None or setpriv is None:
        missing = "qemu-system-x86_64" if qemu is None else "setpriv"
        raise BootError(f"{missing} is not installed", hint=hint("qemu-system", "util-linux"))
    kvm = options.acceleration is Acceleration.KVM
    user = None if how is None else how.user
    argv = [setpriv, "--pdeathsig", "KILL", "--no-new-privs"]
    argv += [] if user is None else _NAMESPACE
    argv += [str(_confined(qemu, how, directory)), "-nodefaults", "-no-user-config", "-no-reboot"]
    # "deny" kills a qemu that changes its user; to become more than that user it has no way any more.
    elevate = "deny" if user is None else "allow"
    argv += ["-sandbox", f"on,obsolete=deny,elevateprivileges={elevate},spawn=deny,resourcecontrol=deny"]
    argv += [] if user is None else _becoming(user, qemu)
    # graphics=off does not take the screen away: it has SeaBIOS repeat on the serial line what it prints.
    argv += [
        "-machine",
        f"q35,accel={'kvm' if kvm else 'tcg'},graphics=off",
        "-cpu",
        "host" if kvm else "max",
    ]
    argv += ["-smp", str(PROCESSORS), "-m", str(options.memory_mib), "-display", "none", "-device", "VGA"]
    argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=qmp,path={_escaped(directory / 'qmp')},server=on,wait=off"]
    argv += ["-mon", "chardev=qmp,mode=control", "-device", "virtio-rng-pci"]
    if uefi is not None:
        code, variables = uefi
        argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(code)}"]
        argv += ["-drive", f"if=pflash,unit=1,format=raw,file={_escaped(variables)}"]
    for number, disk in enumerate(options.disks):
        argv += ["-drive", f"if=none,id=disk{number},format=qcow2,cache=unsafe,file={_escaped(disk)}"]
        sector = options.sectors[number] if options.sectors else 512
        large = f",logical_block_size={sector},physical_block_size={sector}" if sector != 512 else ""
        argv += ["-device", f"virtio-blk-pci,drive=disk{number},bootindex={number}{large}"]
    if options.ssh:
        argv += ["-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]
        argv += ["-device", "virtio-net-pci,netdev=net,romfile="]
    return argv


def _confined(qemu: str, how: Confinement | None, directory: Path) -> Path:
    if how is None:
        return Path(qemu)
    changes = how.user is not None
    return wrapped(Path(qemu), cage=how.cage, directory=directory, becomes_another_user=changes)


def _becoming(user: int, qemu: str) -> list[str]:
    """The option in this qemu's words: -runas is deprecated since 9.1 (QEMU, "Deprecated features")."""
    asked = run_caged([qemu, "-version"], cage=Cage(run=(Path(qemu),)), timeout_seconds=_VERSION_SECONDS)
    version = re.search(rb"version (\d+)\.(\d+)", asked.stdout)
    new = version is not None and (int(version[1]), int(version[2])) >= (9, 1)
    return ["-run-with", f"user={user}:{user}"] if new else ["-runas", f"{user}:{user}"]


def _escaped(path: Path) -> str:
    """A path in qemu's comma-separated options, where a comma is written twice."""
    return str(path).replace(",", ",,")


def _uefi_variables(directory: Path) -> tuple[Path, Path]:
    for code, variables in OVMF:
        if Path(code).exists() and Path(variables).exists():
            own = directory / "uefi-variables"
            shutil.copyfile(variables, own)
            return Path(code), own
    raise BootError("this disk boots by UEFI, and no UEFI firmware is installed", hint=hint("ovmf"))
