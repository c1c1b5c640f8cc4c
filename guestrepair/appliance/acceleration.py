"""Which acceleration really works on this host: hardware (KVM) or software emulation (TCG).

``/dev/kvm`` being there proves nothing: nested and filtered virtualization can
make qemu abort, or hang for good, at the first instruction or only once a kernel
runs. So the host's own kernel, the one that the appliance runs, is started once under
KVM with a time limit, as far as a kernel without any disk comes: to the panic that
it has no root. Where no kernel can be read, a boot sector of a few instructions
stands in for it. The verdict is remembered for this boot of the host and this qemu.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from guestrepair.appliance.cache import cache_directory
from guestrepair.disk.temporary import temporary_directory
from guestrepair.ownership import is_ours_alone

PROBE_SECONDS = 10.0
"""A kernel under a working KVM panics within two seconds; the rest is room for a busy host."""

_VERSION = 2
"""Part of what a verdict is remembered by: an earlier probe was fooled by KVMs that run no kernel."""

_KERNELS = Path("/boot")
_MAX_MEMORY_BYTES = 64 * 1024
_KERNEL_ARGUMENTS = "console=ttyS0 console=ttyAMA0 panic=-1 tsc=reliable"
_KERNEL_RAN = b"VFS: Unable to mount root fs"
# mov dx, 0xf4 / mov al, 0x10 / out dx, al / hlt: isa-debug-exit ends qemu with (0x10 << 1) | 1.
_BOOT_SECTOR = bytes.fromhex("baf400b010eef4").ljust(510, b"\0") + b"\x55\xaa"
_PROBE_STATUS = 0x21


class Acceleration(enum.StrEnum):
    """What qemu is told to run guests with."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The acceleration to use, and why it is not KVM (empty when it is); ``fresh`` when probed just now."""

    acceleration: Acceleration
    reason: str = ""
    fresh: bool = False


def acceleration(qemu: Path | None = None) -> Verdict:
    """Find out which acceleration works, from the memory of an earlier probe where it still holds.

    Never raises and never takes longer than :data:`PROBE_SECONDS` and a bit.
    """
    program = qemu or _qemu()
    if program is None:
        return Verdict(Acceleration.TCG, "no qemu-system program was found")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Verdict(Acceleration.TCG, "/dev/kvm is not there or not accessible")
    try:
        key = _key(program)
    except OSError as error:
        return Verdict(Acceleration.TCG, f"{program.name}: {error.strerror}")
    remembered = _recall(key)
    if remembered is not None:
        return remembered
    verdict = _probe(program)
    _remember(key, verdict)
    return verdict


def _qemu() -> Path | None:
    found = shutil.which(f"qemu-system-{os.uname().machine}") or shutil.which("qemu-kvm")
    return Path(found) if found else None


def distrust_kvm(reason: str) -> None:
    """Remember that KVM does not work here after all: the appliance starts without it only."""
    program = _qemu()
    if program is not None:
        with contextlib.suppress(OSError):
            _remember(_key(program), Verdict(Acceleration.TCG, reason))


def _probe(program: Path) -> Verdict:
    kernel = _kernel()
    try:
        done = _run_kernel(program, kernel) if kernel is not None else _run_boot_sector(program)
    except subprocess.TimeoutExpired:
        return Verdict(Acceleration.TCG, "KVM is there but a guest hangs under it", fresh=True)
    except OSError as error:
        return Verdict(Acceleration.TCG, f"{program.name}: {error.strerror}", fresh=True)
    if _KERNEL_RAN in done.stdout if kernel is not None else done.returncode == _PROBE_STATUS:
        return Verdict(Acceleration.KVM, fresh=True)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return Verdict(
        Acceleration.TCG, f"KVM does not work here ({lines[0] if lines else 'no message'})", fresh=True
    )


def _kernel() -> Path | None:
    """A kernel that can be read, where libguestfs looks for the appliance's: the last by name."""
    for path in sorted(_KERNELS.glob("vmlinu*"), reverse=True):
        with contextlib.suppress(OSError):
            if path.is_file() and os.access(path, os.R_OK):
                return path
    return None


def _run_kernel(program: Path, kernel: Path) -> subprocess.CompletedProcess[bytes]:
    machine = [] if platform.machine() == "x86_64" else ["-machine", "virt"]
    return _run(
        program,
        *machine,
        *("-smp", "2", "-m", "256", "-serial", "stdio"),
        *("-kernel", str(kernel), "-append", _KERNEL_ARGUMENTS),
    )


def _run_boot_sector(program: Path) -> subprocess.CompletedProcess[bytes]:
    with temporary_directory() as directory:
        sector = directory / "probe.raw"
        sector.write_bytes(_BOOT_SECTOR)
        return _run(
            program,
            *("-m", "64", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
            *("-drive", f"file={sector},format=raw,if=ide,readonly=off,snapshot=off"),
        )


def _run(program: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """qemu under KVM, with nothing but what is given.

    Raises:
        OSError, subprocess.TimeoutExpired: it does not run, or not to an end.
    """
    bare = ("-accel", "kvm", "-cpu", "max", "-nodefaults", "-no-user-config", "-display", "none")
    return subprocess.run(
        [program, *bare, "-no-reboot", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PROBE_SECONDS,
        check=False,
    )


def _key(program: Path) -> str:
    """What a verdict holds for: this boot of the host, and this qemu.

    Raises:
        OSError: there is no such qemu.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    boot = boot_id.read_text().strip() if boot_id.exists() else ""
    status = program.stat()
    return f"{_VERSION}:{boot}:{program}:{status.st_mtime_ns}:{status.st_size}"


def _memory() -> Path:
    """Where the verdict is remembered.

    Raises:
        OSError: there is no place that is ours alone.
    """
    return cache_directory() / "acceleration.json"


def _remembered() -> bytes:
    """What was remembered, where nobody else can have written it.

    Raises:
        OSError: there is nothing, or nothing to rely on.
    """
    memory = os.open(_memory(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(memory)
        regular = stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_MEMORY_BYTES
        if not regular or not is_ours_alone(status):
            raise PermissionError(errno.EPERM, "not a file of ours")
        return os.read(memory, _MAX_MEMORY_BYTES)
    finally:
        os.close(memory)


def _recall(key: str) -> Verdict | None:
    try:
        stored = json.loads(_remembered())
        if stored["key"] == key:
            return Verdict(Acceleration(stored["acceleration"]), str(stored["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _remember(key: str, verdict: Verdict) -> None:
    text = json.dumps({"key": key, "acceleration": verdict.acceleration, "reason": verdict.reason})
    # A cache that cannot be written costs the next command a probe, nothing else.
    with contextlib.suppress(OSError):
        memory = _memory()
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, delete=False) as out:
            new = Path(out.name)
        try:
            new.write_text(text)
            new.replace(memory)
        except OSError:
            new.unlink()
            raise
