"""A directory that thousands of random operations have gone over, for readers of filesystems."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_EXPECTED = frozenset(
    {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOSPC, errno.ENOTSUP, errno.EPERM, errno.E2BIG}
) | {errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL, errno.EMLINK}
"""What single operations may end in: a name that is taken, attributes of a link, no room for more of them."""


def allocate(file: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2): give a file room that is not written, or take some away."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def special_cases(top: Path, *, names: int) -> None:
    """What random operations seldom make: a directory of so many names, thousands of extents, odd times."""
    for directory, count in (("large", names), ("middle", 300), ("small", 30)):
        (top / directory).mkdir()
        for number in range(count):
            (top / directory / f"a-name-of-some-length-{number:05d}").touch()
        for number in range(0, count, 7):
            (top / directory / f"a-name-of-some-length-{number:05d}").unlink()
    with (top / "pieces").open("wb") as file:
        for number in range(3000):
            file.seek(number * 8192)
            file.write(b"piece %d" % number)
    with (top / "unwritten").open("wb") as file:
        allocate(file.fileno(), 0, 0, 1 << 20)
        file.seek(300_000)
        file.write(b"some bytes in the middle")
    with (top / "punched").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        for number in range(0, 256, 3):
            allocate(file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, number * 4096, 4096)
        allocate(file.fileno(), _KEEP_SIZE, 1 << 20, 1 << 20)  # behind the end
    for length in (1, 50, 300, 335, 336, 337, 500, 967, 968, 969, 1000, 1023):
        (top / f"link{length}").symlink_to("t" * length)
    for when in (-500_000_000, -5, 0, 2**31 + 5, 2**32 + 7):
        (top / f"time{when}").touch()
        os.utime(top / f"time{when}", ns=(when * 10**9 + 123, when * 10**9 + 987_654_321))
    os.mkfifo(top / "fifo")
    os.mknod(top / "character", 0o20600, os.makedev(1, 3))
    os.mknod(top / "block", 0o60600, os.makedev(8, 1))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(top / "socket"))
    _attributes(top)


def _attributes(top: Path) -> None:
    for size in (10, 1000, 60_000):
        (top / f"attribute{size}").touch()
        _attribute(top / f"attribute{size}", "user.value", bytes(size))
        _attribute(top / f"attribute{size}", "trusted.value", b"x" * 20)
    (top / "attributes").touch()
    (top / "no attributes").touch()
    for number in range(400):
        _attribute(top / "attributes", f"user.name{number:04d}", b"v" * (number % 200))
        _attribute(top / "no attributes", f"user.name{number:04d}", b"v" * (number % 200))
    for name in os.listxattr(top / "no attributes"):
        os.removexattr(top / "no attributes", name)


def _attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno not in _EXPECTED:
            raise


@dataclass
class _Life:
    top: Path
    rng: random.Random
    directories: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def new(self) -> Path:
        start = self.rng.choice(("f", "some-name-", "x" * self.rng.randrange(1, 120), "ünï"))
        return self.rng.choice(self.directories) / f"{start}{self.rng.randrange(10**6)}"

    def old(self) -> Path:
        return self.rng.choice(self.files) if self.files else self.top

    def write(self) -> None:
        path = self.new()
        path.write_bytes(self.rng.randbytes(self.rng.choice((0, 10, 100, 5000, 70_000))))
        self.files.append(path)

    def overwrite(self) -> None:
        with self.old().open("r+b") as file:
            file.seek(self.rng.randrange(300_000))
            file.write(self.rng.randbytes(3000))
            file.flush()
            at, count = self.rng.randrange(70), self.rng.randrange(1, 9)
            allocate(file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, at * 4096, count * 4096)

    def remove(self) -> None:
        if self.files:
            self.files.pop(self.rng.randrange(len(self.files))).unlink()

    def rename(self) -> None:
        old, new = self.old(), self.new()
        old.rename(new)
        self.files = [new if path == old else path for path in self.files]

    def truncate(self) -> None:
        os.truncate(self.old(), self.rng.randrange(200_000))

    def set_attribute(self) -> None:
        value = self.rng.randbytes(self.rng.choice((3, 30, 300, 3000)))
        os.setxattr(self.old(), f"user.n{self.rng.randrange(20)}", value)

    def remove_attribute(self) -> None:
        path = self.old()
        names = os.listxattr(path)
        if names:
            os.removexattr(path, self.rng.choice(names))

    def link(self) -> None:
        path = self.new()
        path.symlink_to("z" * self.rng.randrange(1, 1023))
        self.files.append(path)

    def hard_link(self) -> None:
        self.new().hardlink_to(self.old())

    def make_directory(self) -> None:
        path = self.new()
        path.mkdir()
        self.directories.append(path)

    def change(self) -> None:
        path = self.old()
        path.chmod(self.rng.randrange(0o10000))
        os.chown(path, self.rng.randrange(70_000), self.rng.randrange(70_000), follow_symlinks=False)


def age(top: Path, *, seed: int, operations: int) -> None:
    """So many random operations below a directory, the same for the same seed."""
    life = _Life(top, random.Random(seed))  # noqa: S311 - no secret
    life.directories = [top / f"directory{number}" for number in range(40)]
    for path in life.directories:
        path.mkdir()
    chances: dict[Callable[[], None], int] = {
        life.write: 30,
        life.remove: 15,
        life.rename: 10,
        life.truncate: 7,
        life.overwrite: 8,
        life.set_attribute: 8,
        life.remove_attribute: 4,
        life.link: 6,
        life.make_directory: 4,
        life.hard_link: 3,
        life.change: 5,
    }
    for operation in life.rng.choices(list(chances), list(chances.values()), k=operations):
        try:
            operation()
        except OSError as error:
            if error.errno not in _EXPECTED:
                raise
