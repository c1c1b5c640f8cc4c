"""How time, memory and round trips grow: with the packaged files, the disk, the partitions, and the logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError, Command, run_once, say
from fixtures import many_packages

_PROGRAM = str(Path(sys.executable).with_name("guestrepair"))
_TRACE = b"libguestfs: trace: "
_GIB = 1 << 30
_FILES_EACH = 150
_SECTOR = 512
_LOG_LINE = b"Feb  1 10:00:00 host sshd[400]: Accepted publickey for admin from 192.0.2.7 port 40022 ssh2\n"


@dataclass(frozen=True, slots=True)
class Point:
    """One guest of a series: what it has, what a scan of it took, and its calls to the appliance."""

    series: str
    size: str
    seconds: float
    peak_kib: int
    calls: int


def points(work: Path, *, quick: bool) -> Iterator[Point]:
    """All series; ``quick`` takes the first two points of each."""
    for series, sizes in _SERIES.items():
        for size, make in sizes[:2] if quick else sizes:
            say(f"growth: {series}, {size}")
            with tempfile.TemporaryDirectory(dir=work) as folder:
                yield _measured(series, size, make(Path(folder)))


def _measured(series: str, size: str, image: Path) -> Point:
    calls = sum(calls_of_a_scan(image).values())
    sample = run_once(Command(f"scan, {size}", (_PROGRAM, "scan", str(image)), frozenset({0, 1, 3})))
    return Point(series, size, sample.seconds, sample.peak_kib, calls)


def calls_of_a_scan(image: Path) -> Counter[str]:
    """The calls to the appliance by name, as libguestfs's own trace has them (LIBGUESTFS_TRACE)."""
    environment = {**os.environ, "LIBGUESTFS_TRACE": "1"}
    run = subprocess.run(
        [_PROGRAM, "scan", "--format", "json", image], env=environment, capture_output=True, check=False
    )
    if not run.stdout.startswith(b"{"):
        raise BenchmarkError(f"scan {image} ended with status {run.returncode}")
    lines = (line[len(_TRACE) :] for line in run.stderr.splitlines() if line.startswith(_TRACE))
    return Counter(line.split(b" ")[0].decode() for line in lines if b" = " not in line[:60])


def breakdown(image: Path, *arguments: str) -> list[tuple[str, float]]:
    """The stages of one scan and the seconds of each, as the JSON report has them."""
    run = subprocess.run(
        [_PROGRAM, "scan", "--format", "json", *arguments, image], capture_output=True, check=False
    )
    report = json.loads(run.stdout)
    return [(lap["stage"], lap["seconds"]) for lap in report["images"][0]["timings"]]


# --- guests ---------------------------------------------------------------------------


def _packaged(count: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        many_packages.tree(folder / "root", packages=count // _FILES_EACH, files_each=_FILES_EACH)
        size = _GIB + count * 4096
        return many_packages.disk(folder / "disk.raw", folder / "root", size_bytes=size, inodes=2 * count)

    return make


def _sized(size_bytes: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        many_packages.tree(folder / "root", packages=30, files_each=_FILES_EACH)
        return many_packages.disk(folder / "disk.raw", folder / "root", size_bytes=size_bytes)

    return make


def _partitioned(count: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        many_packages.tree(folder / "root", packages=30, files_each=_FILES_EACH)
        fstab = [f"UUID={_uuid(n)} {'/' if n == 1 else f'/data{n}'} ext4 defaults 0 {1 if n == 1 else 2}\n"
                 for n in range(1, count + 1)]  # fmt: skip
        (folder / "root/etc/fstab").write_text("".join(fstab))
        for number in range(2, count + 1):
            (folder / f"root/data{number}").mkdir()
        disk = folder / "disk.raw"
        with disk.open("wb") as out:
            out.truncate(_GIB + count * (128 << 20))
        sizes = ["+768M", *["+96M"] * (count - 1)]
        flags = [w for n, s in enumerate(sizes, 1) for w in ("-n", f"{n}:0:{s}")]
        subprocess.run(["sgdisk", *flags, disk], check=True, capture_output=True)
        for number in range(1, count + 1):
            _format(disk, number, folder / "root" if number == 1 else None)
        shutil.rmtree(folder / "root")
        return disk

    return make


def _uuid(number: int) -> str:
    return f"5f1d2c34-0b6e-4c39-9d5a-{number:012d}"


def _format(disk: Path, number: int, root: Path | None) -> None:
    said = subprocess.run(["sgdisk", f"-i{number}", disk], check=True, capture_output=True, text=True).stdout
    fields = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    first, size = (int(fields[name].split()[0]) for name in ("First sector", "Partition size"))
    content: list[str | Path] = ["-d", root] if root is not None else []
    offset = f"offset={first * _SECTOR}"
    command: list[str | Path] = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-E",
        offset,
        "-U",
        _uuid(number),
        *content,
        disk,
    ]
    subprocess.run([*command, f"{size * _SECTOR // 1024}k"], check=True, capture_output=True)


def _logged(size_bytes: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        many_packages.tree(folder / "root", packages=30, files_each=_FILES_EACH)
        piece = _LOG_LINE * ((1 << 20) // len(_LOG_LINE))
        with (folder / "root/var/log/auth.log").open("wb") as log:
            while log.tell() < size_bytes:
                log.write(piece)
        return many_packages.disk(folder / "disk.raw", folder / "root", size_bytes=size_bytes + _GIB)

    return make


_SERIES = {
    "packaged files": [(f"{n:,}", _packaged(n)) for n in (5_000, 50_000, 300_000)],
    "disk": [(f"{n} GiB, sparse", _sized(n * _GIB)) for n in (4, 400)],
    "partitions": [(str(n), _partitioned(n)) for n in (1, 4, 16)],
    "auth.log": [(f"{n >> 20} MiB", _logged(n)) for n in (1 << 20, _GIB)],
}
