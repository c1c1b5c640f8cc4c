"""libvirt's machines of this host as disks to look at: ``libvirt:`` or ``libvirt:/DIR`` for a folder of XML.

No libvirt is asked. A machine that runs is known by the status file that libvirtd keeps of it; whatever else
uses a disk is found where the disk is opened. Source: libvirt, *Domain XML format*; src/qemu/qemu_conf.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.errors import FormatError
from guestrepair.formats.machine import MAX_SIZE_BYTES, parse_machine

MACHINES = "libvirt:"
_DEFINED = Path("/etc/libvirt/qemu")
_RUNNING = Path("/run/libvirt/qemu")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibvirtMachine:
    """A machine: its file, its disks with the one it boots from first; why it is not to be looked at, or "".

    ``runs`` is for one that runs, ``problem`` for a file that cannot be read.
    """

    file: Path
    disks: tuple[str, ...] = ()
    runs: str = ""
    problem: str = ""


def machines(directory: Path | None, running: Path = _RUNNING) -> Iterator[LibvirtMachine]:
    """The machines that are described in a folder (libvirt's own unless named), sorted by name."""
    folder = directory or _DEFINED
    files = sorted(path for path in folder.glob("*.xml") if path.is_file())
    if not files:
        problem = f"{MACHINES}{folder}: no machine is described there"
        yield LibvirtMachine(file=folder, problem=problem)
    for file in files:
        yield _machine(file, running)


def _machine(file: Path, running: Path) -> LibvirtMachine:
    try:
        with file.open("rb") as stream:
            described = parse_machine(stream.read(MAX_SIZE_BYTES + 1))
    except OSError as error:
        return LibvirtMachine(file=file, problem=f"{file}: {error.strerror}")
    except FormatError as error:
        return LibvirtMachine(file=file, problem=f"{file}: {error.message}")
    ordered = sorted(described.disks, key=lambda disk: (not disk.order, disk.order))
    disks = tuple(disk.file for disk in ordered if disk.file.startswith("/"))
    signs = (running / f"{file.stem}{ending}" for ending in (".xml", ".pid"))
    sign = next((path for path in signs if path.exists()), None)
    return LibvirtMachine(file=file, disks=disks, runs=f"the machine runs ({sign})" if sign else "")
