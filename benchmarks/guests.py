"""Guests that grow: a real ext4 in a real partition table, with a dpkg database of any size."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fixtures.cache import cache_directory

_MEBIBYTE = 1 << 20
_FILES_A_PACKAGE = 100
FIRST_BYTES = _MEBIBYTE
"""Where the root's partition begins."""
_OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


@dataclass(frozen=True, slots=True)
class Growth:
    """A guest of a size: packaged files, disk, partitions beside the root, and bytes of logs."""

    name: str
    files: int = 5_000
    disk_mebibytes: int = 4096
    partitions: int = 1
    log_mebibytes: int = 0


SERIES = (
    Growth("5,000 files"),
    Growth("50,000 files", files=50_000),
    Growth("300,000 files", files=300_000),
    Growth("disk of 400 GB", disk_mebibytes=400 * 1024),
    Growth("4 partitions", partitions=4),
    Growth("16 partitions", partitions=16),
    Growth("1 GB of logs", log_mebibytes=1024),
)

HISTORY = Growth("timeline", files=300_000, log_mebibytes=1024)
"""A long-lived server, whose whole history is wanted."""


def built(guest: Growth) -> Path:
    """The image in the cache, raw and sparse; built when it is not there."""
    key = hashlib.sha256(f"2 {guest}".encode()).hexdigest()[:12]
    image = cache_directory() / f"benchmark-{key}.raw"
    if not image.exists():
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix=".benchmark-") as work:
            made = _build(guest, Path(work))
            made.rename(image)
    return image


def _build(guest: Growth, work: Path) -> Path:
    tree, disk = work / "tree", work / "disk"
    uuid = "5f0cbfd2-8b1e-4f7c-9a37-1a2b3c4d5e6f"
    _system(tree, uuid)
    _packages(tree, guest.files)
    _logs(tree, guest.log_mebibytes)
    small = 64
    root = guest.disk_mebibytes - 2 - small * (guest.partitions - 1)
    with disk.open("wb") as out:
        out.truncate(guest.disk_mebibytes * _MEBIBYTE)
    sizes = [root, *[small] * (guest.partitions - 1)]
    table = "label: gpt\n" + "".join(f"size={size}MiB, type=linux\n" for size in sizes)
    subprocess.run(["sfdisk", "-q", str(disk)], input=table, text=True, check=True)
    offset = FIRST_BYTES
    for number, size in enumerate(sizes):
        extra = ["-U", uuid, "-d", str(tree)] if number == 0 else []
        where = ["-E", f"offset={offset}", str(disk), f"{size}M"]
        inodes = ["-N", str(guest.files * 2 + 20_000)] if number == 0 else []
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", *inodes, *extra, *where], check=True)
        offset += size * _MEBIBYTE
    return disk


def _system(tree: Path, uuid: str) -> None:
    texts = {
        "etc/os-release": _OS_RELEASE,
        "etc/fstab": f"UUID={uuid} / ext4 errors=remount-ro 0 1\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "etc/group": "root:x:0:\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\n",
        "etc/hostname": "grown\n",
    }
    for directory in (
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "var/log",
        "root",
        "boot",
        "proc",
        "sys",
    ):
        (tree / directory).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    for name, text in texts.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)


def _packages(tree: Path, files: int) -> None:
    """A dpkg database that lists every file, and the files: small, in directories of a hundred."""
    info = tree / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    stanzas = []
    for number in range(-(-files // _FILES_A_PACKAGE)):
        name = f"grown{number:05}"
        count = min(_FILES_A_PACKAGE, files - number * _FILES_A_PACKAGE)
        paths = list(_files(tree, name, count))
        listed = ["/.", "/usr", "/usr/lib", f"/usr/lib/{name}", *(f"/{path}" for path, _ in paths)]
        (info / f"{name}.list").write_text("".join(f"{path}\n" for path in listed))
        (info / f"{name}.md5sums").write_text("".join(f"{digest}  {path}\n" for path, digest in paths))
        stanzas.append(
            f"Package: {name}\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: amd64\n"
            f"Version: 1.{number}\nDescription: files to be counted\n"
        )
    (tree / "var/lib/dpkg/status").write_text("\n".join(stanzas))


def _files(tree: Path, package: str, count: int) -> Iterator[tuple[str, str]]:
    directory = tree / "usr/lib" / package
    directory.mkdir()
    for number in range(count):
        content = f"{package} {number}\n".encode() * (1 + number % 40)
        path = directory / f"file{number}"
        path.write_bytes(content)
        yield str(path.relative_to(tree)), hashlib.md5(content, usedforsecurity=False).hexdigest()


def _logs(tree: Path, mebibytes: int) -> None:
    """auth.log and its rotations of 64 MiB: a line a second, of 85 bytes or so."""
    begin = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - logs are in the guest's local time
    numbers = range(-(-mebibytes // 64) - 1, -1, -1)
    lines = _lines(begin)
    for number in numbers:
        path = tree / "var/log" / (f"auth.log.{number}" if number else "auth.log")
        wanted = min(64, mebibytes - 64 * (len(numbers) - 1 - number)) * _MEBIBYTE
        with path.open("wb") as out:
            while wanted > 0:
                wanted -= out.write(next(lines))


def _lines(begin: dt.datetime) -> Iterator[bytes]:
    """The lines of a minute each: of those of a server that is on the net, in about their proportions."""
    minute = 0
    while True:
        stamp = (begin + dt.timedelta(minutes=minute)).strftime("%b %e %H:%M")
        text = [
            f"{stamp}:{second:02} grown {_said(minute, second, number)}\n"
            for second in range(0, 60, 2)
            for number in range(2)
        ]
        minute += 1
        yield "".join(text).encode()


def _said(minute: int, second: int, number: int) -> str:
    pid, port, address = 1000 + minute % 30_000, 20_000 + minute % 40_000, f"192.0.2.{second}"
    if second % 20 == 0:
        session = "opened" if number == 0 else "closed"
        return f"CRON[{pid}]: pam_unix(cron:session): session {session} for user root(uid=0) by (uid=0)"
    if second == 30:
        return f"sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/ls /srv/{minute}"
    if number == 0:
        return f"sshd[{pid}]: Invalid user guest{second} from {address} port {port}"
    return f"sshd[{pid}]: Connection closed by invalid user guest{second} {address} port {port} [preauth]"
