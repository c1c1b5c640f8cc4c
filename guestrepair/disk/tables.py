"""The partition table of a disk, read with pyparted from a copy of the disk's ends.

libparted never sees the disk itself: the few sectors that hold the table are
read through a callback, which works for every image format, and put into a
sparse file of the same size. libparted reads that file in a child process (see
``parted_reader.py``). What it does not tell (type and partition GUIDs) and what
it refuses (a damaged copy of the GPT, a missing protective record, 4 KiB
sectors) comes from this project's own parsers; both follow what the Linux kernel
does with the same bytes (block/partitions/efi.c and msdos.c).
"""

from __future__ import annotations

import hashlib
import json
import os
import site
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import run_caged
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import BindingError, FormatError
from guestrepair.formats.gpt import BIOS_BOOT_TYPE, ESP_TYPE, read_copy
from guestrepair.formats.mbr import Mbr, MbrEntry, parse_logical, parse_mbr
from guestrepair.formats.superblock.fat import probe_exfat, probe_ntfs, probe_vfat
from guestrepair.formats.superblock.model import Device
from guestrepair.host_packages import binding_hint

_TIMEOUT_SECONDS = 10
_COPIED_BYTES = 64 * 1024
_LABELS = {"msdos": "dos", "dvh": "sgi", "loop": ""}
"""libparted's names where blkid's differ; a "loop" label means a filesystem on the whole disk."""

_GPT_FLAGS = {ESP_TYPE: frozenset({"boot", "esp"}), BIOS_BOOT_TYPE: frozenset({"bios_grub"})}
"""libparted's words for what booting depends on, where libparted refuses the table."""


class TableError(FormatError):
    """There is a partition table, and neither libparted nor the parsers here can make sense of it."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. ``type`` is the GPT type GUID in lower case or the MBR type as ``0x83``.

    ``uuid`` is the PARTUUID as blkid writes it, ``flags`` are libparted's words
    (``boot``, ``esp``, ``bios_grub``, ``lvm``, ``raid``…). Positions are what the
    table says, even where they lie beyond the end of the disk.
    """

    number: int
    start_bytes: int
    size_bytes: int
    type: str = ""
    name: str = ""
    uuid: str = ""
    flags: frozenset[str] = frozenset()
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """A disk's table; ``label`` is ``gpt``, ``dos`` or libparted's name, empty when there is none.

    ``uuid`` is the PTUUID as blkid writes it. ``remarks`` are libparted's own
    words about what it did not like.
    """

    label: str = ""
    uuid: str = ""
    partitions: tuple[Partition, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)


def read_table(read: Callable[[int, int], bytes], size_bytes: int, sector_size: int = 512) -> PartitionTable:
    """The partition table of a disk; ``label`` is empty where there is none.

    ``read(offset_bytes, size_bytes)`` returns bytes, short at the disk's end;
    what it raises passes through. Costs two reads of 128 KiB for a GPT, and one
    more for each logical partition.

    Raises:
        TableError: there is a GPT of which both copies are damaged.
    """
    seen: dict[int, bytes] = {}

    def recording(offset: int, length: int) -> bytes:
        seen[offset] = read(offset, length)
        return seen[offset]

    device = Device(recording, size_bytes)
    own = _own_table(device, sector_size)
    if own is None:
        return PartitionTable()
    theirs = _libparted(device, seen) if sector_size == 512 else None
    if theirs is None or not theirs["label"]:
        return replace(own, remarks=tuple(theirs["remarks"]) if theirs else ())
    return _merged(own, theirs)


# --- the parsers here ---------------------------------------------------------


def _own_table(device: Device, sector: int) -> PartitionTable | None:
    """The table as the kernel would take it; an empty label where only libparted may know; None: none."""
    mbr = parse_mbr(device.get(0, 512))
    protective = bool(mbr and mbr.protective)
    if protective or mbr is None or not mbr.entries:
        gpt = _own_gpt(device, sector, mbr.protective if mbr else ())
        if gpt is not None:
            return gpt
    if mbr is None:
        return PartitionTable()
    if mbr.bad_status or _is_boot_sector(device):
        return None
    if not mbr.entries:
        return PartitionTable()
    return _own_mbr(device, mbr, sector)


def _is_boot_sector(device: Device) -> bool:
    # 0xAA55 ends the boot sectors of these filesystems too.
    return any(probe(device) for probe in (probe_vfat, probe_exfat, probe_ntfs))


def _own_gpt(device: Device, sector: int, protective: tuple[MbrEntry, ...]) -> PartitionTable | None:
    total = device.size_bytes // sector

    def read_sectors(first: int, count: int) -> bytes:
        return device.get(first * sector, count * sector)

    # The protective record remembers where the disk ended before it grew.
    places = dict.fromkeys([1, total - 1, *(entry.end_sector - 1 for entry in protective)])
    copies = [
        read_copy(read_sectors, where, sector_bytes=sector, total_sectors=total)
        for where in places
        if 0 < where < total
    ]
    chosen = next((copy for copy in copies if copy.is_sound), None)
    if chosen is None:
        if not protective:
            return None
        reason = copies[0].problems[0] if copies else "the disk is too small"
        raise TableError(
            f"both copies of the GPT are damaged: {reason}",
            hint="restore it from a backup (sgdisk --load-backup), or search for partitions with testdisk",
        )
    header = chosen.header
    if header is None:
        return None
    partitions = tuple(
        Partition(
            entry.number,
            entry.first_sector * sector,
            (entry.last_sector - entry.first_sector + 1) * sector,
            entry.type,
            entry.name,
            entry.uuid,
            _GPT_FLAGS.get(entry.type, frozenset()),
        )
        for entry in chosen.entries
        if entry.first_sector <= entry.last_sector < 1 << 54
    )
    return PartitionTable("gpt", header.uuid, partitions)


