"""Our reader of journal files against journalctl(1), on journals of every layout, whole and damaged."""

from __future__ import annotations

import lzma
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import lz4.block
import pytest

from guestrepair.formats import journal_data
from guestrepair.formats.journal_file import Damage, Entry, entries

REMOTE = Path("/usr/lib/systemd/systemd-journal-remote")
pytestmark = pytest.mark.skipif(
    not REMOTE.exists() or shutil.which("journalctl") is None, reason="no systemd-journal-remote here"
)
LAYOUTS = [(compact, keyed, packed) for compact in "01" for keyed in "01" for packed in ("no", "zstd")]
LAYOUTS += [(compact, "1", packed) for compact in "01" for packed in ("xz", "lz4")]
OWN = ("__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "__CURSOR", "__SEQNUM", "__SEQNUM_ID")


def exported(count: int) -> Iterator[bytes]:
    """Entries in export format: short and long, text and bytes, names that come twice."""
    chance, now = random.Random(1), 1_700_000_000_000_000  # noqa: S311
    boots = [f"{chance.getrandbits(128):032x}" for _ in range(3)]
    for number in range(count):
        now += chance.randrange(1, 5_000_000)
        yield b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (now, number * 1000 + 1)
        yield f"_BOOT_ID={boots[number * 3 // count]}\n_MACHINE_ID={7:032x}\n_HOSTNAME=h\n".encode()
        yield b"SYSLOG_IDENTIFIER=p%d\n_PID=%d\n_UID=%d\n" % (number % 17, number, number % 5)
        if number % 50 == 0:
            message = (b"line %d\n\xff\x00" % number) * chance.randrange(1, 3000)
            yield b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n"
        else:
            yield b"MESSAGE=number %d %s\n" % (number, b"x" * chance.randrange(900))
        yield b"TWICE=a\nTWICE=b%d\n\n" % number if number % 7 == 0 else b"\n"


def make(directory: Path, layout: tuple[str, str, str], count: int) -> Path:
    compact, keyed, packed = layout
    source, out = directory / "in.export", directory / f"{compact}{keyed}{packed}.journal"
    source.write_bytes(b"".join(exported(count)))
    environment = os.environ | {"SYSTEMD_JOURNAL_KEYED_HASH": keyed, "SYSTEMD_JOURNAL_COMPACT": compact}
    command = [str(REMOTE), "-o", str(out), f"--compress={'yes' if packed == 'zstd' else 'no'}", str(source)]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=120)
    if packed in {"xz", "lz4"}:
        out.write_bytes(pack(out.read_bytes(), packed))
    return out


def pack(data: bytes, packed: str) -> bytes:
    """Long values as an older systemd packs them; what is left over becomes an object of its own."""
    out, done = bytearray(data), 0
    header = journal_data.parse_header(data)
    at, begin = header.start, 72 if header.is_compact else 64
    while at + 16 <= len(data) and data[at]:
        size = int.from_bytes(data[at + 8 : at + 16], "little")
        value = data[at + begin : at + size]
        if data[at] == journal_data.DATA and len(value) > 512:
            if packed == "xz":
                small = lzma.compress(value, check=lzma.CHECK_NONE)
            else:
                small = len(value).to_bytes(8, "little") + lz4.block.compress(value, store_size=False)
            gap = at + begin + len(small) + 7 & ~7
            left = (at + size + 7 & ~7) - gap
            if left >= 48:
                out[at : at + 16] = struct.pack("<BB6xQ", 1, 1 if packed == "xz" else 2, begin + len(small))
                out[at + begin : gap + left] = small.ljust(gap - at - begin, b"\0") + bytes(left)
                out[gap : gap + 16] = struct.pack("<BB6xQ", 2, 0, left)
                done += 1
        at = at + size + 7 & ~7
    flags = int.from_bytes(data[12:16], "little") | (1 if packed == "xz" else 2)
    out[12:16] = flags.to_bytes(4, "little")
    assert done > 50
    return bytes(out)


def judged(path: Path) -> list[tuple[int, int, str, tuple[tuple[str, bytes], ...]]]:
    """journalctl's own export: times, boot, fields in order of their bytes."""
    command = ["journalctl", f"--file={path}", "-o", "export", "--all", "--no-pager", "--quiet"]
    data = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    found, at = [], 0
    fields: list[tuple[str, bytes]] = []
    while at < len(data):
        end = data.index(b"\n", at)
        line, at = data[at:end], end + 1
        if not line:
            found.append(judged_entry(fields))
            fields = []
        elif b"=" in line:
            name, _, value = line.partition(b"=")
            fields.append((name.decode(), value))
        else:
            size = int.from_bytes(data[at : at + 8], "little")
            fields.append((line.decode(), data[at + 8 : at + 8 + size]))
            at += size + 9
    return found


def judged_entry(
    fields: Sequence[tuple[str, bytes]],
) -> tuple[int, int, str, tuple[tuple[str, bytes], ...]]:
    own = dict(fields)
    rest = tuple(sorted((n, v) for n, v in fields if n not in OWN and n != "_BOOT_ID"))
    times = int(own["__REALTIME_TIMESTAMP"]), int(own["__MONOTONIC_TIMESTAMP"])
    return *times, own["_BOOT_ID"].decode(), rest


