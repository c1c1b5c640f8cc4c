"""A virtual machine for one boot: its command line, and a life that ends with ours.

The disk is always an overlay in a private directory. The machine has no network
card unless ssh is asked for, and then one that reaches nothing: the guest can be
connected to from 127.0.0.1, and cannot connect out (``restrict=on``). qemu runs in its
own sandbox, is killed when this process dies, and never outlives the block that started it.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from guestrepair.boot.qmp import Monitor
from guestrepair.confine.cage import Cage
from guestrepair.confine.process import start_caged
from guestrepair.disk.overlay import files_under
from guestrepair.errors import BootError
from guestrepair.guest.acceleration import Acceleration

MEMORY_MIB = 1024
PROCESSORS = 2
STOP_SECONDS = 5.0
_READ_BYTES = 65536

_OVMF = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
"""UEFI firmware and its empty variable store: Debian, older Debian, Fedora, Arch."""


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


class Machine:
    """A running machine: its console, its monitor, its end."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self._process = process
        self._monitor_path = directory / "qmp"
        self._errors = directory / "stderr"
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
        path = self._directory / "screen.png"
        with self.monitor() as monitor:
            monitor.execute("screendump", filename=str(path), format="png")
        return path.read_bytes()

    def complaint(self) -> str:
        """The first line that qemu wrote to its standard error, empty when it was content."""
        lines = self._errors.read_text(errors="replace").strip().splitlines() if self._errors.exists() else []
        return lines[0][:300] if lines else ""

    @property
    def failed_to_start(self) -> bool:
        """True when qemu has ended with an error status."""
        return self._process.poll() not in {None, 0}

    def stop(self) -> None:
        """End it; true afterwards: no process of it is left."""
        if self._process.poll() is None:
            with suppress(BootError), self.monitor() as monitor:
                monitor.execute("quit")
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def running(options: MachineOptions, directory: Path) -> Iterator[Machine]:
    """Start a machine whose files go into the private ``directory``; it has ended when the block has.

    Raises:
        BootError: qemu or its firmware is not installed, or qemu does not start.
    """
    # A socket's name may have 107 bytes (unix(7)); the directory given may be deep.
    with tempfile.TemporaryDirectory(prefix="guestrepair-qmp-") as home:
        place = Path(home)
        argv = command_line(options, place, _uefi_variables(directory) if options.uefi else None)
        with (place / "stderr").open("wb") as errors:
            process = start_caged(
                argv,
                cage=_cage(options, directory, place),
                stdout=subprocess.PIPE,
                stderr=errors,
                new_session=True,
            )
        machine = Machine(process, place)
        try:
            yield machine
        finally:
            machine.stop()


def _cage(options: MachineOptions, directory: Path, home: Path) -> Cage:
    """The disks and what they lie on, the machine's own files, and the network where there is one for ssh."""
    under = {file for disk in options.disks for file in files_under(disk)}
    firmware = [Path(code) for code, _ in _OVMF]
    return Cage(
        read=(*sorted(under), *firmware),
        write=(*options.disks, directory, home),
        machine=True,
        network=options.ssh,
    )


def command_line(options: MachineOptions, directory: Path, uefi: tuple[Path, Path] | None) -> list[str]:
    """The command that runs the machine; ``uefi`` is the firmware and its writable variable store.

    Raises:
        BootError: qemu-system-x86_64 or setpriv is not installed.
    """
    qemu = shutil.which("qemu-system-x86_64") or shutil.which("qemu-kvm", path="/usr/libexec:/usr/bin")
    setpriv = shutil.which("setpriv")
    if qemu is None or setpriv is None:
        missing = "qemu-system-x86_64" if qemu is None else "setpriv"
        raise BootError(f"{missing} is not installed", hint="run tools/setup.sh, or install qemu-system-x86")
    kvm = options.acceleration is Acceleration.KVM
    argv = [setpriv, "--pdeathsig", "KILL", qemu, "-nodefaults", "-no-user-config", "-no-reboot"]
    argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
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


def _escaped(path: Path) -> str:
    """A path in qemu's comma-separated options, where a comma is written twice."""
    return str(path).replace(",", ",,")


def _uefi_variables(directory: Path) -> tuple[Path, Path]:
    for code, variables in _OVMF:
        if Path(code).exists() and Path(variables).exists():
            own = directory / "uefi-variables"
            shutil.copyfile(variables, own)
            return Path(code), own
    raise BootError(
        "this disk boots by UEFI, and no UEFI firmware is installed", hint="install ovmf (Fedora: edk2-ovmf)"
    )