def _own_mbr(device: Device, mbr: Mbr, sector: int) -> PartitionTable:
    entries: list[MbrEntry] = list(mbr.entries)
    extended = next((e for e in entries if e.is_extended), None)
    if extended is not None:
        entries += parse_logical(lambda number: device.get(number * sector, 512), extended)
    partitions = tuple(
        Partition(
            entry.number,
            entry.first_sector * sector,
            entry.sector_count * sector,
            f"{entry.type:#04x}",
            "",
            f"{mbr.uuid}-{entry.number:02x}" if mbr.uuid else "",
            frozenset({"boot"}) if entry.is_active else frozenset(),
            entry.is_extended,
        )
        for entry in entries
    )
    return PartitionTable("dos", mbr.uuid, partitions)


# --- libparted ------------------------------------------------------------------


_REMEMBERED = 8
_answers: dict[bytes, dict[str, Any]] = {}
"""Of the same bytes libparted says the same: a repair asks of each disk several times."""
_answers_lock = threading.Lock()


def _libparted(device: Device, seen: dict[int, bytes]) -> dict[str, Any] | None:
    """What libparted says of a sparse copy; None when it cannot be asked."""
    pieces = {0: device.get(0, _COPIED_BYTES)}
    end = max(0, device.size_bytes - _COPIED_BYTES)
    pieces[end] = device.get(end, _COPIED_BYTES)
    pieces |= seen
    key = _digest(device.size_bytes, pieces)
    known = _answers.get(key) or _ask_libparted(device.size_bytes, pieces)
    if known is not None:
        with _answers_lock:
            _answers[key] = known
            while len(_answers) > _REMEMBERED:
                del _answers[next(iter(_answers))]
    return known


def _digest(size_bytes: int, pieces: dict[int, bytes]) -> bytes:
    hashed = hashlib.sha256(str(size_bytes).encode())
    for offset, content in sorted(pieces.items()):
        hashed.update(f" {offset} {len(content)} ".encode() + content)
    return hashed.digest()


def _ask_libparted(size_bytes: int, pieces: dict[int, bytes]) -> dict[str, Any] | None:
    with private_directory() as folder:
        copy = folder / "disk"
        try:
            _write_sparse(copy, size_bytes, pieces.items())
        except OSError:
            return None  # larger than a file can be here: the parsers of this project have to do
        return _run_reader(copy)


def _write_sparse(path: Path, size_bytes: int, pieces: Iterable[tuple[int, bytes]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(descriptor, size_bytes)
        for offset, content in pieces:
            os.pwrite(descriptor, content[: size_bytes - offset], offset)
    finally:
        os.close(descriptor)


def _run_reader(copy: Path) -> dict[str, Any] | None:
    program = Path(__file__).with_name("parted_reader.py")
    said = b""
    try:
        run = run_caged(
            # Without site (-S): what it does at each start takes longer than libparted.
            [sys.executable, "-I", "-S", str(program), str(copy), *site.getsitepackages()],
            cage=Cage(write=(copy,)),
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        said = run.stderr
        answer: dict[str, Any] = json.loads(run.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        _refuse_without_binding(said)
        return None  # it crashed on hostile bytes
    answer["remarks"] = [remark.replace(str(copy), "the disk") for remark in answer["remarks"]]
    return answer


def _refuse_without_binding(said: bytes) -> None:
    """Tell a reader that is not whole from one that the disk's bytes have ended.

    Raises:
        BindingError: pyparted cannot be imported there.
    """
    last = said.decode(errors="replace").rstrip().rpartition("\n")[2]
    if last.startswith(("ModuleNotFoundError: ", "ImportError: ")):
        why = last.partition(": ")[2]
        raise BindingError(
            f"Python cannot import parted, libparted's binding: {why}", hint=binding_hint("parted")
        )


def _merged(own: PartitionTable, theirs: dict[str, Any]) -> PartitionTable:
    """libparted's list, completed by GUIDs and types, and by what only the kernel would accept."""
    label = _LABELS.get(theirs["label"], theirs["label"])
    remarks = tuple(theirs["remarks"])
    if not label:
        return replace(own, remarks=remarks)
    if own.label and own.label != label.removesuffix("_sync_mbr"):
        return replace(own, remarks=(*remarks, f"libparted takes the table for {label}"))
    known = {part.number: part for part in own.partitions}
    found = [_partition(entry, known.pop(entry["number"], None)) for entry in theirs["partitions"]]
    everything = sorted((*found, *known.values()), key=lambda part: part.number)
    return PartitionTable(own.label or label, own.uuid, tuple(everything), remarks)


def _partition(entry: dict[str, Any], own: Partition | None) -> Partition:
    flags = frozenset(entry["flags"])
    if own is not None:
        return replace(own, flags=flags, name=own.name or entry["name"])
    return Partition(
        entry["number"],
        entry["start"] * 512,
        entry["length"] * 512,
        name=entry["name"],
        flags=flags,
        is_extended=entry["extended"],
    )