def slice_of(data: bytes, offset: int, size: int) -> bytes:
    return data[offset : offset + size]


def ours(data: bytes) -> list[Entry | Damage]:
    return list(entries(partial(slice_of, data), len(data), value_bytes=1 << 20))


def key(entry: Entry) -> tuple[int, int, str, tuple[tuple[str, bytes], ...]]:
    rest = tuple(sorted((n, v) for n, v in entry.fields if n != "_BOOT_ID"))
    return entry.realtime_us, entry.monotonic_us, entry.boot_id, rest


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_entries_as_journalctl(layout: tuple[str, str, str], tmp_path: Path) -> None:
    path = make(tmp_path, layout, 2000)
    expected, found = judged(path), ours(path.read_bytes())
    assert not [f for f in found if isinstance(f, Damage)]
    assert [key(f) for f in found if isinstance(f, Entry)] == expected
    assert len(expected) == 2000
    print(f"compact={layout[0]} keyed={layout[1]} packed={layout[2]}: {len(expected)} entries alike")


def objects(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, kind and size of each object."""
    at = journal_data.parse_header(data).start
    while at + 16 <= len(data) and data[at]:
        size = int.from_bytes(data[at + 8 : at + 16], "little")
        yield at, data[at], size
        at = at + size + 7 & ~7


@pytest.mark.parametrize("layout", [("0", "0", "no"), ("0", "1", "zstd"), ("1", "1", "zstd")])
def test_a_damaged_object_costs_itself_and_no_entry_before_or_after_it(
    layout: tuple[str, str, str], tmp_path: Path
) -> None:
    data = make(tmp_path, layout, 300).read_bytes()
    whole = {f.offset: key(f) for f in ours(data) if isinstance(f, Entry)}
    chance, all_objects = random.Random(7), list(objects(data))  # noqa: S311
    lost_entries = flips = silent = other = 0
    begin = time.monotonic()
    while time.monotonic() - begin < 6 and flips < 1500:
        at, kind, size = chance.choice(all_objects)
        place = at + chance.randrange(min(size, 64 if flips % 2 else size))
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        found = ours(bytes(damaged))
        have = {f.offset: key(f) for f in found if isinstance(f, Entry)}
        lost = [n for n in whole if n not in have]
        # An entry costs itself; a field costs what was in it, and no entry.
        assert len(lost) <= (kind == journal_data.ENTRY), (at, kind, place, lost)
        changed = sum(have[n] != whole[n] for n in have if n in whole)
        if kind == journal_data.ENTRY:
            assert changed <= 1, (at, kind, place)
        elif kind != journal_data.DATA:
            other += changed
        silent += bool(lost) and not any(isinstance(f, Damage) for f in found)
        lost_entries += len(lost)
        flips += 1
    assert silent == other == 0
    print(f"{layout}: {flips} flips, {lost_entries} entries lost, none besides the damaged; all of it said")


@pytest.mark.parametrize("damage", ["zero page", "cut", "header", "tail online", "junk page"])
@pytest.mark.parametrize("layout", [("0", "1", "zstd"), ("1", "1", "zstd")])
def test_greater_damage(layout: tuple[str, str, str], damage: str, tmp_path: Path) -> None:
    data = bytearray(make(tmp_path, layout, 2000).read_bytes())
    whole = {f.offset: key(f) for f in ours(bytes(data)) if isinstance(f, Entry)}
    middle = sorted(whole)[1000] & ~4095
    if damage == "zero page":
        data[middle : middle + 4096] = bytes(4096)
    elif damage == "junk page":
        data[middle : middle + 4096] = random.Random(3).randbytes(4096)  # noqa: S311
    elif damage == "cut":
        del data[middle:]
    elif damage == "header":
        data[24:272] = bytes(248)
    else:
        data[136:144] = (1000).to_bytes(8, "little")
        data[16] = 1
    found = ours(bytes(data))
    have = {f.offset: key(f) for f in found if isinstance(f, Entry)}
    lost = len(whole) - len(have)
    least = {"cut": 800, "zero page": 1975, "junk page": 1975}.get(damage, 2000)
    assert len(have) >= least, lost
    assert set(have) <= set(whole)
    same = sum(have[n] == whole[n] for n in have)
    said = sum(isinstance(f, Damage) for f in found)
    assert said or damage == "tail online"
    print(f"{layout} {damage}: {lost} of 2000 lost, {same} unchanged, {said} damages said")


def test_a_hundred_thousand_entries(tmp_path: Path) -> None:
    make(tmp_path, ("1", "1", "zstd"), 100_000)  # in several files: it begins a new one when one is full
    count, size, begin = 0, 0, time.process_time()
    for path in tmp_path.glob("*.journal"):
        data = path.read_bytes()
        count += sum(isinstance(f, Entry) for f in entries(partial(slice_of, data), len(data)))
        size += len(data)
    seconds = time.process_time() - begin
    assert count == 100_000
    assert seconds < 30
    print(f"{count} entries, {size >> 20} MiB: {seconds:.1f} s of processor time")
