"""Extended attributes that this host's kernel has set, changed and taken away for a while; root's.

Whatever is read is what the kernel gives out; what is not certain is counted, and is none but what is told.
"""

from __future__ import annotations

import errno
import os
import random
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guestrepair.session.host.filesystem import HostFilesystem
from guestrepair.session.host.readable import FILESYSTEMS
from tests.support.mounts import mounted

SHAPES = {
    "ext4": ("ext4", "mke2fs", "-q", "-t", "ext4"),
    "ext4, inodes of 128 bytes": ("ext4", "mke2fs", "-q", "-t", "ext4", "-I", "128"),
    "ext4, inodes of 1024 bytes": ("ext4", "mke2fs", "-q", "-t", "ext4", "-I", "1024"),
    "ext4, blocks of 1024 bytes": ("ext4", "mke2fs", "-q", "-t", "ext4", "-b", "1024"),
    "ext4 without checksums": ("ext4", "mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum"),
    "ext4 with a seed": ("ext4", "mke2fs", "-q", "-t", "ext4", "-O", "metadata_csum_seed"),
    "ext4 with values in inodes": ("ext4", "mke2fs", "-q", "-t", "ext4", "-O", "ea_inode"),
    "xfs": ("xfs", "mkfs.xfs", "-q"),
    "xfs, blocks of 1024 bytes": ("xfs", "mkfs.xfs", "-q", "-b", "size=1024"),
    "xfs, inodes of 2048 bytes": ("xfs", "mkfs.xfs", "-q", "-i", "size=2048"),
    "btrfs": ("btrfs", "mkfs.btrfs", "-q"),
}
SIZE_BYTES = 400 << 20
FILES, CHANGES, LIVES = 600, 6000, 3
_EXPECTED = frozenset(
    {errno.ENOSPC, errno.ENODATA, errno.EPERM, errno.E2BIG, errno.EOPNOTSUPP, errno.EINVAL, errno.EACCES}
)
"""No room for more, nothing to take away, no such attributes on a link or a device."""


def label(rng: random.Random) -> bytes:
    return b"system_u:object_r:%s_t:s0\0" % rng.choice((b"bin", b"etc", b"shadow", b"x" * 180))


def capabilities(rng: random.Random) -> bytes:
    magic = rng.choice((0x02000000, 0x02000001))
    return struct.pack("<5I", magic, *(rng.getrandbits(32) for _ in range(4)))


def access_list(rng: random.Random) -> bytes:
    """One that says more than a mode; some of many users and groups."""
    users = sorted(rng.sample(range(100_000), rng.choice((0, 1, 2, 12))))
    groups = sorted(rng.sample(range(100_000), rng.choice((1, 2, 8))))
    entries = [(1, 0xFFFFFFFF), *((2, each) for each in users), (4, 0xFFFFFFFF)]
    entries += [*((8, each) for each in groups), (0x10, 0xFFFFFFFF), (0x20, 0xFFFFFFFF)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, rng.randrange(8), n) for t, n in entries)


def value(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 7, 60, 300, 900, 3000, 20_000, 65_536)))


@dataclass
class Life:
    """Files of all kinds, whose attributes come and go."""

    top: Path
    rng: random.Random
    paths: list[Path] = field(default_factory=list)

    def begin(self) -> None:
        for number in range(FILES):
            path = self.top / f"{number}"
            if number % 10 == 1:
                path.mkdir()
            elif number % 10 == 2:
                path.symlink_to("target" * self.rng.randrange(1, 40))
            elif number % 50 == 3:
                os.mkfifo(path)
            else:
                path.write_bytes(self.rng.randbytes(self.rng.choice((0, 10, 5000))))

    def go_on(self) -> None:
        self.paths = sorted(self.top.iterdir())
        for _ in range(CHANGES):
            try:
                self.change(self.rng.choice(self.paths))
            except OSError as error:
                if error.errno not in _EXPECTED:
                    raise

    def change(self, path: Path) -> None:
        rng = self.rng
        names = {
            "security.selinux": label,
            "security.capability": capabilities,
            "system.posix_acl_access": access_list,
            "system.posix_acl_default": access_list,
            f"user.{'n' * rng.choice((1, 1, 1, 30, 240))}{rng.randrange(30)}": value,
            f"trusted.t{rng.randrange(4)}": value,
            f"security.other{rng.randrange(3)}": value,
        }
        name = rng.choice(list(names))
        if rng.random() < 0.3:
            os.removexattr(path, name, follow_symlinks=False)
        else:
            os.setxattr(path, name, names[name](rng), follow_symlinks=False)


def opened(image: Path, kind: str) -> HostFilesystem:
    file = os.open(image, os.O_RDONLY)
    return HostFilesystem(lambda offset, size: os.pread(file, size, offset), SIZE_BYTES, FILESYSTEMS[kind])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_kernel_gives_out(shape: str, tmp_path: Path) -> None:
    kind, *make = SHAPES[shape]
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as out:
        out.truncate(SIZE_BYTES)
    subprocess.run([*make, image], check=True, capture_output=True)
    rng = random.Random(shape)  # noqa: S311 - not for keys
    with mounted(image, point):
        Life(point, rng).begin()
    for _ in range(LIVES):
        with mounted(image, point):
            Life(point, rng).go_on()
    found = opened(image, kind)
    with mounted(image, point, "ro"):
        agreed, values, left = compare(found, point)
    print(f"{shape}: {agreed} files agree, with {values} attributes; {left} are not certain")
    assert agreed + left >= FILES
    if shape == "ext4 with values in inodes":
        assert agreed
        assert left  # such a value is left to the kernel, and with it all of its file
    else:
        assert values > 5 * FILES
        assert not left


def compare(found: HostFilesystem, top: Path) -> tuple[int, int, int]:
    """How many files have the same attributes, how many those are, and of how many files nothing is said."""
    assert found.root is not None
    agreed = values = left = 0
    for name, number in (found.names(found.root) or {}).items():
        path = os.fsencode(top) + b"/" + name
        names = os.listxattr(path, follow_symlinks=False)
        expected = {os.fsencode(each): os.getxattr(path, each, follow_symlinks=False) for each in names}
        said = found.xattrs(number)
        if said is None:
            left += 1
            continue
        assert said == expected, path
        agreed, values = agreed + 1, values + len(said)
    return agreed, values, left
